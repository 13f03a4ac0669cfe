/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of one container or machine: what events and stats show. */
#ifndef RUNTIME_COUNTERS_H
#define RUNTIME_COUNTERS_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "container/cgroup_stats.h"

struct globals;
struct json_writer;
struct network_stats;
struct sandbox;

struct counters {
	struct cgroup_stats cgroup;
	char *vm;                  /* the object "vm" of a machine, owned; NULL */
	struct network_stats *net; /* owned */
	size_t n_net;
};

/* Loads a container that has counters: one that runs, or is created. */
int counters_load(const struct globals *g, const char *id, struct sandbox *sb, struct err *err);
/* Reads all of them. -ENOENT, -ENODEV: it has just ended; -ESRCH: its workload has, in a machine that still ends. */
int counters_read(struct sandbox *sb, struct counters *ret, struct err *err);
/* Writes "data" and, of a machine, "vm" into an open object, in runc's form. */
void counters_write(const struct counters *c, struct json_writer *w);
void counters_free(struct counters *c);
#define cleanup_counters CLEANUP(counters_free)

#endif
