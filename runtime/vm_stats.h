/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of a machine: the workload's as the guest counts them, the machine's own as the monitor does. */
#ifndef RUNTIME_VM_STATS_H
#define RUNTIME_VM_STATS_H

#include "base/err.h"

struct cgroup_stats;

/*
 * The guest's "data" object, hostile text, into *ret, which holds the host's counters of the monitor's cgroup: CPU, memory
 * and processes become the guest's, block I/O stays the host's. 0 or -EINVAL.
 */
int vm_stats_merge(const char *json, struct cgroup_stats *ret, struct err *err);
/*
 * The object "vm": reply is the monitor's answer to STATS (NULL: left out), online the processors online, host the
 * counters of the monitor's cgroup. Owned text.
 */
char *vm_stats_object(const char *reply, unsigned int online, const struct cgroup_stats *host);

#endif
