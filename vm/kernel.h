/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel and initrd images into guest memory. The files are the administrator's. */
#ifndef VM_KERNEL_H
#define VM_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vm/memory.h"

#define KERNEL_FILE_MAX (512ULL << 20)
/* Size of the setup header region that is copied into boot_params (offset 0x1f1 on). */
#define KERNEL_SETUP_MAX 0x80

struct kernel_image {
	gpa_t entry;                     /* 64-bit entry point */
	gpa_t end;                       /* first address behind what the kernel occupies while it starts */
	uint8_t setup[KERNEL_SETUP_MAX]; /* bzImage: its setup header; ELF: zeroes */
	size_t setup_len;                /* 0: ELF */
};

/* Loads an ELF vmlinux or a bzImage (with a 64-bit entry point). 0 or -errno naming the file by what. */
int kernel_load(const struct vm_memory *m, int fd, const char *what, struct kernel_image *ret, struct err *err);
/*
 * Loads the initrd as high as the kernel can see it (below 2 GiB and below the memory's end). 0 with address and length.
 */
int kernel_load_initrd(const struct vm_memory *m, int fd, gpa_t lowest, gpa_t *ret_gpa, uint64_t *ret_len,
		       struct err *err);
#endif
