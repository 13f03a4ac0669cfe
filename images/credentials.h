/* SPDX-License-Identifier: Apache-2.0 */
/* User names and passwords for registries, from the files and helpers of podman and docker. */
#ifndef IMAGES_CREDENTIALS_H
#define IMAGES_CREDENTIALS_H

#include "base/err.h"

struct credentials {
	char *user; /* NULL: none known */
	char *password;
	char *identity; /* identity (refresh) token instead; NULL */
};

/*
 * Looks host/path up, the most specific key first, in authfile or else in podman's and docker's files and their
 * credential helpers. creds ("USER:PASSWORD", may be NULL) wins. Nothing found is 0 with user NULL.
 */
int credentials_find(const char *host, const char *path, const char *creds, const char *authfile,
		     struct credentials *ret, struct err *err);
void credentials_clear(struct credentials *c);
/* Standard base64 with padding; owned. */
char *credentials_base64(const void *buf, size_t len);
/* The decoded bytes, NUL-terminated, owned; NULL when damaged. */
char *credentials_unbase64(const char *text);

#endif
