/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression of kernels, modules and package members: gzip, xz, lzma, zstd, LZ4 (legacy frame). */
#ifndef VM_UNPACK_H
#define VM_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The compression's word by the first bytes, or NULL when none is known ("bzip2" and "lzo" are known, not supported). */
const char *unpack_format(const uint8_t *in, size_t len);

/*
 * Decompresses the first stream in the bytes to fd (written from its present offset); what follows the stream is
 * ignored. More than max bytes out are -EFBIG. what names the input in errors. Returns 0 or -errno with *err;
 * *ret_len (may be NULL) is the number of bytes written.
 */
int unpack_to_fd(const uint8_t *in, size_t len, int fd, uint64_t max, uint64_t *ret_len, const char *what,
		 struct err *err);

/* The same into an owned buffer. Bytes of no known compression are copied. */
int unpack_to_memory(const uint8_t *in, size_t len, uint64_t max, uint8_t **ret, size_t *ret_len, const char *what,
		     struct err *err);

/*
 * The kernel in the bytes: an ELF image is copied as it is, a bzImage's payload is decompressed
 * (Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length). 0 or -errno.
 */
int unpack_kernel(const uint8_t *in, size_t len, int fd, const char *what, struct err *err);

#endif
