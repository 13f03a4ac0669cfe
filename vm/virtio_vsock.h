/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock device (virtio 1.2 §5.10), streams only, without any kernel help on the host: guest ports are bridged
 * to unix sockets.
 *
 * Host to guest: a client connects to the listening unix socket and writes "CONNECT <port>\n" (decimal). When the
 * guest accepts, it reads "OK\n" and from then on the socket is the connection; otherwise it reads "ERR <text>\n" and
 * end of file. Nothing may be sent behind the newline before the answer arrived. Any other line ends up in control()
 * and its one-line reply comes back; a client may send several such lines.
 *
 * Guest to host: a connection to CID 2 port N calls guest_connect(N), whose stream fd becomes the other end.
 *
 * Half-closed streams work in both directions: shutdown(SHUT_WR) on the socket is end of file in the guest and the other
 * way round. Each stream holds at most VIRTIO_VSOCK_BUF bytes that its reader has not taken; a slow one stops nobody.
 */
#ifndef VM_VIRTIO_VSOCK_H
#define VM_VIRTIO_VSOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct virtio_device;

#define VIRTIO_VSOCK_BUF (256u << 10) /* bytes a stream may hold back for a slow host reader */
#define VIRTIO_VSOCK_STREAMS_MAX 4096 /* connections at a time; further ones are refused */
#define VIRTIO_VSOCK_LINE_MAX 128     /* a line of a client, with newline */
#define VIRTIO_VSOCK_HOST_CID 2

struct virtio_vsock_params {
	int listen_fd;      /* listening unix stream socket, owned by the device from a successful call on; -1: none */
	uint64_t guest_cid; /* > 2 */
	/* Returns the fd of a stream (owned by the device from then on) or -errno (refused). Called in the device's thread. */
	int (*guest_connect)(void *arg, uint32_t port);
	/* A line that is not CONNECT, without newline; writes a line with newline to reply. NULL: refused. Same thread. */
	void (*control)(void *arg, const char *line, char *reply, size_t reply_len);
	void *arg; /* of both */
};

/* The device core. NULL with *err. */
struct virtio_device *virtio_vsock_new(const struct virtio_vsock_params *p, struct err *err);

/*
 * Client side of the line protocol on a connected unix stream socket, for callers that block: sends CONNECT, reads
 * the answer up to the newline and nothing more. 0, -ECONNREFUSED (the guest did not accept; it may not listen yet),
 * -EPIPE (the machine is gone) or -errno, with *err.
 */
int virtio_vsock_client(int fd, uint32_t port, struct err *err);

#endif
