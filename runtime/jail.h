/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's jail: an OCI config of its own, made from the container's. */
#ifndef RUNTIME_JAIL_H
#define RUNTIME_JAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct oci_config;
struct oci_resources;

/* Inside the jail. */
#define JAIL_EXPORT "/export"       /* served to the guest: rootfs, mounts/N */
#define JAIL_KERNEL "/boot/vmlinux" /* with QEMU */
#define JAIL_INITRD "/boot/initrd"

struct jail_request {
	const struct oci_config *config; /* the container's */
	const char *rootfs;              /* of the container, absolute */
	bool qemu;                       /* show QEMU's files and the kernel's */
	const char *kernel, *initrd;     /* host paths, with qemu */
	const char *root;                /* existing empty directory that becomes the jail's root */
};

/* The jail as a config; owned by the caller. 0 or -errno. */
int jail_config(const struct jail_request *req, struct oci_config **ret, struct err *err);
/*
 * A read-only root reaches the guest read-only, so the mount points that its container needs and that the root
 * lacks are made here, on the host, as container mode makes them. What another mount covers is left alone. 0 or -errno.
 */
int jail_mount_points(const struct oci_config *config, const char *rootfs, struct err *err);
/*
 * The container's config.json for the guest: root and bind sources are places in the guest's export tree. Owned
 * text. 0 or -errno.
 */
int jail_guest_config(const struct oci_config *config, const char *json, size_t len, char **ret, struct err *err);
/*
 * The limits of the monitor's cgroup on the host: cpu and block I/O as the container's; memory, when limited, with
 * room for the machine; devices denied but the harmless ones. The members of *ret are borrowed
 * from config.
 */
void jail_limits(const struct oci_config *config, unsigned long long machine_bytes, bool qemu, struct oci_resources *ret);

#endif
