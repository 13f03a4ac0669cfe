/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buses: the vCPU loop hands every exit for memory-mapped registers and ports to bus_access(). A machine has a dozen
 * ranges and the hot paths (queue kicks) never come here, so a linear search is right.
 */
#include "vm/bus.h"

#include <errno.h>
#include <string.h>

int bus_add(struct bus *b, uint64_t base, uint64_t len, bus_fn *fn, void *arg)
{
	if (!len || base + (len - 1) < base)
		return -EINVAL;
	if (b->n >= BUS_RANGES_MAX)
		return -ENOSPC;
	for (unsigned int i = 0; i < b->n; i++) {
		const struct bus_range *r = &b->ranges[i];

		if (base <= r->base + (r->len - 1) && r->base <= base + (len - 1))
			return -EEXIST;
	}
	b->ranges[b->n++] = (struct bus_range){ .base = base, .len = len, .fn = fn, .arg = arg };
	return 0;
}

bool bus_access(const struct bus *b, uint64_t addr, void *data, unsigned int len, bool write)
{
	for (unsigned int i = 0; i < b->n; i++) {
		const struct bus_range *r = &b->ranges[i];
		uint64_t off = addr - r->base;

		if (addr < r->base || off >= r->len || len > r->len - off)
			continue;
		r->fn(r->arg, off, data, len, write);
		return true;
	}
	if (!write)
		memset(data, 0xff, len);
	return false;
}
