/* SPDX-License-Identifier: Apache-2.0 */
/* The document of `amphi features` (runtime-spec features.md). */
#ifndef OCI_FEATURES_H
#define OCI_FEATURES_H

#include <stdbool.h>

/* What only other rooms know; vectors are NULL-terminated and belong to the caller. */
struct oci_features {
	char *const *mount_options;           /* every option word of container/mount */
	char *const *seccomp_archs;           /* NULL: the spec's list */
	char *const *seccomp_flags_supported; /* by this kernel and library; NULL: the known ones */
	const char *libseccomp_version;       /* "2.5.4"; NULL: not written */
	bool cgroup_systemd;
	bool cgroup_rdma;
	bool apparmor, selinux, intel_rdt, idmap, net_devices, memory_policy, checkpoint;
};

/* The document, indented, newline at the end; owned by the caller. */
char *oci_features_write(const struct oci_features *f);

#endif
