/* SPDX-License-Identifier: Apache-2.0 */
/* What an update makes of a machine: rounding, bounds, refusals. */
#include "oci/config.h"
#include "runtime/jail.h"
#include "runtime/resize.h"
#include "vm/vm_config.h"

#include "tests/unit/tap.h"

#define MIB (1ULL << 20)

static const struct resize_machine machine = { .memory = 512 * MIB, .vcpus_max = 4, .qemu = false };

static int plan(const char *resources, const struct resize_machine *m, struct resize *z, struct err *err)
{
	static const char doc[] =
		"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"linux\":{\"resources\":{\"cpu\":"
		"{\"period\":50000}}}}";
	struct oci_config *config = NULL;
	struct oci_resources *res = NULL;
	int r = oci_config_parse(doc, strlen(doc), &config, err);

	if (!r)
		r = oci_resources_parse(resources, strlen(resources), &res, err);
	if (!r)
		r = resize_plan(res, config, m, z, err);
	oci_resources_free(res);
	oci_config_free(config);
	return r;
}

int main(void)
{
	struct err err = { 0 };
	struct resize z;

	is_int(plan("{}", &machine, &z, &err), 0);
	ok(!z.vcpus && !z.has_memory);
	is_int(plan("{\"cpu\":{\"quota\":150000,\"period\":100000}}", &machine, &z, &err), 0);
	is_int(z.vcpus, 2);
	/* the period in force is the config's */
	is_int(plan("{\"cpu\":{\"quota\":150000}}", &machine, &z, &err), 0);
	is_int(z.vcpus, 3);
	is_int(plan("{\"cpu\":{\"quota\":1000}}", &machine, &z, &err), 0);
	is_int(z.vcpus, 1);
	is_int(plan("{\"cpu\":{\"quota\":-1}}", &machine, &z, &err), 0);
	is_int(z.vcpus, 4);
	is_int(plan("{\"cpu\":{\"quota\":9000000000000000000}}", &machine, &z, &err), 0);
	is_int(z.vcpus, 4);
	is_int(plan("{\"memory\":{\"limit\":67108864}}", &machine, &z, &err), 0);
	ok(z.has_memory);
	is_int(z.balloon, 512 * MIB - 64 * MIB - VM_CONFIG_MEMORY_OVERHEAD);
	is_int(z.host_limit, 64 * MIB + VM_CONFIG_MEMORY_OVERHEAD + jail_overhead(false));
	/* so near to all of it that nothing is to be taken */
	is_int(plan("{\"memory\":{\"limit\":536870912}}", &machine, &z, &err), 0);
	is_int(z.balloon, 0);
	is_int(plan("{\"memory\":{\"limit\":-1}}", &machine, &z, &err), 0);
	is_int(z.balloon, 0);
	is_int(z.host_limit, 512 * MIB + jail_overhead(false));
	ok(plan("{\"memory\":{\"limit\":536870913}}", &machine, &z, &err) < 0);
	has_str(err.msg, "linux.resources.memory.limit: the machine has 512 MiB and cannot grow");
	/* a pod's member */
	is_int(plan("{\"memory\":{\"limit\":-1},\"cpu\":{\"quota\":1000}}", &(struct resize_machine){ 0 }, &z, &err),
	       0);
	ok(!z.vcpus && !z.has_memory);
	return tap_done();
}
