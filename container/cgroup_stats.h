/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of a container's cgroups, in one form for both versions; filled by cgroup_stats_read(). */
#ifndef CONTAINER_CGROUP_STATS_H
#define CONTAINER_CGROUP_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container/cgroup.h"

#define CGROUP_UNLIMITED UINT64_MAX /* a cgroup2 limit of "max" */

struct cgroup_stats_numbers {
	uint64_t *v; /* owned */
	size_t n;
};

struct cgroup_stats_memory {
	uint64_t limit, usage, max, failcnt; /* bytes, bytes, bytes, events */
};

struct cgroup_stats_raw {
	char *key; /* owned */
	uint64_t value;
};

struct cgroup_stats_io {
	uint64_t major, minor;
	const char *op; /* "Read", "Write", "Sync", "Async", "Discard", "Total"; static */
	uint64_t value;
};

struct cgroup_stats_io_list {
	struct cgroup_stats_io *v; /* owned */
	size_t n;
};

struct cgroup_stats_hugetlb {
	char *size; /* "2MB", owned */
	uint64_t usage, max, failcnt;
};

struct cgroup_stats_psi {
	bool present;
	struct {
		double avg10, avg60, avg300; /* per cent */
		uint64_t total;              /* us */
	} some, full;
};

struct cgroup_stats {
	uint64_t cpu_total, cpu_user, cpu_kernel;                       /* ns */
	struct cgroup_stats_numbers percpu, percpu_user, percpu_kernel; /* ns */
	uint64_t periods, throttled_periods, throttled_time;            /* time in ns */
	struct cgroup_stats_psi cpu_psi, memory_psi, io_psi;

	struct cgroup_stats_numbers cpus, mems; /* numbers of CPUs and nodes */
	uint64_t cpu_exclusive, mem_hardwall, mem_exclusive, memory_migrate, memory_spread_page, memory_spread_slab;
	uint64_t memory_pressure, sched_load_balance;
	int64_t sched_relax_domain_level;

	uint64_t cache;                                              /* bytes */
	struct cgroup_stats_memory memory, swap, kernel, kernel_tcp; /* swap counts memory + swap */
	struct cgroup_stats_raw *raw;                                /* memory.stat; owned */
	size_t n_raw;

	uint64_t pids_current, pids_limit; /* limit 0: none */

	struct cgroup_stats_io_list io_bytes, io_serviced, io_queued, io_service_time, io_wait_time, io_merged, io_time,
		sectors;
	struct cgroup_stats_hugetlb *hugetlb; /* owned */
	size_t n_hugetlb;
};

/* Frees what a filled one owns. */
void cgroup_stats_free(struct cgroup_stats *s);
#define cleanup_cgroup_stats CLEANUP(cgroup_stats_free)

/* The members of the object "data" of runc's events, but for network_interfaces, which are not a cgroup's. */
void cgroup_stats_write(const struct cgroup_stats *s, struct json_writer *w);

#endif
