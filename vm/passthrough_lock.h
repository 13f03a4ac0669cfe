/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fcntl and flock locks on the host's files, for trees that several machines or the host share. A lock that has to wait
 * is answered later: one thread tries the waiting ones again and again, so no worker ever blocks.
 */
#ifndef VM_PASSTHROUGH_LOCK_H
#define VM_PASSTHROUGH_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct fuse_req;
struct passthrough;
struct passthrough_locks;

/* Most locks that may wait at a time; further ones fail with ENOLCK. */
#define PASSTHROUGH_LOCK_WAITERS_MAX 256

/* NULL with *err. The thread starts with the first waiting lock. */
struct passthrough_locks *passthrough_lock_new(struct passthrough *pt, struct err *err);
/* Ends the thread; waiting locks are dropped without an answer, all held ones released. NULL allowed. */
void passthrough_lock_reset(struct passthrough_locks *l);
void passthrough_lock_free(struct passthrough_locks *l);
/* close() of a file by an owner: its fcntl locks on the node go. */
void passthrough_lock_close(struct passthrough *pt, uint64_t node, uint64_t owner);
/* The guest let go of an open file: the locks that belong to it go. Only with pt->locks. */
void passthrough_lock_release(struct passthrough *pt, uint64_t node, uint64_t fh);
/* Gives up the fcntl locks on all nodes that are not to be kept. From any thread. */
void passthrough_lock_sweep(struct passthrough_locks *l, bool (*keep)(void *arg, uint64_t node), void *arg);

int passthrough_lock_get(struct fuse_req *r);
int passthrough_lock_set(struct fuse_req *r);  /* SETLK */
int passthrough_lock_wait(struct fuse_req *r); /* SETLKW */

#endif
