/* SPDX-License-Identifier: Apache-2.0 */
/* Layers seen as one tree. */
/*
 * The rules are overlay's: the topmost layer that has a name decides; directories of the same name merge until
 * one is opaque; a whiteout hides everything below. The trees are ours and immutable, but their names and links
 * came from strangers, so every step is an openat without following symlinks; symlinks of the image are resolved
 * in merge_resolve() by name, inside the merged tree. Walking keeps one descriptor for each layer that takes part
 * in the directory at hand.
 */
#include "images/merge.h"

#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "images/layer.h"

static bool is_opaque(const struct merge *m, int dirfd)
{
	char value[2];

	return fgetxattr(dirfd, layer_opaque_xattr(m->rights), value, sizeof(value)) == 1 && *value == 'y';
}

/* What one layer says of path: 0 has it, -ENOENT nothing to say, -EIDRM hides it, -ENOTDIR, -ELOOP. *ret_ends: nothing below shows. */
static int look_in_layer(const struct merge *m, int top, const char *path, struct stat *ret_st, bool *ret_ends)
{
	cleanup_fd int dir = fcntl(top, F_DUPFD_CLOEXEC, 3);
	cleanup_free char *copy = xstrdup(path);
	char *p = copy, *slash;
	struct stat st;

	*ret_ends = false;
	if (dir < 0 || fstat(dir, &st) < 0)
		return -errno;
	while (*p) {
		slash = strchrnul(p, '/');
		bool last = !*slash;
		int next;

		*slash = '\0';
		if (is_opaque(m, dir))
			*ret_ends = true;
		if (fstatat(dir, p, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? -ENOENT : -errno;
		if (layer_is_whiteout(st.st_mode, st.st_rdev))
			return -EIDRM;
		if (last)
			break;
		if (!S_ISDIR(st.st_mode))
			return S_ISLNK(st.st_mode) ? -ELOOP : -ENOTDIR;
		next = openat(dir, p, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		close(dir);
		dir = next;
		p = slash + 1;
	}
	*ret_st = st;
	return 0;
}

int merge_lookup(const struct merge *m, const char *path, struct merge_found *ret)
{
	for (size_t i = m->n; i-- > 0;) {
		bool ends;
		int r = look_in_layer(m, m->fds[i], path, &ret->st, &ends);

		if (r == 0) {
			ret->layer = i;
			return 0;
		}
		if (r == -EIDRM || (r == -ENOENT && ends))
			return -ENOENT;
		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}

/* The link text of path's symlink in its layer; owned. */
static char *read_link(const struct merge *m, size_t layer, const char *path)
{
	cleanup_fd int fd = path_open_nolink(m->fds[layer], path, O_PATH | O_NOFOLLOW, 0);
	char buf[TAR_NAME_MAX];
	ssize_t n;

	/* RESOLVE_NO_SYMLINKS refuses a link at the end as well: go by its parent */
	if (fd < 0) {
		const char *slash = strrchr(path, '/');
		cleanup_free char *dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup("");
		cleanup_fd int dfd = path_open_nolink(m->fds[layer], dir, O_PATH | O_DIRECTORY, 0);

		n = dfd < 0 ? -1 : readlinkat(dfd, slash ? slash + 1 : path, buf, sizeof(buf));
	} else {
		n = readlinkat(fd, "", buf, sizeof(buf));
	}
	return n <= 0 || n >= (ssize_t)sizeof(buf) ? NULL : xstrndup(buf, (size_t)n);
}

char *merge_resolve(const struct merge *m, const char *path)
{
	cleanup_free char *rest = xstrdup(path);
	cleanup_free char *done = xstrdup("");
	int links = 0;

	while (*rest) {
		char *p = rest + strspn(rest, "/"), *end = strchrnul(p, '/');
		cleanup_free char *name = xstrndup(p, (size_t)(end - p));
		cleanup_free char *tail = xstrdup(*end ? end + 1 : "");
		cleanup_free char *at = NULL, *link = NULL;
		struct merge_found f;

		if (!*name || !strcmp(name, ".")) {
			free(rest);
			rest = steal_ptr(tail);
			continue;
		}
		if (!strcmp(name, "..")) {
			char *slash = strrchr(done, '/');

			*(slash ? slash : done) = '\0';
			free(rest);
			rest = steal_ptr(tail);
			continue;
		}
		at = xasprintf("%s%s%s", done, *done ? "/" : "", name);
		if (merge_lookup(m, at, &f) < 0)
			return NULL;
		if (S_ISLNK(f.st.st_mode)) {
			link = read_link(m, f.layer, at);
			if (!link || ++links > 40)
				return NULL;
			if (*link == '/')
				*done = '\0';
			free(rest);
			rest = xasprintf("%s/%s", link, tail);
			continue;
		}
		if (*tail && !S_ISDIR(f.st.st_mode))
			return NULL;
		free(done);
		done = steal_ptr(at);
		free(rest);
		rest = steal_ptr(tail);
	}
	return steal_ptr(done);
}

struct walk {
	const struct merge *m;
	merge_fn *fn;
	void *arg;
	struct err *err;
};

struct name {
	char *name;
	size_t layer; /* index into the directory's own list, topmost first */
	struct stat st;
	bool hidden, final; /* whiteout; nothing below shows through */
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->name, ((const struct name *)b)->name);
}

/* By name, then topmost layer first. */
static int by_name_layer(const void *a, const void *b)
{
	int r = by_name(a, b);
	size_t x = ((const struct name *)a)->layer, y = ((const struct name *)b)->layer;

	return r ? r : x < y ? -1 : x > y;
}

/* All names of one layer's directory. */
static int list_dir(int fd, size_t layer, struct name **names, size_t *n, size_t *cap, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *de;

	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return err_sys(err, -errno, "read directory");
	while ((errno = 0, de = readdir(dir))) {
		struct name *e;

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (*n == *cap) {
			*cap = *cap ? 2 * *cap : 32;
			*names = xreallocarray(*names, *cap, sizeof(**names));
		}
		e = &(*names)[(*n)++];
		*e = (struct name){ .name = xstrdup(de->d_name), .layer = layer };
		if (fstatat(fd, de->d_name, &e->st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(err, -errno, "%s", de->d_name);
		e->hidden = layer_is_whiteout(e->st.st_mode, e->st.st_rdev);
	}
	return errno ? err_sys(err, -errno, "read directory") : 0;
}

/* fds: the directory in the layers that have it, topmost first. */
static int walk_dir(struct walk *w, const char *path, const int *fds, size_t n_fds, unsigned int depth)
{
	struct name *names = NULL;
	size_t n = 0, cap = 0;
	int r = 0;

	if (depth > 1000)
		return err_set(w->err, -ELOOP, "%.200s: directories nested too deep", path);
	for (size_t i = 0; i < n_fds && r >= 0; i++)
		r = list_dir(fds[i], i, &names, &n, &cap, w->err);
	if (n)
		qsort(names, n, sizeof(*names), by_name_layer);
	for (size_t i = 0, next; i < n && r >= 0; i = next) {
		struct name *e = &names[i];
		cleanup_free char *sub = xasprintf("%s%s%s", path, *path ? "/" : "", e->name);
		cleanup_free int *subfds = NULL;
		size_t n_sub = 0;

		for (next = i + 1; next < n && !by_name(&names[next], e); next++)
			;
		if (e->hidden)
			continue;
		r = w->fn(w->arg, sub, fds[e->layer], e->name, &e->st, w->err);
		if (r < 0 || !S_ISDIR(e->st.st_mode))
			continue;
		subfds = xcalloc(next - i, sizeof(*subfds));
		for (size_t k = i; k < next && r >= 0 && S_ISDIR(names[k].st.st_mode); k++) {
			int fd = openat(fds[names[k].layer], e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (fd < 0) {
				r = err_sys(w->err, -errno, "%s", sub);
				break;
			}
			subfds[n_sub++] = fd;
			if (is_opaque(w->m, fd))
				break;
		}
		if (r >= 0)
			r = walk_dir(w, sub, subfds, n_sub, depth + 1);
		for (size_t k = 0; k < n_sub; k++)
			close(subfds[k]);
	}
	for (size_t i = 0; i < n; i++)
		free(names[i].name);
	free(names);
	return r;
}

int merge_walk(const struct merge *m, merge_fn *fn, void *arg, struct err *err)
{
	struct walk w = { m, fn, arg, err };
	cleanup_free int *fds = xcalloc(m->n + 1, sizeof(*fds));
	size_t n = 0;
	struct stat st;
	int r;

	if (!m->n)
		return 0;
	for (size_t i = m->n; i-- > 0;) {
		fds[n++] = m->fds[i];
		if (is_opaque(m, m->fds[i]))
			break;
	}
	if (fstat(fds[0], &st) < 0)
		return err_sys(err, -errno, "root");
	r = fn(arg, "", fds[0], ".", &st, err);
	return r < 0 ? r : walk_dir(&w, "", fds, n, 0);
}
