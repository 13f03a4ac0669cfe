/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's systemd half: names, and transient scopes over D-Bus. */
#ifndef CONTAINER_CGROUP_SYSTEMD_H
#define CONTAINER_CGROUP_SYSTEMD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct cgroup_manager;
struct oci_resources;

/*
 * "slice:prefix:name" into unit names (owned); cgroups_path NULL: "system.slice" (or "user.slice") and
 * "amphi-ID.scope". A name that ends in ".slice" is a slice of its own and refused as a scope. -EINVAL with *err.
 */
int cgroup_systemd_names(const char *cgroups_path, const char *id, bool rootless, char **ret_slice, char **ret_scope,
			 struct err *err);
/* "a-b.slice" -> "/a.slice/a-b.slice", "-.slice" -> "". Owned; NULL when malformed. */
char *cgroup_systemd_expand(const char *slice);
/* The user manager's own cgroup ("/user.slice/user-1000.slice/user@1000.service"); owned. */
int cgroup_systemd_user_root(char **ret, struct err *err);
/* Starts the scope with pid in it and waits for the job. Resources become properties. */
int cgroup_systemd_start(struct cgroup_manager *m, pid_t pid, struct err *err);
/* Moves a process into the scope, or below it in sub (may be NULL). */
int cgroup_systemd_attach(struct cgroup_manager *m, const char *sub, pid_t pid, struct err *err);
/* Sets the properties of changed resources. */
int cgroup_systemd_update(struct cgroup_manager *m, const struct oci_resources *r, struct err *err);
/* Stops the scope (success when it is gone) and forgets a failed one. */
int cgroup_systemd_stop(struct cgroup_manager *m, struct err *err);

#endif
