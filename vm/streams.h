/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relay between a process's stdio on the host and its streams in the machine, until the guest reports the exit.
 * Used by the monitor (the container's own stdio), by `amphi exec`, and by the detached child of `exec -d`.
 */
#ifndef VM_STREAMS_H
#define VM_STREAMS_H

#include <stdbool.h>

#include "base/err.h"
#include "vm/agent.h"

struct streams {
	struct agent_session *session;
	int in, out, errout; /* the host's ends, borrowed; -1: none. With a terminal: in is read, out written */
	bool terminal;       /* in is a terminal: made raw while relaying, its size follows SIGWINCH */
	bool signals;        /* forward TERM, INT, HUP, QUIT, USR1, USR2, WINCH, CONT received by us */
	int lost_fd;         /* readable when the machine ended; -1: none */
	bool oom;            /* set at the end: the container was killed for want of memory */
};

/*
 * Relays until PROTO_EXIT has come and the output streams are at their end. At most 64 KiB are held per
 * direction: a slow reader slows the writer. Blocks the relayed signals in the calling thread and restores them.
 * Returns the exit status 0..255, or a negative errno: -ECONNRESET "the machine was lost".
 */
int streams_run(struct streams *s, struct err *err);

#endif
