/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel that config.json names by its files instead of a name in the store. */
#ifndef VM_KERNEL_FILES_H
#define VM_KERNEL_FILES_H

#include "base/err.h"
#include "vm/kernel_store.h"

/*
 * kernel: vmlinux or bzImage; initrd: an archive of the kernel's own (modules), or NULL. Writes <dir>/initrd, which is that
 * archive with amphi-init behind it, the last /init winning. *ret is owned (kernel_store_entry_free()). 0 or -errno
 * naming the file.
 */
int kernel_files_open(const char *kernel, const char *initrd, const char *init_path, const char *dir,
		      struct kernel_store_entry *ret, struct err *err);

#endif
