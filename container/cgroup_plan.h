/* SPDX-License-Identifier: Apache-2.0 */
/* Planning a manager: cgroupsPath becomes directories, limits are checked. Touches nothing. */
#ifndef CONTAINER_CGROUP_PLAN_H
#define CONTAINER_CGROUP_PLAN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct cgroup_manager;
struct oci_config;

/* Fills m->slice and m->scope (systemd) and m->dirs from m->params. */
int cgroup_plan_dirs(struct cgroup_manager *m, struct err *err);
/* Everything about the limits that can be wrong without looking at the cgroup. */
int cgroup_plan_check_limits(const struct cgroup_manager *m, struct err *err);
/* -EBUSY when the cgroup has processes or is frozen. */
int cgroup_plan_in_use(const struct cgroup_manager *m, struct err *err);
/* Does the config ask for any limit (device rules do not count)? */
bool cgroup_plan_limits_asked(const struct cgroup_manager *m);

/*
 * Does the container's cgroup belong to the user of its process? Only where it has a new cgroup namespace and cgroups
 * mounted writable (config-linux.md#cgroup-ownership). *ret: the user's id on the host.
 */
bool cgroup_plan_owner(const struct oci_config *config, uid_t *ret);

#endif
