/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), for the digests that the kernel store records. */
#ifndef VM_SHA256_H
#define VM_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_HEX_SIZE 65

/* The digest of the bytes as 64 lower-case hexadecimal digits and NUL. */
void sha256_hex(const void *buf, size_t len, char ret[SHA256_HEX_SIZE]);

#endif
