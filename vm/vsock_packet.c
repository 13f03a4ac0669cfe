/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets towards the guest (virtio 1.2 §5.10.6): what a stream has to say next, written into one receive buffer. Control
 * packets go first, then data read from the fd straight into the buffer, then the end of the stream. Every packet of a
 * stream carries its credit. Runs in the vsock thread.
 */
#include "vm/vsock_packet.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_vsock.h>

#include "base/cleanup.h"
#include "vm/vsock_stream.h"

#define PACKET_MAX (64u << 10) /* bytes of data read into one receive buffer */
#define IOV_MAX_ 64

static void fill_header(uint64_t guest_cid, struct vsock_stream *s, struct virtio_vsock_hdr *h, unsigned int op)
{
	memset(h, 0, sizeof(*h));
	h->src_cid = VIRTIO_VSOCK_HOST_CID;
	h->dst_cid = guest_cid;
	h->type = VIRTIO_VSOCK_TYPE_STREAM;
	h->op = (uint16_t)op;
	if (s) {
		h->src_port = s->host_port;
		h->dst_port = s->guest_port;
		h->buf_alloc = VIRTIO_VSOCK_BUF;
		h->fwd_cnt = s->fwd;
		s->fwd_told = s->fwd;
		s->send &= ~(unsigned int)VSOCK_STREAM_SEND_CREDIT;
	}
}

/* The next control packet of s into h. False: none. *ret_over: the stream ends with it. */
static bool control_packet(uint64_t guest_cid, struct vsock_stream *s, struct virtio_vsock_hdr *h, bool *ret_over)
{
	static const struct {
		unsigned int bit, op;
	} order[] = {
		{ VSOCK_STREAM_SEND_RST, VIRTIO_VSOCK_OP_RST },
		{ VSOCK_STREAM_SEND_REQUEST, VIRTIO_VSOCK_OP_REQUEST },
		{ VSOCK_STREAM_SEND_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE },
		{ VSOCK_STREAM_SEND_CREDIT_REQUEST, VIRTIO_VSOCK_OP_CREDIT_REQUEST },
		{ VSOCK_STREAM_SEND_CREDIT, VIRTIO_VSOCK_OP_CREDIT_UPDATE },
	};

	*ret_over = s->send & VSOCK_STREAM_SEND_RST;
	for (size_t n = 0; n < ARRAY_SIZE(order); n++) {
		if (s->send & order[n].bit) {
			s->send &= ~order[n].bit;
			fill_header(guest_cid, s, h, order[n].op);
			return true;
		}
	}
	return false;
}

size_t vsock_packet_next(uint64_t guest_cid, struct vsock_stream *s, const struct virtq_chain *chain, bool *ret_over)
{
	struct iovec iov[IOV_MAX_];
	struct virtio_vsock_hdr h;
	size_t room = chain->in_len - sizeof(h), credit = vsock_stream_credit(s);
	ssize_t got;
	int n;

	if (control_packet(guest_cid, s, &h, ret_over)) {
		virtq_write(chain, 0, &h, sizeof(h));
		return sizeof(h);
	}
	if (s->state != VSOCK_STREAM_OPEN)
		return 0;
	if (s->readable && room && credit && !(s->shut_guest & VIRTIO_VSOCK_SHUTDOWN_RCV) &&
	    !(s->shut_want & VIRTIO_VSOCK_SHUTDOWN_SEND)) {
		room = room < credit ? room : credit;
		room = room < PACKET_MAX ? room : PACKET_MAX;
		n = virtq_iov(chain, true, sizeof(h), room, iov, IOV_MAX_, NULL);
		got = vsock_stream_read(s, iov, n);
		if (got > 0) {
			s->sent += (uint32_t)got;
			fill_header(guest_cid, s, &h, VIRTIO_VSOCK_OP_RW);
			h.len = (uint32_t)got;
			virtq_write(chain, 0, &h, sizeof(h));
			if (!vsock_stream_credit(s) && !s->credit_asked) {
				s->credit_asked = true;
				s->send |= VSOCK_STREAM_SEND_CREDIT_REQUEST;
			}
			return sizeof(h) + (size_t)got;
		}
		s->readable = false;
		if (got != -EAGAIN)
			s->shut_want |= VIRTIO_VSOCK_SHUTDOWN_SEND;
		if (got < 0 && got != -EAGAIN)
			s->hangup = true;
	}
	if (s->hangup && (s->shut_want & VIRTIO_VSOCK_SHUTDOWN_SEND))
		s->shut_want |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	if (s->shut_want & ~s->shut_sent) {
		s->shut_sent = s->shut_want;
		fill_header(guest_cid, s, &h, VIRTIO_VSOCK_OP_SHUTDOWN);
		h.flags = s->shut_want;
		virtq_write(chain, 0, &h, sizeof(h));
		return sizeof(h);
	}
	return 0;
}

size_t vsock_packet_reset(uint64_t guest_cid, uint32_t guest_port, uint32_t host_port, const struct virtq_chain *chain)
{
	struct virtio_vsock_hdr h;

	fill_header(guest_cid, NULL, &h, VIRTIO_VSOCK_OP_RST);
	h.src_port = host_port;
	h.dst_port = guest_port;
	virtq_write(chain, 0, &h, sizeof(h));
	return sizeof(h);
}
