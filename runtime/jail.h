/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's jail: an OCI config of its own, made from the container's. */
#ifndef RUNTIME_JAIL_H
#define RUNTIME_JAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct oci_config;
struct oci_mount;
struct oci_resources;

/* Inside the jail. */
#define JAIL_EXPORT "/export"       /* served to the guest: rootfs, mounts/N */
#define JAIL_KERNEL "/boot/vmlinux" /* with QEMU */
#define JAIL_INITRD "/boot/initrd"

struct jail_request {
	const struct oci_config *config; /* the container's */
	const char *rootfs;          /* of the container, absolute; NULL: the jail of a relay, with nothing exported */
	bool qemu;                   /* show QEMU's files and the kernel's */
	const char *kernel, *initrd; /* host paths, with qemu */
	const char *root;            /* existing empty directory that becomes the jail's root */
	bool userns;                 /* in a user namespace with the container's maps: the caller is not root */
};

/* The jail as a config; owned by the caller. 0 or -errno. */
int jail_config(const struct jail_request *req, struct oci_config **ret, struct err *err);
/*
 * The mount points that the container needs and that the root lacks are made here, on the host, as container mode makes
 * them: a read-only root reaches the guest read-only, and jailview_attach() finds them. What another mount covers is left alone. 0 or -errno.
 */
int jail_mount_points(const struct oci_config *config, const char *rootfs, struct err *err);
/*
 * The container's config.json for the guest: root and bind sources are places below dir, where the guest has what is
 * exported for this container; what the host mounts for it is a bind mount there. With userns the user namespace is
 * the jail's, and the container's ids are those of the machine. Owned text. 0 or -errno.
 */
int jail_guest_config(const struct oci_config *config, const char *json, size_t len, const char *dir, bool userns,
		      char **ret, struct err *err);
/* Does the mount end up read-only (the last word wins)? */
bool jail_mount_readonly(const struct oci_mount *m);
/* Memory of the monitor (and QEMU) itself beside the machine's, as its limit allows for. Bytes. */
unsigned long long jail_overhead(bool qemu);
/*
 * The limits of the monitor's cgroup on the host: cpu and block I/O as the container's; memory, when limited, with
 * room for the machine; devices denied but the harmless ones. The members of *ret are borrowed
 * from config.
 */
void jail_limits(const struct oci_config *config, unsigned long long machine_bytes, bool qemu,
		 struct oci_resources *ret);

/*
 * What is left of them for the process of a pod's member, which only relays: its limits hold in the machine. One of memory
 * becomes a small one, for what happens at it (oomfill.h).
 */
void jail_member_limits(struct oci_resources *limits);

#endif
