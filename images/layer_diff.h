/* SPDX-License-Identifier: Apache-2.0 */
/* An overlay's upper directory as a layer archive. */
#ifndef IMAGES_LAYER_DIFF_H
#define IMAGES_LAYER_DIFF_H

#include <stdbool.h>
#include <stdint.h>

#include "images/digest.h"
#include "images/rights.h"

/*
 * Writes upper's content as a gzip'd layer to fd: whiteouts and opaque directories in image-spec's form, names
 * sorted. The digests of the uncompressed and the compressed bytes and the size go to the caller. 0 or negative.
 */
int layer_diff_write(int upper, enum rights rights, int fd, char ret_diff_id[DIGEST_MAX], char ret_digest[DIGEST_MAX],
		     uint64_t *ret_size, struct err *err);

#endif
