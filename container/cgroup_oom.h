/* SPDX-License-Identifier: Apache-2.0 */
/* Out-of-memory events of a container's cgroup. */
#ifndef CONTAINER_CGROUP_OOM_H
#define CONTAINER_CGROUP_OOM_H

#include "base/err.h"

struct cgroup_manager;

/*
 * An fd that becomes readable at an OOM kill or when the cgroup goes away; call cgroup_oom_read() then. Owned by the
 * caller; -errno.
 */
int cgroup_oom_open(const struct cgroup_manager *m, struct err *err);
/*
 * Consumes the event: 1 an OOM happened, 0 something else, -ENODEV the cgroup is gone. *seen is the caller's
 * counter: 0 at first (kills from before count as the first event).
 */
int cgroup_oom_read(const struct cgroup_manager *m, int fd, unsigned long long *seen);

/* Kills counted so far; 0 where the cgroup is gone or does not count them. */
unsigned long long cgroup_oom_kills(const struct cgroup_manager *m);

#endif
