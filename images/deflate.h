/* SPDX-License-Identifier: Apache-2.0 */
/* A gzip file in the making: compressed and hashed in one pass. */
#ifndef IMAGES_DEFLATE_H
#define IMAGES_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "images/digest.h"

struct deflate;

/* Writes to fd (the caller's) from where it stands. Never NULL. */
struct deflate *deflate_new(int fd);
/* Takes len bytes (a tar_put_fn). 0 or negative with *err. */
int deflate_put(void *deflate, const void *buf, size_t len, struct err *err);
/* Ends the stream: digests of what went in and of what was written, and the latter's size. 0 or negative. */
int deflate_end(struct deflate *d, char ret_plain[DIGEST_MAX], char ret_packed[DIGEST_MAX], uint64_t *ret_size,
		struct err *err);
void deflate_free(struct deflate *d);

#endif
