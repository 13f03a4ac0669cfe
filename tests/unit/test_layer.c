/* SPDX-License-Identifier: Apache-2.0 */
/* images/layer: what a layer becomes on disk, and what is refused. */
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/unit/tarball.h"

static int tmp;
static struct layer_options options;
static unsigned int count;

static int fresh(void)
{
	cleanup_free char *name = xasprintf("t%u", count++);

	return tarball_dir(tmp, name);
}

static void refused(struct str *b, const char *part)
{
	cleanup_fd int root = fresh();
	struct layer_meta meta;
	struct err err = { 0 };
	int r;

	tar_write_end(tarball_put, b, NULL);
	r = tarball_apply(b, 4096, root, &options, &meta, &err);
	ok(r < 0);
	has_str(err.msg, part);
	layer_meta_clear(&meta);
	str_free(b);
}

static void contents(void)
{
	cleanup_fd int root = fresh();
	struct str b = { 0 };
	struct layer_meta meta;
	struct err err = { 0 };
	char buf[64] = "", link[64] = "";
	struct stat st, st2;

	tarball_add(&b, TAR_DIR, "./", 0755, NULL);
	tarball_add(&b, TAR_DIR, "./bin/", 0555, NULL);
	tarball_add(&b, TAR_FILE, "bin/su", 04755, "setuid");
	tarball_add(&b, TAR_HARDLINK, "bin/su2", 04755, "./bin/su");
	tarball_add(&b, TAR_SYMLINK, "sh", 0777, "../../../etc/passwd");
	tarball_add(&b, TAR_FILE, "deep/down/file", 0600, "implied");
	tarball_add(&b, TAR_FIFO, "fifo", 0644, NULL);
	tarball_add(&b, TAR_FILE, "twice", 0644, "first");
	tarball_add(&b, TAR_FILE, "twice", 0640, "second one");
	tarball_add(&b, TAR_FILE, "was", 0644, "a file");
	tarball_add(&b, TAR_DIR, "was/", 0700, NULL);
	tarball_add(&b, TAR_HARDLINK, "far", 0644, "lower/target");
	tar_write_end(tarball_put, &b, NULL);
	is_int(tarball_apply(&b, 100, root, &options, &meta, &err), 0);
	is_str(err.msg, "");
	ok(fstatat(root, "bin/su", &st, 0) == 0 && fstatat(root, "bin/su2", &st2, 0) == 0);
	is_int(st.st_mode & 07777, 04755);
	is_int(st.st_mtime, 1000000000);
	ok(st.st_ino == st2.st_ino);
	ok(fstatat(root, "bin", &st, 0) == 0 && (st.st_mode & 07777) == 0555 && st.st_mtime == 1000000000);
	ok(readlinkat(root, "sh", link, sizeof(link)) == 19);
	ok(fstatat(root, "fifo", &st, 0) == 0 && S_ISFIFO(st.st_mode));
	ok(fstatat(root, "twice", &st, 0) == 0 && st.st_size == 10 && (st.st_mode & 0777) == 0640);
	ok(fstatat(root, "was", &st, 0) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
	is_int(strv_len(meta.implied), 2);
	is_str(meta.implied[0], "deep");
	is_str(meta.implied[1], "deep/down");
	ok(fstatat(root, "deep", &st, 0) == 0 && (st.st_mode & 07777) == 0755);
	ok(meta.n_links == 1 && !strcmp(meta.links[0].path, "far") && !strcmp(meta.links[0].target, "lower/target"));
	is_int(meta.entries, 12);
	cleanup_fd int fd = openat(root, "deep/down/file", O_RDONLY);

	ok(read(fd, buf, sizeof(buf)) == 7 && !strcmp(buf, "implied"));

	cleanup_free char *text = layer_meta_write(&meta);
	struct layer_meta again;

	is_int(layer_meta_parse(text, strlen(text), &again, &err), 0);
	is_str(again.implied[1], "deep/down");
	is_str(again.links[0].target, "lower/target");
	layer_meta_clear(&again);
	layer_meta_clear(&meta);
	str_free(&b);
}

static void whiteouts(void)
{
	cleanup_fd int root = fresh();
	struct str b = { 0 };
	struct layer_meta meta;
	struct err err = { 0 };
	struct stat st;
	char v[4];

	tarball_add(&b, TAR_FILE, "etc/.wh.gone", 0, NULL);
	tarball_add(&b, TAR_FILE, "opaque/.wh.before", 0, NULL);
	tarball_add(&b, TAR_FILE, "opaque/.wh..wh..opq", 0, NULL);
	tarball_add(&b, TAR_FILE, "opaque/.wh.after", 0, NULL);
	tarball_add(&b, TAR_FILE, "opaque/new", 0644, "x");
	tarball_add(&b, TAR_FILE, ".wh.foo", 0, NULL);
	tarball_add(&b, TAR_FILE, "foo/.wh.bar", 0, NULL);
	tarball_add(&b, TAR_FILE, ".wh.back", 0, NULL);
	tarball_add(&b, TAR_FILE, "back", 0644, "again");
	tarball_add(&b, TAR_FILE, "kept", 0644, "k");
	tarball_add(&b, TAR_FILE, ".wh.kept", 0, NULL);
	tarball_add(&b, TAR_FILE, ".wh..wh.plnk", 0, NULL);
	tarball_add(&b, TAR_FILE, "was", 0644, "a file");
	tarball_add(&b, TAR_DIR, "was", 0755, NULL);
	tarball_add(&b, TAR_SYMLINK, "link", 0644, "opaque");
	tarball_add(&b, TAR_DIR, "link", 0755, NULL);
	tarball_add(&b, TAR_FILE, "link/.wh.void", 0, NULL);
	/* directories that went with the one around them, and one that came again */
	tarball_add(&b, TAR_DIR, "r", 0755, NULL);
	tarball_add(&b, TAR_FILE, "r/implied/again/x", 0644, "x");
	tarball_add(&b, TAR_DIR, "r/named", 0711, NULL);
	tarball_add(&b, TAR_FILE, "r", 0644, "a file");
	tarball_add(&b, TAR_DIR, "r", 0755, NULL);
	tarball_add(&b, TAR_FILE, "r/named/x", 0644, "x");
	tarball_add(&b, TAR_FILE, "r", 0644, "a file");
	tarball_add(&b, TAR_DIR, "r", 0755, NULL);
	tarball_add(&b, TAR_FILE, "r/named/x", 0644, "x");
	tar_write_end(tarball_put, &b, NULL);
	is_int(tarball_apply(&b, 1 << 20, root, &options, &meta, &err), 0);
	is_str(err.msg, "");
	ok(fstatat(root, "etc/gone", &st, AT_SYMLINK_NOFOLLOW) == 0 && layer_is_whiteout(st.st_mode, st.st_rdev));
	ok(fstatat(root, "opaque/before", &st, 0) < 0 && fstatat(root, "opaque/after", &st, 0) < 0);
	ok(fstatat(root, "opaque/new", &st, 0) == 0);
	cleanup_fd int opaque = openat(root, "opaque", O_RDONLY), foo = openat(root, "foo", O_RDONLY);

	ok(fgetxattr(opaque, layer_opaque_xattr(options.rights), v, sizeof(v)) == 1 && *v == 'y');
	/* a directory in a whiteout's place hides what is below, so its own whiteouts are void */
	ok(fgetxattr(foo, layer_opaque_xattr(options.rights), v, sizeof(v)) == 1 && fstatat(foo, "bar", &st, 0) < 0);
	ok(fstatat(root, "back", &st, 0) == 0 && S_ISREG(st.st_mode));
	ok(fstatat(root, "kept", &st, 0) == 0 && S_ISREG(st.st_mode));
	ok(fstatat(root, ".wh..wh.plnk", &st, 0) < 0);
	is_str(meta.implied[strv_len(meta.implied) - 1], "r/named");
	ok(!strv_has(meta.implied, "r/implied") && !strv_has(meta.implied, "r/implied/again"));
	ok(fstatat(root, "r/named", &st, 0) == 0 && (st.st_mode & 07777) == 0755);
	/* and one in the place of a file or link too, which had replaced what is below */
	cleanup_fd int was = openat(root, "was", O_RDONLY), link = openat(root, "link", O_RDONLY | O_NOFOLLOW);

	ok(fgetxattr(was, layer_opaque_xattr(options.rights), v, sizeof(v)) == 1 && *v == 'y');
	ok(fgetxattr(link, layer_opaque_xattr(options.rights), v, sizeof(v)) == 1 && fstatat(link, "void", &st, 0) < 0);
	layer_meta_clear(&meta);
	str_free(&b);
}

static void hostile(void)
{
	struct str b = { 0 };
	struct stat st;

	tarball_add(&b, TAR_FILE, "/etc/passwd", 0644, "x");
	refused(&b, "entry /etc/passwd: absolute name");
	tarball_add(&b, TAR_FILE, "a/../../x", 0644, "x");
	refused(&b, "entry a/../../x: \"..\" in the name");
	tarball_add(&b, TAR_SYMLINK, "evil", 0777, "..");
	tarball_add(&b, TAR_FILE, "evil/escaped", 0644, "x");
	refused(&b, "entry evil/escaped: the path leads through a symbolic link");
	ok(fstatat(tmp, "escaped", &st, AT_SYMLINK_NOFOLLOW) < 0);
	tarball_add(&b, TAR_SYMLINK, "evil", 0777, "/tmp");
	tarball_add(&b, TAR_HARDLINK, "copy", 0644, "evil/x");
	refused(&b, "entry copy: hard link to evil/x: the path leads through a symbolic link");
	tarball_add(&b, TAR_HARDLINK, "out", 0644, "../../etc/shadow");
	refused(&b, "entry out: hard link to ../../etc/shadow: \"..\" in the name");
	tarball_add(&b, TAR_HARDLINK, "out", 0644, "/etc/shadow");
	refused(&b, "entry out: hard link to /etc/shadow: absolute name");
	tarball_add(&b, TAR_FILE, "dir/.wh.", 0, NULL);
	refused(&b, "entry dir/.wh.: whiteout without a name");
	tarball_add(&b, TAR_FILE, "dir/.wh...", 0, NULL);
	refused(&b, "whiteout of a directory itself");
	tarball_add(&b, TAR_FILE, "file", 0644, "x");
	tarball_add(&b, TAR_FILE, "file/below", 0644, "x");
	refused(&b, "entry file/below: file: the path leads through a file");
	tarball_add(&b, TAR_FILE, "./", 0644, NULL);
	b.s[156] = '0'; /* a file that is the root: read as a directory */
	str_free(&b);
	tarball_add(&b, TAR_CHAR, "zero", 0644, NULL);
	if (geteuid() == 0)
		refused(&b, "character device 0:0");
	str_free(&b);
	tarball_add(&b, TAR_FILE, "big", 0644, "0123456789");
	options.max_bytes = 9;
	refused(&b, "entry big: the layer is larger than the limit of 9 bytes");
	options.max_bytes = 0;
	options.max_entries = 1;
	tarball_add(&b, TAR_FILE, "a", 0644, "0");
	tarball_add(&b, TAR_FILE, "b", 0644, "0");
	refused(&b, "more entries than the limit of 1");
	options.max_entries = 0;
	tarball_add(&b, TAR_FILE, "a", 0644, "0");
	b.s[3] ^= 1;
	refused(&b, "tar: damaged header (checksum)");
	tarball_add(&b, TAR_FILE, "cut", 0644, "0123456789");
	b.s[124 + 10] = '7'; /* of a size beyond the archive's end */
	b.s[124 + 5] = '1';
	refused(&b, "tar: damaged header (checksum)");
	for (int i = 0; i < 300; i++)
		str_add(&b, "x");
	cleanup_free char *name = str_steal(&b);

	tarball_add(&b, TAR_FILE, name, 0644, "x");
	refused(&b, "file name too long");
}

static void xattrs(void)
{
	struct tar_xattr x[] = { { (char *)"user.note", (void *)"hi", 2 },
				 { (char *)"trusted.overlay.opaque", (void *)"y", 1 },
				 { (char *)"user.overlay.opaque", (void *)"y", 1 } };
	struct tar_entry e = { .type = TAR_DIR, .path = (char *)"d/", .mode = 0755, .xattrs = x, .n_xattrs = 3 };
	cleanup_fd int root = fresh();
	struct str b = { 0 };
	struct layer_meta meta;
	struct err err = { 0 };
	char v[8];

	tar_write_entry(tarball_put, &b, &e, NULL);
	tar_write_end(tarball_put, &b, NULL);
	is_int(tarball_apply(&b, 77, root, &options, &meta, &err), 0);
	cleanup_fd int d = openat(root, "d", O_RDONLY);

	ok(fgetxattr(d, "user.note", v, sizeof(v)) == 2 || errno == EOPNOTSUPP);
	ok(fgetxattr(d, "trusted.overlay.opaque", v, sizeof(v)) < 0 &&
	   fgetxattr(d, "user.overlay.opaque", v, sizeof(v)) < 0);
	layer_meta_clear(&meta);
	str_free(&b);
}

int main(void)
{
	char dir[] = "/tmp/amphi-layer-XXXXXX";

	umask(0);
	options.rights = geteuid() ? RIGHTS_ONE_ID : RIGHTS_ROOT;
	tmp = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY) : -1;
	need(tmp >= 0);
	contents();
	whiteouts();
	hostile();
	xattrs();
	path_remove_tree(AT_FDCWD, dir, true);
	return tap_done();
}
