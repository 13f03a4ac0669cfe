/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What machine an OCI config asks for. Pure: no file is opened, no host is asked. Sources, later wins:
 * defaults → linux.resources (memory limit, cpu quota) → vm object (config-vm.md) → annotations
 *	amphi.vm.vcpus       1..32
 *	amphi.vm.memory      size ("512m"); rounded up to 2 MiB
 *	amphi.vm.kernel      name of a kernel in the administrator's store
 *	amphi.vm.vmm         kvm | qemu | auto
 *	amphi.vm.cache, amphi.vm.locks   see vm_config_fs.h
 * The sandbox of a pod counts what a CRI engine announces for its members: io.kubernetes.cri.sandbox-memory (bytes),
 * -cpu-quota and -cpu-period, in the place of linux.resources.
 * Unknown amphi.vm.* annotations are refused by name. Host paths (vm.kernel.path …) are accepted only when
 * defaults->allow_paths.
 */
#ifndef VM_VM_CONFIG_H
#define VM_VM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vm/vm_config_fs.h"

struct oci_config;

#define VM_CONFIG_MEMORY_MIN (96ULL << 20)
#define VM_CONFIG_MEMORY_DEFAULT (512ULL << 20)
/* What the guest's kernel and agent need on top of the workload's limit. */
#define VM_CONFIG_MEMORY_OVERHEAD (96ULL << 20)
#define VM_CONFIG_VCPUS_MAX 32

enum vm_config_vmm { VM_CONFIG_VMM_AUTO, VM_CONFIG_VMM_KVM, VM_CONFIG_VMM_QEMU };

/* From the configuration file and options. */
struct vm_config_defaults {
	unsigned int vcpus;     /* 0: 1 */
	unsigned int vcpus_max; /* present, offline until an update; 0: as many as vcpus */
	uint64_t memory_bytes;  /* 0: VM_CONFIG_MEMORY_DEFAULT */
	const char *kernel;     /* name in the store; NULL: the store's default */
	enum vm_config_vmm vmm;
	bool allow_paths;
};

struct vm_config {
	unsigned int vcpus;     /* online at boot */
	unsigned int vcpus_max; /* ≥ vcpus */
	uint64_t memory_bytes;  /* RAM, multiple of 2 MiB */
	char *kernel;           /* name in the kernel store; NULL: its default. owned */
	char *kernel_path;      /* host path from vm.kernel.path; NULL usually. owned */
	char *initrd_path;      /* vm.kernel.initrd, likewise */
	char *cmdline;          /* additional kernel parameters (vm.kernel.parameters); NULL: none. owned */
	enum vm_config_vmm vmm;
	struct vm_config_fs fs;
};

/* Decides. 0 with *ret (free it by vm_config_free()), or -EINVAL naming the JSON path. */
int vm_config_from_oci(const struct oci_config *config, const struct vm_config_defaults *defaults,
		       struct vm_config *ret, struct err *err);
void vm_config_free(struct vm_config *c);
/* "auto", "kvm", "qemu" → *ret. 0 or -EINVAL. */
int vm_config_vmm_parse(const char *word, enum vm_config_vmm *ret);

#endif
