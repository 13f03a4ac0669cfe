/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of a machine: the guest's text into numbers, the monitor's answer into an object. */
#include "base/json.h"
#include "container/cgroup_stats.h"
#include "runtime/vm_stats.h"

#include "tests/unit/tap.h"

static void test_merge(void)
{
	static const char guest[] =
		"{\"cpu\":{\"usage\":{\"total\":7,\"kernel\":3,\"user\":4,\"percpu\":[7]}},\"memory\":{\"cache\":5,"
		"\"usage\":{\"limit\":100,\"usage\":60,\"failcnt\":2},\"raw\":{\"anon\":11,\"file\":12}},"
		"\"pids\":{\"current\":2,\"limit\":9},\"blkio\":{\"evil\":true},\"more\":[1]}";
	struct cgroup_stats s = { .cpu_total = 99, .pids_current = 8, .memory = { .usage = 1 } };
	struct err err = { 0 };

	s.n_raw = 1;
	s.raw = xcalloc(1, sizeof(*s.raw));
	s.raw[0].key = xstrdup("old");
	s.io_bytes.v = xcalloc(1, sizeof(*s.io_bytes.v));
	s.io_bytes.n = 1;
	is_int(vm_stats_merge(guest, &s, &err), 0);
	is_int(s.cpu_total, 7);
	is_int(s.cpu_kernel, 3);
	is_int(s.memory.usage, 60);
	is_int(s.memory.limit, 100);
	is_int(s.memory.failcnt, 2);
	is_int(s.cache, 5);
	is_int(s.pids_current, 2);
	is_int(s.pids_limit, 9);
	is_int(s.n_raw, 2);
	is_str(s.raw[1].key, "file");
	is_int(s.io_bytes.n, 1);
	is_int(vm_stats_merge("{}", &s, &err), 0);
	is_int(s.memory.usage, 0);
	is_int(s.n_raw, 0);
	ok(vm_stats_merge("[]", &s, &err) < 0);
	ok(vm_stats_merge("{\"memory\":{\"usage\":{\"usage\":\"x\"}}}", &s, &err) < 0);
	has_str(err.msg, "memory.usage.usage");
	ok(vm_stats_merge("{\"memory\":{\"raw\":{\"a\":-1}}}", &s, &err) < 0);
	ok(vm_stats_merge("{", &s, &err) < 0);
	cgroup_stats_free(&s);
}

static void test_object(void)
{
	struct cgroup_stats host = { .cpu_total = 5, .memory = { .usage = 6, .limit = 7 } };
	char *text = vm_stats_object("memory=1 balloon=2 rss=3 vcpus=4 exits=50 io=20 mmio=x hlt", 2, &host);

	is_str(text,
	       "{\"vcpus\":2,\"memory\":1,\"balloon\":2,\"resident\":3,\"vcpusPresent\":4,\"exits\":{\"all\":50,\"io\":"
	       "20},"
	       "\"host\":{\"cpu\":5,\"memory\":6,\"memoryLimit\":7}}");
	free(text);
	text = vm_stats_object(NULL, 1, &host);
	is_str(text, "{\"vcpus\":1,\"host\":{\"cpu\":5,\"memory\":6,\"memoryLimit\":7}}");
	free(text);
}

int main(void)
{
	test_merge();
	test_object();
	return tap_done();
}
