/* SPDX-License-Identifier: Apache-2.0 */
/* Repairs for layers whose archives leaned on the layers below. */
/*
 * A layer is unpacked without its parents, so three things can be wrong above them, all recorded in its meta:
 *  - it implied a directory (entries without their parent) that a lower layer defines with other owner, mode or
 *    xattrs: overlay would show ours. The fixup has the directory as the lower layers show it (those around it, when the layer
 *    names them itself, as the layer does).
 *  - the implied directory is a symlink below (bin -> usr/bin): overlay would hide the symlink. The fixup has the
 *    symlink, and what the layer put below it lies at the link's destination.
 *  - a hard link's target is in a lower layer: the fixup has the file under both names, or, when the layer has another in the
 *    target's place, under the link's.
 * Below a directory that the layer made opaque the lower layers count for nothing.
 * The fixup lies above its layer and is keyed by the chain-id, since it depends on all layers up to there. Most
 * layers need none; that is found out by a few lookups and not remembered.
 */
#include "images/fixup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "images/layer.h"
#include "images/snapshot.h"

struct fixup {
	struct store *s;
	struct merge below; /* the lower trees */
	struct merge with;  /* and the layer on top of them */
	struct layer_meta meta;
	size_t n_implied; /* of meta, sorted */
	char *tmpdir;     /* NULL until something is needed */
	int dirfd, root;
};

static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup("");
}

static const char *last_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Copies m's thing at path (no content of directories) to the fixup's topath, whose parent is there. */
static int copy_thing(struct fixup *f, const struct merge *m, const char *path, const char *topath, struct err *err)
{
	cleanup_free char *dir = parent_of(path), *todir = parent_of(topath);
	cleanup_fd int from = -1, to = -1;
	struct merge_found found;
	int r = merge_lookup(m, path, &found);

	if (r < 0)
		return err_sys(err, r, "%s", path);
	from = path_open_nolink(m->fds[found.layer], dir, O_PATH | O_DIRECTORY, 0);
	to = path_open_nolink(f->root, todir, O_PATH | O_DIRECTORY, 0);
	if (from < 0 || to < 0)
		return err_sys(err, from < 0 ? from : to, "%s", path);
	return merge_out_one(from, *path ? last_of(path) : ".", &found.st, to, *topath ? last_of(topath) : ".",
			     f->s->rights, err);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Does the layer have this directory only because of what lies in it? */
static bool is_implied(const struct fixup *f, const char *path)
{
	return f->n_implied && bsearch(&path, f->meta.implied, f->n_implied, sizeof(path), by_text);
}

/* Does the layer hide from path what the lower layers have there: is a directory around it opaque in it? */
static bool is_cut_off(const struct fixup *f, const char *path)
{
	cleanup_free char *dir = xstrdup(path);
	char *slash;

	while (*dir) {
		cleanup_fd int fd = -1;
		char opaque;

		slash = strrchr(dir, '/');
		*(slash ? slash : dir) = '\0';
		fd = path_open_nolink(f->with.fds[f->with.n - 1], dir, O_RDONLY | O_DIRECTORY, 0);
		if (fd >= 0 && fgetxattr(fd, layer_opaque_xattr(f->s->rights), &opaque, 1) == 1)
			return true;
	}
	return false;
}

/* Where the directory's owner and mode are found: below when the layer implied it, else as the layer and those below show it. */
static const struct merge *shown_by(const struct fixup *f, const char *path)
{
	struct merge_found found;

	if ((!is_implied(f, path) || is_cut_off(f, path)) && merge_lookup(&f->with, path, &found) == 0 &&
	    S_ISDIR(found.st.st_mode))
		return &f->with;
	return merge_lookup(&f->below, path, &found) == 0 && S_ISDIR(found.st.st_mode) ? &f->below : &f->with;
}

/* The fixup tree, made on first use, with its root. */
static int tree(struct fixup *f, struct err *err)
{
	int r;

	if (f->root >= 0)
		return 0;
	r = store_tmpdir(f->s, &f->tmpdir, &f->dirfd, err);
	if (r < 0)
		return r;
	if (mkdirat(f->dirfd, "fs", 0755) < 0)
		return err_sys(err, -errno, "mkdir");
	f->root = openat(f->dirfd, "fs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->root < 0 ? err_sys(err, -errno, "fs") : copy_thing(f, shown_by(f, ""), "", "", err);
}

/* Makes path and its parents in the fixup as directories, with the looks they should have. */
static int make_dirs(struct fixup *f, const char *path, struct err *err)
{
	cleanup_free char *up = NULL;
	cleanup_fd int have = -1;
	int r = tree(f, err);

	if (r < 0)
		return r;
	have = path_open_nolink(f->root, path, O_PATH | O_DIRECTORY, 0);
	if (have >= 0)
		return 0;
	up = parent_of(path);
	r = make_dirs(f, up, err);
	return r < 0 ? r : copy_thing(f, shown_by(f, path), path, path, err);
}

static bool is_plain_dir(const struct merge *m, const struct merge_found *found, const char *path)
{
	cleanup_fd int fd = path_open_nolink(m->fds[found->layer], path, O_RDONLY | O_DIRECTORY, 0);
	struct tar_entry e = { 0 };
	bool plain = (found->st.st_mode & 07777) == 0755 && !found->st.st_uid && !found->st.st_gid;

	if (plain && fd >= 0 && merge_out_xattrs(fd, &e, NULL) >= 0)
		plain = !e.n_xattrs;
	for (size_t i = 0; i < e.n_xattrs; i++) {
		free(e.xattrs[i].name);
		free(e.xattrs[i].value);
	}
	free(e.xattrs);
	return plain;
}

/* Moves (by hard links) what the layer has at from to the fixup's to. */
static int graft(struct fixup *f, int layer, const char *from, const char *to, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	cleanup_fd int todir = path_open_nolink(f->root, to, O_RDONLY | O_DIRECTORY, 0);
	int fd = path_open_nolink(layer, from, O_RDONLY | O_DIRECTORY, 0);
	struct dirent *de;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir || todir < 0)
		return err_sys(err, fd < 0 ? fd : todir, "%s", from);
	while ((de = readdir(dir))) {
		cleanup_free char *sub = xasprintf("%s/%s", from, de->d_name);
		cleanup_free char *tosub = xasprintf("%s%s%s", to, *to ? "/" : "", de->d_name);
		struct stat st;
		char opaque;
		int r;

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(err, -errno, "%s", sub);
		if (!S_ISDIR(st.st_mode)) {
			/* a link when possible; a whiteout or a file on another file system is made anew */
			if (linkat(fd, de->d_name, todir, de->d_name, 0) == 0)
				continue;
			r = layer_is_whiteout(st.st_mode, st.st_rdev) ?
				(mknodat(todir, de->d_name, S_IFCHR, 0) < 0 ? err_sys(err, -errno, "%s", tosub) : 0) :
				merge_out_one(fd, de->d_name, &st, todir, de->d_name, f->s->rights, err);
		} else {
			struct merge_found below;
			cleanup_fd int subfd = openat(fd, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			/* an implied directory looks as below, where there is one */
			if (is_implied(f, sub) && !is_cut_off(f, sub) && merge_lookup(&f->below, tosub, &below) == 0 &&
			    S_ISDIR(below.st.st_mode))
				r = copy_thing(f, &f->below, tosub, tosub, err);
			else
				r = merge_out_one(fd, de->d_name, &st, todir, de->d_name, f->s->rights, err);
			if (r >= 0)
				r = graft(f, layer, sub, tosub, err);
			if (r >= 0 && subfd >= 0 &&
			    fgetxattr(subfd, layer_opaque_xattr(f->s->rights), &opaque, 1) == 1) {
				cleanup_fd int tofd = path_open_nolink(f->root, tosub, O_RDONLY | O_DIRECTORY, 0);

				if (tofd < 0 || fsetxattr(tofd, layer_opaque_xattr(f->s->rights), "y", 1, 0) < 0)
					r = err_sys(err, -errno, "%s", tosub);
			}
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int repair_implied(struct fixup *f, const char *path, struct err *err)
{
	cleanup_free char *real = NULL, *up = NULL;
	struct merge_found found;
	int r = merge_lookup(&f->below, path, &found);

	if (r < 0 || (!S_ISDIR(found.st.st_mode) && !S_ISLNK(found.st.st_mode)) || is_cut_off(f, path))
		return 0; /* new here, below a symlink that was dealt with, or hiding a file, as extracting would */
	if (S_ISDIR(found.st.st_mode))
		return is_plain_dir(&f->below, &found, path) ? 0 : make_dirs(f, path, err);
	real = merge_resolve(&f->below, path);
	if (!real)
		return 0; /* dangling: extracting would replace it too */
	if (merge_lookup(&f->below, real, &found) < 0 || !S_ISDIR(found.st.st_mode))
		return 0;
	up = parent_of(path);
	r = make_dirs(f, up, err);
	if (r >= 0)
		r = make_dirs(f, real, err);
	if (r >= 0)
		r = copy_thing(f, &f->below, path, path, err);
	if (r >= 0)
		r = graft(f, f->with.fds[f->with.n - 1], path, real, err);
	return r;
}

/* The real name of path, whose last part is not followed, in m. NULL when what is around it does not exist. */
static char *real_name(const struct merge *m, const char *path)
{
	cleanup_free char *up = parent_of(path), *real = merge_resolve(m, up);

	return real ? xasprintf("%s%s%s", real, *real ? "/" : "", last_of(path)) : NULL;
}

/* The layers and what the fixup has so far. */
static struct merge all_of(struct fixup *f)
{
	struct merge m = { .fds = xcalloc(f->with.n + 1, sizeof(int)), .n = f->with.n, .rights = f->with.rights };

	memcpy(m.fds, f->with.fds, f->with.n * sizeof(int));
	if (f->root >= 0)
		m.fds[m.n++] = f->root;
	return m;
}

/* before: the link repaired before this one; NULL: none. Links to one target are next to each other, and one file. */
static int repair_link(struct fixup *f, const struct layer_link *l, const struct layer_link *before, struct err *err)
{
	struct merge all = all_of(f);
	cleanup_free int *fds = all.fds;
	cleanup_free char *target = real_name(&f->below, l->target), *path = real_name(&all, l->path), *up = NULL;
	const struct merge *from = &f->below;
	struct merge_found found, now;
	int r;

	if (!target || merge_lookup(from, target, &found) < 0) {
		/* or in the layer, but through a symbolic link of a lower one */
		free(target);
		target = real_name(from = &all, l->target);
		if (!target || merge_lookup(from, target, &found) < 0)
			return err_set(err, -ENOENT, "entry %s: hard link to %s, which no layer has", l->path,
				       l->target);
	}
	if (S_ISDIR(found.st.st_mode))
		return err_set(err, -EINVAL, "entry %s: hard link to %s, which is a directory", l->path, l->target);
	if (!path)
		return err_set(err, -ENOENT, "entry %s: its directory is gone", l->path);
	up = parent_of(path);
	r = make_dirs(f, up, err);
	if (r >= 0 && before && !strcmp(before->target, l->target)) {
		cleanup_free char *first = real_name(&all, before->path);

		return linkat(f->root, first, f->root, path, 0) < 0 ? err_sys(err, -errno, "%s", l->path) : 0;
	}
	if (r < 0 || merge_lookup(&all, target, &now) < 0 || now.st.st_ino != found.st.st_ino ||
	    now.st.st_dev != found.st.st_dev)
		return r < 0 ? r : copy_thing(f, from, target, path, err);
	/* the target is still what it was: one file under both names */
	free(up);
	up = parent_of(target);
	r = make_dirs(f, up, err);
	if (r >= 0)
		r = copy_thing(f, from, target, target, err);
	if (r >= 0 && linkat(f->root, target, f->root, path, 0) < 0)
		r = err_sys(err, -errno, "%s", l->path);
	return r;
}

static int by_target(const void *a, const void *b)
{
	return strcmp(((const struct layer_link *)a)->target, ((const struct layer_link *)b)->target);
}

static int repair(struct fixup *f, struct err *err)
{
	struct layer_link *l = f->meta.links;
	int r = 0;

	for (size_t i = 0; f->meta.implied && f->meta.implied[i] && r >= 0; i++)
		r = repair_implied(f, f->meta.implied[i], err);
	if (f->meta.n_links)
		qsort(l, f->meta.n_links, sizeof(*l), by_target);
	for (size_t i = 0; i < f->meta.n_links && r >= 0; i++)
		r = repair_link(f, &l[i], i ? &l[i - 1] : NULL, err);
	return r;
}

static int publish(struct fixup *f, const char *name, struct err *err)
{
	int r = store_sync(f->s, err);

	if (r < 0)
		return r;
	if (renameat2(f->s->fd, f->tmpdir, f->s->fd, name, RENAME_NOREPLACE) == 0) {
		free(steal_ptr(f->tmpdir));
		return 0;
	}
	return errno == EEXIST || errno == ENOTEMPTY ? 0 : err_sys(err, -errno, "%s", name);
}

int fixup_make(struct store *s, char *const *lower, const char *diff_id, const char *chain_id, char **ret_tree,
	       struct err *err)
{
	cleanup_free char *name = xasprintf("fixups/%s", digest_hex(chain_id));
	cleanup_free char *tree_name = xasprintf("fixups/%s/fs", digest_hex(chain_id));
	cleanup_free char *own = xasprintf("layers/%s/fs", digest_hex(diff_id));
	cleanup_strv char **all = strv_dup(lower);
	struct fixup f = { .s = s, .dirfd = -1, .root = -1 };
	int r;

	*ret_tree = NULL;
	if (faccessat(s->fd, tree_name, F_OK, 0) == 0) {
		*ret_tree = steal_ptr(tree_name);
		return 0;
	}
	r = layer_meta_read(s->fd, diff_id, &f.meta, err);
	if (r < 0)
		return r;
	f.n_implied = strv_len(f.meta.implied);
	if (f.n_implied)
		qsort(f.meta.implied, f.n_implied, sizeof(*f.meta.implied), by_text);
	strv_add(&all, own);
	if ((f.n_implied && strv_len(lower)) || f.meta.n_links) {
		r = snapshot_open(s, lower, &f.below, err);
		if (r >= 0)
			r = snapshot_open(s, all, &f.with, err);
		if (r >= 0)
			r = repair(&f, err);
		if (r >= 0 && f.tmpdir)
			r = publish(&f, name, err);
		if (r >= 0 && f.root >= 0)
			*ret_tree = steal_ptr(tree_name);
	}
	snapshot_close(&f.below);
	snapshot_close(&f.with);
	if (f.tmpdir)
		path_remove_tree(s->fd, f.tmpdir, true);
	free(f.tmpdir);
	if (f.root >= 0)
		close(f.root);
	if (f.dirfd >= 0)
		close(f.dirfd);
	layer_meta_clear(&f.meta);
	return r < 0 ? r : 0;
}
