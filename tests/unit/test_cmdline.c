/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel command line, and the processors' CPUID. */
#include <errno.h>

#include "base/str.h"
#include "vm/cmdline.h"
#include "vm/vm.h"
#include "vm/x86_cpuid.h"

#include "tests/unit/tap.h"

static void test_cmdline(void)
{
	struct vm_spec spec;
	struct err err = { 0 };
	char big[3000], *s;

	vm_spec_init(&spec);
	spec.vcpus = 2;
	s = cmdline_build(&spec, &err);
	has_str(s, "console=ttyS0");
	has_str(s, "panic=-1");
	has_str(s, " quiet");
	ok(!strstr(s, "maxcpus"));
	free(s);
	spec.vcpus_max = 4;
	spec.cmdline = "a=b debug";
	spec.console_verbose = true;
	s = cmdline_build(&spec, &err);
	has_str(s, "maxcpus=2");
	ok(str_ends(s, " a=b debug"));
	ok(!strstr(s, "quiet"));
	free(s);
	spec.cmdline = "a\nb";
	ok(!cmdline_build(&spec, &err));
	has_str(err.msg, "control character");
	memset(big, 'a', sizeof(big));
	big[sizeof(big) - 1] = 0;
	spec.cmdline = big;
	ok(!cmdline_build(&spec, &err));
	is_int(err.code, -E2BIG);
}

static struct kvm_cpuid_entry2 *leaf(struct x86_cpuid *c, uint32_t function, uint32_t index)
{
	for (unsigned int i = 0; i < c->head.nent; i++) {
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	}
	abort();
}

static void test_cpuid(void)
{
	static struct x86_cpuid c;
	struct kvm_cpuid_entry2 in[] = {
		{ .function = 0x1, .ebx = 0xff010800, .ecx = 0x8004, .edx = 0x200001 },
		{ .function = 0x4, .index = 0, .eax = 0xfc004121 },
		{ .function = 0x4, .index = 3, .eax = 0xfc1fc163 },
		{ .function = 0xa, .eax = 0x7300404 },
		{ .function = 0xb, .index = 0 },
		{ .function = 0xb, .index = 1 },
		{ .function = 0xb, .index = 2, .eax = 5, .ebx = 9 },
		{ .function = 0x80000008, .ecx = 0x700f },
		{ .function = 0x8000001e, .eax = 77 },
	};

	c.head.nent = ARRAY_SIZE(in);
	memcpy(c.entries, in, sizeof(in));
	x86_cpuid_adjust(&c, 2, 3);
	is_int(leaf(&c, 1, 0)->ebx, 0x02030800);
	is_int(leaf(&c, 1, 0)->ecx, 0x81000000);
	is_int(leaf(&c, 1, 0)->edx, 0x10000001);
	is_int(leaf(&c, 4, 0)->eax >> 14 & 0xfff, 0);
	is_int(leaf(&c, 4, 3)->eax >> 14 & 0xfff, 3);
	is_int(leaf(&c, 4, 3)->eax >> 26, 3);
	is_int(leaf(&c, 0xa, 0)->eax, 0);
	is_int(leaf(&c, 0xb, 0)->edx, 2);
	is_int(leaf(&c, 0xb, 1)->ebx, 3);
	is_int(leaf(&c, 0xb, 1)->eax, 2);
	is_int(leaf(&c, 0xb, 2)->ebx, 0);
	is_int(leaf(&c, 0x80000008, 0)->ecx, 0x2002);
	is_int(leaf(&c, 0x8000001e, 0)->eax, 2);
}

int main(void)
{
	test_cmdline();
	test_cpuid();
	return tap_done();
}
