/* SPDX-License-Identifier: Apache-2.0 */
/* Is a layer's tree what its archive says? */
#ifndef IMAGES_LAYER_VERIFY_H
#define IMAGES_LAYER_VERIFY_H

#include <stdbool.h>

#include "base/err.h"
#include "images/rights.h"

/*
 * Reads the (compressed) archive from fd and compares every entry that is the last of its name: kind, permissions,
 * owner (unless the store has one id), size, content, link targets. 0, or -EBADMSG naming the first entry that differs.
 */
int layer_verify(int tree, int fd, enum rights rights, struct err *err);

#endif
