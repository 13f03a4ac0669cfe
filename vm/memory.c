/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory.
 *
 * Our own machine's RAM is one private anonymous mapping without reservation, cut at the 32-bit hole into at most two
 * regions, asked to use huge pages: the cheapest faults there are, and copy-on-write clones stay possible. The QEMU
 * driver's regions are mappings of QEMU's memfds. Both are a short array searched linearly: there are one or two
 * entries in nearly every machine.
 *
 * memory_slice() is the gate through which a guest address becomes a pointer. Addresses and lengths come from the
 * guest; every comparison is written so that it cannot overflow.
 */
#include "vm/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/layout.h"

#define HUGE_PAGE (2ULL << 20)

/* Maps bytes at a 2 MiB boundary. */
static void *map_aligned(uint64_t bytes, void **ret_map, size_t *ret_len)
{
	size_t len = bytes + HUGE_PAGE;
	uint8_t *p, *aligned;

	p = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	aligned = (uint8_t *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	if (mmap(aligned, bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0) == MAP_FAILED) {
		int saved = errno;

		munmap(p, len);
		errno = saved;
		return NULL;
	}
	*ret_map = p;
	*ret_len = len;
	return aligned;
}

int memory_alloc(struct vm_memory *m, uint64_t bytes, struct err *err)
{
	uint64_t low = bytes < LAYOUT_HOLE ? bytes : LAYOUT_HOLE;
	struct memory_region r = { .len = low };
	uint8_t *base;

	memset(m, 0, sizeof(*m));
	if (!bytes || bytes % HUGE_PAGE || bytes > 1ULL << 40)
		return err_set(err, EINVAL, "memory of a machine: %llu bytes is not a multiple of 2 MiB below 1 TiB",
			       (unsigned long long)bytes);
	base = map_aligned(bytes, &r.map, &r.map_len);
	if (!base)
		return err_sys(err, -errno, "memory of a machine: cannot map %llu bytes", (unsigned long long)bytes);
	madvise(base, bytes, MADV_HUGEPAGE);
	madvise(base, bytes, MADV_DONTDUMP);
	r.host = base;
	memory_add(m, &r);
	if (bytes > low) {
		struct memory_region high = { .gpa = LAYOUT_HOLE_END, .len = bytes - low, .host = base + low };

		memory_add(m, &high);
	}
	return 0;
}

int memory_add(struct vm_memory *m, const struct memory_region *region)
{
	uint64_t last = region->gpa + (region->len - 1);

	if (!region->len || last < region->gpa)
		return -EINVAL;
	if (m->n >= MEMORY_REGIONS_MAX)
		return -ENOSPC;
	for (unsigned int i = 0; i < m->n; i++) {
		const struct memory_region *r = &m->regions[i];

		if (region->gpa <= r->gpa + (r->len - 1) && r->gpa <= last)
			return -EEXIST;
	}
	m->regions[m->n++] = *region;
	return 0;
}

void memory_free(struct vm_memory *m)
{
	for (unsigned int i = 0; i < m->n; i++) {
		if (m->regions[i].map)
			munmap(m->regions[i].map, m->regions[i].map_len);
	}
	memset(m, 0, sizeof(*m));
}

void *memory_slice(const struct vm_memory *m, gpa_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct memory_region *r = &m->regions[i];
		uint64_t off = gpa - r->gpa;

		if (gpa < r->gpa || off >= r->len)
			continue;
		return len && len <= r->len - off ? r->host + off : NULL;
	}
	return NULL;
}

/* The slice at gpa as far as it goes, at most len bytes. */
static void *slice_part(const struct vm_memory *m, gpa_t gpa, size_t len, size_t *ret_len)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct memory_region *r = &m->regions[i];
		uint64_t off = gpa - r->gpa;

		if (gpa < r->gpa || off >= r->len)
			continue;
		*ret_len = len < r->len - off ? len : r->len - off;
		return r->host + off;
	}
	return NULL;
}

int memory_read(const struct vm_memory *m, gpa_t gpa, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len) {
		size_t n;
		const void *p = slice_part(m, gpa, len, &n);

		if (!p)
			return -EFAULT;
		memcpy(to, p, n);
		to += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

int memory_write(const struct vm_memory *m, gpa_t gpa, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	while (len) {
		size_t n;
		void *p = slice_part(m, gpa, len, &n);

		if (!p)
			return -EFAULT;
		memcpy(p, from, n);
		from += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

int memory_from_user(const struct vm_memory *m, uint64_t user_addr, gpa_t *ret_gpa)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct memory_region *r = &m->regions[i];
		uint64_t off = user_addr - r->user_addr;

		if (user_addr < r->user_addr || off >= r->len)
			continue;
		*ret_gpa = r->gpa + off;
		return 0;
	}
	return -EFAULT;
}

int memory_discard(const struct vm_memory *m, gpa_t gpa, uint64_t len)
{
	void *p = memory_slice(m, gpa, len);

	return p ? memory_discard_slice(p, len) : -EFAULT;
}

int memory_discard_slice(void *slice, uint64_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = ((uintptr_t)slice + page - 1) & ~(page - 1);
	uintptr_t end = ((uintptr_t)slice + len) & ~(page - 1);

	if (end <= begin)
		return 0;
	return madvise((void *)begin, end - begin, MADV_DONTNEED) ? -errno : 0;
}

uint64_t memory_total(const struct vm_memory *m)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < m->n; i++)
		sum += m->regions[i].len;
	return sum;
}
