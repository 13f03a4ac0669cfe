/* SPDX-License-Identifier: Apache-2.0 */
/* A set of kernel modules: names, dependencies from .modinfo, load order. Pure: works on bytes in memory. */
#ifndef VM_MODULES_H
#define VM_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct modules_entry {
	char *name;          /* "virtio_mmio"; owned */
	const uint8_t *data; /* as in the package, maybe compressed; borrowed */
	size_t len;
	uint8_t *image; /* ELF, unpacked when first needed; owned */
	size_t image_len;
	int state; /* of the ordering: 0 untouched, 1 being visited, 2 placed */
};

struct modules {
	struct modules_entry *v;
	size_t n, cap;
	char **builtin; /* names compiled into the kernel */
	size_t *order;  /* indexes into v, dependencies first */
	size_t n_order;
	bool slim; /* images are slimmed: modules_slim() */
};

/* Remembers a module by its path ("kernel/fs/fuse/fuse.ko.xz"); other files are ignored. data is borrowed. */
void modules_add(struct modules *m, const char *path, const uint8_t *data, size_t len);
/* Reads the text of modules.builtin. */
void modules_add_builtin(struct modules *m, const char *text, size_t len);
/*
 * Puts name and what it needs into the order. Built-in: nothing to do. Absent: -ENOENT when required, else 0.
 * A cycle, a corrupt module or a missing dependency is an error naming the module.
 */
int modules_want(struct modules *m, const char *name, bool required, struct err *err);
/* "depends" of an ELF module image: owned, comma separated, may be empty. 0 or -ENOEXEC. */
int modules_depends(const uint8_t *image, size_t len, char **ret, struct err *err);
/*
 * Takes away what costs more time at loading than all the rest and is of no use to a guest whose modules came from the
 * administrator's store: the signature (for a kernel that does not insist on it) and the type information for tracing
 * (.BTF). Changes image; returns its new length. Malformed images are left alone.
 */
size_t modules_slim(uint8_t *image, size_t len);
void modules_free(struct modules *m);

#endif
