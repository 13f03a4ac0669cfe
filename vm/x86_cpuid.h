/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest's CPUs say they are, and the model-specific registers firmware would have set. */
#ifndef VM_X86_CPUID_H
#define VM_X86_CPUID_H

#include "base/err.h"
#include "vm/kvm.h"

#define X86_CPUID_MAX 256

struct x86_cpuid {
	struct kvm_cpuid2 head; /* nent entries follow */
	struct kvm_cpuid_entry2 entries[X86_CPUID_MAX];
};

/* What KVM can offer on this host. 0 or -errno. */
int x86_cpuid_supported(int kvm_fd, struct x86_cpuid *ret, struct err *err);
/* Makes it the view of vCPU id (its APIC id) of a machine with vcpus single-threaded cores in one package. Pure. */
void x86_cpuid_adjust(struct x86_cpuid *c, unsigned int id, unsigned int vcpus);
/* Hands it to the vCPU, then sets the start-up MSRs (this order: CPUID decides which MSRs exist). 0 or -errno. */
int x86_cpuid_apply(int vcpu_fd, struct x86_cpuid *c, struct err *err);

#endif
