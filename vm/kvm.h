/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's ioctls with errors a person can read, and the capabilities a machine needs. */
#ifndef VM_KVM_H
#define VM_KVM_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "base/err.h"

struct kvm {
	int fd;       /* /dev/kvm; not owned */
	int vm_fd;    /* -1: none */
	int run_size; /* bytes of a vCPU's shared page(s) */
	unsigned int slots;
	bool kvmclock_ctrl;
};

#define KVM_NONE ((struct kvm){ .fd = -1, .vm_fd = -1 })

/* Opens /dev/kvm and checks the API version. fd or -errno, *err with the remedy. */
int kvm_open(struct err *err);
/* Makes a VM on an open /dev/kvm and checks the capabilities. Must run in the process that will run the vCPUs. */
int kvm_create(int kvm_fd, struct kvm *ret, struct err *err);
void kvm_close(struct kvm *k);
/* ioctl with EINTR retried; result or -errno. */
int kvm_ioctl(int fd, unsigned long request, void *arg);
int kvm_ioctl_val(int fd, unsigned long request, unsigned long arg);
/* A memory slot for guest physical [gpa, gpa + len). 0 or -errno. */
int kvm_add_memory(struct kvm *k, uint64_t gpa, uint64_t len, void *host, bool read_only, struct err *err);
/* Connects an eventfd to a GSI (edge). */
int kvm_irqfd(const struct kvm *k, int event_fd, uint32_t gsi, bool assign, struct err *err);
/* A write of value (len 4) to the address signals event_fd without leaving the kernel. */
int kvm_ioeventfd(const struct kvm *k, int event_fd, uint64_t addr, uint32_t value, bool assign, struct err *err);

#endif
