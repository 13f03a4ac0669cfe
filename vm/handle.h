/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files and directories of the guest: FUSE file handles ⇄ descriptors. A handle stays while a request uses it,
 * even when the guest releases it meanwhile.
 */
#ifndef VM_HANDLE_H
#define VM_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct inode;

struct handle {
	uint64_t fh;   /* number as the guest knows it; never reused */
	int fd;        /* open for I/O; owned */
	uint64_t node; /* node id it was opened on: a request must name the same */
	bool dir;
	pthread_mutex_t lock; /* dir: one getdents at a time */
	uint64_t pos;         /* dir: where fd stands; UINT64_MAX: unknown */
	/* under the table's lock */
	unsigned int refs;
	struct handle *next;
};

struct handle_table;

struct handle_table *handle_table_new(void); /* NULL: out of memory */
void handle_table_free(struct handle_table *t);
/* Closes all (FUSE_DESTROY, a new session). No request may be running. */
void handle_table_clear(struct handle_table *t);
/* Closes those whose node is not to be kept; what a request uses, when it is done. From any thread. */
void handle_table_sweep(struct handle_table *t, bool (*keep)(void *arg, uint64_t node), void *arg);

/* Takes fd (closed on failure). 0 with *ret_fh, or -ENOMEM. */
int handle_open(struct handle_table *t, int fd, uint64_t node, bool dir, uint64_t *ret_fh);
/* The handle, referenced, when it belongs to node and is of that kind; else NULL. */
struct handle *handle_get(struct handle_table *t, uint64_t fh, uint64_t node, bool dir);
void handle_put(struct handle_table *t, struct handle *h);
/* The guest lets go of it. 0 or -EBADF. */
int handle_release(struct handle_table *t, uint64_t fh, uint64_t node, bool dir);

#endif
