/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths below a root, and a few host path tools.
 *
 * What lies below a container's root belongs to someone else, who may exchange any component while we look:
 * every step here is a descriptor and openat2(2) with RESOLVE_IN_ROOT, never a joined string. Directories are
 * made one component at a time from the descriptor of the one before; a dangling symlink is resolved by the
 * kernel inside the root and reported as missing rather than created through.
 */
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"

static int open_resolve(int rootfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)flags | O_CLOEXEC,
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0,
		.resolve = resolve,
	};
	int fd, tries = 0;

	if (!*path)
		path = ".";
	do {
		fd = sys_openat2(rootfd, path, &how);
		/* EAGAIN: a rename elsewhere raced with "..": the kernel asks for another try. */
	} while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 64)));
	return fd < 0 ? -errno : fd;
}

int path_open_in(int rootfd, const char *path, int flags, mode_t mode)
{
	return open_resolve(rootfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int path_open_nolink(int rootfd, const char *path, int flags, mode_t mode)
{
	while (*path == '/')
		path++;
	return open_resolve(rootfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/*
 * The longest existing leading part of path is opened with the kernel's resolution; what remains is made below
 * it, component by component, without following anything.
 */
static int open_existing_prefix(int rootfd, char *clean, char **ret_rest)
{
	char *end = clean + strlen(clean);

	for (;;) {
		char saved = *end;
		int fd;

		*end = '\0';
		fd = path_open_in(rootfd, *clean ? clean : ".", O_PATH, 0);
		*end = saved;
		if (fd >= 0 || fd != -ENOENT || end == clean) {
			while (*end == '/')
				end++;
			*ret_rest = end;
			return fd;
		}
		while (end > clean && *--end != '/')
			;
	}
}

static int make_dir(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	bool made = mkdirat(dirfd, name, mode) == 0;
	int fd;

	if (!made && errno != EEXIST)
		return -errno;
	fd = open_resolve(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (fd >= 0 && made && (uid != (uid_t)-1 || gid != (gid_t)-1) &&
	    fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

int path_mkdirs_in(int rootfd, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	cleanup_free char *clean = path_clean(path);
	cleanup_fd int dir = -1;
	char *rel = clean, *rest;
	struct stat st;

	while (*rel == '/')
		rel++;
	dir = open_existing_prefix(rootfd, rel, &rest);
	if (dir < 0)
		return dir;
	while (*rest) {
		char *slash = strchrnul(rest, '/');
		bool last = !*slash;
		int next;

		*slash = '\0';
		if (!strcmp(rest, ".."))
			return -ENOENT; /* behind a component that does not exist */
		next = make_dir(dir, rest, mode, uid, gid);
		if (next < 0)
			return next;
		close(dir);
		dir = next;
		rest = last ? slash : slash + 1;
	}
	if (fstat(dir, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return steal_fd(dir);
}

int path_touch_in(int rootfd, const char *path, mode_t mode)
{
	cleanup_free char *clean = path_clean(path);
	cleanup_fd int dir = -1;
	cleanup_fd int made = -1;
	char *name;
	int fd = path_open_in(rootfd, clean, O_PATH, 0);

	if (fd >= 0 || fd != -ENOENT)
		return fd;
	name = strrchr(clean, '/');
	if (name) {
		*name++ = '\0';
		dir = path_mkdirs_in(rootfd, clean, 0755, (uid_t)-1, (gid_t)-1);
	} else {
		name = clean;
		dir = path_open_in(rootfd, ".", O_PATH | O_DIRECTORY, 0);
	}
	if (dir < 0)
		return dir;
	made = open_resolve(dir, name, O_CREAT | O_NOFOLLOW | O_WRONLY | O_NONBLOCK, mode,
			    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (made < 0)
		return made;
	return open_resolve(dir, name, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int path_mkdirs(const char *path, mode_t mode)
{
	cleanup_free char *copy = xstrdup(path);

	for (char *p = copy + 1; *copy; p++) {
		char saved = *p;

		if (saved && saved != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST) {
			struct stat st;
			int r = -errno;

			/* a read-only or foreign directory that exists answers EROFS or EACCES before EEXIST */
			if (stat(copy, &st) < 0 || !S_ISDIR(st.st_mode))
				return r;
		}
		*p = saved;
		if (!saved)
			break;
	}
	return 0;
}

char *path_clean(const char *path)
{
	bool absolute = *path == '/';
	cleanup_strv char **parts = strv_split(path, '/');
	const char **kept = xcalloc(strv_len(parts) + 1, sizeof(*kept));
	struct str b = { 0 };
	size_t n = 0;

	for (size_t i = 0; parts[i]; i++) {
		if (!*parts[i] || !strcmp(parts[i], "."))
			continue;
		if (!strcmp(parts[i], "..")) {
			if (n && strcmp(kept[n - 1], "..")) {
				n--;
				continue;
			}
			if (absolute)
				continue;
		}
		kept[n++] = parts[i];
	}
	if (absolute)
		str_addc(&b, '/');
	for (size_t i = 0; i < n; i++) {
		if (i)
			str_addc(&b, '/');
		str_add(&b, kept[i]);
	}
	free(kept);
	if (!b.len)
		str_addc(&b, '.');
	return str_steal(&b);
}

char *path_join(const char *a, const char *b)
{
	size_t n = strlen(a);

	while (n > 1 && a[n - 1] == '/')
		n--;
	while (*b == '/')
		b++;
	if (n == 1 && *a == '/')
		return xasprintf("/%s", b);
	return xasprintf("%.*s/%s", (int)n, a, b);
}

char *path_abs(const char *path)
{
	cleanup_free char *joined = NULL;
	char cwd[PATH_MAX];

	if (*path == '/')
		return path_clean(path);
	if (!getcwd(cwd, sizeof(cwd)))
		return NULL;
	joined = path_join(cwd, path);
	return path_clean(joined);
}

bool path_is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (!strcmp(dir, "/"))
		return *path == '/';
	return !strncmp(path, dir, n) && (path[n] == '\0' || path[n] == '/');
}

int path_write_atomic(int dirfd, const char *name, const void *buf, size_t len, mode_t mode)
{
	cleanup_free char *tmp = xasprintf(".%s.%d.tmp", name, (int)getpid());
	cleanup_fd int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, buf, len);
	/* To take a file's place makes ext4 write the new one out at once; to change places does not. */
	if (!r && !renameat2(dirfd, tmp, dirfd, name, RENAME_EXCHANGE))
		return unlinkat(dirfd, tmp, 0) < 0 ? -errno : 0;
	if (!r && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, tmp, 0);
	return r;
}

#define REMOVE_DEPTH_MAX 4096

static int remove_tree(int dirfd, const char *name, bool one_fs, dev_t dev, int depth)
{
	cleanup_dir DIR *d = NULL;
	struct dirent *e;
	struct stat st;
	int fd, r = 0;

	if (!unlinkat(dirfd, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM && errno != EBUSY)
		return -errno;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		return -EPERM;
	if (one_fs && dev && st.st_dev != dev)
		return -EXDEV;
	if (depth > REMOVE_DEPTH_MAX)
		return -ELOOP;
	if (!unlinkat(dirfd, name, AT_REMOVEDIR) || errno == ENOENT)
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		r = -errno;
		close(fd);
		return r;
	}
	while ((e = readdir(d))) {
		int q;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		q = remove_tree(fd, e->d_name, one_fs, st.st_dev, depth + 1);
		if (q < 0 && !r)
			r = q;
	}
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT && !r)
		r = -errno;
	return r;
}

int path_remove_tree(int dirfd, const char *name, bool one_fs)
{
	return remove_tree(dirfd, name, one_fs, 0, 0);
}
