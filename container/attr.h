/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes a process gives itself: scheduler, I/O priority, CPU affinity, memory policy, personality, session keyring. */
#ifndef CONTAINER_ATTR_H
#define CONTAINER_ATTR_H

#include "base/err.h"

struct oci_config;
struct oci_process;

/* process.scheduler and process.ioPriority. */
int attr_scheduling(const struct oci_process *p, struct err *err);
/* linux.memoryPolicy and linux.personality. */
int attr_memory_and_personality(const struct oci_config *c, struct err *err);
/* Sets our CPU affinity to list ("0-3,7"); what names the field in errors. NULL or "": nothing. */
int attr_affinity(const char *list, const char *what, struct err *err);
/* All CPUs that the cgroup allows: the caller's own mask is not the workload's. Never fails. */
void attr_affinity_reset(void);
/* The first word of our affinity, for the log; 0 where it cannot be told. */
unsigned long attr_affinity_first(void);
/* A new session keyring of this name; NULL: nothing. A kernel without keyrings or quota is tolerated. */
int attr_keyring(const char *name, struct err *err);

#endif
