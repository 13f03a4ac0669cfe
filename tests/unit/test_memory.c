/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: slices at every edge, overlaps, the 32-bit hole, front-end addresses, discarding. */
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/layout.h"
#include "vm/memory.h"

#include "tests/unit/tap.h"

#define MIB (1ULL << 20)

static void test_slices(void)
{
	struct vm_memory m;
	struct err err = { 0 };
	uint8_t *base;

	need(memory_alloc(&m, 4 * MIB, &err) == 0);
	base = m.regions[0].host;
	is_int(memory_total(&m), 4 * MIB);
	ok(memory_slice(&m, 0, 1) == base);
	ok(memory_slice(&m, 0, 4 * MIB) == base);
	ok(memory_slice(&m, 4 * MIB - 1, 1) == base + 4 * MIB - 1);
	ok(!memory_slice(&m, 0, 0));
	ok(!memory_slice(&m, 0, 4 * MIB + 1));
	ok(!memory_slice(&m, 4 * MIB - 1, 2));
	ok(!memory_slice(&m, 4 * MIB, 1));
	ok(!memory_slice(&m, 1, UINT64_MAX));
	ok(!memory_slice(&m, UINT64_MAX, 1));
	ok(!memory_slice(&m, UINT64_MAX, UINT64_MAX));
	ok(!memory_slice(&m, 4 * MIB - 1, UINT64_MAX - 4 * MIB + 2));
	memory_free(&m);
	ok(!memory_slice(&m, 0, 1));
}

static void test_hole(void)
{
	struct vm_memory m;
	struct err err = { 0 };

	need(memory_alloc(&m, LAYOUT_HOLE + 2 * MIB, &err) == 0);
	is_int(m.n, 2);
	is_int(m.regions[1].gpa, LAYOUT_HOLE_END);
	is_int(m.regions[1].len, 2 * MIB);
	ok(memory_slice(&m, LAYOUT_HOLE - 1, 1));
	ok(!memory_slice(&m, LAYOUT_HOLE - 1, 2));
	ok(!memory_slice(&m, LAYOUT_HOLE, 1));
	ok(!memory_slice(&m, LAYOUT_HOLE_END - 1, 2));
	ok(memory_slice(&m, LAYOUT_HOLE_END, 2 * MIB));
	ok(!memory_slice(&m, LAYOUT_HOLE_END + 1, 2 * MIB));
	memory_free(&m);
	is_int(memory_alloc(&m, 0, &err), -EINVAL);
	is_int(memory_alloc(&m, MIB, &err), -EINVAL);
}

static void test_add(void)
{
	static uint8_t bytes[4096];
	struct vm_memory m = { 0 };
	gpa_t gpa;
	struct memory_region r = { .gpa = 0x1000, .len = 0x800, .host = bytes, .user_addr = 0x7f0000001000 };
	char buf[16] = "";

	is_int(memory_add(&m, &r), 0);
	is_int(memory_add(&m, &r), -EEXIST);
	r.gpa = 0x17ff;
	is_int(memory_add(&m, &r), -EEXIST);
	r.gpa = 0x801;
	is_int(memory_add(&m, &r), -EEXIST);
	r.gpa = UINT64_MAX - 0x10;
	is_int(memory_add(&m, &r), -EINVAL);
	r.len = 0;
	is_int(memory_add(&m, &r), -EINVAL);
	r = (struct memory_region){ .gpa = 0x1800, .len = 0x800, .host = bytes + 0x800, .user_addr = 0x7f0000011000 };
	is_int(memory_add(&m, &r), 0);

	/* across adjacent regions by copy, never by slice */
	is_int(memory_write(&m, 0x17fc, "abcdefgh", 8), 0);
	ok(!memory_slice(&m, 0x17fc, 8));
	is_int(memory_read(&m, 0x17fc, buf, 8), 0);
	is_str(buf, "abcdefgh");
	is_int(memory_read(&m, 0x1ffc, buf, 8), -EFAULT);
	is_int(memory_write(&m, 0xfff, buf, 1), -EFAULT);

	is_int(memory_from_user(&m, 0x7f0000001010, &gpa), 0);
	is_int(gpa, 0x1010);
	is_int(memory_from_user(&m, 0x7f00000117ff, &gpa), 0);
	is_int(gpa, 0x1fff);
	is_int(memory_from_user(&m, 0x7f0000011800, &gpa), -EFAULT);
	is_int(memory_from_user(&m, 0, &gpa), -EFAULT);
}

static void test_discard(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	struct vm_memory m;
	struct err err = { 0 };
	int status;
	uint8_t *p;

	need(memory_alloc(&m, 2 * MIB, &err) == 0);
	p = memory_slice(&m, 0, 2 * MIB);
	memset(p, 0xaa, 4 * 4096);
	is_int(memory_discard(&m, 4096 - 16, 2 * 4096 + 32), 0);
	ok(p[4095] == 0xaa && p[3 * 4096] == 0xaa); /* parts of pages stay */
	ok(p[4096] == 0 && p[3 * 4096 - 1] == 0);
	is_int(memory_discard(&m, 2 * MIB, 4096), -EFAULT);
	is_int(memory_discard(&m, 100, 200), 0);
	/* one call, and no other that can only fail: a guest gives back thousands of blocks */
	need(!seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(madvise), 1, SCMP_A2(SCMP_CMP_NE, MADV_DONTNEED)));
	if (fork() == 0)
		_exit(seccomp_load(ctx) < 0 || memory_discard(&m, 0, 4096) < 0 || p[0]);
	wait(&status);
	is_int(status, 0);
	seccomp_release(ctx);
	memory_free(&m);
}

int main(void)
{
	test_slices();
	test_hole();
	test_add();
	test_discard();
	return tap_done();
}
