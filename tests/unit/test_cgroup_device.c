/* SPDX-License-Identifier: Apache-2.0 */
/* Device rules: decisions, the compiled program against them, and what v1 can express. */
#include "container/cgroup_device.h"

#include <errno.h>
#include <stdlib.h>

#include "base/str.h"
#include "tests/unit/tap.h"

/* Runs the program's few instructions as the kernel would; -1: it went wrong. */
static int run(const struct bpf_insn *p, size_t n, int type, unsigned int access, unsigned int major,
	       unsigned int minor)
{
	unsigned int ctx[3] = { (access << 16) | (unsigned int)type, major, minor };
	unsigned long long r[11] = { 0 };

	for (size_t pc = 0, steps = 0; pc < n && steps < 100000; pc++, steps++) {
		const struct bpf_insn *i = &p[pc];
		unsigned long long src =
			BPF_SRC(i->code) == BPF_X ? r[i->src_reg] : (unsigned long long)(long long)i->imm;
		int jump = 0;

		switch (BPF_CLASS(i->code)) {
		case BPF_LDX:
			r[i->dst_reg] = ctx[i->off / 4];
			continue;
		case BPF_ALU:
			switch (BPF_OP(i->code)) {
			case BPF_MOV:
				r[i->dst_reg] = (unsigned int)src;
				continue;
			case BPF_AND:
				r[i->dst_reg] = (unsigned int)(r[i->dst_reg] & src);
				continue;
			case BPF_RSH:
				r[i->dst_reg] = (unsigned int)r[i->dst_reg] >> src;
				continue;
			}
			return -1;
		case BPF_JMP:
			switch (BPF_OP(i->code)) {
			case BPF_EXIT:
				return (int)r[0];
			case BPF_JA:
				jump = 1;
				break;
			case BPF_JNE:
				jump = r[i->dst_reg] != src;
				break;
			case BPF_JSET:
				jump = !!(r[i->dst_reg] & src);
				break;
			default:
				return -1;
			}
			pc += jump ? (size_t)i->off : 0;
			continue;
		}
		return -1;
	}
	return -1;
}

static struct oci_device_rule rule(bool allow, char type, long major, long minor, const char *access)
{
	return (struct oci_device_rule){ .allow = allow,
					 .type = type,
					 .has_major = major >= 0,
					 .major = major,
					 .has_minor = minor >= 0,
					 .minor = minor,
					 .r = strchr(access, 'r'),
					 .w = strchr(access, 'w'),
					 .m = strchr(access, 'm') };
}

/* Program and decision agree for every number, kind and access around the rules. */
static int agree(const struct oci_resources *res)
{
	struct cgroup_device_rules rules;
	struct bpf_insn *p;
	size_t n;
	int good = 1;

	cgroup_device_rules(res, &rules);
	cgroup_device_compile(&rules, &p, &n);
	for (unsigned int major = 0; major < 12; major++)
		for (unsigned int minor = 0; minor < 10; minor++)
			for (unsigned int access = 1; access < 8; access++)
				for (int type = 1; type <= 2; type++)
					good = good &&
						run(p, n, type, access, major, minor) ==
							cgroup_device_allowed(&rules,
									      type == BPF_DEVCG_DEV_BLOCK ? 'b' : 'c',
									      major, minor, access & BPF_DEVCG_ACC_READ,
									      access & BPF_DEVCG_ACC_WRITE,
									      access & BPF_DEVCG_ACC_MKNOD);
	free(p);
	cgroup_device_free(&rules);
	return good;
}

static void test_decisions(void)
{
	struct oci_device_rule v[] = { rule(false, 'a', -1, -1, "rwm"), rule(true, 'c', 10, -1, "rw"),
				       rule(false, 'c', 10, 5, "w"), rule(true, 'b', 8, 0, "r") };
	struct oci_resources res = { .devices = v, .n_devices = 4 };
	struct cgroup_device_rules rules;

	cgroup_device_rules(&res, &rules);
	ok(cgroup_device_allowed(&rules, 'c', 1, 3, true, true, true));
	ok(cgroup_device_allowed(&rules, 'c', 77, 3, false, false, true)); /* mknod of anything */
	ok(!cgroup_device_allowed(&rules, 'c', 77, 3, true, false, false));
	ok(cgroup_device_allowed(&rules, 'c', 10, 4, true, true, false));
	ok(!cgroup_device_allowed(&rules, 'c', 10, 5, true, true, false));
	ok(cgroup_device_allowed(&rules, 'c', 10, 5, true, false, true));
	ok(cgroup_device_allowed(&rules, 'b', 8, 0, true, false, false));
	ok(!cgroup_device_allowed(&rules, 'b', 8, 0, true, true, false));
	ok(cgroup_device_allowed(&rules, 'c', 10, 200, true, true, true));
	cgroup_device_free(&rules);
	ok(agree(&res));
	v[0].allow = true;
	ok(agree(&res));
	res.n_devices = 0;
	ok(agree(&res));
	ok(agree(NULL));
}

static void test_random(void)
{
	static const char *const access[] = { "", "r", "w", "m", "rw", "rm", "wm", "rwm" };
	unsigned int seed = 12345;
	int good = 1;

	for (int round = 0; round < 300; round++) {
		struct oci_device_rule v[6];

		for (int i = 0; i < 6; i++)
			v[i] = rule(rand_r(&seed) & 1, "acb"[rand_r(&seed) % 3], (long)(rand_r(&seed) % 13) - 1,
				    (long)(rand_r(&seed) % 11) - 1, access[rand_r(&seed) % 8]);
		good = good && agree(&(struct oci_resources){ .devices = v, .n_devices = 6 });
	}
	ok(good);
}

static int check_v1(struct oci_device_rule *v, size_t n, struct err *err)
{
	struct cgroup_device_rules rules;
	int r;

	cgroup_device_rules(&(struct oci_resources){ .devices = v, .n_devices = n }, &rules);
	r = cgroup_device_check_v1(&rules, err);
	cgroup_device_free(&rules);
	return r;
}

static void test_v1(void)
{
	struct err err = { 0 };
	struct oci_device_rule hole[] = { rule(true, 'c', 10, -1, "rwm"), rule(false, 'c', 10, 5, "w") };
	struct oci_device_rule fine[] = { rule(true, 'c', 10, 5, "rwm"), rule(false, 'c', 10, -1, "w") };
	struct oci_device_rule all[] = { rule(true, 'a', -1, -1, "rwm"), rule(false, 'c', 10, 5, "w") };

	is_int(check_v1(hole, 2, &err), -EOPNOTSUPP);
	has_str(err.msg, "linux.resources.devices[1]");
	is_int(check_v1(fine, 2, NULL), 0);
	is_int(check_v1(all, 2, NULL), 0);
	is_int(check_v1(NULL, 0, NULL), 0);
}

int main(void)
{
	test_decisions();
	test_random();
	test_v1();
	return tap_done();
}
