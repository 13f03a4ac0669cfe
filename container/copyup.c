/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpcopyup: a tmpfs that begins with what the image has at its place.
 *
 * A recursion over directory fds, opened one name at a time with O_NOFOLLOW, so that what the image does meanwhile (a
 * shared volume) cannot lead the copy out of the tree. Hard links become copies, sockets are left out.
 */
#include "container/copyup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "base/str.h"

#define DEPTH_MAX 256

static int copy_dir(int from, int to, dev_t dev, int depth, struct err *err);

static int copy_bytes(int in, int out)
{
	char buf[65536];

	for (;;) {
		ssize_t n = read(in, buf, sizeof(buf));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = fd_write_all(out, buf, (size_t)n);
		if (r < 0)
			return r;
	}
}

/* Extended attributes between two open files; what tmpfs does not take is left out. */
static void copy_xattrs(int in, int out)
{
	char names[4096], value[4096];
	ssize_t len = flistxattr(in, names, sizeof(names));

	for (char *p = names; len > 0 && p < names + len; p += strlen(p) + 1) {
		ssize_t n = fgetxattr(in, p, value, sizeof(value));

		if (n >= 0)
			(void)fsetxattr(out, p, value, (size_t)n, 0);
	}
}

static int finish(int fd, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	/* the owner may not be mapped in our user namespace */
	if (fchown(fd, st->st_uid, st->st_gid) < 0 && errno != EPERM && errno != EINVAL)
		return -errno;
	if (fchmod(fd, st->st_mode & 07777) < 0 || futimens(fd, times) < 0)
		return -errno;
	return 0;
}

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
	cleanup_fd int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_fd int out = -1;
	struct stat now;
	int r;

	if (in < 0 || fstat(in, &now) < 0)
		return -errno;
	if (!S_ISREG(now.st_mode))
		return -ESTALE;
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	r = copy_bytes(in, out);
	if (r < 0)
		return r;
	copy_xattrs(in, out);
	return finish(out, st);
}

static int copy_link(int from, int to, const char *name, const struct stat *st)
{
	char target[4097];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, to, name) < 0)
		return -errno;
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM && errno != EINVAL)
		return -errno;
	return 0;
}

static int copy_node(int to, const char *name, const struct stat *st)
{
	if (mknodat(to, name, st->st_mode, st->st_rdev) < 0)
		return errno == EPERM ? 0 : -errno;
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM && errno != EINVAL)
		return -errno;
	return 0;
}

static int copy_subdir(int from, int to, const char *name, const struct stat *st, int depth, struct err *err)
{
	cleanup_fd int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int out = -1;
	int r;

	if (in < 0 || mkdirat(to, name, 0700) < 0)
		return -errno;
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0)
		return -errno;
	r = copy_dir(in, out, st->st_dev, depth + 1, err);
	if (r < 0)
		return r;
	copy_xattrs(in, out);
	return finish(out, st);
}

static int copy_entry(int from, int to, const char *name, dev_t dev, int depth, struct err *err)
{
	struct stat st;
	int r;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "%s", name);
	if (st.st_dev != dev)
		return 0;
	if (S_ISREG(st.st_mode))
		r = copy_file(from, to, name, &st);
	else if (S_ISDIR(st.st_mode))
		r = copy_subdir(from, to, name, &st, depth, err);
	else if (S_ISLNK(st.st_mode))
		r = copy_link(from, to, name, &st);
	else if (S_ISSOCK(st.st_mode))
		r = 0;
	else
		r = copy_node(to, name, &st);
	if (r < 0 && (!err || !err->code))
		err_sys(err, r, "%s", name);
	return r;
}

static int copy_dir(int from, int to, dev_t dev, int depth, struct err *err)
{
	cleanup_dir DIR *d = NULL;
	struct dirent *e;
	int fd;

	if (depth > DEPTH_MAX)
		return err_set(err, ELOOP, "directories are nested too deeply");
	fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "open");
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return err_sys(err, ENOMEM, "open");
	}
	while ((e = readdir(d))) {
		int r;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = copy_entry(fd, to, e->d_name, dev, depth, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int copyup_tree(int from, int to, struct err *err)
{
	struct stat st;
	cleanup_fd int top = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (top < 0 || fstat(from, &st) < 0)
		return err_sys(err, -errno, "open");
	return copy_dir(from, top, st.st_dev, 0, err);
}
