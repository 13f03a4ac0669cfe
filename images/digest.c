/* SPDX-License-Identifier: Apache-2.0 */
/* Digests as image-spec writes them. */
/*
 * OpenSSL's EVP does the hashing (with the processor's SHA instructions where there are any). A hasher is used
 * by one thread at a time. image-spec descriptor.md#digests.
 */
#include "images/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

struct digest {
	EVP_MD_CTX *ctx;
	const EVP_MD *md;
	const char *name;
};

static void start(struct digest *d)
{
	if (EVP_DigestInit_ex(d->ctx, d->md, NULL) != 1)
		abort();
}

struct digest *digest_new(const char *like)
{
	struct digest *d = xcalloc(1, sizeof(*d));

	d->name = like && str_starts(like, "sha512:") ? "sha512" : "sha256";
	d->md = !strcmp(d->name, "sha512") ? EVP_sha512() : EVP_sha256();
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx)
		abort();
	start(d);
	return d;
}

void digest_update(struct digest *d, const void *buf, size_t len)
{
	if (EVP_DigestUpdate(d->ctx, buf, len) != 1)
		abort();
}

const char *digest_final(struct digest *d, char buf[DIGEST_MAX])
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	char *p = buf;

	if (EVP_DigestFinal_ex(d->ctx, raw, &n) != 1)
		abort();
	p += sprintf(p, "%s:", d->name);
	for (unsigned int i = 0; i < n; i++) {
		*p++ = "0123456789abcdef"[raw[i] >> 4];
		*p++ = "0123456789abcdef"[raw[i] & 15];
	}
	*p = '\0';
	start(d);
	return buf;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

const char *digest_of(const void *buf, size_t len, char ret[DIGEST_MAX])
{
	cleanup_digest struct digest *d = digest_new(NULL);

	digest_update(d, buf, len);
	return digest_final(d, ret);
}

const char *digest_hex(const char *digest)
{
	const char *colon = strchr(digest, ':');

	return colon ? colon + 1 : digest;
}

int digest_fd(int fd, const char *like, char ret[DIGEST_MAX])
{
	cleanup_digest struct digest *d = digest_new(like);
	cleanup_free char *buf = xmalloc(1 << 20);
	ssize_t n;

	while ((n = read(fd, buf, 1 << 20)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		digest_update(d, buf, (size_t)n);
	}
	digest_final(d, ret);
	return 0;
}
