/* SPDX-License-Identifier: Apache-2.0 */
/* Resources as writes: conversions and refusals, for v1, v2 and hybrid hosts. */
#include "container/cgroup_limits.h"

#include "base/str.h"
#include "container/cgroup_host.h"
#include "oci/config.h"
#include "tests/unit/tap.h"

static struct cgroup_hier v1_hiers[] = {
	{ .name = (char *)"memory",
	  .mount = (char *)"/m",
	  .own = (char *)"/",
	  .controllers = (char *[]){ (char *)"memory", NULL } },
	{ .name = (char *)"cpu,cpuacct",
	  .mount = (char *)"/c",
	  .own = (char *)"/",
	  .controllers = (char *[]){ (char *)"cpu", (char *)"cpuacct", NULL } },
	{ .name = (char *)"rest",
	  .mount = (char *)"/r",
	  .own = (char *)"/",
	  .controllers = (char *[]){ (char *)"pids", (char *)"cpuset", (char *)"blkio", (char *)"net_cls",
				     (char *)"net_prio", (char *)"rdma", NULL } },
	{ .name = (char *)"",
	  .v2 = true,
	  .mount = (char *)"/u",
	  .own = (char *)"/",
	  .controllers = (char *[]){ (char *)"hugetlb", NULL } },
};
static struct cgroup_hier v2_hiers[] = {
	{ .name = (char *)"",
	  .v2 = true,
	  .mount = (char *)"/u",
	  .own = (char *)"/",
	  .controllers = (char *[]){ (char *)"memory", (char *)"cpu", (char *)"pids", (char *)"cpuset", (char *)"io",
				     (char *)"hugetlb", (char *)"rdma", NULL } },
};
static const struct cgroup_host hybrid = { CGROUP_MODE_HYBRID, v1_hiers, 4 }, v1 = { CGROUP_MODE_V1, v1_hiers, 3 },
				v2 = { CGROUP_MODE_V2, v2_hiers, 1 }, none = { CGROUP_MODE_NONE, NULL, 0 };

/* "FILE=VALUE;…" of a document, or the error's text. */
static char *writes(const char *json, const struct cgroup_host *host, const struct cgroup_limits_now *now)
{
	struct oci_resources *r = NULL;
	struct cgroup_limits l;
	struct err err = { 0 };
	struct str out = { 0 };

	if (oci_resources_parse(json, strlen(json), &r, &err) < 0)
		return xasprintf("parse: %s", err.msg);
	if (cgroup_limits_build(r, host, "linux.resources", now, &l, &err) < 0) {
		oci_resources_free(r);
		return xstrdup(err.msg);
	}
	for (size_t i = 0; i < l.n; i++)
		str_addf(&out, "%s=%s;", l.v[i].file, l.v[i].value);
	cgroup_limits_free(&l);
	oci_resources_free(r);
	return str_steal(&out);
}

#define is_writes(host, json, want) \
	do { \
		char *text_ = writes(json, host, NULL); \
		is_str(text_, want); \
		free(text_); \
	} while (0)
#define refused(host, json, part) \
	do { \
		char *text_ = writes(json, host, NULL); \
		has_str(text_, part); \
		free(text_); \
	} while (0)

static void test_conversions(void)
{
	is_int(cgroup_limits_cpu_weight(2), 1);
	is_int(cgroup_limits_cpu_weight(1024), 100);
	is_int(cgroup_limits_cpu_weight(262144), 10000);
	is_int(cgroup_limits_cpu_weight(1 << 30), 10000);
	is_int(cgroup_limits_cpu_weight(512), 59);
	is_int(cgroup_limits_cpu_weight(100), 17);
	is_int(cgroup_limits_io_weight(10), 1);
	is_int(cgroup_limits_io_weight(1000), 10000);
	is_int(cgroup_limits_io_weight(500), 4950);
}

static void test_memory(void)
{
	const char *both = "{\"memory\":{\"limit\":1048576,\"swap\":3145728,\"reservation\":4096}}";

	is_writes(&v1, both,
		  "memory.limit_in_bytes=1048576;memory.memsw.limit_in_bytes=3145728;memory.soft_limit_in_bytes=4096;");
	is_writes(&hybrid, both,
		  "memory.limit_in_bytes=1048576;memory.memsw.limit_in_bytes=3145728;memory.soft_limit_in_bytes=4096;");
	is_writes(&v2, both, "memory.swap.max=2097152;memory.max=1048576;memory.low=4096;");
	is_writes(&v2, "{\"memory\":{\"limit\":-1}}", "memory.swap.max=max;memory.max=max;");
	is_writes(&v1, "{\"memory\":{\"limit\":-1}}", "memory.limit_in_bytes=-1;memory.memsw.limit_in_bytes=-1;");
	is_writes(&v2, "{\"memory\":{\"limit\":4096,\"swap\":-1}}", "memory.swap.max=max;memory.max=4096;");
	is_writes(&v2, "{\"memory\":{\"limit\":0,\"swap\":0}}", "");
	is_writes(&v2, "{\"memory\":{\"disableOOMKiller\":false}}", "");
	is_writes(&v1, "{\"memory\":{\"disableOOMKiller\":true,\"swappiness\":0}}",
		  "memory.oom_control=1;memory.swappiness=0;");
	refused(&v2, "{\"memory\":{\"swap\":4096}}",
		"linux.resources.memory.swap: unable to set swap limit without memory");
	refused(&v2, "{\"memory\":{\"limit\":8192,\"swap\":4096}}", "memory+swap limit should be >= memory limit");
	refused(&v1, "{\"memory\":{\"limit\":8192,\"swap\":4096}}", "memory+swap limit should be >= memory limit");
	refused(&v2, "{\"memory\":{\"swappiness\":10}}",
		"linux.resources.memory.swappiness: not supported by cgroup v2");
	refused(&v2, "{\"memory\":{\"disableOOMKiller\":true}}", "memory.disableOOMKiller: not supported");
	refused(&none, "{\"memory\":{\"limit\":4096}}", "this host has no memory controller");

	/* an update of swap alone counts from the limit in force */
	struct cgroup_limits_now now = { true, 1048576, 5000, 20000 };
	char *got = writes("{\"memory\":{\"swap\":3145728}}", &v2, &now);

	is_str(got, "memory.swap.max=2097152;");
	free(got);
	got = writes("{\"cpu\":{\"period\":50000}}", &v2, &now);
	is_str(got, "cpu.max=5000 50000;");
	free(got);
	got = writes("{\"cpu\":{\"quota\":-1}}", &v2, &now);
	is_str(got, "cpu.max=max 20000;");
	free(got);
}

static void test_cpu(void)
{
	const char *all =
		"{\"cpu\":{\"shares\":1024,\"quota\":50000,\"period\":100000,\"cpus\":\"0-1\",\"mems\":\"0\"}}";

	is_writes(&v1, all,
		  "cpu.shares=1024;cpu.cfs_period_us=100000;cpu.cfs_quota_us=50000;cpuset.cpus=0-1;cpuset.mems=0;");
	is_writes(&v2, all, "cpu.weight=100;cpu.max=50000 100000;cpuset.cpus=0-1;cpuset.mems=0;");
	is_writes(&v2, "{\"cpu\":{\"quota\":7000,\"burst\":100}}", "cpu.max=7000 100000;cpu.max.burst=100;");
	is_writes(&v2, "{\"cpu\":{\"idle\":1,\"shares\":5}}", "cpu.idle=1;");
	is_writes(&v1, "{\"cpu\":{\"realtimeRuntime\":9,\"realtimePeriod\":10}}",
		  "cpu.rt_period_us=10;cpu.rt_runtime_us=9;");
	refused(&v2, "{\"cpu\":{\"realtimeRuntime\":9}}", "cpu.realtimeRuntime: not supported by cgroup v2");
}

static void test_io(void)
{
	const char *all =
		"{\"blockIO\":{\"weight\":500,\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":1000}],"
		"\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":16,\"rate\":0}]}}";

	is_writes(&v2, all, "io.bfq.weight=500;io.max=8:0 rbps=1000;io.max=8:16 wiops=max;");
	is_writes(&v1, all,
		  "blkio.weight=500;blkio.throttle.read_bps_device=8:0 1000;"
		  "blkio.throttle.write_iops_device=8:16 0;");
	refused(&v2, "{\"blockIO\":{\"leafWeight\":500}}", "blockIO.leafWeight: not supported by cgroup v2");
	refused(&v1, "{\"blockIO\":{\"weight\":5}}", "blockIO.weight: ");
}

static void test_others(void)
{
	is_writes(&v1, "{\"pids\":{\"limit\":-1}}", "pids.max=max;");
	is_writes(&v2, "{\"pids\":{\"limit\":20}}", "pids.max=20;");
	is_writes(&v2, "{\"pids\":{\"limit\":0}}", "pids.max=0;");
	is_writes(&hybrid, "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4194304}]}",
		  "hugetlb.2MB.rsvd.max=4194304;hugetlb.2MB.max=4194304;");
	refused(&v1, "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4194304}]}", "no hugetlb controller");
	is_writes(&v1, "{\"network\":{\"classID\":1048577,\"priorities\":[{\"name\":\"eth0\",\"priority\":5}]}}",
		  "net_cls.classid=1048577;net_prio.ifpriomap=eth0 5;");
	refused(&v2, "{\"network\":{\"classID\":1048577}}", "network.classID: not supported by cgroup v2");
	is_writes(&v2, "{\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":10000}}}",
		  "rdma.max=mlx5_1 hca_handle=3 hca_object=10000;");
	is_writes(&v2, "{\"unified\":{\"memory.high\":\"4096\",\"io.max\":\"8:0 rbps=1\\n8:16 rbps=2\"}}",
		  "memory.high=4096;io.max=8:0 rbps=1;io.max=8:16 rbps=2;");
	refused(&v2, "{\"unified\":{\"foo.bar\":\"1\"}}", "controller \"foo\" not available");
	refused(&v2, "{\"unified\":{\"memory\":\"1\"}}", "must be in the form CONTROLLER.PARAMETER");
	refused(&v1, "{\"unified\":{\"memory.high\":\"1\"}}", "cannot use unified on cgroup v1");
	refused(&hybrid, "{\"unified\":{\"memory.high\":\"1\"}}", "cannot use unified on cgroup v1");
	is_writes(&hybrid, "{\"unified\":{\"cgroup.max.depth\":\"3\"}}", "cgroup.max.depth=3;");
}

int main(void)
{
	test_conversions();
	test_memory();
	test_cpu();
	test_io();
	test_others();
	return tap_done();
}
