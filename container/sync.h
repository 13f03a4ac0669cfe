/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the runtime and the child it is setting up, by name. */
#ifndef CONTAINER_SYNC_H
#define CONTAINER_SYNC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Who sends it is in brackets: P the parent (later the starter), C the child, H the helper that only clones. */
enum sync_type {
	SYNC_ERROR,    /* [C H] struct err; the sender ends */
	SYNC_MAP_ME,   /* [H] payload pid_t: write this process's uid and gid maps */
	SYNC_MAPPED,   /* [P] maps are written */
	SYNC_CLONED,   /* [H] payload pid_t: the child's pid; the helper ends */
	SYNC_JOINED,   /* [C] in all namespaces */
	SYNC_FDS,      /* [P] fds of the next SYNC_MOUNT, at most SYNC_FDS_MAX a message */
	SYNC_MOUNT,    /* [P] payload: which mounts the fds are for; go on to the mounts */
	SYNC_ENTERED,  /* [P] the child is in its cgroup */
	SYNC_MOUNTED,  /* [C] rootfs, mounts and devices are in place */
	SYNC_SETUP,    /* [P] payload: state document or nothing; finish the set-up */
	SYNC_CONSOLE,  /* [C] the terminal's master; payload its slave's name */
	SYNC_LIMITS,   /* [C] please set our resource limits: answered by SYNC_ACK */
	SYNC_PARKED,   /* [C] set up, waiting for SYNC_START */
	SYNC_START,    /* [P] payload: state document or nothing */
	SYNC_LISTENER, /* [C] payload int: the number that the seccomp listener is about to get in the child */
	SYNC_ACK,      /* [P] the request before was done */
	SYNC_EXEC,     /* [C] next call is execve; end of file without SYNC_ERROR means that it succeeded */
	SYNC_TYPE_MAX,
};

#define SYNC_FDS_MAX 60
#define SYNC_PAYLOAD_MAX (16U << 20)

struct sync_msg {
	enum sync_type type;
	size_t len;
	char *data;            /* owned; NUL behind len bytes; never NULL after sync_recv() */
	int fds[SYNC_FDS_MAX]; /* owned */
	size_t n_fds;
};

/* A connected pair of stream sockets. 0 or -errno. */
int sync_pair(int ret_fds[2]);
/* Sends one message; n_fds at most SYNC_FDS_MAX. 0 or -errno. Never raises SIGPIPE. */
int sync_send(int sock, enum sync_type type, const void *data, size_t len, const int *fds, size_t n_fds);
/* Sends *err. */
void sync_send_err(int sock, const struct err *err);
/* Receives one message: 0, -EPIPE at end of file, or -errno (-EPROTO for nonsense). */
int sync_recv(int sock, struct sync_msg *ret);
/*
 * Receives and demands the type. A SYNC_ERROR becomes *err (its code is returned); end of file is -EPIPE with *err
 * saying that the other side went away.
 */
int sync_expect(int sock, enum sync_type type, struct sync_msg *ret, struct err *err);
/* The error inside a SYNC_ERROR message. Returns its code. */
int sync_take_err(const struct sync_msg *m, struct err *err);
const char *sync_name(enum sync_type type);
/* Frees the payload and closes fds that are still there. */
void sync_msg_done(struct sync_msg *m);
#define cleanup_sync_msg CLEANUP(sync_msg_done)

#endif
