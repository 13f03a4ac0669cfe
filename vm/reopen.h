/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files opened again by kernel file handles (open_by_handle_at(2)), in a process of its own. That call opens any file of a
 * file system, whatever tree one was given: the threads that a guest talks to must not have it. The process opens only
 * what it has sealed itself, and it seals only files that it is shown open.
 */
#ifndef VM_REOPEN_H
#define VM_REOPEN_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vm/lockdown.h"

struct reopen;

/* Names a file for as long as it exists; good in the process that made it alone. */
struct reopen_ticket {
	uint64_t seal; /* over all that follows */
	int32_t mount_id, type;
	uint32_t len, zero; /* no padding: copies keep every byte that is sealed */
	uint8_t handle[MAX_HANDLE_SZ];
};

/*
 * Starts the process, which ends with the calling thread. Before any other thread and before lockdown_process(): it takes
 * CAP_DAC_READ_SEARCH over. NULL with *err.
 */
struct reopen *reopen_start(enum lockdown_mode mode, struct err *err);
/* Ends it. No call may be running. NULL allowed. */
void reopen_stop(struct reopen *r);
/*
 * The ticket of the file at fd (O_PATH allowed). 0; -EOPNOTSUPP and others where its file system has no handles. Waits for
 * the process, as reopen_open() does; from any thread.
 */
int reopen_seal(struct reopen *r, int fd, struct reopen_ticket *ret);
/*
 * The ticket's file as O_PATH descriptor. mount_fd is of any file of its mount, not O_PATH. -EPERM: not a ticket of this
 * process, or another mount; -ESTALE: the file is gone.
 */
int reopen_open(struct reopen *r, int mount_fd, const struct reopen_ticket *t);
/* The handle of the file at fd, unsealed, is it the ticket's? No privilege, no waiting. */
bool reopen_same(const struct reopen_ticket *t, int fd);
/* SipHash-2-4, for its test vectors. */
uint64_t reopen_siphash(const uint64_t key[2], const void *data, size_t len);

#endif
