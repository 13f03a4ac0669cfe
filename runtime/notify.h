/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_notify(3) of a workload, when we are a service of type notify ($NOTIFY_SOCKET): the container gets a socket of
 * ours, and what it says of being ready goes on to systemd with the pid that is to be watched.
 */
#ifndef RUNTIME_NOTIFY_H
#define RUNTIME_NOTIFY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct sandbox;

/* Is there a $NOTIFY_SOCKET? */
bool notify_wanted(void);
/* create: the directory for the socket, in the state directory; *ret is its path (owned), NULL when not wanted. */
int notify_prepare(struct sandbox *sb, char **ret, struct err *err);
/* The same for a container that exists; NULL: it was created without. Owned. */
char *notify_dir(const struct sandbox *sb);
/*
 * start: listens, before the workload runs; *ret_sock is owned; -1 where create or we had no $NOTIFY_SOCKET. A socket of
 * an earlier start is replaced.
 */
int notify_listen(struct sandbox *sb, int *ret_sock, struct err *err);
/* Waits until the workload says READY=1, tells systemd that and MAINPID; returns also when it ended before. */
int notify_wait(int sock, pid_t pid, struct err *err);
/* The same in a process of its own, without MAINPID: we stay the service's main process (run in the foreground). */
int notify_forward(int sock, pid_t pid, struct err *err);

#endif
