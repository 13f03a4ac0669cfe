/* SPDX-License-Identifier: Apache-2.0 */
/* Making the child: clone3(2) into namespaces and cgroup, directly or through a helper that only clones. */
#ifndef CONTAINER_CLONE_H
#define CONTAINER_CLONE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct init;

struct clone_result {
	pid_t pid;
	int pidfd;      /* owned */
	bool in_cgroup; /* born in the cgroup of the fd */
};

/*
 * clone3(2) with CLONE_PIDFD, and into the cgroup of cgroup_fd (-1: none) where the kernel can. Returns 0 in the child, 1 in the
 * parent with *ret, or -errno.
 */
int clone_process(uint64_t flags, int cgroup_fd, struct clone_result *ret);
/*
 * After the failure r (-ESRCH, -EPIPE: the child went away): was it killed at birth? That is the fate of who is cloned into a
 * cgroup when it or ours was killed before (cgroup.kill, Linux 6.13, and older ones with its change). It has done nothing
 * then, stays waitable, and is to be cloned again outside.
 */
bool clone_killed_at_birth(const struct clone_result *child, int r);
/*
 * Makes the container's first process as in->ns says; it runs init_main(in) and is a direct child of ours. Writes id
 * maps (in the direct case and the helper's) before it returns; SYNC_MAPPED is sent by the caller where
 * in->wait_mapped is set on return.
 */
int clone_init(struct init *in, int cgroup_fd, struct clone_result *ret, struct err *err);
/*
 * The same for an exec'd process that must come out of the container's user and pid namespace: a helper enters all
 * namespaces of flags but the mount namespace by container_pidfd, and clones. The child runs init_exec_main(in).
 */
int clone_exec(struct init *in, uint64_t flags, int cgroup_fd, struct clone_result *ret, struct err *err);

#endif
