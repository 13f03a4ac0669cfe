/* SPDX-License-Identifier: Apache-2.0 */
/* A store in /tmp with images made in memory, for the tests of images/. */
#ifndef TESTS_UNIT_STORE_KIT_H
#define TESTS_UNIT_STORE_KIT_H

#include <unistd.h>

#include "images/layer_unpack.h"
#include "images/store.h"
#include "tests/unit/tarball.h"

static char kit_dir[] = "/tmp/amphi-store-XXXXXX";

static inline struct store *kit_store(enum store_use use)
{
	struct store *s = NULL;
	struct err err = { 0 };

	if (kit_dir[strlen(kit_dir) - 1] == 'X' && !mkdtemp(kit_dir))
		return NULL;
	umask(0);
	is_int(store_open(kit_dir, use, &s, &err), 0);
	if (s)
		s->sync = false;
	return s;
}

static inline void kit_end(struct store *s)
{
	store_close(s);
	path_remove_tree(AT_FDCWD, kit_dir, true);
}

static inline ssize_t kit_read(void *arg, void *buf, size_t len, struct err *err)
{
	struct tarball_reader *r = arg;
	size_t left = r->b->len - r->pos, n = left < len ? left : len;

	memcpy(buf, r->b->s + r->pos, n);
	r->pos += n;
	return (ssize_t)n;
}

/* The archive (ended and freed here) as blob and tree of the store; its digest, which is its diff-id too. */
static inline void kit_layer(struct store *s, struct str *b, char diff_id[DIGEST_MAX])
{
	struct layer_options o = { .rights = s->rights };
	struct tarball_reader r = { b, 0, 0 };
	struct err err = { 0 };
	cleanup_free char *tmp = NULL;
	cleanup_fd int fd = -1;

	tar_write_end(tarball_put, b, NULL);
	is_int(store_put_blob(s, b->s, b->len, NULL, NULL, &err), 0);
	is_int(store_tmpdir(s, &tmp, &fd, &err), 0);
	is_int(layer_unpack(fd, kit_read, &r, &o, NULL, diff_id, &err), 0);
	is_str(err.msg, "");
	is_int(layer_unpack_publish(s, tmp, diff_id, &err), 0);
	str_free(b);
}

/* An image of plain layers under a whole name. */
static inline void kit_image(struct store *s, const char *name, char (*diffs)[DIGEST_MAX], size_t n)
{
	struct oci_manifest m = { .media_type = (char *)OCI_MT_MANIFEST };
	struct oci_descriptor d = { 0 };
	struct str config = { 0 };
	struct err err = { 0 };
	cleanup_free char *text = NULL;

	m.layers = xcalloc(n + 1, sizeof(*m.layers));
	str_add(&config,
		"{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{\"Cmd\":[\"x\"]},\"rootfs\":{\"type\":"
		"\"layers\",\"diff_ids\":[");
	for (size_t i = 0; i < n; i++) {
		str_addf(&config, "%s\"%s\"", i ? "," : "", diffs[i]);
		m.layers[i] =
			(struct oci_descriptor){ .media_type = (char *)OCI_MT_LAYER, .digest = diffs[i], .size = 1 };
		store_has_blob(s, diffs[i], &m.layers[i].size);
	}
	m.n_layers = n;
	str_add(&config, "]}}");
	is_int(store_put_blob(s, config.s, config.len, OCI_MT_CONFIG, &m.config, &err), 0);
	text = oci_manifest_write(&m);
	is_int(store_put_blob(s, text, strlen(text), OCI_MT_MANIFEST, &d, &err), 0);
	is_int(store_tag(s, name, &d, &err), 0);
	oci_descriptor_clear(&m.config);
	oci_descriptor_clear(&d);
	str_free(&config);
	free(m.layers);
}

#endif
