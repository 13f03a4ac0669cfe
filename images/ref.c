/* SPDX-License-Identifier: Apache-2.0 */
/* Image names. */
/*
 * The grammar is distribution-spec's for PATH and TAG; the first part is a host if it has a dot or a colon or is
 * "localhost", as every tool has it. docker.io's single words live under library/.
 */
#include "images/ref.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "oci/image_spec.h"

static int bad(struct err *err, const char *text, const char *why)
{
	return err_set(err, -EINVAL, "image name \"%.200s\": %s", text, why);
}

/* Components of [a-z0-9]+ joined by . _ __ or dashes, between slashes. */
static bool path_ok(const char *p)
{
	bool word = false;

	if (!*p || strlen(p) > 255)
		return false;
	for (const char *s = p; *s; s++) {
		bool alnum = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9');

		if (alnum) {
			word = true;
			continue;
		}
		if (!word || !strchr("./_-", *s))
			return false;
		/* separators stand between words: single, but "__" and any number of '-' */
		word = (*s == '_' && s[1] == '_') || (*s == '-' && s[1] == '-');
		if (*s == '_' && s[1] == '_' && s[2] == '_')
			return false;
	}
	return word;
}

static bool tag_ok(const char *t)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	return *t && strchr(first, *t) && strlen(t) <= 128 &&
		!t[strspn(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")];
}

static bool host_ok(const char *h)
{
	const char *colon;

	if (*h == '[') { /* [v6]:port */
		size_t n = strspn(h + 1, "0123456789abcdefABCDEF:.");

		colon = h + 1 + n;
		if (!n || *colon++ != ']')
			return false;
	} else {
		colon = h + strspn(h, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
		if (colon == h)
			return false;
	}
	if (!*colon)
		return true;
	return *colon == ':' && colon[1] && strlen(colon + 1) <= 5 && !colon[1 + strspn(colon + 1, "0123456789")];
}

int ref_parse(const char *text, const char *default_host, struct ref *ret, struct err *err)
{
	cleanup_free char *s = xstrdup(text);
	char *at = strchr(s, '@'), *slash, *colon, *rest = s;
	struct ref r = { 0 };

	memset(ret, 0, sizeof(*ret));
	if (at) {
		*at++ = '\0';
		if (!oci_digest_valid(at))
			return bad(err, text, "the digest must be sha256: and 64 hexadecimal digits");
	}
	slash = strchr(s, '/');
	if (slash)
		*slash = '\0';
	if (slash && (strpbrk(s, ".:") || !strcmp(s, "localhost"))) {
		if (!host_ok(s))
			return bad(err, text, "not a host name before the first /");
		rest = slash + 1;
	} else if (slash) {
		*slash = '/';
		slash = NULL;
	}
	colon = strrchr(rest, ':');
	if (colon && !strchr(colon, '/')) {
		*colon++ = '\0';
		if (!tag_ok(colon))
			return bad(err, text, "not a tag behind the last :");
	} else {
		colon = NULL;
	}
	if (!path_ok(rest))
		return bad(err, text, "expected [HOST[:PORT]/]PATH[:TAG][@DIGEST] with a path in lower case");
	r.implied_host = !slash;
	r.host = xstrdup(slash ? s : default_host);
	if (!strcmp(r.host, "index.docker.io")) {
		free(r.host);
		r.host = xstrdup("docker.io");
	}
	r.path = !strcmp(r.host, "docker.io") && !strchr(rest, '/') ? xasprintf("library/%s", rest) : xstrdup(rest);
	r.tag = xstrdup(colon ? colon : at ? NULL : "latest");
	r.digest = xstrdup(at);
	r.name = r.digest ? xasprintf("%s/%s@%s", r.host, r.path, r.digest) :
			    xasprintf("%s/%s:%s", r.host, r.path, r.tag);
	*ret = r;
	return 0;
}

void ref_clear(struct ref *r)
{
	free(r->host);
	free(r->path);
	free(r->tag);
	free(r->digest);
	free(r->name);
	memset(r, 0, sizeof(*r));
}
