/* SPDX-License-Identifier: Apache-2.0 */
/* Image names: HOST/PATH:TAG@DIGEST and what people leave out of them. */
#ifndef IMAGES_REF_H
#define IMAGES_REF_H

#include <stdbool.h>

#include "base/err.h"

struct ref {
	char *host;        /* "docker.io", "localhost:5000" */
	char *path;        /* "library/busybox" */
	char *tag;         /* NULL only with a digest */
	char *digest;      /* NULL: none */
	char *name;        /* canonical: HOST/PATH:TAG or HOST/PATH@DIGEST */
	bool implied_host; /* the host was not written */
};

/*
 * Parses text; without a host it is default_host ("docker.io" with library/ put in front of a single word, or
 * "localhost"), without tag and digest the tag is "latest". 0, or -EINVAL naming text and what is wrong.
 */
int ref_parse(const char *text, const char *default_host, struct ref *ret, struct err *err);
void ref_clear(struct ref *r);
#define cleanup_ref CLEANUP(ref_clear)

#endif
