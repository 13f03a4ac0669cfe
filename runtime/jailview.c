/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody sees who joins the mount namespace of a machine's monitor. */
/*
 * Theory of operation: engines that copy files into a running container (podman cp) join the mount namespace of the pid they
 * know and use paths there; that of a monitor showed them its jail, and what they wrote was lost. setns(2) goes to
 * the topmost mount at the namespace's root, while a process that is inside keeps the root it has. So a copy of the
 * export tree, put together as the container has it, is mounted over the jail's root: the monitor goes on in the jail below, and
 * who comes later is in the container's files, with what is read-only there. Memory file systems of the machine (/dev,
 * tmpfs) are not to be had from outside: an empty read-only one stands for each, so that a copy into it fails and says so. /proc is
 * the jail's. Nothing here is the monitor's: it holds the same files by its export.
 *
 * The image is hostile: destinations are resolved inside the view, and what cannot be found there is left out.
 */
#include "runtime/jailview.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/sys.h"
#include "oci/config.h"
#include "runtime/jail.h"

/* A detached copy of what is mounted at path in the jail; -errno. */
static int clone_tree(int rootfd, const char *path)
{
	cleanup_fd int at = path_open_in(rootfd, path, O_PATH, 0);
	int fd;

	if (at < 0)
		return at;
	fd = open_tree(at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	return fd < 0 ? -errno : fd;
}

static int empty_tree(void)
{
	cleanup_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? -errno : fd;
}

static int place(int view, const char *destination, int tree)
{
	cleanup_fd int at = path_open_in(view, destination, O_PATH, 0);

	if (at < 0)
		return at;
	return move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

static int mount_tree(int rootfd, const struct oci_mount *m, size_t number)
{
	char path[64];

	if (oci_mount_exported(m)) {
		snprintf(path, sizeof(path), JAIL_EXPORT "/mounts/%zu", number);
		return clone_tree(rootfd, path);
	}
	return m->type && !strcmp(m->type, "proc") ? clone_tree(rootfd, "/proc") : empty_tree();
}

int jailview_attach(void *arg, int rootfd, struct err *err)
{
	const struct oci_config *c = arg;
	cleanup_fd int view = clone_tree(rootfd, JAIL_EXPORT "/rootfs");

	if (view < 0)
		return err_sys(err, view, "the monitor's jail: copy of the root file system's mount");
	if (move_mount(view, "", rootfd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(err, -errno, "the monitor's jail: mount the container's root over it");
	for (size_t i = 0; i < c->n_mounts; i++) {
		cleanup_fd int tree = mount_tree(rootfd, &c->mounts[i], i);
		int r = tree < 0 ? tree : place(view, c->mounts[i].destination, tree);

		if (r < 0)
			log_debug("mounts[%zu]: not in the view of the container's files: %s", i, strerrordesc_np(-r));
	}
	return 0;
}
