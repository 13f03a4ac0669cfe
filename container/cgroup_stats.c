/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of a container's cgroups.
 *
 * Theory: each controller's files are read where the controller lives (v1 or v2) and brought to one unit: CPU times
 * in nanoseconds (v1 has clock ticks in cpuacct.stat, v2 microseconds), memory+swap together as v1 counts it. What
 * a kernel does not have stays zero; nothing here fails but a cgroup that is gone. Read by events and by the
 * machine's stats in the runtime's process. The JSON form has runc's keys (types/events.go) in its order.
 */
#include "container/cgroup_stats.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "container/cgroup_dir.h"

static uint64_t read_u64(const struct cgroup_dir *d, const char *file)
{
	cleanup_free char *text = NULL;

	if (cgroup_dir_read(d, file, &text) < 0)
		return 0;
	return !strncmp(text, "max", 3) ? CGROUP_UNLIMITED : strtoull(text, NULL, 10);
}

static uint64_t key_u64(const char *text, const char *key)
{
	unsigned long long n = 0;

	return text && cgroup_dir_key(text, key, &n) == 0 ? n : 0;
}

static void add_number(struct cgroup_stats_numbers *l, uint64_t n)
{
	l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = n;
}

/* "0-3,7" */
static void read_list(const struct cgroup_dir *d, const char *file, struct cgroup_stats_numbers *ret)
{
	cleanup_free char *text = NULL;

	if (cgroup_dir_read(d, file, &text) < 0)
		return;
	for (char *p = text; isdigit((unsigned char)*p);) {
		unsigned long a = strtoul(p, &p, 10), b = a;

		if (*p == '-')
			b = strtoul(p + 1, &p, 10);
		for (; a <= b && b < 65536; a++)
			add_number(ret, a);
		p += *p == ',';
	}
}

static void read_psi(const struct cgroup_dir *d, const char *file, struct cgroup_stats_psi *ret)
{
	cleanup_free char *text = NULL;
	unsigned long long some = 0, full = 0;
	char *line;

	if (cgroup_dir_read(d, file, &text) < 0)
		return;
	ret->present = sscanf(text, "some avg10=%lf avg60=%lf avg300=%lf total=%llu", &ret->some.avg10,
			      &ret->some.avg60, &ret->some.avg300, &some) == 4;
	ret->some.total = some;
	line = strstr(text, "\nfull ");
	if (line &&
	    sscanf(line, "\nfull avg10=%lf avg60=%lf avg300=%lf total=%llu", &ret->full.avg10, &ret->full.avg60,
		   &ret->full.avg300, &full) == 4)
		ret->full.total = full;
}

static void read_cpu_v1(const struct cgroup_manager *m, struct cgroup_stats *s)
{
	const struct cgroup_dir *acct = cgroup_dir_find(m, "cpuacct"), *cpu = cgroup_dir_find(m, "cpu");
	cleanup_free char *stat = NULL, *all = NULL, *times = NULL, *percpu = NULL;
	uint64_t tick_ns = 1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK);

	if (acct) {
		s->cpu_total = read_u64(acct, "cpuacct.usage");
		if (cgroup_dir_read(acct, "cpuacct.stat", &times) == 0) {
			s->cpu_user = key_u64(times, "user") * tick_ns;
			s->cpu_kernel = key_u64(times, "system") * tick_ns;
		}
		if (cgroup_dir_read(acct, "cpuacct.usage_percpu", &percpu) == 0)
			for (char *p = percpu, *end; *p; p = end) {
				uint64_t n = strtoull(p, &end, 10);

				if (end == p)
					break;
				add_number(&s->percpu, n);
				end += strspn(end, " \n");
			}
		if (cgroup_dir_read(acct, "cpuacct.usage_all", &all) == 0)
			for (char *l = strchr(all, '\n'); l; l = strchr(l + 1, '\n')) {
				unsigned long long cpu_no, user, kernel;

				if (sscanf(l + 1, "%llu %llu %llu", &cpu_no, &user, &kernel) != 3)
					break;
				add_number(&s->percpu_user, user);
				add_number(&s->percpu_kernel, kernel);
			}
	}
	if (cpu && cgroup_dir_read(cpu, "cpu.stat", &stat) == 0) {
		s->periods = key_u64(stat, "nr_periods");
		s->throttled_periods = key_u64(stat, "nr_throttled");
		s->throttled_time = key_u64(stat, "throttled_time");
	}
}

static void read_cpu_v2(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	cleanup_free char *stat = NULL;

	if (cgroup_dir_read(d, "cpu.stat", &stat) < 0)
		return;
	s->cpu_total = key_u64(stat, "usage_usec") * 1000;
	s->cpu_user = key_u64(stat, "user_usec") * 1000;
	s->cpu_kernel = key_u64(stat, "system_usec") * 1000;
	s->periods = key_u64(stat, "nr_periods");
	s->throttled_periods = key_u64(stat, "nr_throttled");
	s->throttled_time = key_u64(stat, "throttled_usec") * 1000;
	read_psi(d, "cpu.pressure", &s->cpu_psi);
}

static void read_cpuset(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	if (d->v2) {
		read_list(d, "cpuset.cpus.effective", &s->cpus);
		read_list(d, "cpuset.mems.effective", &s->mems);
		return;
	}
	read_list(d, "cpuset.cpus", &s->cpus);
	read_list(d, "cpuset.mems", &s->mems);
	s->cpu_exclusive = read_u64(d, "cpuset.cpu_exclusive");
	s->mem_hardwall = read_u64(d, "cpuset.mem_hardwall");
	s->mem_exclusive = read_u64(d, "cpuset.mem_exclusive");
	s->memory_migrate = read_u64(d, "cpuset.memory_migrate");
	s->memory_spread_page = read_u64(d, "cpuset.memory_spread_page");
	s->memory_spread_slab = read_u64(d, "cpuset.memory_spread_slab");
	s->memory_pressure = read_u64(d, "cpuset.memory_pressure");
	s->sched_load_balance = read_u64(d, "cpuset.sched_load_balance");
	s->sched_relax_domain_level = (int64_t)read_u64(d, "cpuset.sched_relax_domain_level");
}

static void read_memory_stat(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	cleanup_free char *text = NULL;

	if (cgroup_dir_read(d, "memory.stat", &text) < 0)
		return;
	s->cache = key_u64(text, d->v2 ? "file" : "cache");
	cleanup_strv char **lines = strv_split(text, '\n');

	for (char **l = lines; *l; l++) {
		char *blank = strchr(*l, ' ');

		if (!blank)
			continue;
		s->raw = xreallocarray(s->raw, s->n_raw + 1, sizeof(*s->raw));
		s->raw[s->n_raw++] =
			(struct cgroup_stats_raw){ xstrndup(*l, (size_t)(blank - *l)), strtoull(blank, NULL, 10) };
	}
}

static void read_memory_v1(const struct cgroup_dir *d, const char *part, struct cgroup_stats_memory *ret)
{
	const struct {
		const char *file;
		uint64_t *to;
	} files[] = { { "usage_in_bytes", &ret->usage },
		      { "max_usage_in_bytes", &ret->max },
		      { "failcnt", &ret->failcnt },
		      { "limit_in_bytes", &ret->limit } };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *file = xasprintf("memory.%s%s", part, files[i].file);

		*files[i].to = read_u64(d, file);
	}
}

static void read_memory_v2(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	cleanup_free char *events = NULL;

	s->memory.usage = read_u64(d, "memory.current");
	s->memory.limit = read_u64(d, "memory.max");
	s->memory.max = read_u64(d, "memory.peak");
	if (cgroup_dir_read(d, "memory.events", &events) == 0)
		s->memory.failcnt = key_u64(events, "max");
	s->swap.usage = read_u64(d, "memory.swap.current") + s->memory.usage;
	s->swap.limit = read_u64(d, "memory.swap.max");
	if (s->swap.limit != CGROUP_UNLIMITED)
		s->swap.limit =
			s->memory.limit == CGROUP_UNLIMITED ? CGROUP_UNLIMITED : s->swap.limit + s->memory.limit;
	read_psi(d, "memory.pressure", &s->memory_psi);
}

static void add_io(struct cgroup_stats_io_list *l, unsigned int major, unsigned int minor, const char *op,
		   uint64_t value)
{
	l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = (struct cgroup_stats_io){ major, minor, op, value };
}

static const char *io_word(const char *s)
{
	static const char *const words[] = { "Read", "Write", "Sync", "Async", "Discard", "Total" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(s, words[i]))
			return words[i];
	return NULL;
}

/* Lines "8:0 Read 123"; the last one, "Total 456", is their sum and left out. */
static void read_io_v1(const struct cgroup_dir *d, const char *file, struct cgroup_stats_io_list *ret)
{
	cleanup_free char *text = NULL;

	if (cgroup_dir_read(d, file, &text) < 0)
		return;
	for (char *l = text; l; l = strchr(l, '\n'), l = l ? l + 1 : NULL) {
		unsigned int major, minor;
		unsigned long long value;
		char op[16];

		if (sscanf(l, "%u:%u %15s %llu", &major, &minor, op, &value) == 4 && io_word(op))
			add_io(ret, major, minor, io_word(op), value);
	}
}

static void read_blkio(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	read_io_v1(d, "blkio.bfq.io_service_bytes_recursive", &s->io_bytes);
	read_io_v1(d, "blkio.bfq.io_serviced_recursive", &s->io_serviced);
	if (!s->io_serviced.n) {
		read_io_v1(d, "blkio.throttle.io_service_bytes_recursive", &s->io_bytes);
		read_io_v1(d, "blkio.throttle.io_serviced_recursive", &s->io_serviced);
	}
	read_io_v1(d, "blkio.bfq.io_queued_recursive", &s->io_queued);
	read_io_v1(d, "blkio.bfq.io_service_time_recursive", &s->io_service_time);
	read_io_v1(d, "blkio.bfq.io_wait_time_recursive", &s->io_wait_time);
	read_io_v1(d, "blkio.bfq.io_merged_recursive", &s->io_merged);
}

static void read_io_v2(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	cleanup_free char *text = NULL;

	read_psi(d, "io.pressure", &s->io_psi);
	if (cgroup_dir_read(d, "io.stat", &text) < 0)
		return;
	cleanup_strv char **lines = strv_split(text, '\n');

	for (char **l = lines; *l; l++) {
		cleanup_strv char **words = strv_split(*l, ' ');
		unsigned int major, minor;

		if (sscanf(*l, "%u:%u", &major, &minor) != 2)
			continue;
		for (char **w = words + 1; words[0] && *w; w++) {
			char *eq = strchr(*w, '=');
			uint64_t value = eq ? strtoull(eq + 1, NULL, 10) : 0;

			if (str_starts(*w, "rbytes="))
				add_io(&s->io_bytes, major, minor, "Read", value);
			else if (str_starts(*w, "wbytes="))
				add_io(&s->io_bytes, major, minor, "Write", value);
			else if (str_starts(*w, "rios="))
				add_io(&s->io_serviced, major, minor, "Read", value);
			else if (str_starts(*w, "wios="))
				add_io(&s->io_serviced, major, minor, "Write", value);
		}
	}
}

/* Page sizes as the controller spells them: hugepages-2048kB is "2MB". */
static void read_hugetlb(const struct cgroup_dir *d, struct cgroup_stats *s)
{
	cleanup_dir DIR *dir = opendir("/sys/kernel/mm/hugepages");
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		unsigned long long kb;
		struct cgroup_stats_hugetlb h = { 0 };

		if (sscanf(e->d_name, "hugepages-%llukB", &kb) != 1)
			continue;
		h.size = kb >= 1048576 ? xasprintf("%lluGB", kb >> 20) :
			kb >= 1024     ? xasprintf("%lluMB", kb >> 10) :
					 xasprintf("%lluKB", kb);
		cleanup_free char *usage = xasprintf("hugetlb.%s.%s", h.size, d->v2 ? "current" : "usage_in_bytes");
		cleanup_free char *peak = xasprintf("hugetlb.%s.max_usage_in_bytes", h.size);
		cleanup_free char *fail = xasprintf("hugetlb.%s.%s", h.size, d->v2 ? "events" : "failcnt");
		cleanup_free char *text = NULL;

		if (cgroup_dir_read(d, usage, &text) < 0) {
			free(h.size);
			continue;
		}
		h.usage = strtoull(text, NULL, 10);
		if (d->v2) {
			cleanup_free char *events = NULL;

			if (cgroup_dir_read(d, fail, &events) == 0)
				h.failcnt = key_u64(events, "max");
		} else {
			h.max = read_u64(d, peak);
			h.failcnt = read_u64(d, fail);
		}
		s->hugetlb = xreallocarray(s->hugetlb, s->n_hugetlb + 1, sizeof(*s->hugetlb));
		s->hugetlb[s->n_hugetlb++] = h;
	}
}

int cgroup_stats_read(const struct cgroup_manager *m, struct cgroup_stats *s, struct err *err)
{
	const struct cgroup_dir *v2 = cgroup_dir_find(m, NULL), *memory = cgroup_dir_find(m, "memory"),
				*pids = cgroup_dir_find(m, "pids"), *cpuset = cgroup_dir_find(m, "cpuset"),
				*blkio = cgroup_dir_find(m, "blkio"), *hugetlb = cgroup_dir_find(m, "hugetlb");

	*s = (struct cgroup_stats){ 0 };
	if (!m->n_dirs)
		return err_set(err, -EOPNOTSUPP, "cgroup: this container has no cgroup to read statistics from");
	if (access(m->dirs[0].path, F_OK) < 0)
		return err_sys(err, -errno, "cgroup: %s", m->dirs[0].path);
	if (cgroup_dir_find(m, "cpuacct") || cgroup_dir_find(m, "cpu"))
		read_cpu_v1(m, s);
	else if (v2)
		read_cpu_v2(v2, s);
	if (cpuset || v2)
		read_cpuset(cpuset ? cpuset : v2, s);
	if (memory) {
		read_memory_stat(memory, s);
		read_memory_v1(memory, "", &s->memory);
		read_memory_v1(memory, "memsw.", &s->swap);
		read_memory_v1(memory, "kmem.", &s->kernel);
		read_memory_v1(memory, "kmem.tcp.", &s->kernel_tcp);
	} else if (v2) {
		read_memory_stat(v2, s);
		read_memory_v2(v2, s);
	}
	if (pids || v2) {
		s->pids_current = read_u64(pids ? pids : v2, "pids.current");
		s->pids_limit = read_u64(pids ? pids : v2, "pids.max");
		s->pids_limit = s->pids_limit == CGROUP_UNLIMITED ? 0 : s->pids_limit;
	}
	if (blkio)
		read_blkio(blkio, s);
	else if (v2)
		read_io_v2(v2, s);
	if (hugetlb || v2)
		read_hugetlb(hugetlb ? hugetlb : v2, s);
	return 0;
}

void cgroup_stats_free(struct cgroup_stats *s)
{
	struct cgroup_stats_io_list *io[] = { &s->io_bytes,     &s->io_serviced, &s->io_queued, &s->io_service_time,
					      &s->io_wait_time, &s->io_merged,   &s->io_time,   &s->sectors };

	for (size_t i = 0; i < s->n_raw; i++)
		free(s->raw[i].key);
	for (size_t i = 0; i < s->n_hugetlb; i++)
		free(s->hugetlb[i].size);
	for (size_t i = 0; i < ARRAY_SIZE(io); i++)
		free(io[i]->v);
	free(s->raw);
	free(s->hugetlb);
	free(s->percpu.v);
	free(s->percpu_user.v);
	free(s->percpu_kernel.v);
	free(s->cpus.v);
	free(s->mems.v);
	*s = (struct cgroup_stats){ 0 };
}

/* Go's omitempty. */
static void write_nonzero(struct json_writer *w, const char *key, uint64_t n)
{
	if (n)
		json_w_u64(w, key, n);
}

static void write_numbers(struct json_writer *w, const char *key, const struct cgroup_stats_numbers *l)
{
	if (!l->n)
		return;
	json_w_array(w, key);
	for (size_t i = 0; i < l->n; i++)
		json_w_u64(w, NULL, l->v[i]);
	json_w_array_end(w);
}

static void write_psi(struct json_writer *w, const struct cgroup_stats_psi *p)
{
	if (!p->present)
		return;
	json_w_object(w, "psi");
	json_w_object(w, "some");
	json_w_double(w, "avg10", p->some.avg10);
	json_w_double(w, "avg60", p->some.avg60);
	json_w_double(w, "avg300", p->some.avg300);
	json_w_u64(w, "total", p->some.total);
	json_w_object_end(w);
	json_w_object(w, "full");
	json_w_double(w, "avg10", p->full.avg10);
	json_w_double(w, "avg60", p->full.avg60);
	json_w_double(w, "avg300", p->full.avg300);
	json_w_u64(w, "total", p->full.total);
	json_w_object_end(w);
	json_w_object_end(w);
}

static void write_entry(struct json_writer *w, const char *key, const struct cgroup_stats_memory *e)
{
	json_w_object(w, key);
	json_w_u64(w, "limit", e->limit);
	write_nonzero(w, "usage", e->usage);
	write_nonzero(w, "max", e->max);
	json_w_u64(w, "failcnt", e->failcnt);
	json_w_object_end(w);
}

static void write_io(struct json_writer *w, const char *key, const struct cgroup_stats_io_list *l)
{
	if (!l->n)
		return;
	json_w_array(w, key);
	for (size_t i = 0; i < l->n; i++) {
		json_w_object(w, NULL);
		write_nonzero(w, "major", l->v[i].major);
		write_nonzero(w, "minor", l->v[i].minor);
		json_w_string(w, "op", l->v[i].op);
		write_nonzero(w, "value", l->v[i].value);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

static void write_cpu(struct json_writer *w, const struct cgroup_stats *s)
{
	json_w_object(w, "cpu");
	json_w_object(w, "usage");
	write_nonzero(w, "total", s->cpu_total);
	write_numbers(w, "percpu", &s->percpu);
	write_numbers(w, "percpu_kernel", &s->percpu_kernel);
	write_numbers(w, "percpu_user", &s->percpu_user);
	json_w_u64(w, "kernel", s->cpu_kernel);
	json_w_u64(w, "user", s->cpu_user);
	json_w_object_end(w);
	json_w_object(w, "throttling");
	write_nonzero(w, "periods", s->periods);
	write_nonzero(w, "throttledPeriods", s->throttled_periods);
	write_nonzero(w, "throttledTime", s->throttled_time);
	json_w_object_end(w);
	write_psi(w, &s->cpu_psi);
	json_w_object_end(w);
	json_w_object(w, "cpuset");
	write_numbers(w, "cpus", &s->cpus);
	json_w_u64(w, "cpu_exclusive", s->cpu_exclusive);
	write_numbers(w, "mems", &s->mems);
	json_w_u64(w, "mem_hardwall", s->mem_hardwall);
	json_w_u64(w, "mem_exclusive", s->mem_exclusive);
	json_w_u64(w, "memory_migrate", s->memory_migrate);
	json_w_u64(w, "memory_spread_page", s->memory_spread_page);
	json_w_u64(w, "memory_spread_slab", s->memory_spread_slab);
	json_w_u64(w, "memory_pressure", s->memory_pressure);
	json_w_u64(w, "sched_load_balance", s->sched_load_balance);
	json_w_i64(w, "sched_relax_domain_level", s->sched_relax_domain_level);
	json_w_object_end(w);
}

static void write_memory(struct json_writer *w, const struct cgroup_stats *s)
{
	json_w_object(w, "memory");
	write_nonzero(w, "cache", s->cache);
	write_entry(w, "usage", &s->memory);
	write_entry(w, "swap", &s->swap);
	write_entry(w, "kernel", &s->kernel);
	write_entry(w, "kernelTCP", &s->kernel_tcp);
	if (s->n_raw) {
		json_w_object(w, "raw");
		for (size_t i = 0; i < s->n_raw; i++)
			json_w_u64(w, s->raw[i].key, s->raw[i].value);
		json_w_object_end(w);
	}
	write_psi(w, &s->memory_psi);
	json_w_object_end(w);
}

void cgroup_stats_write(const struct cgroup_stats *s, struct json_writer *w)
{
	write_cpu(w, s);
	write_memory(w, s);
	json_w_object(w, "pids");
	write_nonzero(w, "current", s->pids_current);
	write_nonzero(w, "limit", s->pids_limit);
	json_w_object_end(w);
	json_w_object(w, "blkio");
	write_io(w, "ioServiceBytesRecursive", &s->io_bytes);
	write_io(w, "ioServicedRecursive", &s->io_serviced);
	write_io(w, "ioQueueRecursive", &s->io_queued);
	write_io(w, "ioServiceTimeRecursive", &s->io_service_time);
	write_io(w, "ioWaitTimeRecursive", &s->io_wait_time);
	write_io(w, "ioMergedRecursive", &s->io_merged);
	write_io(w, "ioTimeRecursive", &s->io_time);
	write_io(w, "sectorsRecursive", &s->sectors);
	write_psi(w, &s->io_psi);
	json_w_object_end(w);
	json_w_object(w, "hugetlb");
	for (size_t i = 0; i < s->n_hugetlb; i++) {
		json_w_object(w, s->hugetlb[i].size);
		write_nonzero(w, "usage", s->hugetlb[i].usage);
		write_nonzero(w, "max", s->hugetlb[i].max);
		json_w_u64(w, "failcnt", s->hugetlb[i].failcnt);
		json_w_object_end(w);
	}
	json_w_object_end(w);
	json_w_object(w, "intel_rdt");
	json_w_object_end(w);
}
