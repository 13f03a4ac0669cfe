/* SPDX-License-Identifier: Apache-2.0 */
/* Counters read from files of either version, and their JSON form. */
#include "container/cgroup_stats.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "container/cgroup_dir.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/amphi-stats-XXXXXX";

/* A hierarchy as a plain directory: the reader only reads files. */
static struct cgroup_dir dir(const char *name)
{
	struct cgroup_dir d = { .name = xstrdup(name), .v2 = !*name, .mount = xstrdup(top), .fd = -1 };

	d.path = path_join(top, *name ? name : "v2");
	mkdir(d.path, 0755);
	return d;
}

static void put(const struct cgroup_dir *d, const char *file, const char *text)
{
	cleanup_fd int fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	path_write_atomic(fd, file, text, strlen(text), 0644);
}

static char *json(const struct cgroup_stats *s)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	cgroup_stats_write(s, &w);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

static void test_v2(void)
{
	struct cgroup_dir d = dir("");
	struct cgroup_manager m = { .dirs = &d, .n_dirs = 1 };
	cleanup_cgroup_stats struct cgroup_stats s = { 0 };
	struct err err = { 0 };

	put(&d, "cpu.stat",
	    "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\n");
	put(&d, "cpu.pressure",
	    "some avg10=1.50 avg60=0.00 avg300=0.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n");
	put(&d, "cpuset.cpus.effective", "0-2,5\n");
	put(&d, "memory.stat", "anon 10\nfile 4096\n");
	put(&d, "memory.current", "8192\n");
	put(&d, "memory.max", "max\n");
	put(&d, "memory.swap.current", "100\n");
	put(&d, "memory.swap.max", "200\n");
	put(&d, "memory.events", "low 0\nhigh 0\nmax 3\noom 0\noom_kill 0\n");
	put(&d, "pids.current", "3\n");
	put(&d, "pids.max", "max\n");
	put(&d, "io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=5\n");
	is_int(cgroup_stats_read(&m, &s, &err), 0);
	is_int(s.cpu_total, 5000000);
	is_int(s.throttled_time, 7000);
	ok(s.cpu_psi.present);
	is_int(s.cpu_psi.full.total, 5);
	is_int(s.cpus.n, 4);
	is_int(s.cache, 4096);
	ok(s.memory.limit == CGROUP_UNLIMITED);
	is_int(s.memory.failcnt, 3);
	is_int(s.swap.usage, 8292);
	ok(s.swap.limit == CGROUP_UNLIMITED);
	is_int(s.pids_current, 3);
	is_int(s.pids_limit, 0);
	is_int(s.io_bytes.n, 3);
	is_int(s.io_serviced.n, 2);
	char *text = json(&s);

	has_str(text, "\"usage\":{\"total\":5000000,\"kernel\":2000000,\"user\":3000000}");
	has_str(text, "{\"major\":8,\"op\":\"Write\",\"value\":20}");
	has_str(text, "\"psi\":{\"some\":{\"avg10\":1.5");
	has_str(text, "\"raw\":{\"anon\":10,\"file\":4096}");
	free(text);
	cgroup_dir_release(&d);
}

static void test_v1(void)
{
	struct cgroup_dir d[] = { dir("memory"), dir("cpu,cpuacct"), dir("pids"), dir("blkio") };
	struct cgroup_manager m = { .dirs = d, .n_dirs = 4 };
	cleanup_cgroup_stats struct cgroup_stats s = { 0 };
	struct err err = { 0 };

	put(&d[0], "memory.stat", "cache 77\n");
	put(&d[0], "memory.usage_in_bytes", "1\n");
	put(&d[0], "memory.limit_in_bytes", "9223372036854771712\n");
	put(&d[0], "memory.memsw.usage_in_bytes", "2\n");
	put(&d[1], "cpuacct.usage", "123\n");
	put(&d[1], "cpuacct.usage_percpu", "100 23 \n");
	put(&d[1], "cpuacct.usage_all", "cpu user system\n0 60 40\n1 3 20\n");
	put(&d[1], "cpu.stat", "nr_periods 9\nnr_throttled 8\nthrottled_time 7\n");
	put(&d[2], "pids.max", "50\n");
	put(&d[3], "blkio.throttle.io_service_bytes_recursive", "8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n");
	is_int(cgroup_stats_read(&m, &s, &err), 0);
	is_int(s.cpu_total, 123);
	is_int(s.percpu.n, 2);
	is_int(s.percpu_kernel.n, 2);
	is_int(s.throttled_periods, 8);
	is_int(s.cache, 77);
	is_int(s.memory.usage, 1);
	is_int(s.swap.usage, 2);
	is_int(s.pids_limit, 50);
	is_int(s.io_bytes.n, 2);
	char *text = json(&s);

	has_str(text, "\"percpu\":[100,23]");
	has_str(text, "\"limit\":9223372036854771712");
	free(text);
	for (size_t i = 0; i < 4; i++)
		cgroup_dir_release(&d[i]);
}

int main(void)
{
	struct cgroup_manager none = { 0 };
	struct cgroup_stats s;
	struct err err = { 0 };

	need(mkdtemp(top));
	test_v2();
	test_v1();
	is_int(cgroup_stats_read(&none, &s, &err), -EOPNOTSUPP);
	path_remove_tree(AT_FDCWD, top, false);
	return tap_done();
}
