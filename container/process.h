/* SPDX-License-Identifier: Apache-2.0 */
/* The workload's identity and place: environment, user, working directory, executable. runtime-spec config.md#process. */
#ifndef CONTAINER_PROCESS_H
#define CONTAINER_PROCESS_H

#include <stdbool.h>

#include "base/err.h"

struct oci_process;

/*
 * The environment: process.env with the last of equal names kept, HOME from /etc/passwd below rootfd when it is missing or
 * empty, and what else adds ("NAME=value" vector, may be NULL). Owned.
 */
char **process_env(const struct oci_process *p, int rootfd, char *const *also);
/* Home directory of a numeric uid in a passwd file's text (trusted for nothing but this string); owned, "/" when unknown. */
char *process_home(const char *passwd, unsigned int uid);
/* Groups (keep_groups: as they are), gid, uid (numbers only), umask. */
int process_user(const struct oci_process *p, bool keep_groups, struct err *err);
/*
 * Standard streams that are the host's /dev/null become the container's, below rootfd: what a checkpoint finds open
 * must be the container's own. Where there is none they stay.
 */
void process_own_null(int rootfd);
/* Gives the standard streams to uid where they are not its own, so that /dev/stdout can be opened. Never fails. */
void process_own_stdio(unsigned int uid);
/*
 * Changes to process.cwd and checks that it is below the root (CVE-2024-21626). -EACCES and -EPERM may be retried
 * as the user.
 */
int process_chdir(const struct oci_process *p, struct err *err);
/*
 * Finds args[0] as the current user: through PATH of env, or as it is when it has a '/'. *ret is owned. Errors in the words engines
 * match: `exec: "foo": executable file not found in $PATH`.
 */
int process_find(const char *name, char *const *env, char **ret, struct err *err);

#endif
