/* SPDX-License-Identifier: Apache-2.0 */
/* Layer trees in order, mounted as an overlay. */
/*
 * Trees are keyed by diff-id and know nothing of each other. Where that is not enough (fixup.c) a small tree
 * keyed by the chain-id of the layers up to there lies above the layer. The mount names its lower directories
 * by short symlinks in the container's own directory, relative to it, so hundreds of layers fit into the one
 * page that mount(2) takes, on every kernel; a tree that occurs twice is listed once, at its topmost place,
 * because overlay refuses a repeated lower directory. For a container with a user namespace the overlay is made of
 * idmapped mounts instead (usermap.c), named by descriptor. image-spec config.md#layer-chainid.
 */
#include "images/snapshot.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "images/fixup.h"
#include "images/layer_unpack.h"
#include "images/usermap.h"

int snapshot_open(const struct store *s, char *const *trees, struct merge *ret, struct err *err)
{
	size_t n = strv_len(trees);

	*ret = (struct merge){ .fds = xcalloc(n + 1, sizeof(int)), .rights = s->rights };
	for (size_t i = 0; i < n; i++) {
		int fd = openat(s->fd, trees[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0) {
			int r = err_sys(err, -errno, "%s/%s", s->path, trees[i]);

			snapshot_close(ret);
			return r;
		}
		ret->fds[ret->n++] = fd;
	}
	return 0;
}

void snapshot_close(struct merge *m)
{
	for (size_t i = 0; i < m->n; i++)
		close(m->fds[i]);
	free(m->fds);
	memset(m, 0, sizeof(*m));
}

int snapshot_trees(struct store *s, char *const *diff_ids, char ***ret, struct err *err)
{
	cleanup_strv char **trees = NULL;
	char chain[DIGEST_MAX] = "";

	for (size_t i = 0; i < strv_len(diff_ids); i++) {
		cleanup_free char *joined = NULL, *fixup = NULL;
		int r;

		if (!layer_unpack_has(s, diff_ids[i]))
			return err_set(err, -ENOENT, "layer %s is not in the store; pull or import the image again",
				       diff_ids[i]);
		joined = i ? xasprintf("%s %s", chain, diff_ids[i]) : xstrdup(diff_ids[i]);
		if (i)
			digest_of(joined, strlen(joined), chain);
		else
			snprintf(chain, sizeof(chain), "%s", joined);
		r = fixup_make(s, trees, diff_ids[i], chain, &fixup, err);
		if (r < 0)
			return err_wrap(err, "layer %s", diff_ids[i]);
		strv_add_take(&trees, layer_unpack_tree(diff_ids[i]));
		if (fixup)
			strv_add_take(&trees, steal_ptr(fixup));
	}
	*ret = steal_ptr(trees);
	return 0;
}

static bool again_above(char *const *trees, size_t i)
{
	for (size_t k = i + 1; trees[k]; k++)
		if (!strcmp(trees[k], trees[i]))
			return true;
	return false;
}

/* Symlinks l/0, l/1, ... from the top, and the lowerdir option naming them. */
static int link_lowers(int dirfd, char *const *trees, struct str *opt, struct err *err)
{
	unsigned int k = 0;

	if (mkdirat(dirfd, "l", 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "mkdir l");
	for (size_t i = strv_len(trees); i-- > 0;) {
		cleanup_free char *target = xasprintf("../../../%s", trees[i]);
		cleanup_free char *name = NULL;

		if (again_above(trees, i))
			continue;
		name = xasprintf("l/%x", k);
		if (symlinkat(target, dirfd, name) < 0)
			return err_sys(err, -errno, "%s", name);
		str_addf(opt, "%s%s", k ? ":" : "", name);
		k++;
	}
	return 0;
}

/* The root directory of an overlay is the upper one: it must look as the image's root does. */
static int copy_root_attributes(const struct merge *m, int upper, struct err *err)
{
	struct merge_found f;

	if (!m->n || merge_lookup(m, "", &f) < 0)
		return 0;
	cleanup_fd int layer = openat(m->fds[f.layer], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return layer < 0 ? err_sys(err, -errno, "root") : merge_out_one(layer, ".", &f.st, upper, ".", m->rights, err);
}

/* Idmapped mounts of the lower trees, named by descriptor, and of the container's directory for upper and work. */
struct mapped {
	int *fds;
	size_t n;
};

static void mapped_clear(struct mapped *p)
{
	for (size_t i = 0; i < p->n; i++)
		close(p->fds[i]);
	free(p->fds);
}

static int map_tree(struct mapped *p, int userns, int dirfd, const char *path, struct err *err)
{
	int fd = usermap_tree(userns, dirfd, path);

	if (fd < 0)
		return err_set(err, fd, "ids cannot be mapped: %s",
			       fd == -EINVAL ? "the store's file system has no idmapped mounts" : strerror(-fd));
	p->fds = xreallocarray(p->fds, p->n + 1, sizeof(*p->fds));
	p->fds[p->n++] = fd;
	return fd;
}

static int map_lowers(struct mapped *p, int userns, int dirfd, char *const *trees, struct str *opt, struct err *err)
{
	bool first = true;

	for (size_t i = strv_len(trees); i-- > 0;) {
		cleanup_free char *path = xasprintf("../../%s", trees[i]);
		int fd;

		if (again_above(trees, i))
			continue;
		fd = map_tree(p, userns, dirfd, path, err);
		if (fd < 0)
			return fd;
		str_addf(opt, "%s/proc/self/fd/%d", first ? "" : ":", fd);
		first = false;
	}
	return 0;
}

static int mount_overlay(int dirfd, char *const *trees, const struct merge *m, int userns, const struct usermap *map,
			 struct mapped *mapped, char **ret_options, struct err *err)
{
	cleanup_fd int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), upper = -1;
	cleanup_str struct str opt = { 0 };
	int r, own = -1;

	if (mkdirat(dirfd, "upper", 0755) < 0 || mkdirat(dirfd, "work", 0700) < 0)
		return err_sys(err, -errno, "mkdir");
	upper = openat(dirfd, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (upper < 0)
		return err_sys(err, -errno, "upper");
	r = copy_root_attributes(m, upper, err);
	if (r < 0)
		return r;
	str_add(&opt, "lowerdir=");
	r = userns < 0 ? link_lowers(dirfd, trees, &opt, err) : map_lowers(mapped, userns, dirfd, trees, &opt, err);
	if (r >= 0 && userns >= 0)
		r = own = map_tree(mapped, userns, dirfd, ".", err);
	if (r < 0)
		return r;
	if (own >= 0)
		str_addf(&opt, ",upperdir=/proc/self/fd/%d/upper,workdir=/proc/self/fd/%d/work", own, own);
	else
		str_add(&opt, ",upperdir=upper,workdir=work");
	/* what commit reads must be whole: no metadata-only copies, no redirects; userxattr implies that */
	str_add(&opt, m->rights == RIGHTS_ROOT ? ",metacopy=off,redirect_dir=off,index=off" : ",userxattr,index=off");
	if (opt.len >= (size_t)sysconf(_SC_PAGESIZE))
		return err_set(err, -E2BIG, "too many layers to mount");
	if (cwd < 0 || fchdir(dirfd) < 0)
		return err_sys(err, -errno, "chdir");
	r = userns >= 0 ? usermap_files_as(map, err) : 0;
	if (r >= 0)
		r = mount("overlay", "rootfs", "overlay", 0, opt.s) < 0 ? -errno : 0;
	if (userns >= 0)
		(void)usermap_files_as(NULL, NULL);
	if (fchdir(cwd) < 0)
		log_debug("working directory is gone");
	if (r < 0)
		return err_sys(err, r, "mount overlay");
	*ret_options = str_steal(&opt);
	return 0;
}

int snapshot_mount(struct store *s, char *const *trees, int dirfd, int userns, const struct usermap *map,
		   char **ret_options, struct err *err)
{
	CLEANUP(mapped_clear) struct mapped mapped = { 0 };
	cleanup_fd int root = -1;
	struct merge m;
	struct err why = { 0 };
	int r;

	if (mkdirat(dirfd, "rootfs", 0755) < 0)
		return err_sys(err, -errno, "mkdir rootfs");
	r = snapshot_open(s, trees, &m, err);
	if (r < 0)
		return r;
	*ret_options = NULL;
	if (m.n && mount_overlay(dirfd, trees, &m, userns, map, &mapped, ret_options, &why) == 0) {
		snapshot_close(&m);
		return 0;
	}
	if (why.code == -ENOSPC || why.code == -EDQUOT) {
		snapshot_close(&m);
		*err = why;
		return why.code;
	}
	if (why.code)
		log_info("%s: copying the layers instead", why.msg);
	path_remove_tree(dirfd, "upper", true);
	path_remove_tree(dirfd, "work", true);
	root = openat(dirfd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = root < 0 ? err_sys(err, -errno, "rootfs") : merge_out_copy(&m, root, userns >= 0 ? map : NULL, err);
	snapshot_close(&m);
	return r;
}
