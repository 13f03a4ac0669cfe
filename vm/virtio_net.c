/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network (virtio 1.2 §5.1). The tap speaks the same 12-byte header as the driver, so frames are moved by one readv or
 * writev straight between the tap and guest memory, checksums and segmentation left to whoever is last. The kernel
 * checks the header a guest wrote.
 *
 * Receive: a frame may be spread over several buffers (mergeable). The worker holds buffers taken from the ring, in
 * order, enough for the largest frame (struct rx); readv fills from the first on, and as many as were filled are
 * returned, their number written into the first one's header. Without mergeable buffers each frame gets one. When the
 * guest has given too few, the tap is not watched until the queue is kicked.
 *
 * Transmit: each chain is one frame. A tap that takes no more (EAGAIN) is watched for room.
 *
 * One worker serves both directions; each turn moves a bounded number of frames so that neither starves.
 *
 * #syscalls readv writev
 */
#include "vm/virtio_net.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/virtio.h"

enum { QUEUE_RX, QUEUE_TX, QUEUES };

#define TAP_SLOT 0
#define HEADER 12u
/* The largest frame with its header. */
#define FRAME_MAX (HEADER + 65550u)
#define BUDGET 128
#define RX_BUFS 256
#define RX_IOV VIRTQ_CHAIN_MAX

/* Buffers taken from the receive queue and not yet filled, oldest first. */
struct rx {
	unsigned int first, n; /* entries of head, len, iovs */
	uint16_t head[RX_BUFS];
	uint32_t len[RX_BUFS];
	uint16_t iovs[RX_BUFS];
	unsigned int iov_first, iov_n;
	struct iovec iov[RX_IOV];
	size_t bytes;
};

struct virtio_net {
	struct virtio_device dev;
	struct virtio_worker worker;
	struct virtq_chain chain;
	struct virtio_net_config config;
	struct rx rx;
	int tap_fd;
	uint32_t watched; /* EPOLL mask of the tap */
	bool mergeable;
};

static void watch_tap(struct virtio_net *net, uint32_t mask)
{
	if (mask == net->watched)
		return;
	if (!virtio_worker_watch(&net->worker, TAP_SLOT, net->tap_fd, mask))
		net->watched = mask;
}

/* Takes buffers until a largest frame fits, or one without mergeable buffers. False: the guest broke the ring. */
static bool rx_fill(struct virtio_net *net)
{
	struct virtq *q = &net->dev.vq[QUEUE_RX];
	struct rx *rx = &net->rx;
	int r = 0;

	if (rx->first) { /* move to the front, so that the iovec is contiguous */
		memmove(rx->head, rx->head + rx->first, rx->n * sizeof(rx->head[0]));
		memmove(rx->len, rx->len + rx->first, rx->n * sizeof(rx->len[0]));
		memmove(rx->iovs, rx->iovs + rx->first, rx->n * sizeof(rx->iovs[0]));
		memmove(rx->iov, rx->iov + rx->iov_first, rx->iov_n * sizeof(rx->iov[0]));
		rx->first = rx->iov_first = 0;
	}
	while (rx->bytes < FRAME_MAX && rx->n < RX_BUFS && !(rx->n && !net->mergeable)) {
		struct virtq_chain *c = &net->chain;

		r = virtq_pop(q, c);
		if (r <= 0)
			break;
		if (c->in_len < HEADER) {
			virtio_fail(&net->dev, "receive buffer smaller than the header");
			return false;
		}
		if (rx->iov_n + c->in_n > RX_IOV) {
			virtq_unpop(q);
			break;
		}
		memcpy(rx->iov + rx->iov_n, c->iov + c->out_n, c->in_n * sizeof(c->iov[0]));
		rx->head[rx->n] = c->head;
		rx->len[rx->n] = (uint32_t)c->in_len;
		rx->iovs[rx->n] = c->in_n;
		rx->iov_n += c->in_n;
		rx->bytes += c->in_len;
		rx->n++;
	}
	if (r < 0) {
		virtio_fail(&net->dev, "receive queue");
		return false;
	}
	return true;
}

/* Writes the number of buffers into the header, which may be cut into pieces. */
static void rx_set_buffers(const struct iovec *iov, uint16_t buffers)
{
	uint8_t bytes[2] = { (uint8_t)buffers, (uint8_t)(buffers >> 8) };
	size_t at = offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers);

	for (unsigned int i = 0; i < 2; i++) {
		size_t off = at + i;

		const struct iovec *v = iov;

		while (off >= v->iov_len)
			off -= (v++)->iov_len;
		((uint8_t *)v->iov_base)[off] = bytes[i];
	}
}

/* Returns the filled buffers of a frame of n bytes. */
static void rx_push(struct virtio_net *net, size_t n)
{
	struct virtq *q = &net->dev.vq[QUEUE_RX];
	struct rx *rx = &net->rx;
	const struct iovec *head_iov = rx->iov + rx->iov_first;
	uint16_t used = 0;

	while (n && rx->n) {
		uint32_t part = n < rx->len[rx->first] ? (uint32_t)n : rx->len[rx->first];

		virtq_push(q, rx->head[rx->first], part);
		n -= part;
		rx->bytes -= rx->len[rx->first];
		rx->iov_first += rx->iovs[rx->first];
		rx->iov_n -= rx->iovs[rx->first];
		rx->first++;
		rx->n--;
		used++;
	}
	rx_set_buffers(head_iov, used);
}

/* Enough buffers for any frame? */
static bool rx_ready(const struct virtio_net *net)
{
	return net->mergeable ? net->rx.bytes >= FRAME_MAX || net->rx.n >= RX_BUFS || net->rx.iov_n >= RX_IOV - 1 :
				net->rx.n > 0;
}

/* Frames from the tap to the guest. */
static void receive(struct virtio_net *net)
{
	struct virtq *q = &net->dev.vq[QUEUE_RX];
	bool again = true, pushed = false;

	for (unsigned int i = 0; i < BUDGET; i++) {
		struct rx *rx = &net->rx;
		unsigned int iovs;
		ssize_t n;

		if (!rx_fill(net))
			return;
		/* A guest with a short ring may never offer a whole largest frame: use what there is, unless nothing is. */
		if (!rx_ready(net) && virtq_enable_kick(q))
			continue;
		if (!rx->n) {
			again = false;
			break;
		}
		iovs = net->mergeable ? rx->iov_n : rx->iovs[rx->first];
		n = readv(net->tap_fd, rx->iov + rx->iov_first, (int)(iovs < 1024 ? iovs : 1024));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* EAGAIN; or the link is down: nothing to read */
		if ((size_t)n < HEADER)
			break;
		rx_push(net, (size_t)n);
		pushed = true;
	}
	if (pushed)
		virtq_notify(q);
	watch_tap(net, (net->watched & EPOLLOUT) | (again ? EPOLLIN : 0));
}

/* Frames from the guest to the tap. */
static void transmit(struct virtio_net *net)
{
	struct virtq *q = &net->dev.vq[QUEUE_TX];
	struct virtq_chain *c = &net->chain;
	unsigned int done = 0;
	uint64_t one = 1;
	int r = 0;

	do {
		virtq_disable_kick(q);
		while (done < BUDGET && (r = virtq_pop(q, c)) > 0) {
			ssize_t n = c->out_len > HEADER ? writev(net->tap_fd, c->iov, c->out_n) : 0;

			if (n < 0 && errno == EAGAIN) {
				virtq_unpop(q);
				virtq_notify(q);
				watch_tap(net, net->watched | EPOLLOUT);
				return;
			}
			/* other errors: a frame the kernel refuses, or no carrier; dropped, as a wire would */
			virtq_push(q, c->head, 0);
			done++;
		}
		if (r < 0) {
			virtio_fail(&net->dev, "transmit queue");
			return;
		}
		if (done >= BUDGET)
			break;
	} while (virtq_enable_kick(q));
	if (done)
		virtq_notify(q);
	if (done >= BUDGET && write(q->kick_fd, &one, sizeof(one)) < 0)
		log_debug("virtio-net: kick: %m");
}

static void kicked(struct virtio_device *dev, struct virtq *q)
{
	struct virtio_net *net = (struct virtio_net *)dev;

	if (q->index == QUEUE_RX)
		receive(net);
	else if (!(net->watched & EPOLLOUT))
		transmit(net);
}

static void tap_ready(struct virtio_device *dev, unsigned int slot, uint32_t events)
{
	struct virtio_net *net = (struct virtio_net *)dev;

	if (events & EPOLLOUT) {
		watch_tap(net, net->watched & ~(uint32_t)EPOLLOUT);
		transmit(net);
	}
	if ((events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN))
		watch_tap(net, 0); /* the tap is gone */
	else if (events & EPOLLIN)
		receive(net);
}

/* Tells the tap what the guest's driver can take. */
static void set_offloads(struct virtio_net *net)
{
	unsigned int offload = 0;
	int header = HEADER;

	if (virtio_has(&net->dev, VIRTIO_NET_F_GUEST_CSUM)) {
		offload |= TUN_F_CSUM;
		if (virtio_has(&net->dev, VIRTIO_NET_F_GUEST_TSO4))
			offload |= TUN_F_TSO4;
		if (virtio_has(&net->dev, VIRTIO_NET_F_GUEST_TSO6))
			offload |= TUN_F_TSO6;
	}
	if (ioctl(net->tap_fd, TUNSETVNETHDRSZ, &header) || ioctl(net->tap_fd, TUNSETOFFLOAD, (unsigned long)offload))
		log_debug("virtio-net: tap offloads: %m");
}

static int activate(struct virtio_device *dev, struct err *err)
{
	struct virtio_net *net = (struct virtio_net *)dev;

	set_offloads(net);
	net->mergeable = virtio_has(dev, VIRTIO_NET_F_MRG_RXBUF);
	memset(&net->rx, 0, sizeof(net->rx));
	memset(&net->worker, 0, sizeof(net->worker));
	net->worker.dev = dev;
	net->worker.kind = LOCKDOWN_DEVICE;
	net->worker.kicked = kicked;
	net->worker.fd_ready = tap_ready;
	net->watched = 0;
	watch_tap(net, EPOLLIN);
	return virtio_worker_start(&net->worker, err);
}

static void reset(struct virtio_device *dev)
{
	struct virtio_net *net = (struct virtio_net *)dev;

	virtio_worker_stop(&net->worker);
	net->watched = 0;
}

static void free_dev(struct virtio_device *dev)
{
	struct virtio_net *net = (struct virtio_net *)dev;

	if (net->tap_fd >= 0)
		close(net->tap_fd);
	free(net);
}

static const struct virtio_device_ops ops = {
	.name = "virtio-net",
	.id = VIRTIO_ID_NET,
	.queue_size = 256,
	.activate = activate,
	.reset = reset,
	.free = free_dev,
};

struct virtio_device *virtio_net_new(int tap_fd, const uint8_t mac[6], uint16_t mtu, struct err *err)
{
	struct virtio_net *net;
	uint64_t features = 1ULL << VIRTIO_NET_F_MAC | 1ULL << VIRTIO_NET_F_STATUS | 1ULL << VIRTIO_NET_F_CSUM |
		1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 |
		1ULL << VIRTIO_NET_F_GUEST_TSO4 | 1ULL << VIRTIO_NET_F_GUEST_TSO6 | 1ULL << VIRTIO_NET_F_MRG_RXBUF;
	int r = fd_set_nonblock(tap_fd, true);

	if (r < 0) {
		err_sys(err, r, "virtio-net: tap");
		return NULL;
	}
	if (mtu)
		features |= 1ULL << VIRTIO_NET_F_MTU;
	net = xcalloc(1, sizeof(*net));
	net->tap_fd = tap_fd;
	memcpy(net->config.mac, mac, 6);
	net->config.status = VIRTIO_NET_S_LINK_UP;
	net->config.max_virtqueue_pairs = 1;
	net->config.mtu = mtu;
	virtio_init(&net->dev, &ops, features, QUEUES, &net->config, sizeof(net->config));
	return &net->dev;
}
