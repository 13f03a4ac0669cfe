/* SPDX-License-Identifier: Apache-2.0 */
/* The container's root: attach, hide, make read-only, enter. runtime-spec config.md#root, config-linux.md#masked-paths. */
#ifndef CONTAINER_ROOTFS_H
#define CONTAINER_ROOTFS_H

#include <stdbool.h>

#include "base/err.h"

struct oci_config;

/*
 * In the child's own mount namespace: cuts propagation as configured and mounts a copy of the tree at path onto
 * itself, or the detached tree of it that the parent made (tree not -1, consumed). Returns an fd of the new root (owned).
 */
int rootfs_prepare(const struct oci_config *config, const char *path, int tree, struct err *err);
/*
 * Is mounts[0] a file system for "/"? Then rootfs_prepare() mounts it over root.path before all else, and what relative
 * names its options have (an overlay's directories) begin where root.path lies.
 */
bool rootfs_is_mounted(const struct oci_config *config);
/* Hides linux.maskedPaths and makes linux.readonlyPaths read-only, below rootfd. Missing paths are fine. */
int rootfs_protect(const struct oci_config *config, int rootfd, struct err *err);
/* root.readonly. */
int rootfs_readonly(const struct oci_config *config, int rootfd, struct err *err);
/*
 * Makes rootfd "/" and the working directory, and drops the host's tree: by pivot_root(2), by moving the mount
 * (no_pivot), or by chroot(2) alone where there is no mount namespace of our own (new_mounts false). Then linux.rootfsPropagation.
 */
int rootfs_enter(const struct oci_config *config, int rootfd, bool no_pivot, bool new_mounts, struct err *err);

#endif
