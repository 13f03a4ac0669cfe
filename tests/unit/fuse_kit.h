/* SPDX-License-Identifier: Apache-2.0 */
/* Speaks FUSE to fuse_handle() the way a guest does: a chain of one message in two readable and two writable pieces. */
#ifndef TESTS_UNIT_FUSE_KIT_H
#define TESTS_UNIT_FUSE_KIT_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "tests/unit/tap.h"
#include "vm/fuse.h"
#include "vm/passthrough.h"

struct kit {
	char dir[64]; /* host directory that is exported */
	int dir_fd;
	struct passthrough *pt;
	struct passthrough_thread *th;
	struct virtq_chain *chain;
	uint32_t uid, gid;   /* of the next requests */
	uint8_t in[1 << 17]; /* request: header and arguments */
	size_t in_len;
	uint8_t out[1 << 17]; /* reply: header and payload */
	size_t out_room;      /* bytes of payload the guest gives room for */
	int64_t result;       /* of fuse_handle() */
	uint64_t unique;
};

static inline void kit_open(struct kit *k, const struct virtio_fs_params *params,
			    void (*complete)(void *, void *, uint16_t, uint32_t), void *arg)
{
	struct virtio_fs_params p;
	struct err err = { 0 };

	memset(k, 0, sizeof(*k));
	strcpy(k->dir, "/tmp/amphi-fuse-XXXXXX");
	need(mkdtemp(k->dir));
	chmod(k->dir, 0755);
	k->dir_fd = open(k->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	virtio_fs_params_init(&p);
	if (params)
		p = *params;
	p.export_fd = k->dir_fd;
	p.tag = "test";
	k->pt = passthrough_new(&p, complete, arg, &err);
	k->th = calloc(1, sizeof(*k->th));
	k->chain = calloc(1, sizeof(*k->chain));
	need(k->pt && k->th && k->chain);
	need(passthrough_thread_init(k->pt, k->th, &err) == 0);
	k->out_room = 65536;
}

static inline void kit_close(struct kit *k)
{
	passthrough_free(k->pt);
	free(k->th);
	free(k->chain);
	close(k->dir_fd);
	path_remove_tree(AT_FDCWD, k->dir, true);
}

/* Begins a message; kit_add() its arguments, kit_send() it. */
static inline void kit_begin(struct kit *k)
{
	k->in_len = sizeof(struct fuse_in_header);
}

static inline void kit_add(struct kit *k, const void *p, size_t len)
{
	memcpy(k->in + k->in_len, p, len);
	k->in_len += len;
}

static inline void kit_str(struct kit *k, const char *s)
{
	kit_add(k, s, strlen(s) + 1);
}

/* Sends it; the reply's error (0 or negative errno), or 1 for no reply. */
static inline int kit_send(struct kit *k, uint32_t op, uint64_t node)
{
	struct fuse_in_header h = {
		.len = (uint32_t)k->in_len,
		.opcode = op,
		.unique = ++k->unique,
		.nodeid = node,
		.uid = k->uid,
		.gid = k->gid,
		.pid = 1,
	};
	struct fuse_out_header *o = (void *)k->out;
	size_t half = sizeof(h) / 2;

	memcpy(k->in, &h, sizeof(h));
	k->chain->head = 7;
	k->chain->out_n = k->chain->in_n = 2;
	k->chain->out_len = k->in_len;
	k->chain->in_len = sizeof(*o) + k->out_room;
	k->chain->iov[0] = (struct iovec){ k->in, half };
	k->chain->iov[1] = (struct iovec){ k->in + half, k->in_len - half };
	k->chain->iov[2] = (struct iovec){ k->out, 5 };
	k->chain->iov[3] = (struct iovec){ k->out + 5, k->chain->in_len - 5 };
	memset(k->out, 0xee, sizeof(k->out));
	k->result = fuse_handle(k->pt, k->th, k, k->chain);
	if (k->result <= 0)
		return 1;
	if (o->unique != k->unique || o->len != k->result)
		return 2;
	return o->error;
}

/* The reply's payload and its length. */
static inline void *kit_reply(struct kit *k)
{
	return k->out + sizeof(struct fuse_out_header);
}

static inline size_t kit_reply_len(struct kit *k)
{
	return (size_t)k->result - sizeof(struct fuse_out_header);
}

static inline int kit_init(struct kit *k)
{
	struct fuse_init_in in = { .major = 7, .minor = 38, .max_readahead = 65536, .flags = ~0u, .flags2 = ~0u };

	kit_begin(k);
	kit_add(k, &in, sizeof(in));
	return kit_send(k, FUSE_INIT, 0);
}

/* A message with one struct and up to two names. */
static inline int kit_call(struct kit *k, uint32_t op, uint64_t node, const void *arg, size_t len, const char *a,
			   const char *b)
{
	kit_begin(k);
	if (len)
		kit_add(k, arg, len);
	if (a)
		kit_str(k, a);
	if (b)
		kit_str(k, b);
	return kit_send(k, op, node);
}

/* Node id of name below node, or 0. */
static inline uint64_t kit_lookup(struct kit *k, uint64_t node, const char *name)
{
	struct fuse_entry_out *e = kit_reply(k);

	return kit_call(k, FUSE_LOOKUP, node, NULL, 0, name, NULL) == 0 ? e->nodeid : 0;
}

/* Creates and opens; node id (0 on failure), handle in *fh. */
static inline uint64_t kit_create(struct kit *k, uint64_t dir, const char *name, uint32_t mode, uint32_t flags,
				  uint64_t *fh)
{
	struct fuse_create_in in = { .flags = flags, .mode = S_IFREG | mode, .umask = 022 };
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} *r = kit_reply(k);

	*fh = 0;
	if (kit_call(k, FUSE_CREATE, dir, &in, sizeof(in), name, NULL) != 0)
		return 0;
	*fh = r->o.fh;
	return r->e.nodeid;
}

static inline int kit_write(struct kit *k, uint64_t node, uint64_t fh, uint64_t off, const char *data, uint32_t flags)
{
	struct fuse_write_in in = { .fh = fh, .offset = off, .size = (uint32_t)strlen(data), .flags = flags };

	kit_begin(k);
	kit_add(k, &in, sizeof(in));
	kit_add(k, data, strlen(data));
	return kit_send(k, FUSE_WRITE, node);
}

/* Reads up to size bytes as text. */
static inline const char *kit_read(struct kit *k, uint64_t node, uint64_t fh, uint64_t off, uint32_t size)
{
	struct fuse_read_in in = { .fh = fh, .offset = off, .size = size };

	if (kit_call(k, FUSE_READ, node, &in, sizeof(in), NULL, NULL) != 0)
		return NULL;
	((char *)kit_reply(k))[kit_reply_len(k)] = 0;
	return kit_reply(k);
}

#endif
