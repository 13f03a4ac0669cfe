/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: (guest address, length) → checked slice. The same structure describes our own machine's RAM and
 * the memory table that QEMU sends over vhost-user. A region never moves while a device is active; regions do
 * not overlap. Whatever lies behind a slice is written by the guest at any time: copy once, then check.
 */
#ifndef VM_MEMORY_H
#define VM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A guest physical address. It becomes a pointer only through memory_slice(). */
typedef uint64_t gpa_t;

#define MEMORY_REGIONS_MAX 32

struct memory_region {
	gpa_t gpa;          /* first guest address */
	uint64_t len;       /* bytes */
	uint8_t *host;      /* where gpa is mapped in this process */
	uint64_t user_addr; /* vhost-user: the front-end's address of gpa (else 0) */
	void *map;          /* what to munmap, and how much; NULL: not owned */
	size_t map_len;
};

struct vm_memory {
	unsigned int n;
	struct memory_region regions[MEMORY_REGIONS_MAX];
};

/*
 * Maps bytes (a multiple of 2 MiB) of private, not reserved memory as one or two regions below and above the
 * 32-bit hole (layout.h). 0 or -errno.
 */
int memory_alloc(struct vm_memory *m, uint64_t bytes, struct err *err);
/* Adds a region mapped by the caller. 0, -ENOSPC, -EINVAL (wraps around) or -EEXIST (overlaps). */
int memory_add(struct vm_memory *m, const struct memory_region *region);
/* Unmaps what is owned; m is empty afterwards. */
void memory_free(struct vm_memory *m);

/* Pointer to len bytes at gpa, all inside ONE region; NULL when not. len 0 gives NULL. Overflow-safe. */
void *memory_slice(const struct vm_memory *m, gpa_t gpa, uint64_t len);
/* Copies between guest memory and ours; may cross adjacent regions. 0 or -EFAULT (nothing is promised then). */
int memory_read(const struct vm_memory *m, gpa_t gpa, void *buf, size_t len);
int memory_write(const struct vm_memory *m, gpa_t gpa, const void *buf, size_t len);
/* Front-end address (vhost-user ring addresses) → guest address. 0 or -EFAULT. */
int memory_from_user(const struct vm_memory *m, uint64_t user_addr, gpa_t *ret_gpa);
/* Gives [gpa, gpa + len) of our own RAM back to the host (zeroes afterwards). Only whole host pages inside. 0 or -errno. */
int memory_discard(const struct vm_memory *m, gpa_t gpa, uint64_t len);
/* The same for a slice that memory_slice() or a chain gave out. */
int memory_discard_slice(void *slice, uint64_t len);
/* Sum of the regions' lengths. */
uint64_t memory_total(const struct vm_memory *m);

#endif
