/* SPDX-License-Identifier: Apache-2.0 */
/* Making bundles of images. */
/*
 * A container of the store is the directory containers/ID: image.json (what it was made of: names and trees, the
 * collector's roots), config.json, rootfs (mount point of the overlay), upper, work and l (links to the lower
 * trees). The mount is an ordinary one in the caller's mount namespace, so the runtime, an engine and the
 * machine's export see one and the same tree, and all containers of an image share its page cache. image.json is
 * written first and the directory removed last, so a crash in between leaves something that release finishes.
 */
#include "images/prepare.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "images/snapshot.h"

static bool id_ok(const char *id)
{
	return *id && strlen(id) <= 128 && strcmp(id, ".") && strcmp(id, "..") &&
	       !id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-")];
}

/* Directories for the image's Volumes, which programs expect to be there. */
static int make_volumes(int root, const struct oci_image *image, struct err *err)
{
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

static int write_image_json(int dirfd, const struct store_image *i, const char *name, char *const *trees, struct err *err)
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
	json_w_object_end(&w);
	text = json_w_steal(&w);
	r = path_write_atomic(dirfd, "image.json", text, strlen(text), 0644);
	return r < 0 ? err_sys(err, r, "image.json") : 0;
}

static int fill(struct store *s, int dirfd, const struct store_image *i, const char *name, const struct convert_options *o,
		struct err *err)
{
	cleanup_strv char **trees = NULL;
	cleanup_free char *config = NULL;
	cleanup_fd int root = -1;
	enum snapshot_kind kind;
	int r = snapshot_trees(s, i->config->diff_ids, &trees, err);

	if (r >= 0)
		r = write_image_json(dirfd, i, name, trees, err);
	if (r >= 0)
		r = snapshot_mount(s, trees, dirfd, s->rootless, &kind, err);
	if (r < 0)
		return r;
	root = openat(dirfd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, -errno, "rootfs");
	r = make_volumes(root, i->config, err);
	if (r >= 0)
		r = convert_image(i->config, root, o, &config, err);
	if (r >= 0) {
		r = path_write_atomic(dirfd, "config.json", config, strlen(config), 0644);
		if (r < 0)
			err_sys(err, r, "config.json");
	}
	return r;
}

int prepare_container(struct store *s, const struct store_image *i, const char *id, const char *image_name,
		      const struct convert_options *o, char **ret_bundle, struct err *err)
{
	cleanup_free char *name = xasprintf("containers/%s", id);
	cleanup_free char *path = path_join(s->path, name);
	cleanup_fd int dirfd = -1;
	int r;

	if (!id_ok(id))
		return err_set(err, -EINVAL, "container id \"%.200s\": not usable", id);
	if (mkdirat(s->fd, name, 0711) < 0)
		return errno == EEXIST ? err_set(err, -EEXIST, "container with given ID already exists: %s", path)
				       : err_sys(err, -errno, "%s", path);
	dirfd = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dirfd < 0 ? err_sys(err, -errno, "%s", path) : fill(s, dirfd, i, image_name, o, err);
	if (r < 0) {
		prepare_release(s, path, NULL);
		return r;
	}
	*ret_bundle = steal_ptr(path);
	return 0;
}

int prepare_release(struct store *s, const char *bundle, struct err *err)
{
	cleanup_free char *clean = path_clean(bundle);
	cleanup_free char *root = path_join(clean, "rootfs");
	const char *id = strrchr(clean, '/');
	cleanup_free char *name = NULL, *expected = NULL;
	int r;

	name = xasprintf("containers/%s", id ? id + 1 : clean);
	expected = path_join(s->path, name);
	if (!id || !id_ok(id + 1) || strcmp(expected, clean))
		return err_set(err, -EINVAL, "%s: not a container of the store %s", bundle, s->path);
	/* the topmost mount first, should somebody have mounted twice */
	while (umount2(root, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT && errno != EPERM)
		return err_sys(err, -errno, "unmount %s", root);
	r = path_remove_tree(s->fd, name, true);
	return r < 0 && r != -ENOENT ? err_sys(err, r, "%s", clean) : 0;
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
		r = merge_out_copy(&m, root, err);
		snapshot_close(&m);
	}
	if (r >= 0)
		r = make_volumes(root, i->config, err);
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
