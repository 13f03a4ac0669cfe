/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's initramfs: amphi-init and the modules in load order, as a newc cpio archive. */
#ifndef VM_INITRAMFS_H
#define VM_INITRAMFS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct modules;

/* Where the modules lie in the guest, and the list of their file names in load order. */
#define INITRAMFS_MODULE_DIR "lib/modules"
#define INITRAMFS_MODULE_LIST "lib/modules/order"

/*
 * One archive member (Documentation/driver-api/early-userspace/buffer-format.rst): name without leading '/', mode
 * with file type; data NULL for directories and nodes.
 */
void initramfs_add(struct str *out, const char *name, uint32_t mode, unsigned int rdev_major, unsigned int rdev_minor,
		   const void *data, size_t len);
/* The archive's last member. Archives may be concatenated. */
void initramfs_end(struct str *out);

/* The archive with the ordered modules (images unpacked) and the list. */
void initramfs_modules(struct str *out, const struct modules *m);
/*
 * The archive with /init from the ELF file's bytes: sections that are never loaded (symbols, debugging) are left
 * out. 0 or -ENOEXEC when it is no static ELF executable.
 */
int initramfs_init(struct str *out, const uint8_t *elf, size_t len, struct err *err);

#endif
