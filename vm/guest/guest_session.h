/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: the relay between a process's stdio in the guest and its vsock streams, window size and signals, and the
 * report of its end.
 */
#ifndef VM_GUEST_GUEST_SESSION_H
#define VM_GUEST_GUEST_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define GUEST_SESSION_TOKEN 16u

struct guest_session {
	int control;       /* connection of the request */
	int listener;      /* vsock socket on which the streams arrive */
	unsigned int port; /* of listener */
	unsigned char token[GUEST_SESSION_TOKEN];
	bool terminal;
	int child[3]; /* the process's ends of the pipes, for container_params.stdio; -1 with a terminal */
	int ours[3];  /* our ends; with a terminal [1] is its master */
};

/* Opens the listener and, without a terminal, the pipes. 0 or -errno; guest_session_close() in any case. */
int guest_session_open(struct guest_session *s, int control, bool terminal, struct err *err);
/* Closes the process's ends in this process: after the child was cloned. */
void guest_session_close_child(struct guest_session *s);
/* Tells the host where the streams are wanted. 0 or -errno. */
int guest_session_announce(const struct guest_session *s, pid_t pid);
/*
 * Relays until the process (a child of ours) ended and its output is delivered, calls ended(arg) when given (true: killed for
 * want of memory), writes file data back and reports. A host that goes away kills the process. Blocks. Exit status 0..255.
 */
int guest_session_run(struct guest_session *s, pid_t pid, int pidfd, bool (*ended)(void *arg), void *arg);
void guest_session_close(struct guest_session *s);

#endif
