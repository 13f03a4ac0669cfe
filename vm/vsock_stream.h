/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream of the vsock device: the host's fd, the guest's port, what is buffered between them and who may send how
 * much. Knows no queue; virtio_vsock.c moves the packets.
 */
#ifndef VM_VSOCK_STREAM_H
#define VM_VSOCK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "vm/virtio_vsock.h"

enum vsock_stream_state {
	VSOCK_STREAM_LINE,       /* a client that has not said CONNECT yet; no ports */
	VSOCK_STREAM_CONNECTING, /* REQUEST on its way, the guest has not answered */
	VSOCK_STREAM_OPEN,
	VSOCK_STREAM_DEAD, /* the guest reset it; only what is buffered still goes to the host */
};

/* Packets without data that the guest has to be sent, as bits. */
enum {
	VSOCK_STREAM_SEND_REQUEST = 1,
	VSOCK_STREAM_SEND_RESPONSE = 2,
	VSOCK_STREAM_SEND_CREDIT = 4,
	VSOCK_STREAM_SEND_CREDIT_REQUEST = 8,
	VSOCK_STREAM_SEND_RST = 16, /* and the stream ends */
};

struct vsock_stream {
	/* identity */
	int fd;      /* owned */
	bool socket; /* recv/send with flags; else read/write on a non-blocking fd */
	uint32_t guest_port, host_port;
	enum vsock_stream_state state;
	/* to do */
	unsigned int send;                 /* VSOCK_STREAM_SEND_* */
	unsigned int shut_want, shut_sent; /* VIRTIO_VSOCK_SHUTDOWN_* the guest is or was told */
	unsigned int shut_guest;           /* told by the guest */
	bool shut_wr_done, shut_rd_done;   /* passed on to fd */
	bool readable, hangup;             /* edge-triggered: true until a read says EAGAIN */
	bool credit_asked;
	/* credit, all modulo 2^32 (virtio 1.2 §5.10.6.3) */
	uint32_t peer_alloc, peer_fwd; /* guest-written */
	uint32_t sent;                 /* bytes sent to the guest */
	uint32_t fwd, fwd_told;        /* bytes passed on to fd, and what the guest knows of that */
	/* bytes from the guest that fd did not take */
	char *buf; /* VIRTIO_VSOCK_BUF bytes, ring; NULL while not needed */
	size_t head, len;
	/* lists of virtio_vsock.c */
	bool queued;
	struct vsock_stream *next_hash, *prev_queue, *next_queue;
};

/* A stream on fd (taken; made non-blocking unless it is a socket). NULL: out of memory (fd closed). */
struct vsock_stream *vsock_stream_new(int fd, enum vsock_stream_state state);
void vsock_stream_free(struct vsock_stream *s);
/* Bytes that may be sent to the guest now. Whatever the guest claims, at most its buffer. */
uint32_t vsock_stream_credit(const struct vsock_stream *s);
/* Reads from fd into iov. Bytes, 0 at end of file, -EAGAIN or another -errno. */
ssize_t vsock_stream_read(struct vsock_stream *s, struct iovec *iov, int n);
/*
 * len bytes from the guest: written to fd as far as it takes them, the rest buffered. 0, or -ENOBUFS when the guest sends
 * more than it was allowed. Sets send and shut_want.
 */
int vsock_stream_write(struct vsock_stream *s, struct iovec *iov, int n, size_t len);
/* fd may take more: passes on what is buffered. */
void vsock_stream_flush(struct vsock_stream *s);
/*
 * Passes the guest's shutdown on to fd once the buffer is empty, asks for the RST that ends a stream closed from both
 * sides. True when the stream is over and nothing is left to send.
 */
bool vsock_stream_settle(struct vsock_stream *s);
/* Writes a short text to the client, best effort. */
void vsock_stream_say(struct vsock_stream *s, const char *text);

#endif
