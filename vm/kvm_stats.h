/* SPDX-License-Identifier: Apache-2.0 */
/* What made the guest leave, counted by KVM itself for each vCPU (KVM_GET_STATS_FD, Linux 5.14). */
#ifndef VM_KVM_STATS_H
#define VM_KVM_STATS_H

#include <stdint.h>

enum kvm_stats_kind {
	KVM_STATS_EXITS,      /* all */
	KVM_STATS_IO,         /* port accesses */
	KVM_STATS_MMIO,       /* register accesses, those that an ioeventfd took too */
	KVM_STATS_HALT,       /* the guest waits */
	KVM_STATS_IRQ,        /* interrupts of the host */
	KVM_STATS_IRQ_WINDOW, /* waits for the guest to take an interrupt */
	KVM_STATS_SIGNAL,
	KVM_STATS_HYPERCALL,
	KVM_STATS_PAGE_FAULT, /* memory given to the guest at its first use */
	KVM_STATS_MAX
};

/* A kind's word ("mmio"). */
const char *kvm_stats_name(enum kvm_stats_kind kind);
/* The counters' descriptor of a vCPU; -errno where the kernel has none. Owned. */
int kvm_stats_open(int vcpu_fd);
/* Adds the vCPU's counters to sum. 0 or -errno. */
int kvm_stats_add(int stats_fd, uint64_t sum[KVM_STATS_MAX]);

#endif
