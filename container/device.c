/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of the container.
 *
 * Everything happens relative to fds of directories below the container's root, one name at a time, and a name that is
 * already there is looked at without following it: the right node is kept, a plain file (images unpacked
 * without privilege have them) gets the host's node bound over it, anything else is an error. So an image whose /dev is a
 * link or whose /dev/null is something else cannot make us touch the host (CVE-2026-41579, CVE-2026-88264).
 */
#include "container/device.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
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

/* Binds the host's node of the same path onto dirfd/name, which is made when missing. */
static int bind_node(int dirfd, const char *name, const char *host, char type, dev_t rdev)
{
	cleanup_fd int source = device_open_host(host, type, major(rdev), minor(rdev));
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

static int make_node(int dirfd, const char *name, const char *host, char type, dev_t rdev, mode_t mode, uid_t uid,
		     gid_t gid, bool bind)
{
	struct stat st;

	if (bind)
		return bind_node(dirfd, name, host, type, rdev);
	if (mknodat(dirfd, name, type_mode(type) | mode, rdev) < 0) {
		if (errno == EPERM)
			return bind_node(dirfd, name, host, type, rdev);
		if (errno != EEXIST)
			return -errno;
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (same_device(&st, type, rdev))
			return 0;
		return S_ISREG(st.st_mode) ? bind_node(dirfd, name, host, type, rdev) : -EEXIST;
	}
	if ((uid || gid) && fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int configured(int rootfd, const struct oci_device *d, bool bind, struct err *err)
{
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
	r = dir < 0 ? dir :
		      make_node(dir, name, d->path, d->type == 'u' ? 'c' : d->type,
				makedev((unsigned int)d->major, (unsigned int)d->minor),
				d->has_file_mode ? d->file_mode & 07777 : 0666, d->has_uid ? d->uid : 0,
				d->has_gid ? d->gid : 0, bind && d->type != 'p');
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

int device_setup(const struct oci_config *config, int rootfd, bool bind, struct err *err)
{
	cleanup_fd int dev = path_mkdirs_in(rootfd, "/dev", 0755, (uid_t)-1, (gid_t)-1);
	mode_t mask = umask(0);
	int r = 0;

	if (dev < 0)
		r = err_sys(err, dev, "open /dev");
	for (size_t i = 0; i < ARRAY_SIZE(defaults) && !r; i++) {
		cleanup_free char *host = xasprintf("/dev/%s", defaults[i].name);

		r = make_node(dev, defaults[i].name, host, 'c', makedev(defaults[i].major, defaults[i].minor), 0666, 0,
			      0, bind);
		if (r == -EEXIST)
			err_set(err, r, "device %s: something else is there already", host);
		else if (r < 0)
			err_sys(err, r, "device %s", host);
	}
	for (size_t i = 0; i < config->linux_.n_devices && !r; i++)
		r = configured(rootfd, &config->linux_.devices[i], bind, err);
	if (!r)
		r = make_links(dev, err);
	umask(mask);
	return r;
}

int device_console(int rootfd, int slave, struct err *err)
{
	cleanup_fd int dev = path_mkdirs_in(rootfd, "/dev", 0755, (uid_t)-1, (gid_t)-1);
	cleanup_fd int target = -1;
	cleanup_fd int tree = -1;
	struct stat st;
	int r;

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
	tree = mount_clone(slave, "", false);
	r = tree < 0 ? tree : mount_attach(tree, target);
	return r < 0 ? err_sys(err, r, "bind the terminal to /dev/console") : 0;
}
