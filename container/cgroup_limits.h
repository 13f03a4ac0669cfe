/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources of the config as writes to interface files of either cgroup version. Building the list is pure (and
 * is how bad values are refused before anything is touched); container/cgroup_apply.h writes it. runtime-spec
 * config-linux.md#control-groups.
 */
#ifndef CONTAINER_CGROUP_LIMITS_H
#define CONTAINER_CGROUP_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct oci_resources;
struct cgroup_host;

struct cgroup_limit {
	const char *controller; /* of its version: "memory", "blkio" or "io"; static, or points into file */
	bool v2;
	char *file;
	char *value;
	char *alt_file; /* where file does not exist; NULL: none */
	char *alt_value;
	char *field;   /* JSON path for errors */
	bool may_miss; /* no file means that this value is what happens anyway */
};

struct cgroup_limits {
	struct cgroup_limit *v;
	size_t n;
};

/* What is in force, for an update that changes one of two values which the kernel takes together. */
struct cgroup_limits_now {
	bool known;
	int64_t memory_max; /* bytes, -1 unlimited */
	int64_t cpu_quota;  /* us, -1 unlimited */
	uint64_t cpu_period;
};

/* prefix stands before the field's name in errors: "linux.resources", "resources". r and now may be NULL. */
int cgroup_limits_build(const struct oci_resources *r, const struct cgroup_host *host, const char *prefix,
			const struct cgroup_limits_now *now, struct cgroup_limits *ret, struct err *err);
/* cgroup2 controllers the list needs; an owned vector or NULL. */
char **cgroup_limits_controllers(const struct cgroup_limits *l);
void cgroup_limits_free(struct cgroup_limits *l);

/* Conversions of v1 numbers to v2 ones. shares: 2..262144 to 1..10000 with 1024 at 100; weight: 10..1000 to 1..10000. */
uint64_t cgroup_limits_cpu_weight(uint64_t shares);
uint64_t cgroup_limits_io_weight(uint64_t weight);

#endif
