/* SPDX-License-Identifier: Apache-2.0 */
/* images/merge, images/merge_out: layers seen, walked and copied as one tree, by overlay's rules. */
#include "images/merge.h"

#include <sys/xattr.h>

#include "images/snapshot.h"
#include "tests/unit/store_kit.h"

static char diffs[3][DIGEST_MAX];

static void layers(struct store *s)
{
	struct str b = { 0 };

	tarball_add(&b, TAR_DIR, "etc", 0755, NULL);
	tarball_add(&b, TAR_FILE, "etc/low", 0644, "low");
	tarball_add(&b, TAR_FILE, "etc/both", 0644, "low");
	tarball_add(&b, TAR_FILE, "etc/gone", 0644, "x");
	tarball_add(&b, TAR_HARDLINK, "etc/hard", 0644, "etc/low");
	tarball_add(&b, TAR_DIR, "opaque", 0700, NULL);
	tarball_add(&b, TAR_FILE, "opaque/old", 0644, "x");
	tarball_add(&b, TAR_FILE, "becomes-dir", 0644, "x");
	tarball_add(&b, TAR_DIR, "becomes-file", 0755, NULL);
	tarball_add(&b, TAR_FILE, "becomes-file/in", 0644, "x");
	tarball_add(&b, TAR_SYMLINK, "abs", 0777, "/etc");
	tarball_add(&b, TAR_SYMLINK, "up", 0777, "../../../../etc/both");
	tarball_add(&b, TAR_SYMLINK, "loop", 0777, "loop");
	tarball_add(&b, TAR_SYMLINK, "dangling", 0777, "nowhere/at/all");
	kit_layer(s, &b, diffs[0]);
	tarball_add(&b, TAR_DIR, "etc", 0751, NULL);
	tarball_add(&b, TAR_FILE, "etc/both", 0600, "high");
	tarball_add(&b, TAR_FILE, "etc/.wh.gone", 0, NULL);
	tarball_add(&b, TAR_DIR, "opaque", 0755, NULL);
	tarball_add(&b, TAR_FILE, "opaque/.wh..wh..opq", 0, NULL);
	tarball_add(&b, TAR_FILE, "opaque/new", 0644, "x");
	tarball_add(&b, TAR_DIR, "becomes-dir", 0755, NULL);
	tarball_add(&b, TAR_FILE, "becomes-dir/in", 0644, "x");
	tarball_add(&b, TAR_FILE, "becomes-file", 0644, "x");
	kit_layer(s, &b, diffs[1]);
}

static int find(const struct merge *m, const char *path, size_t *ret_layer)
{
	struct merge_found f;
	int r = merge_lookup(m, path, &f);

	*ret_layer = r < 0 ? 99 : f.layer;
	return r;
}

static void lookups(const struct merge *m)
{
	static const struct {
		const char *path;
		int r;
		size_t layer;
	} cases[] = {
		{ "", 0, 1 },
		{ "etc", 0, 1 },
		{ "etc/low", 0, 0 },
		{ "etc/both", 0, 1 },
		{ "etc/gone", -ENOENT, 99 },
		{ "opaque/old", -ENOENT, 99 },
		{ "opaque/new", 0, 1 },
		{ "becomes-dir/in", 0, 1 },
		{ "becomes-file", 0, 1 },
		{ "becomes-file/in", -ENOTDIR, 99 },
		{ "abs", 0, 0 },
		{ "abs/low", -ELOOP, 99 },
		{ "no", -ENOENT, 99 },
	};
	static const char *const real[][2] = {
		{ "abs/low", "etc/low" }, { "up", "etc/both" }, { "loop", NULL },
		{ "dangling", NULL },     { "abs", "etc" },     { "etc/low/x", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t layer;

		is_int(find(m, cases[i].path, &layer), cases[i].r);
		is_int(layer, cases[i].layer);
	}
	for (size_t i = 0; i < ARRAY_SIZE(real); i++) {
		cleanup_free char *got = merge_resolve(m, real[i][0]);

		is_str(got, real[i][1]);
	}
}

static int note(void *arg, const char *path, int dirfd, const char *name, const struct stat *st, struct err *err)
{
	str_addf(arg, "%s%s ", path, S_ISDIR(st->st_mode) ? "/" : "");
	return 0;
}

static int stop(void *arg, const char *path, int dirfd, const char *name, const struct stat *st, struct err *err)
{
	return strcmp(path, "etc/both") ? 0 : err_set(err, -EINTR, "here");
}

static void walks(const struct merge *m)
{
	struct str s = { 0 };
	struct err err = { 0 };

	is_int(merge_walk(m, note, &s, &err), 0);
	is_str(s.s,
	       "/ abs becomes-dir/ becomes-dir/in becomes-file dangling etc/ etc/both etc/hard etc/low loop opaque/ "
	       "opaque/new up ");
	is_int(merge_walk(m, stop, NULL, &err), -EINTR);
	str_free(&s);
}

static void copies(const struct merge *m)
{
	cleanup_fd int top = open(kit_dir, O_RDONLY | O_DIRECTORY), out = tarball_dir(top, "out"),
		       again = tarball_dir(top, "again");
	struct layer_options o = { .rights = m->rights };
	struct layer_meta meta;
	struct stat a, b;
	struct str tar = { 0 };
	struct err err = { 0 };

	is_int(merge_out_copy(m, out, NULL, &err), 0);
	ok(fstatat(out, "etc", &a, 0) == 0 && (a.st_mode & 07777) == 0751 && a.st_mtim.tv_sec == 1000000000);
	ok(fstatat(out, "etc/low", &a, 0) == 0 && fstatat(out, "etc/hard", &b, 0) == 0 && a.st_ino == b.st_ino);
	ok(fstatat(out, "opaque/old", &a, 0) < 0 && fstatat(out, "etc/gone", &a, AT_SYMLINK_NOFOLLOW) < 0);
	is_int(merge_out_tar(m, tarball_put, &tar, &err), 0);
	is_int(tarball_apply(&tar, 700, again, &o, &meta, &err), 0);
	ok(fstatat(again, "etc/low", &a, 0) == 0 && fstatat(again, "etc/hard", &b, 0) == 0 && a.st_ino == b.st_ino);
	ok(fstatat(again, "etc/both", &a, 0) == 0 && a.st_size == 4 && (a.st_mode & 07777) == 0600);
	layer_meta_clear(&meta);
	str_free(&tar);
}

int main(void)
{
	struct store *s = kit_store(STORE_WRITE);
	cleanup_strv char **trees = NULL;
	struct err err = { 0 };
	struct merge m;

	layers(s);
	for (int i = 0; i < 2; i++)
		strv_add_take(&trees, layer_unpack_tree(diffs[i]));
	is_int(snapshot_open(s, trees, &m, &err), 0);
	lookups(&m);
	walks(&m);
	copies(&m);
	snapshot_close(&m);
	strv_add(&trees, "layers/absent/fs");
	is_int(snapshot_open(s, trees, &m, &err), -ENOENT);
	has_str(err.msg, "layers/absent/fs");
	kit_end(s);
	return tap_done();
}
