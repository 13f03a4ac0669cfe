/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns: network namespaces kept by a file.
 *
 * Theory of operation: a namespace lives as long as a process, a descriptor or a mount refers to it. For a machine
 * whose network is made by plugins there is no process yet, so the namespace is mounted on a file, as ip-netns(8)
 * does. The thread goes into the new namespace for the time of two system calls and comes back.
 */
#include "network/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"

int netns_keep(const char *path, struct err *err)
{
	cleanup_fd int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	cleanup_fd int file = -1;
	int r = 0, fd;

	if (home < 0)
		return err_sys(err, -errno, "open own network namespace");
	file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (file < 0)
		return err_sys(err, -errno, "create %s", path);
	if (unshare(CLONE_NEWNET) < 0) {
		r = err_sys(err, -errno, "new network namespace");
		unlink(path);
		return r;
	}
	if (mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) < 0)
		r = err_sys(err, -errno, "mount network namespace on %s", path);
	if (setns(home, CLONE_NEWNET) < 0)
		r = err_sys(err, -errno, "return to own network namespace");
	fd = r < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (!r && fd < 0)
		r = err_sys(err, -errno, "open %s", path);
	if (r < 0)
		(void)netns_drop(path, NULL);
	return r < 0 ? r : fd;
}

int netns_drop(const char *path, struct err *err)
{
	if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
		return err_sys(err, -errno, "unmount %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "remove %s", path);
	return 0;
}

int netns_bind(const char *path, int netns_fd, struct err *err)
{
	char from[64];
	cleanup_fd int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

	if (file < 0)
		return err_sys(err, -errno, "create %s", path);
	snprintf(from, sizeof(from), "/proc/thread-self/fd/%d", netns_fd);
	if (mount(from, path, NULL, MS_BIND, NULL) < 0) {
		int r = err_sys(err, -errno, "mount network namespace on %s", path);

		unlink(path);
		return r;
	}
	return 0;
}
