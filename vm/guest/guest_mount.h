/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts of the machine itself: the early ones, the root on tmpfs, the host's export tree. */
#ifndef VM_GUEST_GUEST_MOUNT_H
#define VM_GUEST_GUEST_MOUNT_H

#include "base/err.h"

/*
 * PID 1, first thing: moves the root from the initramfs (which cannot be pivoted) to a tmpfs with /proc, /sys, /dev, /run,
 * /tmp and cgroup2 mounted, leaving the initramfs read-only underneath. 0 or -errno.
 */
int guest_mount_root(struct err *err);
/* Mounts the export tree at PROTO_EXPORT_DIR unless it is; any process. 0 or -errno. */
int guest_mount_export(struct err *err);

#endif
