/* SPDX-License-Identifier: Apache-2.0 */
/* Making bundles of images. */
/*
 * A container of the store is the directory containers/ID: image.json (what it was made of: names and trees, the
 * collector's roots), config.json, rootfs (mount point of the overlay), upper, work and l (links to the lower
 * trees). The mount is an ordinary one in the caller's mount namespace, so the runtime, an engine and the
 * machine's export see one and the same tree, and all containers of an image share its page cache. An ordinary user's
 * is mounted here only to be looked at (rights.c); config.json says how, and the runtime mounts it for good in the
 * container's own namespaces. image.json is
 * written first and the directory removed last, so a crash in between leaves something that release finishes.
 * Who is making or removing a directory holds its name's lock; one without image.json that nobody has locked, or
 * whose owner is gone (owner.c), is rubbish, which prune and the next container of the id remove.
 */
#include "images/prepare.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "images/owner.h"
#include "images/snapshot.h"

static bool id_ok(const char *id)
{
	return *id && strlen(id) <= 128 && strcmp(id, ".") && strcmp(id, "..") &&
		!id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-")];
}

struct volumes {
	int root;
	const struct oci_image *image;
};

/* Directories for the image's Volumes, which programs expect to be there. */
static int make_volumes(void *arg, struct err *err)
{
	const struct oci_image *image = ((struct volumes *)arg)->image;
	int root = ((struct volumes *)arg)->root;

	for (size_t i = 0; i < strv_len(image->volumes); i++) {
		cleanup_fd int fd = -1;

		if (*image->volumes[i] != '/')
			continue;
		fd = path_mkdirs_in(root, image->volumes[i], 0755, (uid_t)-1, (gid_t)-1);
		if (fd < 0)
			return err_sys(err, fd, "volume %s", image->volumes[i]);
	}
	return 0;
}

static int write_image_json(int dirfd, const struct store_image *i, const char *owner, const char *name,
			    char *const *trees, struct err *err)
{
	struct json_writer w = { .indent = 2 };
	cleanup_free char *text = NULL;
	int r;

	json_w_object(&w, NULL);
	json_w_u64(&w, "version", 1);
	json_w_string(&w, "image", name);
	json_w_string(&w, "manifest", i->desc.digest);
	json_w_strv(&w, "diffIds", i->config->diff_ids);
	json_w_strv(&w, "trees", trees);
	if (owner)
		owner_write(&w, owner, getppid());
	json_w_object_end(&w);
	text = json_w_steal(&w);
	r = path_write_atomic(dirfd, "image.json", text, strlen(text), 0644);
	return r < 0 ? err_sys(err, r, "image.json") : 0;
}

/* The root as it will be, mounted or copied; *ret_options as of snapshot_mount(). */
static int make_root(struct store *s, int dirfd, int userns, char *const *trees, const struct oci_image *image,
		     const struct usermap *map, char **ret_options, int *ret_root, struct err *err)
{
	struct volumes v = { .image = image };
	int r = snapshot_mount(s, trees, dirfd, userns, map, ret_options, err);

	store_stop_at("mounted");
	if (r < 0)
		return r;
	v.root = *ret_root = openat(dirfd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (v.root < 0)
		return err_sys(err, -errno, "rootfs");
	return userns >= 0 ? usermap_run(userns, make_volumes, &v, err) : make_volumes(&v, err);
}

static void unmount_root(int dirfd)
{
	cleanup_free char *path = xasprintf("/proc/self/fd/%d/rootfs", dirfd);

	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		log_debug("unmount rootfs: %s", strerrordesc_np(errno));
}

static int fill(struct store *s, int dirfd, const struct store_image *i, const char *owner, const char *name,
		const struct convert_options *o, struct err *err)
{
	cleanup_strv char **trees = NULL;
	cleanup_free char *config = NULL, *options = NULL;
	cleanup_fd int root = -1, userns = -1;
	struct convert_options with = *o;
	bool root_user = s->rights == RIGHTS_ROOT;
	int r = snapshot_trees(s, i->config->diff_ids, &trees, err);

	if (r >= 0 && root_user && o->map && o->map->n_uids)
		r = userns = usermap_namespace(o->map, err);
	if (r >= 0)
		r = write_image_json(dirfd, i, owner, name, trees, err);
	store_stop_at("image-json");
	if (r >= 0)
		r = make_root(s, dirfd, userns, trees, i->config, o->map, &options, &root, err);
	with.overlay = root_user ? NULL : options;
	if (r >= 0)
		r = convert_image(i->config, root, &with, &config, err);
	if (with.overlay) {
		close(steal_fd(root));
		unmount_root(dirfd);
	}
	if (r >= 0) {
		r = path_write_atomic(dirfd, "config.json", config, strlen(config), 0644);
		if (r < 0)
			err_sys(err, r, "config.json");
	}
	return r;
}

static int lock_id(struct store *s, const char *id, bool try, struct err *err)
{
	cleanup_free char *name = NULL;
	unsigned int h = 0;

	/* a few locks for all ids: lock files are never unlinked while somebody may wait for them */
	for (const char *p = id; *p; p++)
		h = 31 * h + (unsigned char)*p;
	name = xasprintf("container-%02x", h & 0xff);

	return store_lock_name(s, name, try, err);
}

/* Under the id's lock: the mount and all files; the directory's name goes last. */
static int clear(struct store *s, const char *id, struct err *err)
{
	cleanup_free char *name = xasprintf("containers/%s", id), *dir = path_join(s->path, name),
			  *root = path_join(dir, "rootfs");
	int r;

	/* the topmost mount first, should somebody have mounted twice */
	while (umount2(root, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT && errno != EPERM)
		return err_sys(err, -errno, "unmount %s", root);
	store_stop_at("unmounted");
	r = path_remove_tree(s->fd, name, true);
	return r < 0 && r != -ENOENT ? err_sys(err, r, "%s", dir) : 0;
}

/* Under the id's lock: did its maker die before image.json, or is its owner (any, or the one named) gone? */
static bool is_rubbish(struct store *s, const char *id, const char *owner)
{
	cleanup_free char *path = xasprintf("containers/%s/image.json", id), *buf = NULL;
	size_t len;
	int r = fd_slurp_at(s->fd, path, OCI_IMAGE_DOC_MAX, &buf, &len);

	return r == -ENOENT || (r >= 0 && owner_gone(buf, len, owner));
}

int prepare_container(struct store *s, const struct store_image *i, const char *id, const char *owner,
		      const char *image_name, const struct convert_options *o, char **ret_bundle, struct err *err)
{
	cleanup_free char *name = xasprintf("containers/%s", id);
	cleanup_free char *path = path_join(s->path, name);
	cleanup_fd int dirfd = -1, lock = -1;
	int r;

	if (!id_ok(id))
		return err_set(err, -EINVAL, "container id \"%.200s\": not usable", id);
	lock = lock_id(s, id, false, err);
	if (lock < 0)
		return lock;
	r = mkdirat(s->fd, name, 0711) < 0 ? -errno : 0;
	if (r == -EEXIST && is_rubbish(s, id, NULL)) {
		r = clear(s, id, err);
		if (r < 0)
			return r;
		r = mkdirat(s->fd, name, 0711) < 0 ? -errno : 0;
	}
	if (r == -EEXIST)
		return err_set(err, -EEXIST, "container with given ID already exists: %s", path);
	if (r < 0)
		return err_sys(err, r, "%s", path);
	store_stop_at("container-dir");
	dirfd = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dirfd < 0 ? err_sys(err, -errno, "%s", path) : fill(s, dirfd, i, owner, image_name, o, err);
	if (r < 0) {
		clear(s, id, NULL);
		return r;
	}
	store_stop_at("prepared");
	*ret_bundle = steal_ptr(path);
	return 0;
}

int prepare_release(struct store *s, const char *bundle, const char *owner, struct err *err)
{
	cleanup_free char *clean = path_clean(bundle);
	const char *id = strrchr(clean, '/');
	cleanup_free char *name = NULL, *expected = NULL;
	cleanup_fd int lock = -1;

	name = xasprintf("containers/%s", id ? id + 1 : clean);
	expected = path_join(s->path, name);
	if (!id || !id_ok(id + 1) || strcmp(expected, clean))
		return err_set(err, -EINVAL, "%s: not a container of the store %s", bundle, s->path);
	lock = lock_id(s, id + 1, false, err);
	if (lock < 0)
		return lock;
	return owner && !is_rubbish(s, id + 1, owner) ? 0 : clear(s, id + 1, err);
}

int prepare_sweep(struct store *s, unsigned int *ret_n, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	int r = 0, fd = openat(s->fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *de;

	*ret_n = 0;
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return err_sys(err, -errno, "%s/containers", s->path);
	while (r >= 0 && (de = readdir(dir))) {
		if (*de->d_name == '.' || !id_ok(de->d_name) || !is_rubbish(s, de->d_name, NULL))
			continue;
		r = clear(s, de->d_name, err);
		++*ret_n;
	}
	return r;
}

int prepare_bundle(struct store *s, const struct store_image *i, const char *dir, const struct convert_options *o,
		   struct err *err)
{
	cleanup_strv char **trees = NULL;
	cleanup_free char *config = NULL;
	cleanup_fd int dirfd = -1, root = -1;
	struct merge m;
	int r = path_mkdirs(dir, 0755);

	dirfd = r < 0 ? r : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return err_sys(err, r < 0 ? r : -errno, "%s", dir);
	if (faccessat(dirfd, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(err, -EEXIST, "%s: has a config.json already", dir);
	if (mkdirat(dirfd, "rootfs", 0755) < 0)
		return err_sys(err, -errno, "%s/rootfs", dir);
	root = openat(dirfd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, -errno, "%s/rootfs", dir);
	r = snapshot_trees(s, i->config->diff_ids, &trees, err);
	if (r >= 0)
		r = snapshot_open(s, trees, &m, err);
	if (r >= 0) {
		/* an ordinary user's directory is to be the user's, all of it */
		if (m.rights == RIGHTS_RANGES)
			m.rights = RIGHTS_ONE_ID;
		r = merge_out_copy(&m, root, NULL, err);
		snapshot_close(&m);
	}
	if (r >= 0)
		r = make_volumes(&(struct volumes){ root, i->config }, err);
	if (r >= 0)
		r = convert_image(i->config, root, o, &config, err);
	if (r >= 0) {
		r = path_write_atomic(dirfd, "config.json", config, strlen(config), 0644);
		if (r < 0)
			err_sys(err, r, "%s/config.json", dir);
	}
	if (r < 0)
		path_remove_tree(dirfd, "rootfs", true);
	return r;
}
