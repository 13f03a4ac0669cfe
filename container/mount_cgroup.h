/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup entry of the mounts list: cgroup2, or a tmpfs with one v1 hierarchy a directory. */
#ifndef CONTAINER_MOUNT_CGROUP_H
#define CONTAINER_MOUNT_CGROUP_H

#include "base/err.h"

struct mount_context;
struct mount_words;
struct oci_mount;

/* Called by mount_apply() for type cgroup and cgroup2, in the child that is already in its cgroup (namespace). */
int mount_cgroup_apply(struct mount_context *c, const struct oci_mount *m, struct mount_words *w, struct err *err);
/* A tmpfs with "systemd" in it, v1's hierarchy of that name, instead of what m says: for old systemd on v2 hosts. */
int mount_cgroup_systemd_v1(struct mount_context *c, const struct oci_mount *m, const struct mount_words *w,
			    struct err *err);

#endif
