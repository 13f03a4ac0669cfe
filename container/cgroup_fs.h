/* SPDX-License-Identifier: Apache-2.0 */
/* What only the cgroup2 tree has: controllers enabled from the top, the freezer, cgroup.kill. */
#ifndef CONTAINER_CGROUP_FS_H
#define CONTAINER_CGROUP_FS_H

#include <stdbool.h>

#include "base/err.h"

struct cgroup_dir;

/*
 * Has every ancestor pass every available controller down to d. Those in required (NULL-terminated) must arrive,
 * the others may fail. *err says which one did not and why.
 */
int cgroup_fs_enable(struct cgroup_dir *d, char *const *available, char *const *required, struct err *err);
/* Writes cgroup.freeze and waits (10 s) until cgroup.events agrees. */
int cgroup_fs_freeze(struct cgroup_dir *d, bool on, struct err *err);
/* cgroup.kill: 0, also when the cgroup is gone; -ENOENT where the kernel has none (before 5.14). */
int cgroup_fs_kill(struct cgroup_dir *d);

#endif
