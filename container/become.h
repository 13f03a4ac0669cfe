/* SPDX-License-Identifier: Apache-2.0 */
/* The last part of the child's way: from a privileged process in the container to the workload. */
#ifndef CONTAINER_BECOME_H
#define CONTAINER_BECOME_H

#include "base/err.h"

struct init;

/* Closes every fd but 0–2, those to be passed on, and our own; resets signals; fills stdio[]. First thing in the child. */
int become_clean(const struct init *in, struct err *err);
/*
 * Everything between set-up and the moment before startContainer hooks: attributes, limits, environment, user,
 * capabilities, working directory, executable. Inside the container's root (in->rootfd is it, or -1: "/").
 */
int become_user(struct init *in, struct err *err);
/*
 * For startContainer hooks: no_new_privs and the seccomp filter before they run, unless the filter has a listener
 * (its hand-over belongs to the last step). Once.
 */
int become_confined(struct init *in, struct err *err);
/* no_new_privs, filter, last capabilities, execve. sock is where the starter listens. Returns only on failure. */
int become_workload(struct init *in, int sock, struct err *err);
/* The terminal: opens it in the container's devpts at pts_dir, sends its master away, makes it 0–2. */
int become_terminal(struct init *in, int pts_dir, int *ret_slave, struct err *err);

#endif
