/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of a machine. */
/*
 * Theory of operation: engines read the object "data" of events --stats and expect the workload's figures. In a machine
 * the guest's kernel keeps them (CPU time, memory and processes of the container's cgroup there), while the cgroup of the
 * host has the whole machine with its monitor. So "data" is the guest's, but for block I/O, which happens on the host; and
 * what the machine costs is in an object of its own, "vm". The guest may say what it likes: its text is parsed
 * into numbers, nothing of it is passed on.
 */
#include "runtime/vm_stats.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "container/cgroup_stats.h"

#define RAW_MAX 256

static int read_memory(const struct json *memory, const char *key, struct cgroup_stats_memory *ret, struct err *err)
{
	const struct json *o = json_get(memory, key);

	*ret = (struct cgroup_stats_memory){ 0 };
	if (!o)
		return 0;
	if (json_want(o, JSON_OBJECT, err) < 0 || json_opt_u64(o, "limit", &ret->limit, err) < 0 ||
	    json_opt_u64(o, "usage", &ret->usage, err) < 0 || json_opt_u64(o, "max", &ret->max, err) < 0 ||
	    json_opt_u64(o, "failcnt", &ret->failcnt, err) < 0)
		return -EINVAL;
	return 0;
}

static int read_raw(const struct json *memory, struct cgroup_stats *s, struct err *err)
{
	const struct json *raw = NULL;

	for (size_t i = 0; i < s->n_raw; i++)
		free(s->raw[i].key);
	free(steal_ptr(s->raw));
	s->n_raw = 0;
	if (json_opt_object(memory, "raw", &raw, err) < 0)
		return -EINVAL;
	if (!raw || !raw->c.n || raw->c.n > RAW_MAX)
		return 0;
	s->raw = xcalloc(raw->c.n, sizeof(*s->raw));
	json_for_each(v, raw) {
		if (json_u64(v, &s->raw[s->n_raw].value, err) < 0)
			return -EINVAL;
		s->raw[s->n_raw++].key = xstrdup(v->key);
	}
	return 0;
}

static int read_cpu(const struct json *cpu, struct cgroup_stats *s, struct err *err)
{
	const struct json *usage = NULL, *throttling = NULL;

	if (json_opt_object(cpu, "usage", &usage, err) < 0 || json_opt_object(cpu, "throttling", &throttling, err) < 0)
		return -EINVAL;
	s->cpu_total = s->cpu_user = s->cpu_kernel = s->periods = s->throttled_periods = s->throttled_time = 0;
	s->percpu.n = s->percpu_user.n = s->percpu_kernel.n = 0;
	s->cpu_psi.present = s->memory_psi.present = false;
	if (json_opt_u64(usage, "total", &s->cpu_total, err) < 0 ||
	    json_opt_u64(usage, "kernel", &s->cpu_kernel, err) < 0 ||
	    json_opt_u64(usage, "user", &s->cpu_user, err) < 0 ||
	    json_opt_u64(throttling, "periods", &s->periods, err) < 0 ||
	    json_opt_u64(throttling, "throttledPeriods", &s->throttled_periods, err) < 0 ||
	    json_opt_u64(throttling, "throttledTime", &s->throttled_time, err) < 0)
		return -EINVAL;
	return 0;
}

static int merge(const struct json *root, struct cgroup_stats *s, struct err *err)
{
	const struct json *cpu = NULL, *memory = NULL, *pids = NULL;

	if (json_opt_object(root, "cpu", &cpu, err) < 0 || json_opt_object(root, "memory", &memory, err) < 0 ||
	    json_opt_object(root, "pids", &pids, err) < 0)
		return -EINVAL;
	s->cache = s->pids_current = s->pids_limit = 0;
	if (read_cpu(cpu, s, err) < 0 || json_opt_u64(memory, "cache", &s->cache, err) < 0 ||
	    read_memory(memory, "usage", &s->memory, err) < 0 || read_memory(memory, "swap", &s->swap, err) < 0 ||
	    read_memory(memory, "kernel", &s->kernel, err) < 0 ||
	    read_memory(memory, "kernelTCP", &s->kernel_tcp, err) < 0 || read_raw(memory, s, err) < 0 ||
	    json_opt_u64(pids, "current", &s->pids_current, err) < 0 ||
	    json_opt_u64(pids, "limit", &s->pids_limit, err) < 0)
		return -EINVAL;
	return 0;
}

int vm_stats_merge(const char *json, struct cgroup_stats *ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(json, strlen(json), "the guest's counters", err);

	if (!doc || json_want(json_root(doc), JSON_OBJECT, err) < 0)
		return -EINVAL;
	return merge(json_root(doc), ret, err);
}

char *vm_stats_object(const char *reply, unsigned int online, const struct cgroup_stats *host)
{
	/* word of the monitor's answer → member; what is not here is a kind of exit */
	static const char *const members[][2] = {
		{ "memory", "memory" },
		{ "balloon", "balloon" },
		{ "rss", "resident" },
		{ "vcpus", "vcpusPresent" },
	};
	cleanup_strv char **words = strv_split(reply ? reply : "", ' ');
	struct json_writer w = { 0 };
	bool exits = false;

	json_w_object(&w, NULL);
	json_w_u64(&w, "vcpus", online);
	for (char **p = words; p && *p; p++) {
		char *value = strchr(*p, '=');
		size_t i = 0;
		uint64_t n;

		if (!value)
			continue;
		*value++ = '\0';
		if (parse_u64(value, &n) < 0)
			continue;
		while (i < ARRAY_SIZE(members) && strcmp(members[i][0], *p) != 0)
			i++;
		if (i == ARRAY_SIZE(members) && !exits) {
			json_w_object(&w, "exits");
			exits = true;
		}
		json_w_u64(&w, i < ARRAY_SIZE(members) ? members[i][1] : !strcmp(*p, "exits") ? "all" : *p, n);
	}
	if (exits)
		json_w_object_end(&w);
	json_w_object(&w, "host");
	json_w_u64(&w, "cpu", host->cpu_total);
	json_w_u64(&w, "memory", host->memory.usage);
	json_w_u64(&w, "memoryLimit", host->memory.limit);
	json_w_object_end(&w);
	json_w_object_end(&w);
	return json_w_steal(&w);
}
