/* SPDX-License-Identifier: Apache-2.0 */
/* Digests: sha256 and sha512 as "ALG:HEX", computed while bytes pass by. */
#ifndef IMAGES_DIGEST_H
#define IMAGES_DIGEST_H

#include <stddef.h>

#include "base/err.h"

#define DIGEST_MAX 136 /* "sha512:", 128 digits, NUL */

struct digest;

/* A hasher of the algorithm of like ("sha512:..."); NULL or anything else: sha256. Never NULL. */
struct digest *digest_new(const char *like);
void digest_update(struct digest *d, const void *buf, size_t len);
/* Ends it: "ALG:HEX" in buf. The hasher starts anew. */
const char *digest_final(struct digest *d, char buf[DIGEST_MAX]);
void digest_free(struct digest *d);
static inline void cleanup_digest_fn(struct digest **d)
{
	digest_free(*d);
}
#define cleanup_digest CLEANUP(cleanup_digest_fn)

/* sha256 of bytes. */
const char *digest_of(const void *buf, size_t len, char ret[DIGEST_MAX]);
/* The hex digits behind the colon. */
const char *digest_hex(const char *digest);
/* Hashes the rest of fd. 0 or -errno. */
int digest_fd(int fd, const char *like, char ret[DIGEST_MAX]);

#endif
