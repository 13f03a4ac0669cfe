/* SPDX-License-Identifier: Apache-2.0 */
/* Archives in memory for the tests of images/. */
#ifndef TESTS_UNIT_TARBALL_H
#define TESTS_UNIT_TARBALL_H

#include <fcntl.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/str.h"
#include "images/layer.h"
#include "tests/unit/tap.h"

static inline int tarball_put(void *arg, const void *buf, size_t len, struct err *err)
{
	str_addn(arg, buf, len);
	return 0;
}

static inline void tarball_add(struct str *b, enum tar_type type, const char *path, uint32_t mode, const char *text)
{
	bool file = type == TAR_FILE;
	struct tar_entry e = { .type = type,
			       .path = (char *)path,
			       .mode = mode,
			       .mtime = 1000000000,
			       .link = file ? NULL : (char *)text,
			       .size = file && text ? strlen(text) : 0 };

	tar_write_entry(tarball_put, b, &e, NULL);
	if (file && text) {
		str_addn(b, text, strlen(text));
		tar_write_padding(tarball_put, b, e.size, NULL);
	}
}

struct tarball_reader {
	const struct str *b;
	size_t pos, step; /* bytes at a time */
};

static inline ssize_t tarball_fill(void *arg, const uint8_t **ret, struct err *err)
{
	struct tarball_reader *r = arg;
	size_t left = r->b->len - r->pos, n = left < r->step ? left : r->step;

	*ret = (const uint8_t *)r->b->s + r->pos;
	r->pos += n;
	return (ssize_t)n;
}

/* Unpacks into a fresh directory below dirfd; the error's text is in *err. */
static inline int tarball_apply(const struct str *b, size_t step, int root, const struct layer_options *o,
				struct layer_meta *meta, struct err *err)
{
	struct tarball_reader r = { b, 0, step };
	struct tar *t = tar_new(tarball_fill, &r);
	int ret = layer_apply(root, t, o, meta, err);

	tar_free(t);
	return ret;
}

/* A fresh directory tmp/NAME opened. */
static inline int tarball_dir(int tmp, const char *name)
{
	return mkdirat(tmp, name, 0755) < 0 ? -1 : openat(tmp, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

#endif
