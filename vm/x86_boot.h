/* SPDX-License-Identifier: Apache-2.0 */
/* What firmware would have done: boot parameters, page tables and the first registers (64-bit Linux boot protocol). */
#ifndef VM_X86_BOOT_H
#define VM_X86_BOOT_H

#include "base/err.h"
#include "vm/kernel.h"
#include "vm/kvm.h"
#include "vm/memory.h"

struct x86_boot {
	const struct kernel_image *kernel;
	const char *cmdline;
	gpa_t initrd; /* 0: none */
	uint64_t initrd_len;
	gpa_t acpi; /* RSDP */
};

/* Writes GDT, page tables, command line and boot_params into guest memory. 0 or -errno. */
int x86_boot_memory(const struct vm_memory *m, const struct x86_boot *b, struct err *err);
/* The first vCPU's registers: long mode, flat segments, at entry with RSI = boot_params. 0 or -errno. */
int x86_boot_registers(int vcpu_fd, gpa_t entry, struct err *err);

#endif
