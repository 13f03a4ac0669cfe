/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of the container.
 *
 * Everything happens relative to fds of directories below the container's root, one name at a time, and a name that is
 * already there is looked at without following it: the right node is kept, a plain file (images unpacked
 * without privilege have them) gets the host's node bound over it, anything else is an error. So an image whose /dev is a
 * link or whose /dev/null is something else cannot make us touch the host (CVE-2026-41579, CVE-2026-88264).
 *
 * In a user namespace nodes cannot be made. The parent makes those of the configuration on a filesystem of its own, so that they
 * have the owner and the mode asked for and need not exist on the host; they are bound one by one, which the kernel lets
 * us do only from a mount that is attached. It is attached on the old root, which pivot_root takes away.
 */
#include "container/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "container/idmap.h"
#include "container/lsm.h"
#include "container/mount.h"
#include "oci/config.h"

static const struct {
	const char *name;
	unsigned int major, minor;
} defaults[] = {
	{ "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" },
};

bool device_wanted(const struct oci_config *config)
{
	for (size_t i = 0; i < config->n_mounts; i++) {
		const struct oci_mount *m = &config->mounts[i];
		cleanup_free char *clean = NULL;

		if (!oci_mount_is_bind(m))
			continue;
		clean = path_clean(m->destination);
		if (!strcmp(clean, "/dev") || !strcmp(clean, "dev"))
			return false;
	}
	return true;
}

static mode_t type_mode(char type)
{
	return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

static bool same_device(const struct stat *st, char type, dev_t rdev)
{
	return (st->st_mode & S_IFMT) == type_mode(type) && (type == 'p' || st->st_rdev == rdev);
}

int device_open_host(const char *path, char type, unsigned int major, unsigned int minor)
{
	cleanup_fd int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return same_device(&st, type, makedev(major, minor)) ? steal_fd(fd) : -ENODEV;
}

static const char *node_name(size_t i, char buf[32])
{
	snprintf(buf, 32, "%zu", i);
	return buf;
}

static mode_t node_mode(const struct oci_device *d)
{
	return type_mode(d->type) | (d->has_file_mode ? d->file_mode & 07777 : 0666);
}

static dev_t node_rdev(const struct oci_device *d)
{
	return makedev((unsigned int)d->major, (unsigned int)d->minor);
}

static int tree_node(int tree, const struct oci_linux *l, size_t i, struct err *err)
{
	const struct oci_device *d = &l->devices[i];
	int64_t uid = idmap_to_host(l->uid_mappings, l->n_uid_mappings, d->has_uid ? d->uid : 0);
	int64_t gid = idmap_to_host(l->gid_mappings, l->n_gid_mappings, d->has_gid ? d->gid : 0);
	char name[32];

	if (mknodat(tree, node_name(i, name), node_mode(d), node_rdev(d)) < 0)
		return errno == EPERM ? -ENOTSUP : err_sys(err, -errno, "device %s: make the node", d->path);
	if (uid < 0)
		return err_set(err, EINVAL, "device %s: uid %u is not in linux.uidMappings", d->path, d->uid);
	if (gid < 0)
		return err_set(err, EINVAL, "device %s: gid %u is not in linux.gidMappings", d->path, d->gid);
	if (fchownat(tree, name, (uid_t)uid, (gid_t)gid, 0) < 0)
		return err_sys(err, -errno, "device %s: owner", d->path);
	/* chown may have cleared bits; the mode is not to lose any to the umask either */
	return fchmodat(tree, name, node_mode(d) & 07777, 0) < 0 ? err_sys(err, -errno, "device %s: mode", d->path) : 0;
}

int device_tree(const struct oci_linux *l, struct err *err)
{
	const struct oci_namespace *user = &l->namespaces[OCI_NS_USER];
	cleanup_fd int tree = -1;
	cleanup_fd int fs = -1;
	int r = 0;

	/* nothing says which ids a joined user namespace maps */
	if (!user->present || user->path || !l->n_devices)
		return -ENOTSUP;
	fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -ENOTSUP;
	if (!str_empty(l->mount_label) && lsm_selinux_enabled() &&
	    fsconfig(fs, FSCONFIG_SET_STRING, l->mount_context_type ? l->mount_context_type : "context", l->mount_label,
		     0) < 0)
		return err_sys(err, -errno, "linux.mountLabel \"%s\"", l->mount_label);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -ENOTSUP;
	tree = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (tree < 0)
		return -ENOTSUP;
	for (size_t i = 0; i < l->n_devices && !r; i++)
		r = l->devices[i].type == 'p' ? 0 : tree_node(tree, l, i, err);
	return r < 0 ? r : steal_fd(tree);
}

/* Binds the node source (consumed; -errno passes through) onto dirfd/name, which is made when missing. */
static int bind_node(int dirfd, const char *name, int fd, char type, dev_t rdev)
{
	cleanup_fd int source = fd;
	cleanup_fd int target = -1;
	cleanup_fd int tree = -1;
	struct stat st;

	if (source < 0)
		return source;
	target = openat(dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (target >= 0)
		close(target);
	else if (errno != EEXIST)
		return -errno;
	target = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0 || fstat(target, &st) < 0)
		return -errno;
	if (same_device(&st, type, rdev))
		return 0;
	if (!S_ISREG(st.st_mode))
		return -EEXIST;
	tree = mount_clone(source, "", false);
	return tree < 0 ? tree : mount_attach(tree, target);
}

/* The host's node at that path. */
static int bind_host(int dirfd, const char *name, const char *host, char type, dev_t rdev)
{
	return bind_node(dirfd, name, device_open_host(host, type, major(rdev), minor(rdev)), type, rdev);
}

static int make_node(int dirfd, const char *name, const char *host, mode_t mode, char type, dev_t rdev, uid_t uid,
		     gid_t gid)
{
	struct stat st;

	if (mknodat(dirfd, name, mode, rdev) < 0) {
		if (errno == EPERM)
			return bind_host(dirfd, name, host, type, rdev);
		if (errno != EEXIST)
			return -errno;
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (same_device(&st, type, rdev))
			return 0;
		return S_ISREG(st.st_mode) ? bind_host(dirfd, name, host, type, rdev) : -EEXIST;
	}
	if ((uid || gid) && fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int default_node(int dev, size_t i, bool bind, struct err *err)
{
	cleanup_free char *host = xasprintf("/dev/%s", defaults[i].name);
	dev_t rdev = makedev(defaults[i].major, defaults[i].minor);
	int r = bind ? bind_host(dev, defaults[i].name, host, 'c', rdev) :
		       make_node(dev, defaults[i].name, host, S_IFCHR | 0666, 'c', rdev, 0, 0);

	if (r == -EEXIST)
		return err_set(err, r, "device %s: something else is there already", host);
	return r < 0 ? err_sys(err, r, "device %s", host) : 0;
}

static int configured(int rootfd, const struct oci_linux *l, size_t i, bool bind, int tree, struct err *err)
{
	const struct oci_device *d = &l->devices[i];
	char type = d->type == 'u' ? 'c' : d->type, buf[32];
	cleanup_free char *clean = path_clean(d->path);
	char *name = strrchr(clean, '/');
	cleanup_fd int dir = -1;
	int r;

	if (!name || !name[1])
		return err_set(err, EINVAL, "device %s: not an absolute path of a node", d->path);
	/* the default configuration makes this one a link into its own devpts */
	if (!strcmp(clean, "/dev/ptmx"))
		return 0;
	*name++ = '\0';
	dir = path_mkdirs_in(rootfd, *clean ? clean : "/", 0755, (uid_t)-1, (gid_t)-1);
	if (dir < 0)
		r = dir;
	else if (!bind || type == 'p')
		r = make_node(dir, name, d->path, node_mode(d), type, node_rdev(d), d->has_uid ? d->uid : 0,
			      d->has_gid ? d->gid : 0);
	else if (tree >= 0)
		r = bind_node(dir, name, openat(tree, node_name(i, buf), O_PATH | O_NOFOLLOW | O_CLOEXEC), type,
			      node_rdev(d));
	else
		r = bind_host(dir, name, d->path, type, node_rdev(d));
	if (r == -EEXIST)
		return err_set(err, r, "device %s: something else is there already", d->path);
	return r < 0 ? err_sys(err, r, "device %s", d->path) : 0;
}

static int make_links(int dev, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		if (!symlinkat(links[i].target, dev, links[i].name))
			continue;
		/* a ptmx of the image belongs to another devpts; the other links may stay as they are */
		if (errno == EEXIST && strcmp(links[i].name, "ptmx"))
			continue;
		if (errno != EEXIST ||
		    (unlinkat(dev, links[i].name, 0) < 0 || symlinkat(links[i].target, dev, links[i].name) < 0))
			return err_sys(err, -errno, "make /dev/%s", links[i].name);
	}
	return 0;
}

static int attach_tree(int tree, struct err *err)
{
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = root < 0 ? -errno : mount_attach(tree, root);

	return r < 0 ? err_sys(err, r, "attach the nodes of linux.devices") : 0;
}

static int detach_tree(int tree, struct err *err)
{
	char path[FD_PATH_MAX];

	return umount2(fd_path(tree, path), MNT_DETACH) < 0 ?
		err_sys(err, -errno, "detach the nodes of linux.devices") :
		0;
}

int device_setup(const struct oci_config *config, int rootfd, bool bind, int nodes, struct err *err)
{
	cleanup_fd int dev = path_mkdirs_in(rootfd, "/dev", 0755, (uid_t)-1, (gid_t)-1);
	cleanup_fd int tree = nodes;
	mode_t mask = umask(0);
	int r = 0;

	if (dev < 0)
		r = err_sys(err, dev, "open /dev");
	if (!r && tree >= 0)
		r = attach_tree(tree, err);
	for (size_t i = 0; i < ARRAY_SIZE(defaults) && !r; i++)
		r = default_node(dev, i, bind, err);
	for (size_t i = 0; i < config->linux_.n_devices && !r; i++)
		r = configured(rootfd, &config->linux_, i, bind, tree, err);
	if (!r && tree >= 0)
		r = detach_tree(tree, err);
	if (!r)
		r = make_links(dev, err);
	umask(mask);
	return r;
}

int device_console_file(int rootfd, struct err *err)
{
	cleanup_fd int dev = path_mkdirs_in(rootfd, "/dev", 0755, (uid_t)-1, (gid_t)-1);
	cleanup_fd int target = -1;
	struct stat st;

	if (dev < 0)
		return err_sys(err, dev, "open /dev");
	target = openat(dev, "console", O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (target >= 0)
		close(target);
	else if (errno != EEXIST)
		return err_sys(err, -errno, "make /dev/console");
	target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0 || fstat(target, &st) < 0)
		return err_sys(err, -errno, "open /dev/console");
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return err_set(err, EEXIST, "device /dev/console: something else is there already");
	return steal_fd(target);
}

int device_console(int rootfd, int slave, struct err *err)
{
	cleanup_fd int target = device_console_file(rootfd, err);
	cleanup_fd int tree = -1;
	int r;

	if (target < 0)
		return target;
	tree = mount_clone(slave, "", false);
	r = tree < 0 ? tree : mount_attach(tree, target);
	return r < 0 ? err_sys(err, r, "bind the terminal to /dev/console") : 0;
}
