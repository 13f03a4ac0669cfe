/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts of the configuration: option words, sources, targets. runtime-spec config.md#mounts. */
#ifndef CONTAINER_MOUNT_H
#define CONTAINER_MOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

struct oci_mount;
struct mount_words;

/* What mounting needs to know of its surroundings. */
struct mount_context {
	int rootfd; /* root of the container's tree, attached in our mount namespace; follows mounts on "/" */
	const char *mount_label;       /* linux.mountLabel or NULL */
	const char *context_type;      /* the mount option it is for; NULL: "context" */
	const char *systemd_cgroup_v1; /* destination whose mount is the v1 hierarchy of systemd alone, or NULL */
	bool userns;                   /* we are in a user namespace of our own */
	bool cgroupns;                 /* in a new cgroup namespace */
	/* Called before the first cgroup mount: returns once the process is in its cgroup (namespace). */
	int (*before_cgroup)(void *arg, struct err *err);
	void *arg;
	struct str late; /* targets (NUL-terminated strings one behind the other) that become read-only late */
};

/*
 * Mounts one entry. tree is a detached mount tree prepared by mount_source() or -1; it is consumed. Targets are resolved
 * inside rootfd and made when missing. Errors begin with `mount "SOURCE" to "DESTINATION"`.
 */
int mount_apply(struct mount_context *c, const struct oci_mount *m, int tree, struct err *err);
/* Gives the read-only flag to those filesystems that had to be writable until /dev and mount points were made. */
int mount_late(struct mount_context *c, struct err *err);

/*
 * In the parent: opens the source with the host's privileges where the child cannot: idmapped mounts, and binds of a child in
 * another user namespace (userns). userns_fd: the container's user namespace, for idmap without mappings of its own,
 * or -1. Returns an owned fd of a detached, idmapped tree that gets no propagation back; -ENOTSUP without *err
 * where the child does it alone.
 */
int mount_source(const struct oci_mount *m, bool userns, int userns_fd, struct err *err);

/* Mount point fd (O_PATH) below rootfd, made when missing: a directory, or a file when file is set. fd or -errno. */
int mount_target(int rootfd, const char *path, bool file, mode_t mode);
/* Puts the detached tree onto the target. 0 or -errno. */
int mount_attach(int tree, int target);
/* mount_setattr(2) of the mount fd. 0 or -errno. */
int mount_set(int fd, bool rec, uint64_t set, uint64_t clr, unsigned long propagation);
/* Detached copy of the mount at dirfd/path (empty: dirfd itself). fd or -errno. */
int mount_clone(int dirfd, const char *path, bool rec);

#endif
