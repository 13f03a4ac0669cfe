/* SPDX-License-Identifier: Apache-2.0 */
/* The starter's side: tell the parked child to go, follow it to its execve. */
#ifndef CONTAINER_START_H
#define CONTAINER_START_H

#include <sys/types.h>

#include "base/err.h"

struct oci_config;
struct sync_msg;

/*
 * Follows the child over sock until its execve succeeded (0) or failed (its error). Serves what it asks for: resource
 * limits (process: whose) and the hand-over of the seccomp listener. pidfd tells its death.
 */
struct start_watch {
	const struct oci_config *config;
	const char *state_json; /* for the seccomp agent; may be NULL */
	pid_t pid;
	int pidfd;
};

/* Sends SYNC_START with the state document, then start_follow(). */
int start_run(int sock, const struct start_watch *w, struct err *err);
int start_follow(int sock, const struct start_watch *w, struct err *err);
/* Serves one SYNC_LISTENER message: fetches the listener, gives it to the agent, answers. */
int start_hand_over(int sock, const struct start_watch *w, const struct sync_msg *m, struct err *err);
/* "container init died: signal 9 (…)": a text for an end of file; sets and returns the error. */
int start_died(const struct oci_config *config, pid_t pid, struct err *err);

#endif
