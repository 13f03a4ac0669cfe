/* SPDX-License-Identifier: Apache-2.0 */
/* What only cgroup v1 hierarchies have: cpusets that must be filled before use, and the freezer controller. */
#ifndef CONTAINER_CGROUP_V1_H
#define CONTAINER_CGROUP_V1_H

#include <stdbool.h>

#include "base/err.h"

struct cgroup_dir;

/* Copies cpuset.cpus and cpuset.mems down from the first ancestor that has some, where they are empty. */
int cgroup_v1_cpuset_init(struct cgroup_dir *d, struct err *err);
/* Writes freezer.state and waits (10 s) until it is so; what fails is taken back. */
int cgroup_v1_freeze(struct cgroup_dir *d, struct err *err);
/* Thaws the directory, or all of its tree (below); 0 also when it is gone, -EBUSY when one above it is frozen. */
int cgroup_v1_thaw(struct cgroup_dir *d, bool below, struct err *err);
/* Which of path and the directories above it, up to the mount point, somebody froze; owned; NULL: none. */
char *cgroup_v1_frozen_by(const char *mount, const char *path);

#endif
