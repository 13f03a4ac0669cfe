/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacking one layer into a tree of overlay's form. */
/*
 * The archive is hostile, the tree is ours alone until it is published. Each entry is made relative to the
 * descriptor of its parent directory, which is opened beneath the root without following any symlink and cached
 * for the entries that follow; a name that leads through a symlink is refused. Missing parents are made and
 * remembered as implied, for a lower layer may define them otherwise (snapshot.c repairs that). Modes, times and
 * default ACLs of directories are set at the end, children first, so that read-only directories can be filled, their
 * times survive and nothing inherits. A whiteout for something that this layer has as well makes a directory opaque and is otherwise void. An
 * entry replaces the one before it as it would replace a lower layer's: a directory in the place of a file hides the lower directory.
 * Whiteouts inside opaque directories are dropped, as overlay would list them. image-spec layer.md#whiteouts.
 */
#include "images/layer.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "images/layer_dirs.h"

#define DEFAULT_ACL "system.posix_acl_default"

struct apply {
	int root;
	struct tar *tar;
	const struct layer_options *o;
	struct layer_meta *meta;
	struct layer_dirs dirs;
	ino_t *holders; /* of meta's links: what holds their names meanwhile */
	/* the parent of the last entry */
	int parent;
	char *parent_path;
};

const char *layer_opaque_xattr(enum rights rights)
{
	return rights != RIGHTS_ROOT ? "user.overlay.opaque" : "trusted.overlay.opaque";
}

bool layer_is_whiteout(uint32_t st_mode, uint64_t st_rdev)
{
	return S_ISCHR(st_mode) && st_rdev == makedev(0, 0);
}

char *layer_clean_name(const char *name, struct err *err)
{
	struct str s = { 0 };
	const char *p = name;

	if (*p == '/') {
		err_set(err, -EINVAL, "absolute name");
		return NULL;
	}
	while (*p) {
		size_t n = strcspn(p, "/");

		if (n == 2 && !strncmp(p, "..", 2)) {
			str_free(&s);
			err_set(err, -EINVAL, "\"..\" in the name");
			return NULL;
		}
		if (n && !(n == 1 && *p == '.')) {
			if (s.len)
				str_addc(&s, '/');
			str_addn(&s, p, n);
		}
		p += n + (p[n] == '/');
	}
	if (s.len >= TAR_NAME_MAX) {
		str_free(&s);
		err_set(err, -ENAMETOOLONG, "name too long");
		return NULL;
	}
	return str_steal(&s);
}

static void forget_parent(struct apply *a)
{
	if (a->parent >= 0)
		close(a->parent);
	a->parent = -1;
	free(a->parent_path);
	a->parent_path = NULL;
}

/* Everything known about path and below it is void. */
static void dirs_gone(struct apply *a, const char *path)
{
	size_t n = strlen(path);

	layer_dirs_gone(&a->dirs, path);
	if (a->parent_path && !strncmp(a->parent_path, path, n) && (a->parent_path[n] == '/' || !a->parent_path[n]))
		forget_parent(a);
}

static int set_opaque(struct apply *a, const char *path, struct err *err)
{
	cleanup_fd int fd = path_open_nolink(a->root, path, O_RDONLY | O_DIRECTORY, 0);
	struct layer_dir *d = layer_dirs_find(&a->dirs, path);

	if (fd < 0)
		return err_sys(err, fd, "opaque directory");
	if (fsetxattr(fd, layer_opaque_xattr(a->o->rights), "y", 1, 0) < 0)
		return err_sys(err, -errno, "opaque directory");
	if (d)
		d->opaque = true;
	return 0;
}

/*
 * mkdir of one component; 1 made, 0 there already. Whatever lies there hides what the lower layers have, so the directory in
 * its place is opaque. A whiteout always gives way, a file or link where the directory is an entry of its own (replace).
 */
static int make_component(struct apply *a, int parent, const char *name, const char *path, bool replace,
			  struct err *err)
{
	struct stat st;
	int r;

	if (mkdirat(parent, name, 0700) == 0) {
		layer_dirs_add(&a->dirs, path);
		return 1;
	}
	if (errno != EEXIST)
		return err_sys(err, -errno, "mkdir");
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, -errno, "stat");
	if (S_ISDIR(st.st_mode))
		return 0;
	if (!replace && !layer_is_whiteout(st.st_mode, st.st_rdev))
		return err_set(err, S_ISLNK(st.st_mode) ? -ELOOP : -ENOTDIR, "%s: the path leads through a %s", path,
			       S_ISLNK(st.st_mode) ? "symbolic link" : "file");
	if (unlinkat(parent, name, 0) < 0 || mkdirat(parent, name, 0700) < 0)
		return err_sys(err, -errno, "mkdir");
	layer_dirs_add(&a->dirs, path);
	r = set_opaque(a, path, err);
	return r < 0 ? r : 1;
}

/* The parent directory of path (cached), made when missing. *ret_name points into path. fd or negative. */
static int open_parent(struct apply *a, const char *path, const char **ret_name, struct err *err)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup("");
	int fd;

	*ret_name = slash ? slash + 1 : path;
	if (a->parent_path && !strcmp(a->parent_path, dir))
		return a->parent;
	forget_parent(a);
	fd = path_open_nolink(a->root, dir, O_PATH | O_DIRECTORY, 0);
	if (fd == -ENOENT || fd == -ENOTDIR) {
		/* make what is missing, from the top */
		for (char *p = dir;; p++) {
			const char *name;
			char c = *p;
			int up, r;

			if (c && c != '/')
				continue;
			*p = '\0';
			up = open_parent(a, dir, &name, err);
			if (up < 0)
				return up;
			r = make_component(a, up, name, dir, false, err);
			if (r < 0)
				return r;
			if (r > 0) {
				struct layer_dir *d = layer_dirs_find(&a->dirs, dir);

				d->implied = true;
				d->mode = 0755;
			}
			*p = c;
			if (!c)
				break;
		}
		fd = path_open_nolink(a->root, dir, O_PATH | O_DIRECTORY, 0);
		forget_parent(a);
	}
	if (fd == -ELOOP)
		return err_set(err, fd, "the path leads through a symbolic link");
	if (fd < 0)
		return err_sys(err, fd, "parent directory");
	a->parent = fd;
	a->parent_path = steal_ptr(dir);
	return fd;
}

/* Removes what an earlier entry of this archive put at the name. */
static int remove_old(struct apply *a, int parent, const char *name, const char *path, struct err *err)
{
	struct stat st;
	int r;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "stat");
	if (S_ISDIR(st.st_mode)) {
		dirs_gone(a, path);
		r = path_remove_tree(parent, name, true);
	} else {
		r = unlinkat(parent, name, 0) < 0 ? -errno : 0;
	}
	return r < 0 ? err_sys(err, r, "replace") : 0;
}

/* Is the xattr for us to set? Overlay's own would let an image forge whiteouts and redirects. */
static bool xattr_wanted(const struct apply *a, const char *name)
{
	if (str_starts(name, "trusted.overlay.") || str_starts(name, "user.overlay.") ||
	    !strcmp(name, "security.selinux"))
		return false;
	if (a->o->rights == RIGHTS_RANGES && !strcmp(name, "security.capability"))
		return true;
	return a->o->rights == RIGHTS_ROOT || (!str_starts(name, "trusted.") && !str_starts(name, "security."));
}

/* d: of a directory, which gets its default ACL later. */
static int set_xattrs(const struct apply *a, int fd, const struct tar_entry *e, struct layer_dir *d, struct err *err)
{
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct tar_xattr *x = &e->xattrs[i];

		if (d && !strcmp(x->name, DEFAULT_ACL)) {
			free(d->acl);
			d->acl = xmalloc(x->len + 1);
			d->acl_len = x->len;
			memcpy(d->acl, x->value, x->len);
		} else if (!xattr_wanted(a, x->name))
			log_debug("layer: %s: xattr %s left out", e->path, x->name);
		else if (fsetxattr(fd, x->name, x->value, x->len, 0) < 0) {
			bool acl = a->o->rights != RIGHTS_ROOT && errno == EINVAL; /* names ids that are not ours */

			if ((errno == EOPNOTSUPP && !str_starts(x->name, "security.")) || acl)
				log_debug("layer: %s: xattr %s: not supported here", e->path, x->name);
			else
				return err_sys(err, -errno, "xattr %s", x->name);
		}
	}
	return 0;
}

static bool needs_owner(const struct apply *a, const struct tar_entry *e)
{
	return a->o->rights != RIGHTS_ONE_ID && (e->uid || e->gid);
}

static int owner_refused(const struct apply *a, const struct tar_entry *e, int error, struct err *err)
{
	if (error == EINVAL && a->o->rights == RIGHTS_RANGES)
		return err_set(err, -EINVAL, "owner %u:%u is not among the user's ids (/etc/subuid, /etc/subgid)",
			       e->uid, e->gid);
	return err_sys(err, -error, "owner");
}

static int write_data(struct apply *a, int fd, const struct tar_entry *e, struct err *err)
{
	uint64_t offset, end = 0;
	const uint8_t *p;
	ssize_t n;

	while ((n = tar_data(a->tar, &p, &offset, err)) > 0) {
		size_t done = 0;

		while (done < (size_t)n) {
			ssize_t w = e->sparse ? pwrite(fd, p + done, (size_t)n - done, (off_t)(offset + done)) :
						write(fd, p + done, (size_t)n - done);

			if (w < 0 && errno == EINTR)
				continue;
			if (w < 0)
				return err_sys(err, -errno, "write");
			done += (size_t)w;
		}
		end = offset + (uint64_t)n;
	}
	if (n < 0)
		return (int)n;
	if (end < e->size && ftruncate(fd, (off_t)e->size) < 0)
		return err_sys(err, -errno, "truncate");
	return 0;
}

static int apply_file(struct apply *a, const struct tar_entry *e, int parent, const char *name, const char *path,
		      struct err *err)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	cleanup_fd int fd = openat(parent, name, flags, e->mode & 0777);
	struct timespec times[2] = { { 0, UTIME_OMIT }, { e->mtime, e->mtime_nsec } };
	int r;

	if (fd < 0 && errno == EEXIST) {
		r = remove_old(a, parent, name, path, err);
		if (r < 0)
			return r;
		fd = openat(parent, name, flags, e->mode & 0777);
	}
	if (fd < 0)
		return err_sys(err, -errno, "create");
	if (e->size) {
		r = write_data(a, fd, e, err);
		if (r < 0)
			return r;
	}
	if (needs_owner(a, e) && fchown(fd, e->uid, e->gid) < 0)
		return owner_refused(a, e, errno, err);
	r = set_xattrs(a, fd, e, NULL, err);
	if (r < 0)
		return r;
	/* after the owner, whose change clears the set-id bits */
	if (e->mode & 07000 && fchmod(fd, e->mode) < 0)
		return err_sys(err, -errno, "mode");
	if (futimens(fd, times) < 0)
		return err_sys(err, -errno, "times");
	return 0;
}

static int apply_dir(struct apply *a, const struct tar_entry *e, const char *path, struct err *err)
{
	cleanup_fd int fd = -1;
	struct layer_dir *d;
	const char *name;
	int parent, r;

	if (*path) {
		parent = open_parent(a, path, &name, err);
		if (parent < 0)
			return parent;
		r = make_component(a, parent, name, path, true, err);
		if (r < 0)
			return r;
	}
	d = layer_dirs_find(&a->dirs, path);
	if (!d)
		d = layer_dirs_add(&a->dirs, path);
	d->implied = false;
	d->timed = true;
	d->mode = e->mode;
	d->mtime = (struct timespec){ e->mtime, e->mtime_nsec };
	if (!e->n_xattrs && !needs_owner(a, e))
		return 0;
	fd = path_open_nolink(a->root, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_sys(err, fd, "open");
	if (needs_owner(a, e) && fchown(fd, e->uid, e->gid) < 0)
		return owner_refused(a, e, errno, err);
	return set_xattrs(a, fd, e, d, err);
}

/*
 * A link whose target is not in this layer: fixup.c makes it, above the layers it turns out to lie on. An empty file holds the
 * name until the archive has ended, so that later entries replace it, or link to it, as they would the link itself; its time
 * is its number.
 */
static int hold_link(struct apply *a, int parent, const char *name, const char *path, const char *target,
		     struct err *err)
{
	struct layer_meta *m = a->meta;
	struct timespec times[2] = { { 0, UTIME_OMIT }, { (time_t)m->n_links, 0 } };
	cleanup_fd int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0);
	struct stat st;

	if (fd < 0 || futimens(fd, times) < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "create");
	m->links = xreallocarray(m->links, m->n_links + 1, sizeof(*m->links));
	a->holders = xreallocarray(a->holders, m->n_links + 1, sizeof(*a->holders));
	a->holders[m->n_links] = st.st_ino;
	m->links[m->n_links++] = (struct layer_link){ xstrdup(path), xstrdup(target) };
	return 0;
}

/* The link that the file holds the name of; NULL: it is a file of the layer. An inode number alone may have been used again. */
static const struct layer_link *held_link(const struct apply *a, const struct stat *st)
{
	uint64_t i = (uint64_t)st->st_mtim.tv_sec;
	bool held = st->st_mode == S_IFREG && !st->st_size && i < a->meta->n_links && a->holders[i] == st->st_ino;

	return held ? &a->meta->links[i] : NULL;
}

/* Which links are left, without what held their names. */
static int finish_links(struct apply *a, struct err *err)
{
	struct layer_meta *m = a->meta;
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < m->n_links; i++) {
		struct layer_link *l = &m->links[i];
		const char *slash = strrchr(l->path, '/'), *name = slash ? slash + 1 : l->path;
		cleanup_free char *dir = slash ? xstrndup(l->path, (size_t)(slash - l->path)) : xstrdup("");
		cleanup_fd int parent = path_open_nolink(a->root, dir, O_PATH | O_DIRECTORY, 0);
		struct stat st;
		bool held =
			parent >= 0 && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && held_link(a, &st) == l;

		if (held && unlinkat(parent, name, 0) < 0 && !r)
			r = err_sys(err, -errno, "%s", l->path);
		if (held) {
			m->links[kept++] = *l;
			continue;
		}
		free(l->path);
		free(l->target);
	}
	m->n_links = kept;
	return r;
}

static int apply_hardlink(struct apply *a, const struct tar_entry *e, const char *path, struct err *err)
{
	cleanup_free char *target = layer_clean_name(e->link, err), *tdir = NULL;
	const struct layer_link *held = NULL;
	cleanup_fd int tparent = -1;
	const char *name, *tname;
	struct stat st;
	int parent, r;
	bool here;

	if (!target)
		return err_wrap(err, "hard link to %s", e->link);
	if (!strcmp(target, path))
		return 0;
	tname = strrchr(target, '/');
	tdir = tname ? xstrndup(target, (size_t)(tname - target)) : xstrdup("");
	tname = tname ? tname + 1 : target;
	if (!*tname)
		return err_set(err, -EINVAL, "hard link to the root");
	parent = open_parent(a, path, &name, err);
	if (parent < 0)
		return parent;
	tparent = path_open_nolink(a->root, tdir, O_PATH | O_DIRECTORY, 0);
	if (tparent == -ELOOP)
		return err_set(err, tparent, "hard link to %s: the path leads through a symbolic link", e->link);
	if (tparent < 0 && tparent != -ENOENT && tparent != -ENOTDIR)
		return err_sys(err, tparent, "hard link to %s", e->link);
	here = tparent >= 0 && fstatat(tparent, tname, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (here && (S_ISDIR(st.st_mode) || layer_is_whiteout(st.st_mode, st.st_rdev)))
		return err_set(err, -EINVAL, "hard link to %s, which is a %s", e->link,
			       S_ISDIR(st.st_mode) ? "directory" : "whiteout");
	r = remove_old(a, parent, name, path, err);
	if (r < 0)
		return r;
	if (here)
		held = held_link(a, &st);
	if (!here || held)
		return hold_link(a, parent, name, path, held ? held->target : target, err);
	if (linkat(tparent, tname, parent, name, 0) < 0)
		return err_sys(err, -errno, "hard link to %s", e->link);
	return 0;
}

static int apply_special(struct apply *a, const struct tar_entry *e, int parent, const char *name, const char *path,
			 struct err *err)
{
	struct timespec times[2] = { { 0, UTIME_OMIT }, { e->mtime, e->mtime_nsec } };
	int r = remove_old(a, parent, name, path, err);

	if (r < 0)
		return r;
	if (e->type == TAR_SYMLINK) {
		r = symlinkat(e->link, parent, name);
	} else if (e->type == TAR_FIFO) {
		r = mknodat(parent, name, S_IFIFO | (e->mode & 07777), 0);
	} else if (a->o->rights != RIGHTS_ROOT) {
		log_debug("layer: %s: device left out", e->path);
		return 0;
	} else if (e->type == TAR_CHAR && !e->major && !e->minor) {
		return err_set(err, -EINVAL, "character device 0:0 is overlay's whiteout");
	} else {
		r = mknodat(parent, name, (e->type == TAR_CHAR ? S_IFCHR : S_IFBLK) | (e->mode & 07777),
			    makedev(e->major, e->minor));
	}
	if (r < 0)
		return err_sys(err, -errno, "create");
	if (needs_owner(a, e) && fchownat(parent, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return owner_refused(a, e, errno, err);
	for (size_t i = 0; i < e->n_xattrs; i++)
		log_debug("layer: %s: xattr %s of a special file left out", e->path, e->xattrs[i].name);
	if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, -errno, "times");
	return 0;
}

static int apply_whiteout(struct apply *a, const char *path, const char *name, struct err *err)
{
	cleanup_free char *dir = xstrndup(path, (size_t)(name - path));
	cleanup_free char *hidden = NULL;
	const char *last;
	struct stat st;
	struct layer_dir *d;
	int parent;

	if (*dir)
		dir[strlen(dir) - 1] = '\0';
	name += 4;
	if (!strcmp(name, ".wh..opq")) {
		cleanup_free char *probe = xasprintf("%s%sx", dir, *dir ? "/" : "");

		parent = open_parent(a, probe, &last, err);
		return parent < 0 ? parent : set_opaque(a, dir, err);
	}
	if (str_starts(name, ".wh."))
		return 0; /* aufs's own bookkeeping */
	if (!*name)
		return err_set(err, -EINVAL, "whiteout without a name");
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return err_set(err, -EINVAL, "whiteout of a directory itself");
	hidden = xasprintf("%s%s%s", dir, *dir ? "/" : "", name);
	parent = open_parent(a, hidden, &last, err);
	if (parent < 0)
		return parent;
	d = layer_dirs_find(&a->dirs, dir);
	if (d && d->opaque)
		return 0;
	if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? set_opaque(a, hidden, err) : 0;
	if (mknodat(parent, last, S_IFCHR, 0) < 0)
		return err_sys(err, -errno, "whiteout");
	return 0;
}

static int apply_entry(struct apply *a, const struct tar_entry *e, struct err *err)
{
	cleanup_free char *path = layer_clean_name(e->path, err);
	const char *name;
	int parent;

	if (!path)
		return err->code;
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	if (str_starts(name, ".wh."))
		return apply_whiteout(a, path, name, err);
	if (e->type == TAR_FILE) {
		if (a->o->max_bytes && e->size > a->o->max_bytes - a->meta->bytes)
			return err_set(err, -EFBIG, "the layer is larger than the limit of %llu bytes",
				       (unsigned long long)a->o->max_bytes);
		a->meta->bytes += e->size;
	}
	if (e->type == TAR_DIR)
		return apply_dir(a, e, path, err);
	if (!*path)
		return err_set(err, -EINVAL, "the root is not a directory");
	if (e->type == TAR_HARDLINK)
		return apply_hardlink(a, e, path, err);
	parent = open_parent(a, path, &name, err);
	if (parent < 0)
		return parent;
	return e->type == TAR_FILE ? apply_file(a, e, parent, name, path, err) :
				     apply_special(a, e, parent, name, path, err);
}

/* Whiteouts that were there before the directory became opaque. */
static int drop_whiteouts(struct apply *a, const char *path, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	int fd = path_open_nolink(a->root, path, O_RDONLY | O_DIRECTORY, 0);
	struct dirent *de;
	struct stat st;

	if (fd < 0)
		return err_sys(err, fd, "%s", path);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return err_sys(err, -ENOMEM, "%s", path);
	}
	while ((de = readdir(dir)))
		if (de->d_type == DT_CHR && fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    layer_is_whiteout(st.st_mode, st.st_rdev) && unlinkat(fd, de->d_name, 0) < 0)
			return err_sys(err, -errno, "%s/%s", path, de->d_name);
	return 0;
}

static int finish_dirs(struct apply *a, struct err *err)
{
	size_t n = 0;
	int r;

	for (size_t i = a->dirs.n; i-- > 0;) {
		struct layer_dir *d = &a->dirs.v[i];
		struct timespec times[2] = { { 0, UTIME_OMIT }, d->mtime };
		cleanup_fd int fd = -1;

		if (d->gone)
			continue;
		if (d->opaque) {
			r = drop_whiteouts(a, d->path, err);
			if (r < 0)
				return r;
		}
		fd = path_open_nolink(a->root, d->path, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			return err_sys(err, fd, "%s", d->path);
		if (d->acl && fsetxattr(fd, DEFAULT_ACL, d->acl, d->acl_len, 0) < 0 && errno != EOPNOTSUPP &&
		    (errno != EINVAL || a->o->rights == RIGHTS_ROOT))
			return err_sys(err, -errno, "%s: default ACL", d->path);
		if (fchmod(fd, d->mode) < 0 || (d->timed && futimens(fd, times) < 0))
			return err_sys(err, -errno, "%s: mode and times", d->path);
	}
	a->meta->implied = xcalloc(a->dirs.n + 1, sizeof(*a->meta->implied));
	for (size_t i = 0; i < a->dirs.n; i++)
		if (a->dirs.v[i].implied && !a->dirs.v[i].gone)
			a->meta->implied[n++] = xstrdup(a->dirs.v[i].path);
	return 0;
}

int layer_apply(int rootfd, struct tar *t, const struct layer_options *o, struct layer_meta *meta, struct err *err)
{
	struct apply a = { .root = rootfd, .tar = t, .o = o, .meta = meta, .parent = -1 };
	const struct tar_entry *e;
	struct layer_dir *top;
	int r;

	memset(meta, 0, sizeof(*meta));
	/* the store's own directory may have one that all would inherit */
	if (fremovexattr(rootfd, DEFAULT_ACL) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return err_sys(err, -errno, "default ACL");
	top = layer_dirs_add(&a.dirs, "");
	top->implied = true;
	top->mode = 0755;
	while ((r = tar_next(t, &e, err)) > 0) {
		meta->entries++;
		if (o->max_entries && meta->entries + a.dirs.n > o->max_entries)
			r = err_set(err, -EFBIG, "more entries than the limit of %llu",
				    (unsigned long long)o->max_entries);
		else
			r = apply_entry(&a, e, err);
		if (r < 0) {
			err_wrap(err, "entry %.300s", e->path);
			break;
		}
	}
	if (r >= 0)
		r = finish_links(&a, err);
	if (r >= 0)
		r = finish_dirs(&a, err);
	forget_parent(&a);
	layer_dirs_clear(&a.dirs);
	free(a.holders);
	return r;
}
