/* SPDX-License-Identifier: Apache-2.0 */
/* The foreground: what run and exec do between start and the end of their process. */
#ifndef RUNTIME_SUPERVISE_H
#define RUNTIME_SUPERVISE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "base/err.h"

struct supervise {
	bool begun;
	sigset_t old_mask;
	int master; /* the workload's terminal; -1: none */
	bool raw;   /* our own terminal is in raw mode; saved holds what it was */
	struct termios saved;
};

#define SUPERVISE_INIT \
	{ \
		.master = -1 \
	}

/* From here on signals wait for supervise_wait() instead of killing us halfway. subreaper: orphans come to us. */
void supervise_begin(struct supervise *s, bool subreaper);
/*
 * Takes the terminal's master that was sent into the other end of peer; our terminal goes raw; its size is given on
 * unless the config sets one. peer -1: no terminal.
 */
int supervise_console(struct supervise *s, int peer, bool keep_size, struct err *err);
/*
 * Forwards signals to pid (a child of ours) and relays the terminal until it ends; reaps adopted orphans. Returns
 * its exit code (128 + signal) or a negative errno.
 */
int supervise_wait(struct supervise *s, pid_t pid, struct err *err);
/* Puts terminal and signal mask back. Repeatable. */
void supervise_end(struct supervise *s);
#define cleanup_supervise CLEANUP(supervise_end)

#endif
