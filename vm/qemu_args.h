/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the fallback driver's QEMU. Pure. */
#ifndef VM_QEMU_ARGS_H
#define VM_QEMU_ARGS_H

#include <stdbool.h>

#include "base/err.h"

struct vm_spec;

struct qemu_args {
	const char *binary;
	bool kvm;              /* accelerator: KVM, else TCG */
	unsigned long tsc_khz; /* TCG: the host's TSC rate; 0: unknown */
	int qmp_fd;            /* fds as QEMU will see them */
	int fs_fd, vsock_fd;   /* vhost-user sockets; -1: no such device */
	bool sandbox;          /* QEMU's own seccomp filter */
};

/* argv for spec, owned by the caller; NULL with *err when a path or parameter cannot be expressed. */
char **qemu_args_build(const struct vm_spec *spec, const struct qemu_args *a, struct err *err);

#endif
