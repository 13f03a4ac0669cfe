/* SPDX-License-Identifier: Apache-2.0 */
/* The merged tree copied out: into a directory or an archive. */
/*
 * Both are walks of merge.c that remember, by device and inode, files with several links, so that hard links
 * inside one layer stay hard links. Copying uses copy_file_range(2), which shares blocks where the file system
 * can; times of directories are set when everything below is done.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "images/layer.h"
#include "images/merge.h"
#include "images/usermap.h"

/* Its place: taken by it, or free. */
static struct merge_seen_file *seen_place(const struct merge_seen *s, dev_t dev, ino_t ino)
{
	size_t i = (size_t)((ino ^ (uint64_t)dev << 40) * 0x9e3779b97f4a7c15ULL >> 20);

	while (s->v[i & (s->size - 1)].path &&
	       (s->v[i & (s->size - 1)].ino != ino || s->v[i & (s->size - 1)].dev != dev))
		i++;
	return &s->v[i & (s->size - 1)];
}

static void seen_grow(struct merge_seen *s)
{
	struct merge_seen to = { .n = s->n, .size = s->size ? 2 * s->size : 64 };

	to.v = xcalloc(to.size, sizeof(*to.v));
	for (size_t i = 0; i < s->size; i++)
		if (s->v[i].path)
			*seen_place(&to, s->v[i].dev, s->v[i].ino) = s->v[i];
	free(s->v);
	*s = to;
}

const char *merge_out_seen(struct merge_seen *s, const struct stat *st, const char *path)
{
	struct merge_seen_file *f;

	if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
		return NULL;
	if (2 * (s->n + 1) > s->size)
		seen_grow(s);
	f = seen_place(s, st->st_dev, st->st_ino);
	if (f->path)
		return f->path;
	*f = (struct merge_seen_file){ st->st_dev, st->st_ino, xstrdup(path) };
	s->n++;
	return NULL;
}

void merge_out_seen_clear(struct merge_seen *s)
{
	for (size_t i = 0; i < s->size; i++)
		free(s->v[i].path);
	free(s->v);
}

int merge_out_xattrs(int fd, struct tar_entry *e, struct err *err)
{
	char names[65536], value[65536];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : err_sys(err, -errno, "xattrs");
	for (char *p = names; p < names + n; p += strlen(p) + 1) {
		ssize_t len;

		if (str_starts(p, "trusted.overlay.") || str_starts(p, "user.overlay.") ||
		    !strcmp(p, "security.selinux"))
			continue;
		len = fgetxattr(fd, p, value, sizeof(value));
		if (len < 0)
			return err_sys(err, -errno, "xattr %s", p);
		e->xattrs = xreallocarray(e->xattrs, e->n_xattrs + 1, sizeof(*e->xattrs));
		e->xattrs[e->n_xattrs] = (struct tar_xattr){ xstrdup(p), xmalloc((size_t)len + 1), (size_t)len };
		memcpy(e->xattrs[e->n_xattrs++].value, value, (size_t)len);
	}
	return 0;
}

static void entry_clear(struct tar_entry *e)
{
	for (size_t i = 0; i < e->n_xattrs; i++) {
		free(e->xattrs[i].name);
		free(e->xattrs[i].value);
	}
	free(e->xattrs);
	free(e->link);
	free(e->path);
}

static int copy_data(int in, int out, uint64_t size, struct err *err)
{
	char buf[65536];

	while (size) {
		ssize_t n = copy_file_range(in, NULL, out, NULL, size, 0);

		if (n < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
			return err_sys(err, -errno, "copy");
		if (n <= 0) {
			n = fd_read_all(in, buf, sizeof(buf));
			if (n <= 0)
				return n < 0 ? err_sys(err, (int)n, "read") : 0;
			int r = fd_write_all(out, buf, (size_t)n);

			if (r < 0)
				return err_sys(err, r, "write");
		}
		size -= (uint64_t)n < size ? (uint64_t)n : size;
	}
	return 0;
}

#define DEFAULT_ACL "system.posix_acl_default"

/* all: the default ACL too, which what is made in the directory would inherit. map: ids in values become its own. */
static int copy_xattrs(int from, int to, bool all, const struct usermap *map, struct err *err)
{
	struct tar_entry e = { 0 };
	int r = merge_out_xattrs(from, &e, err);

	for (size_t i = 0; map && i < e.n_xattrs; i++)
		usermap_xattr(map, e.xattrs[i].name, &e.xattrs[i].value, &e.xattrs[i].len);

	for (size_t i = 0; i < e.n_xattrs && r >= 0; i++)
		if ((all || strcmp(e.xattrs[i].name, DEFAULT_ACL)) &&
		    fsetxattr(to, e.xattrs[i].name, e.xattrs[i].value, e.xattrs[i].len, 0) < 0 && errno != EOPNOTSUPP &&
		    errno != EPERM)
			r = err_sys(err, -errno, "xattr %s", e.xattrs[i].name);
	entry_clear(&e);
	return r;
}

/* How copies are made. */
struct copying {
	enum rights rights;
	bool later;                /* a directory is filled first and gets its default ACL then */
	const struct usermap *map; /* owners become its ids outside; NULL: stay */
};

/* The owner of the copy. */
static int map_owner(const struct copying *how, const struct stat *st, uid_t *ret_uid, gid_t *ret_gid, struct err *err)
{
	int64_t uid = st->st_uid, gid = st->st_gid;

	if (how->map) {
		uid = usermap_outside(how->map->uids, how->map->n_uids, st->st_uid);
		gid = usermap_outside(how->map->gids, how->map->n_gids, st->st_gid);
	}
	if (uid < 0 || gid < 0)
		return err_set(err, -EOVERFLOW, "owner %u:%u has no id in --uidmap and --gidmap", st->st_uid,
			       st->st_gid);
	*ret_uid = (uid_t)uid;
	*ret_gid = (gid_t)gid;
	return 0;
}

static int copy_one(int dirfd, const char *name, const struct stat *st, int todir, const char *toname,
		    const struct copying *how, struct err *err)
{
	bool owners = how->rights != RIGHTS_ONE_ID;
	struct timespec times[2] = { { 0, UTIME_OMIT }, st->st_mtim };
	cleanup_fd int in = -1, out = -1;
	char link[TAR_NAME_MAX];
	ssize_t n;
	uid_t uid = 0;
	gid_t gid = 0;
	int r = map_owner(how, st, &uid, &gid, err);

	if (r < 0)
		return r;
	if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) {
		in = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (in < 0)
			return err_sys(err, -errno, "open");
		if (S_ISDIR(st->st_mode) && strcmp(toname, ".") && mkdirat(todir, toname, 0700) < 0 && errno != EEXIST)
			return err_sys(err, -errno, "mkdir");
		out = openat(todir, toname,
			     S_ISDIR(st->st_mode) ? O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC :
						    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			     0600);
		if (out < 0)
			return err_sys(err, -errno, "create");
		/* whatever a default ACL of the directory around it gave it */
		if (!how->later) {
			(void)!fremovexattr(out, "system.posix_acl_access");
			(void)!fremovexattr(out, DEFAULT_ACL);
		}
		if (S_ISREG(st->st_mode))
			r = copy_data(in, out, (uint64_t)st->st_size, err);
		if (r >= 0 && owners && fchown(out, uid, gid) < 0)
			r = err_sys(err, -errno, "owner");
		if (r >= 0)
			r = copy_xattrs(in, out, !how->later, how->map, err);
		/* a copy with one owner must stay able to write into its directories */
		if (r >= 0 && fchmod(out, (st->st_mode & 07777) | (!owners && S_ISDIR(st->st_mode) ? 0700 : 0)) < 0)
			r = err_sys(err, -errno, "mode");
		if (r >= 0 && futimens(out, times) < 0)
			r = err_sys(err, -errno, "times");
		return r;
	}
	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(dirfd, name, link, sizeof(link) - 1);
		if (n < 0)
			return err_sys(err, -errno, "read link");
		link[n] = '\0';
		r = symlinkat(link, todir, toname);
	} else {
		r = mknodat(todir, toname, st->st_mode, st->st_rdev);
		if (r < 0 && errno == EPERM && how->rights != RIGHTS_ROOT)
			return 0;
	}
	if (r < 0)
		return err_sys(err, -errno, "create");
	if (owners && fchownat(todir, toname, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, -errno, "owner");
	if (utimensat(todir, toname, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, -errno, "times");
	return 0;
}

int merge_out_one(int dirfd, const char *name, const struct stat *st, int todir, const char *toname, enum rights rights,
		  struct err *err)
{
	return copy_one(dirfd, name, st, todir, toname, &(struct copying){ .rights = rights }, err);
}

struct copy {
	int root;
	struct copying how;
	struct merge_seen seen;
	struct {
		char *path;
		struct timespec mtime;
		void *acl; /* default ACL; NULL: none */
		size_t acl_len;
	} * dirs;
	size_t n_dirs, cap_dirs;
	/* the parent of the last entry */
	int parent;
	char *parent_path;
};

static int copy_parent(struct copy *c, const char *path, const char **ret_name, struct err *err)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup("");
	int fd;

	*ret_name = slash ? slash + 1 : *path ? path : ".";
	if (c->parent_path && !strcmp(c->parent_path, dir))
		return c->parent;
	fd = path_open_nolink(c->root, dir, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return err_sys(err, fd, "%s", dir);
	if (c->parent >= 0)
		close(c->parent);
	free(c->parent_path);
	c->parent = fd;
	c->parent_path = steal_ptr(dir);
	return fd;
}

/* The default ACL of the directory that is being remembered. */
static void keep_acl(struct copy *c, int dirfd, const char *name)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fgetxattr(fd, DEFAULT_ACL, NULL, 0);

	c->dirs[c->n_dirs].acl = NULL;
	if (n <= 0)
		return;
	c->dirs[c->n_dirs].acl = xmalloc((size_t)n);
	n = fgetxattr(fd, DEFAULT_ACL, c->dirs[c->n_dirs].acl, (size_t)n);
	c->dirs[c->n_dirs].acl_len = n < 0 ? 0 : (size_t)n;
}

static int copy_entry(void *arg, const char *path, int dirfd, const char *name, const struct stat *st, struct err *err)
{
	struct copy *c = arg;
	const char *toname, *first = merge_out_seen(&c->seen, st, path);
	int parent = copy_parent(c, path, &toname, err), r;

	if (parent < 0)
		return parent;
	if (first) {
		if (linkat(c->root, first, parent, toname, 0) < 0)
			return err_sys(err, -errno, "%s: hard link to %s", path, first);
		return 0;
	}
	r = copy_one(dirfd, name, st, parent, toname, &c->how, err);
	if (r < 0)
		return err_wrap(err, "%s", path);
	if (S_ISDIR(st->st_mode)) {
		if (c->n_dirs == c->cap_dirs) {
			c->cap_dirs = c->cap_dirs ? 2 * c->cap_dirs : 256;
			c->dirs = xreallocarray(c->dirs, c->cap_dirs, sizeof(*c->dirs));
		}
		c->dirs[c->n_dirs].path = xstrdup(path);
		c->dirs[c->n_dirs].mtime = st->st_mtim;
		keep_acl(c, dirfd, name);
		c->n_dirs++;
	}
	return 0;
}

int merge_out_copy(const struct merge *m, int rootfd, const struct usermap *map, struct err *err)
{
	struct copy c = { .root = rootfd, .how = { m->rights, true, map }, .parent = -1 };
	int r;

	(void)!fremovexattr(rootfd, DEFAULT_ACL);
	r = merge_walk(m, copy_entry, &c, err);

	for (size_t i = c.n_dirs; i-- > 0;) {
		struct timespec times[2] = { { 0, UTIME_OMIT }, c.dirs[i].mtime };
		cleanup_fd int fd = path_open_nolink(rootfd, c.dirs[i].path, O_RDONLY | O_DIRECTORY, 0);

		if (r >= 0 && c.dirs[i].acl && map)
			usermap_xattr(map, DEFAULT_ACL, &c.dirs[i].acl, &c.dirs[i].acl_len);
		if (r >= 0 && fd >= 0 && c.dirs[i].acl)
			(void)!fsetxattr(fd, DEFAULT_ACL, c.dirs[i].acl, c.dirs[i].acl_len, 0); /* as copy_xattrs() */
		if (r >= 0 && (fd < 0 || futimens(fd, times) < 0))
			r = err_sys(err, -errno, "%s: times", c.dirs[i].path);
		free(c.dirs[i].path);
		free(c.dirs[i].acl);
	}
	free(c.dirs);
	merge_out_seen_clear(&c.seen);
	free(c.parent_path);
	if (c.parent >= 0)
		close(c.parent);
	return r;
}

struct tar_out {
	tar_put_fn *put;
	void *arg;
	struct merge_seen seen;
};

static int tar_file(struct tar_out *o, int fd, const struct tar_entry *e, struct err *err)
{
	cleanup_free char *buf = xmalloc(1 << 20);
	uint64_t left = e->size;

	while (left) {
		ssize_t n = read(fd, buf, left < (1 << 20) ? (size_t)left : 1 << 20);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(err, n < 0 ? -errno : -EIO, "read");
		r = o->put(o->arg, buf, (size_t)n, err);
		if (r < 0)
			return r;
		left -= (uint64_t)n;
	}
	return tar_write_padding(o->put, o->arg, e->size, err);
}

static int tar_entry_of(void *arg, const char *path, int dirfd, const char *name, const struct stat *st,
			struct err *err)
{
	struct tar_out *o = arg;
	struct tar_entry e = { .mode = st->st_mode & 07777,
			       .uid = st->st_uid,
			       .gid = st->st_gid,
			       .mtime = st->st_mtim.tv_sec,
			       .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
			       .major = major(st->st_rdev),
			       .minor = minor(st->st_rdev) };
	const char *first = merge_out_seen(&o->seen, st, path);
	cleanup_fd int fd = -1;
	char link[TAR_NAME_MAX];
	ssize_t n;
	int r = 0;

	if (S_ISSOCK(st->st_mode))
		return 0;
	e.path = !*path ? xstrdup("./") : xasprintf("%s%s", path, S_ISDIR(st->st_mode) ? "/" : "");
	e.type = first               ? TAR_HARDLINK :
		S_ISDIR(st->st_mode) ? TAR_DIR :
		S_ISREG(st->st_mode) ? TAR_FILE :
		S_ISLNK(st->st_mode) ? TAR_SYMLINK :
		S_ISCHR(st->st_mode) ? TAR_CHAR :
		S_ISBLK(st->st_mode) ? TAR_BLOCK :
				       TAR_FIFO;
	if (first) {
		e.link = xstrdup(first);
	} else if (e.type == TAR_SYMLINK) {
		n = readlinkat(dirfd, name, link, sizeof(link) - 1);
		if (n < 0)
			r = err_sys(err, -errno, "%s", path);
		else
			e.link = xstrndup(link, (size_t)n);
	} else if (e.type == TAR_FILE || e.type == TAR_DIR) {
		fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? err_sys(err, -errno, "%s", path) : merge_out_xattrs(fd, &e, err);
		e.size = e.type == TAR_FILE ? (uint64_t)st->st_size : 0;
	}
	if (r >= 0)
		r = tar_write_entry(o->put, o->arg, &e, err);
	if (r >= 0 && e.type == TAR_FILE)
		r = tar_file(o, fd, &e, err);
	entry_clear(&e);
	return r;
}

int merge_out_tar(const struct merge *m, tar_put_fn *put, void *arg, struct err *err)
{
	struct tar_out o = { put, arg, { 0 } };
	int r = merge_walk(m, tar_entry_of, &o, err);

	if (r >= 0)
		r = tar_write_end(put, arg, err);
	merge_out_seen_clear(&o.seen);
	return r;
}
