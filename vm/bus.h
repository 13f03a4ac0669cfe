/* SPDX-License-Identifier: Apache-2.0 */
/* Address ranges (memory-mapped or ports) → handlers. Filled before the vCPUs run, read-only afterwards. */
#ifndef VM_BUS_H
#define VM_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_RANGES_MAX 32

/*
 * One access of 1, 2, 4 or 8 bytes at offset off of the range, wholly inside it. Called in a vCPU's thread, from several
 * at once. A read must fill data.
 */
typedef void bus_fn(void *arg, uint64_t off, void *data, unsigned int len, bool write);

struct bus_range {
	uint64_t base;
	uint64_t len;
	bus_fn *fn;
	void *arg;
};

struct bus {
	unsigned int n;
	struct bus_range ranges[BUS_RANGES_MAX];
};

/* 0, -ENOSPC, -EINVAL (empty, wraps around) or -EEXIST (overlaps). */
int bus_add(struct bus *b, uint64_t base, uint64_t len, bus_fn *fn, void *arg);
/* Serves an access. What nobody owns reads as all ones and swallows writes, as on real machines; false then. */
bool bus_access(const struct bus *b, uint64_t addr, void *data, unsigned int len, bool write);

#endif
