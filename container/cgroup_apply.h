/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a list of limits to a manager's directories, and reads what is in force. */
#ifndef CONTAINER_CGROUP_APPLY_H
#define CONTAINER_CGROUP_APPLY_H

#include "base/err.h"

struct cgroup_limits;
struct cgroup_limits_now;
struct cgroup_manager;

/* Writes every entry; -errno with the JSON path, the file and the value of the first that fails. */
int cgroup_apply_limits(const struct cgroup_limits *l, struct cgroup_manager *m, struct err *err);
/* Memory and CPU limits in force; ret->known says whether there were any files to read. */
void cgroup_apply_now(const struct cgroup_manager *m, struct cgroup_limits_now *ret);
/* checkBeforeUpdate: -ENOMEM when the new memory limit is below the present usage. */
int cgroup_apply_check_memory(const struct cgroup_manager *m, long long limit, struct err *err);

#endif
