/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts of the machine.
 *
 * The kernel unpacks the initramfs onto rootfs, the one mount that pivot_root(2) refuses to leave; so PID 1 builds a
 * tmpfs, moves it over the root and lives there. rootfs stays underneath, read-only, because our own program is
 * executed from it: a workload that reached /proc/1/exe could not write it. The host's tree is one virtio-fs mount
 * whose tag is fixed; it is made when the first container is created, so that a machine which only waits holds no file
 * state of the host.
 */
#include "vm/guest/guest_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "vm/proto.h"

#define NEWROOT "/tmp"

static const struct {
	const char *target, *type, *options;
	unsigned long flags;
} early[] = {
	{ "proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "dev", "devtmpfs", "mode=755", MS_NOSUID },
	{ "dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=620,gid=5", MS_NOSUID | MS_NOEXEC },
	{ "dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "run", "tmpfs", "mode=755", MS_NOSUID | MS_NODEV },
	{ "tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "sys/fs/cgroup", "cgroup2", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

int guest_mount_root(struct err *err)
{
	if (mount("tmpfs", NEWROOT, "tmpfs", 0, "mode=755,size=16m") < 0)
		return err_sys(err, -errno, "mount the root tmpfs");
	for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
		cleanup_free char *path = xasprintf(NEWROOT "/%s", early[i].target);
		int r = path_mkdirs(path, 0755);

		if (r < 0)
			return err_sys(err, r, "%s", path);
		if (mount(early[i].type, path, early[i].type, early[i].flags, early[i].options) < 0)
			return err_sys(err, -errno, "mount %s on /%s", early[i].type, early[i].target);
	}
	(void)mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	if (chdir(NEWROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_sys(err, -errno, "move the root");
	if (mkdir("/run/amphi", 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "/run/amphi");
	return 0;
}

int guest_mount_export(struct err *err)
{
	cleanup_fd int lock = open("/run/amphi", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st, parent;

	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return err_sys(err, -errno, "/run/amphi");
	if (mkdir(PROTO_EXPORT_DIR, 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, PROTO_EXPORT_DIR);
	if (stat(PROTO_EXPORT_DIR, &st) < 0 || fstat(lock, &parent) < 0)
		return err_sys(err, -errno, PROTO_EXPORT_DIR);
	if (st.st_dev != parent.st_dev)
		return 0;
	if (mount(PROTO_FS_TAG, PROTO_EXPORT_DIR, "virtiofs", 0, NULL) < 0)
		return err_sys(err, -errno, "mount the host's tree by virtio-fs");
	return 0;
}
