/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE messages (linux/fuse.h, protocol 7.38): decode a request chain, dispatch it, write the reply. A session is one
 * mounted file system; it stands on struct passthrough for the operations. Used by virtio_fs and the tests.
 */
#ifndef VM_FUSE_H
#define VM_FUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/fuse.h>

#include "base/err.h"
#include "vm/virtq.h"

struct passthrough;
struct passthrough_thread;

/* Largest payload of one READ or WRITE. */
#define FUSE_MAX_WRITE (1u << 20)
#define FUSE_WRITE_PAGES (FUSE_MAX_WRITE / 4096)
/* Room for one name with its NUL. */
#define FUSE_NAME_SIZE 256
/* fuse_handle(): the answer comes later through passthrough_params.complete. */
#define FUSE_LATER (-1)

/* One request on its way through a handler. */
struct fuse_req {
	struct passthrough *pt;
	struct passthrough_thread *th;
	const struct virtq_chain *chain;
	struct fuse_in_header in; /* copied, in.len checked against the chain */
	size_t arg;               /* offset of the next unread argument byte in the chain */
	size_t room;              /* bytes of reply payload the guest has room for */
	size_t reply;             /* bytes of payload written */
	void *queue;              /* where a late answer goes */
	bool later;               /* set by a handler that answers later */
};

/* What the mounted session negotiated. Written by INIT only. */
struct fuse_session {
	bool ready; /* INIT was seen */
	uint32_t minor;
	uint64_t flags; /* FUSE_* of INIT, both sides */
};

/*
 * Handles one request chain from queue (opaque; returned with late answers). Returns the bytes written into the chain's
 * writable part (0: no answer, the chain is just given back) or FUSE_LATER. The guest's mistakes are answered or dropped.
 */
int64_t fuse_handle(struct passthrough *pt, struct passthrough_thread *th, void *queue,
		    const struct virtq_chain *chain);

/* For handlers. Copies the next len argument bytes; 0 or -EINVAL (message too short). */
int fuse_arg(struct fuse_req *r, void *buf, size_t len);
/* Copies the next NUL-terminated string with at most size - 1 bytes. 0, -EINVAL (no end) or -ENAMETOOLONG. */
int fuse_arg_string(struct fuse_req *r, char *buf, size_t size);
/* fuse_arg_string() of one path component: not empty, no '/', neither "." nor "..". 0 or -errno. */
int fuse_arg_name(struct fuse_req *r, char buf[FUSE_NAME_SIZE]);
/* Argument bytes not yet read. */
size_t fuse_arg_left(const struct fuse_req *r);
/* Appends to the reply payload; 0 or -ERANGE (no room). */
int fuse_reply(struct fuse_req *r, const void *buf, size_t len);
/* Was the flag negotiated? */
bool fuse_has(const struct passthrough *pt, uint64_t flag);
/* The opcode's name ("LOOKUP"); "?" when unknown. */
const char *fuse_opcode_name(uint32_t opcode);

#endif
