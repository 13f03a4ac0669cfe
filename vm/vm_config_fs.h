/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an OCI config asks of a machine's file system by annotations; pure, part of vm_config:
 *	amphi.vm.cache   none | auto | always for all, and PATH=WORD for the root (/) or a bind mount: "auto,/data=none"
 *	amphi.vm.locks   local | shared | auto
 */
#ifndef VM_VM_CONFIG_FS_H
#define VM_VM_CONFIG_FS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct oci_config;

/* The policy of one exported tree. */
struct vm_config_fs_tree {
	size_t mount; /* index in config->mounts; VM_CONFIG_FS_ROOT: the root */
	int cache;    /* enum virtio_fs_cache */
};

#define VM_CONFIG_FS_ROOT ((size_t)-1)

struct vm_config_fs {
	int cache; /* of what trees leaves out */
	bool shared_locks;
	struct vm_config_fs_tree *trees; /* owned */
	size_t n_trees;
};

/*
 * Reads the annotations. Without amphi.vm.locks, or with "auto", locks are shared with the host where somebody else can
 * hold them: when there is a writable bind mount besides the files that engines make for each container, or a pod. 0
 * with *ret, or -EINVAL naming the annotation.
 */
int vm_config_fs_from_oci(const struct oci_config *config, struct vm_config_fs *ret, struct err *err);
void vm_config_fs_free(struct vm_config_fs *fs);

#endif
