/* SPDX-License-Identifier: Apache-2.0 */
/* From an upper directory to a layer archive. */
/*
 * The walk of merge.c over the one tree would hide its whiteouts, so this one is its own: each directory's names
 * sorted, a whiteout as an empty file .wh.NAME, an opaque directory with .wh..wh..opq as its first member. The
 * archive goes through deflate.c to the file, which hashes both streams. The upper directory was
 * written by a container: it is only read, without following symlinks.
 */
#include "images/layer_diff.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "images/deflate.h"
#include "images/layer.h"
#include "images/merge.h"

struct sink {
	struct deflate *z;
	enum rights rights;
	struct merge_seen seen;
};

static int put(void *arg, const void *buf, size_t len, struct err *err)
{
	struct sink *s = arg;

	return deflate_put(s->z, buf, len, err);
}

static int put_data(struct sink *s, int fd, uint64_t size, struct err *err)
{
	cleanup_free char *buf = xmalloc(1 << 20);

	for (uint64_t left = size; left;) {
		ssize_t n = fd_read_all(fd, buf, left < (1 << 20) ? (size_t)left : 1 << 20);
		int r;

		if (n <= 0)
			return err_set(err, n < 0 ? (int)n : -EIO,
				       "a file changes while it is read; stop the container");
		r = put(s, buf, (size_t)n, err);
		if (r < 0)
			return r;
		left -= (uint64_t)n;
	}
	return tar_write_padding(put, s, size, err);
}

static int put_marker(struct sink *s, const char *dir, const char *name, struct err *err)
{
	cleanup_free char *path = xasprintf("%s%s.wh.%s", dir, *dir ? "/" : "", name);
	struct tar_entry e = { .path = path, .type = TAR_FILE };

	return tar_write_entry(put, s, &e, err);
}

static int put_thing(struct sink *s, int dirfd, const char *name, const char *path, const struct stat *st,
		     struct err *err)
{
	struct tar_entry e = { .mode = st->st_mode & 07777,
			       .uid = st->st_uid,
			       .gid = st->st_gid,
			       .mtime = st->st_mtim.tv_sec,
			       .major = major(st->st_rdev),
			       .minor = minor(st->st_rdev) };
	const char *first = merge_out_seen(&s->seen, st, path);
	cleanup_free char *slashed = S_ISDIR(st->st_mode) ? xasprintf("%s/", path) : xstrdup(path);
	cleanup_fd int fd = -1;
	char link[TAR_NAME_MAX];
	ssize_t n;
	int r = 0;

	e.path = slashed;
	e.type = first               ? TAR_HARDLINK :
		S_ISDIR(st->st_mode) ? TAR_DIR :
		S_ISREG(st->st_mode) ? TAR_FILE :
		S_ISLNK(st->st_mode) ? TAR_SYMLINK :
		S_ISCHR(st->st_mode) ? TAR_CHAR :
		S_ISBLK(st->st_mode) ? TAR_BLOCK :
				       TAR_FIFO;
	if (first) {
		e.link = (char *)(uintptr_t)first;
	} else if (e.type == TAR_SYMLINK) {
		n = readlinkat(dirfd, name, link, sizeof(link) - 1);
		if (n < 0)
			return err_sys(err, -errno, "%s", path);
		link[n] = '\0';
		e.link = link;
	} else if (e.type == TAR_FILE || e.type == TAR_DIR) {
		fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			return err_sys(err, -errno, "%s", path);
		r = merge_out_xattrs(fd, &e, err);
		e.size = e.type == TAR_FILE ? (uint64_t)st->st_size : 0;
	}
	if (r >= 0)
		r = tar_write_entry(put, s, &e, err);
	if (r >= 0 && e.type == TAR_FILE)
		r = put_data(s, fd, e.size, err);
	for (size_t i = 0; i < e.n_xattrs; i++) {
		free(e.xattrs[i].name);
		free(e.xattrs[i].value);
	}
	free(e.xattrs);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int walk(struct sink *s, int fd, const char *path, struct err *err)
{
	cleanup_strv char **names = NULL;
	cleanup_dir DIR *dir = NULL;
	struct dirent *de;
	size_t n = 0, cap = 0;
	char opaque;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return err_sys(err, -errno, "%s", path);
	while ((de = readdir(dir))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (n + 1 >= cap) {
			cap = cap ? 2 * cap : 32;
			names = xreallocarray(names, cap, sizeof(*names));
		}
		names[n++] = xstrdup(de->d_name);
		names[n] = NULL;
	}
	if (n)
		qsort(names, n, sizeof(*names), by_text);
	if (fgetxattr(fd, layer_opaque_xattr(s->rights), &opaque, 1) == 1 && opaque == 'y')
		r = put_marker(s, path, ".wh..opq", err);
	for (size_t i = 0; i < n && r >= 0; i++) {
		cleanup_free char *sub = xasprintf("%s%s%s", path, *path ? "/" : "", names[i]);
		cleanup_fd int subfd = -1;
		struct stat st;

		if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(err, -errno, "%s", sub);
		if (S_ISSOCK(st.st_mode))
			continue;
		if (layer_is_whiteout(st.st_mode, st.st_rdev)) {
			r = put_marker(s, path, names[i], err);
			continue;
		}
		r = put_thing(s, fd, names[i], sub, &st, err);
		if (r < 0 || !S_ISDIR(st.st_mode))
			continue;
		subfd = openat(fd, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = subfd < 0 ? err_sys(err, -errno, "%s", sub) : walk(s, subfd, sub, err);
	}
	return r;
}

int layer_diff_write(int upper, enum rights rights, int fd, char ret_diff_id[DIGEST_MAX], char ret_digest[DIGEST_MAX],
		     uint64_t *ret_size, struct err *err)
{
	struct sink s = { .z = deflate_new(fd), .rights = rights };
	int r = walk(&s, upper, "", err);

	if (r >= 0)
		r = tar_write_end(put, &s, err);
	if (r >= 0)
		r = deflate_end(s.z, ret_diff_id, ret_digest, ret_size, err);
	merge_out_seen_clear(&s.seen);
	deflate_free(s.z);
	return r;
}
