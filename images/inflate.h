/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression of a stream: gzip (ISA-L), zstd, xz or none, recognised by its first bytes. */
#ifndef IMAGES_INFLATE_H
#define IMAGES_INFLATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Gives up to len bytes; 0 at the end; negative with *err. Blocks. */
typedef ssize_t inflate_read_fn(void *arg, void *buf, size_t len, struct err *err);

struct inflate;

/* Reads compressed bytes through fn. Never NULL. */
struct inflate *inflate_new(inflate_read_fn *fn, void *arg);
/*
 * Fills buf as far as the stream gives (whole unless at the end). Bytes, 0 at the end, or -EINVAL with *err
 * ("gzip: damaged data"). Several gzip members or zstd frames are one stream; zero padding behind is skipped.
 */
ssize_t inflate_read(struct inflate *z, void *buf, size_t len, struct err *err);
/* "gzip", "zstd", "xz", "none"; known after the first read. */
const char *inflate_kind(const struct inflate *z);
void inflate_free(struct inflate *z);

#endif
