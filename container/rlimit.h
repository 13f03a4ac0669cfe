/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits, OOM score, sysctls. runtime-spec config.md#posix-process, config-linux.md#sysctl. */
#ifndef CONTAINER_RLIMIT_H
#define CONTAINER_RLIMIT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct oci_config;
struct oci_process;

/* Sets process.rlimits of the process pid (0: ours). */
int rlimit_apply(pid_t pid, const struct oci_process *p, struct err *err);
/* Writes process.oomScoreAdj where given; a rootless caller that may not lower it is tolerated. */
int rlimit_oom_score(pid_t pid, const struct oci_process *p, bool rootless, struct err *err);
/* Writes linux.sysctl through the procfs directory fd, from inside the namespaces. */
int rlimit_sysctl(const struct oci_config *config, int procfd, struct err *err);

#endif
