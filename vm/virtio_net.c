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
 * A pair is a receive and a transmit queue with a queue of the tap; one worker serves both directions of a pair, and each
 * turn moves a bounded number of frames so that neither starves. A machine with several vCPUs has several pairs (§5.1.6.5.5):
 * the tap spreads flows over the queues that are attached to it, and the driver says by the control queue, which the first
 * pair's worker serves, how many pairs it uses; the others' tap queues are detached, or the tap would give them frames that nobody takes. Pairs
 * follow the vCPUs online at boot: the driver sets up every pair offered, 22 accesses of registers each, and a worker begun only on
 * its request would be begun by main, which may be waiting for the end of the one that asks.
 *
 * With vhost-net the host's kernel does receive and transmit. A worker is still there for the control queue and for
 * the word that the guest broke a ring.
 *
 * #syscalls readv writev ioctl:TUNSETQUEUE
 */
#include "vm/virtio_net.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/vhost_net.h"
#include "vm/virtio.h"

/* Queues of pair n. */
#define QUEUE_RX(n) (2 * (n))
#define QUEUE_TX(n) (2 * (n) + 1)

/* What workers watch beside queues: slot n is the tap of pair n. */
#define VHOST_SLOT VIRTIO_NET_PAIRS_MAX
#define HEADER 12u
/* The largest frame with its header. */
#define FRAME_MAX (HEADER + 65550u)
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

struct pair {
	struct virtio_worker worker;
	struct virtq_chain chain;
	struct rx rx;
	int tap_fd, vhost_fd; /* owned */
	uint32_t watched;     /* EPOLL mask of the tap */
	bool attached;        /* to the tap: it gets frames */
};

struct virtio_net {
	struct virtio_device dev;
	struct virtio_net_config config;
	bool vhost;
	int vhost_error; /* eventfd; -1 */
	unsigned int n_pairs;
	struct pair pairs[VIRTIO_NET_PAIRS_MAX];
	/* running */
	unsigned int n_used; /* pairs whose queues the driver may use */
	bool mergeable;
};

static struct virtq *rx_queue(struct virtio_net *net, const struct pair *p)
{
	return &net->dev.vq[QUEUE_RX(p - net->pairs)];
}

static struct virtq *tx_queue(struct virtio_net *net, const struct pair *p)
{
	return &net->dev.vq[QUEUE_TX(p - net->pairs)];
}

static void watch_tap(struct virtio_net *net, struct pair *p, uint32_t mask)
{
	if (mask == p->watched)
		return;
	if (!virtio_worker_watch(&p->worker, (unsigned int)(p - net->pairs), p->tap_fd, mask))
		p->watched = mask;
}

/* Takes buffers until a largest frame fits, or one without mergeable buffers. False: the guest broke the ring. */
static bool rx_fill(struct virtio_net *net, struct pair *p)
{
	struct virtq *q = rx_queue(net, p);
	struct rx *rx = &p->rx;
	int r = 0;

	if (rx->first) { /* move to the front, so that the iovec is contiguous */
		memmove(rx->head, rx->head + rx->first, rx->n * sizeof(rx->head[0]));
		memmove(rx->len, rx->len + rx->first, rx->n * sizeof(rx->len[0]));
		memmove(rx->iovs, rx->iovs + rx->first, rx->n * sizeof(rx->iovs[0]));
		memmove(rx->iov, rx->iov + rx->iov_first, rx->iov_n * sizeof(rx->iov[0]));
		rx->first = rx->iov_first = 0;
	}
	while (rx->bytes < FRAME_MAX && rx->n < RX_BUFS && !(rx->n && !net->mergeable)) {
		struct virtq_chain *c = &p->chain;

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
static void rx_push(struct virtq *q, struct rx *rx, size_t n)
{
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
static bool rx_ready(const struct rx *rx, bool mergeable)
{
	return mergeable ? rx->bytes >= FRAME_MAX || rx->n >= RX_BUFS || rx->iov_n >= RX_IOV - 1 : rx->n > 0;
}

/* Frames from the tap to the guest. */
static void receive(struct virtio_net *net, struct pair *p)
{
	struct virtq *q = rx_queue(net, p);
	bool again = true, pushed = false;

	for (unsigned int i = 0; i < VIRTIO_TURN; i++) {
		struct rx *rx = &p->rx;
		unsigned int iovs;
		ssize_t n;

		if (!rx_fill(net, p))
			return;
		/* A guest with a short ring may never offer a whole largest frame: use what there is, unless nothing is. */
		if (!rx_ready(rx, net->mergeable) && virtq_enable_kick(q))
			continue;
		if (!rx->n) {
			again = false;
			break;
		}
		iovs = net->mergeable ? rx->iov_n : rx->iovs[rx->first];
		n = readv(p->tap_fd, rx->iov + rx->iov_first, (int)(iovs < 1024 ? iovs : 1024));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* EAGAIN; or the link is down: nothing to read */
		if ((size_t)n < HEADER)
			break;
		rx_push(q, rx, (size_t)n);
		pushed = true;
	}
	if (pushed)
		virtq_notify(q);
	watch_tap(net, p, (p->watched & EPOLLOUT) | (again ? EPOLLIN : 0));
}

/* Frames from the guest to the tap. */
static void transmit(struct virtio_net *net, struct pair *p)
{
	struct virtq *q = tx_queue(net, p);
	struct virtq_chain *c = &p->chain;
	unsigned int i;
	int r = 0;

	virtq_disable_kick(q);
	for (i = 0; i < VIRTIO_TURN; i++) {
		ssize_t n;

		r = virtq_pop(q, c);
		if (r == 0 && virtq_enable_kick(q))
			continue;
		if (r <= 0)
			break;
		n = c->out_len > HEADER ? writev(p->tap_fd, c->iov, c->out_n) : 0;
		if (n < 0 && errno == EAGAIN) {
			virtq_unpop(q);
			watch_tap(net, p, p->watched | EPOLLOUT);
			break;
		}
		/* other errors: a frame the kernel refuses, or no carrier; dropped, as a wire would */
		virtq_push(q, c->head, 0);
	}
	if (r < 0) {
		virtio_fail(&net->dev, "transmit queue");
		return;
	}
	if (i)
		virtq_notify(q);
	if (i == VIRTIO_TURN)
		virtio_kick(q);
}

/* Attaches a pair to the tap or detaches it: then the tap gives it no frames, and still takes some. */
static bool attach(struct pair *p, bool on)
{
	struct ifreq ifr = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	if (p->attached == on)
		return true;
	if (ioctl(p->tap_fd, TUNSETQUEUE, &ifr)) {
		log_debug("virtio-net: queue of the tap: %m");
		return false;
	}
	p->attached = on;
	return true;
}

/* The tap's frames go to the first n pairs. */
static bool use_pairs(struct virtio_net *net, unsigned int n)
{
	bool done = true;

	for (unsigned int i = 1; i < net->n_pairs; i++)
		done &= attach(&net->pairs[i], i < n);
	return done;
}

/* A request on the control queue (§5.1.6.5): the number of pairs is the only thing there is to say. */
static uint32_t control(struct virtio_device *dev, struct virtq *q, const struct virtq_chain *c)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	struct {
		struct virtio_net_ctrl_hdr head;
		uint16_t pairs;
	} __attribute__((packed)) msg;
	uint8_t ack = VIRTIO_NET_ERR;

	if (!c->in_len) {
		virtio_fail(dev, "control request without room for the answer");
		return 0;
	}
	if (virtq_read(c, 0, &msg, sizeof(msg)) == sizeof(msg) && msg.head.class == VIRTIO_NET_CTRL_MQ &&
	    msg.head.cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET) {
		unsigned int pairs = le16toh(msg.pairs);

		if (pairs >= 1 && pairs <= net->n_used && use_pairs(net, pairs))
			ack = VIRTIO_NET_OK;
	}
	return (uint32_t)virtq_write(c, 0, &ack, sizeof(ack));
}

static void kicked(struct virtio_device *dev, struct virtq *q)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	struct pair *p = &net->pairs[q->index / 2];

	if (q->index == 2 * net->n_used)
		virtio_serve(dev, q, &net->pairs[0].chain, control);
	else if (q->index % 2 == 0)
		receive(net, p);
	else if (!(p->watched & EPOLLOUT))
		transmit(net, p);
}

static void fd_ready(struct virtio_device *dev, unsigned int slot, uint32_t events)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	struct pair *p = &net->pairs[slot];

	if (slot == VHOST_SLOT) {
		virtio_worker_watch(&net->pairs[0].worker, slot, net->vhost_error, 0);
		virtio_fail(dev, "a ring that vhost-net serves");
		return;
	}
	if (events & EPOLLOUT) {
		watch_tap(net, p, p->watched & ~(uint32_t)EPOLLOUT);
		transmit(net, p);
	}
	if ((events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN))
		watch_tap(net, p, 0); /* the tap is gone */
	else if (events & EPOLLIN)
		receive(net, p);
}

/* Tells the tap what the guest's driver can take. */
static void set_offloads(struct virtio_net *net)
{
	unsigned int offload = 0;
	int header = HEADER, tap = net->pairs[0].tap_fd;

	if (virtio_has(&net->dev, VIRTIO_NET_F_GUEST_CSUM)) {
		offload |= TUN_F_CSUM;
		if (virtio_has(&net->dev, VIRTIO_NET_F_GUEST_TSO4))
			offload |= TUN_F_TSO4;
		if (virtio_has(&net->dev, VIRTIO_NET_F_GUEST_TSO6))
			offload |= TUN_F_TSO6;
	}
	if (ioctl(tap, TUNSETVNETHDRSZ, &header) || ioctl(tap, TUNSETOFFLOAD, (unsigned long)offload))
		log_debug("virtio-net: tap offloads: %m");
}

static int start_worker(struct virtio_net *net, struct pair *p, uint32_t queues, struct err *err)
{
	memset(&p->rx, 0, sizeof(p->rx));
	memset(&p->worker, 0, sizeof(p->worker));
	p->worker.dev = &net->dev;
	p->worker.kind = LOCKDOWN_DEVICE;
	p->worker.queues = queues;
	p->worker.kicked = kicked;
	p->worker.fd_ready = fd_ready;
	p->watched = 0;
	if (net->vhost)
		virtio_worker_watch(&p->worker, VHOST_SLOT, net->vhost_error, EPOLLIN);
	else
		watch_tap(net, p, EPOLLIN);
	return virtio_worker_start(&p->worker, err);
}

static void reset(struct virtio_device *dev)
{
	struct virtio_net *net = (struct virtio_net *)dev;

	for (unsigned int i = 0; i < net->n_pairs; i++) {
		virtio_worker_stop(&net->pairs[i].worker);
		if (net->vhost && dev->interrupts_by_fd)
			vhost_net_stop(net->pairs[i].vhost_fd);
	}
}

static int activate(struct virtio_device *dev, struct err *err)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	uint32_t control_bit;
	uint64_t n;
	int r = 0;

	if (net->vhost && read(net->vhost_error, &n, sizeof(n)) > 0)
		log_debug("virtio-net: errors of an earlier life");
	set_offloads(net);
	net->mergeable = virtio_has(dev, VIRTIO_NET_F_MRG_RXBUF);
	net->n_used = virtio_has(dev, VIRTIO_NET_F_MQ) ? net->n_pairs : 1;
	control_bit = virtio_has(dev, VIRTIO_NET_F_CTRL_VQ) ? 1u << 2 * net->n_used : 0;
	use_pairs(net, 1);
	atomic_store(&dev->interrupts_by_fd, net->vhost);
	for (unsigned int i = 0; i < net->n_used && r >= 0; i++) {
		struct pair *p = &net->pairs[i];
		struct virtq *rx = rx_queue(net, p), *tx = tx_queue(net, p);

		if (net->vhost && rx->ready && tx->ready)
			r = vhost_net_start(p->vhost_fd, dev, rx->index, tx->index, p->tap_fd, net->vhost_error, err);
		if (r >= 0 && (i == 0 || !net->vhost))
			r = start_worker(
				net, p,
				(net->vhost ? 0 : 1u << rx->index | 1u << tx->index) | (i == 0 ? control_bit : 0), err);
	}
	if (r < 0)
		reset(dev);
	return r;
}

static void free_dev(struct virtio_device *dev)
{
	struct virtio_net *net = (struct virtio_net *)dev;

	for (unsigned int i = 0; i < net->n_pairs; i++) {
		close(net->pairs[i].tap_fd);
		if (net->pairs[i].vhost_fd >= 0)
			close(net->pairs[i].vhost_fd);
	}
	if (net->vhost_error >= 0)
		close(net->vhost_error);
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

/* vhost-net for every pair, or for none: then the device moves the frames. */
static void own_vhost(struct virtio_net *net)
{
	struct err err = { 0 };
	int r = 0;

	for (unsigned int i = 0; i < net->n_pairs && r >= 0; i++)
		r = net->pairs[i].vhost_fd < 0 ? -ENODEV : vhost_net_own(net->pairs[i].vhost_fd, &err);
	if (r >= 0) {
		net->vhost_error = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		net->vhost = net->vhost_error >= 0;
	} else if (err.code) {
		log_warn("virtio-net: %s; the monitor moves the frames", err.msg);
	}
}

struct virtio_device *virtio_net_new(const struct virtio_net_params *p, struct err *err)
{
	struct virtio_net *net;
	uint64_t features = 1ULL << VIRTIO_NET_F_MAC | 1ULL << VIRTIO_NET_F_STATUS | 1ULL << VIRTIO_NET_F_CSUM |
		1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 |
		1ULL << VIRTIO_NET_F_GUEST_TSO4 | 1ULL << VIRTIO_NET_F_GUEST_TSO6 | 1ULL << VIRTIO_NET_F_MRG_RXBUF;
	unsigned int queues = 2;
	int r = 0;

	assert(p->pairs >= 1 && p->pairs <= VIRTIO_NET_PAIRS_MAX);
	if (p->mtu)
		features |= 1ULL << VIRTIO_NET_F_MTU;
	if (p->pairs > 1) {
		features |= 1ULL << VIRTIO_NET_F_MQ | 1ULL << VIRTIO_NET_F_CTRL_VQ;
		queues = 2 * p->pairs + 1;
	}
	for (unsigned int i = 0; i < p->pairs && r >= 0; i++)
		r = fd_set_nonblock(p->tap_fds[i], true);
	if (r < 0) {
		err_sys(err, r, "virtio-net: tap");
		return NULL;
	}
	net = xcalloc(1, sizeof(*net));
	net->vhost_error = -1;
	net->n_pairs = p->pairs;
	for (unsigned int i = 0; i < p->pairs; i++) {
		net->pairs[i].tap_fd = p->tap_fds[i];
		net->pairs[i].vhost_fd = p->vhost_fds[i];
		net->pairs[i].attached = true; /* as the tap was opened */
	}
	own_vhost(net);
	memcpy(net->config.mac, p->mac, 6);
	net->config.status = VIRTIO_NET_S_LINK_UP;
	net->config.max_virtqueue_pairs = (uint16_t)p->pairs;
	net->config.mtu = p->mtu;
	virtio_init(&net->dev, &ops, features, queues, &net->config, sizeof(net->config));
	return &net->dev;
}
