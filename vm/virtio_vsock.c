/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock device: packets between the guest's queues and the streams of vsock_stream.c (virtio 1.2 §5.10).
 *
 * One thread, one edge-triggered epoll set: kicks, the listening socket, every stream's fd. After each batch of events it
 * alternates between the two directions until neither gets on:
 *
 *	transmit   takes packets off queue 1 and acts on them: requests, credit, data into fds. It pauses while resets for
 *	           unknown streams cannot be delivered, so a guest can make us remember only so many.
 *	receive    goes round the streams that have something for the guest (a control packet, readable data) and fills one
 *	           buffer of queue 0 for each. Data is read from the fd straight into guest memory, as much as buffer and
 *	           credit allow. Without buffers it stops and goes on at the next kick; nothing is polled meanwhile.
 *
 * A stream is in the round exactly when it has something to do and the credit to do it. Ports of our side are counted up
 * from 2^30. Streams that end are freed after the batch, since events may still point at them.
 *
 * Guest-written packet headers are copied, then checked. A packet for no stream is answered by a reset; a chain that is no
 * packet at all, or a receive buffer that cannot hold a header, fails the device.
 * #syscalls epoll_wait epoll_ctl accept4 recvfrom recvmsg sendmsg sendto readv writev read write shutdown close fcntl fstat
 * #syscalls mmap munmap brk madvise futex
 */
#include "vm/virtio_vsock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_vsock.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/virtio.h"
#include "vm/vsock_packet.h"
#include "vm/vsock_stream.h"

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, QUEUES };
#define QUEUE_SIZE 256
#define BUCKETS 1024
#define RESETS_MAX 256
#define PORT_FIRST (1u << 30)
#define ROUND 64 /* packets of one direction before the other gets its turn */
#define IOV_MAX_ 64

/* epoll data below this are not streams. */
enum { TAG_RX, TAG_TX, TAG_LISTEN, TAG_STOP, TAG_MAX };

struct virtio_vsock {
	struct virtio_device dev; /* first */
	struct virtio_vsock_config config;
	struct virtio_vsock_params params; /* listen_fd owned */
	/* running */
	pthread_t thread;
	bool running;
	int epoll_fd, stop_fd;
	bool accept_more, tx_more;
	struct vsock_stream *table[BUCKETS]; /* with ports */
	struct vsock_stream *lines;          /* clients without a port yet, by next_hash */
	struct vsock_stream *queue_head, *queue_tail;
	struct vsock_stream *dead; /* freed after the batch, by next_hash */
	unsigned int n_streams;
	uint32_t next_port;
	struct {
		uint32_t guest_port, host_port;
	} resets[RESETS_MAX]; /* for packets of no stream; ring */
	unsigned int reset_head, n_resets;
	struct virtq_chain chain;
	struct iovec iov[IOV_MAX_];
};

static struct vsock_stream **bucket(struct virtio_vsock *v, uint32_t guest_port, uint32_t host_port)
{
	return &v->table[(guest_port * 31 ^ (host_port * 2654435761u >> 7) ^ host_port) % BUCKETS];
}

static struct vsock_stream *find(struct virtio_vsock *v, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_stream *s = *bucket(v, guest_port, host_port);

	while (s && (s->guest_port != guest_port || s->host_port != host_port))
		s = s->next_hash;
	return s;
}

static void enqueue(struct virtio_vsock *v, struct vsock_stream *s)
{
	if (s->queued)
		return;
	s->queued = true;
	s->next_queue = NULL;
	s->prev_queue = v->queue_tail;
	if (v->queue_tail)
		v->queue_tail->next_queue = s;
	else
		v->queue_head = s;
	v->queue_tail = s;
}

static void dequeue(struct virtio_vsock *v, struct vsock_stream *s)
{
	if (!s->queued)
		return;
	s->queued = false;
	if (s->prev_queue)
		s->prev_queue->next_queue = s->next_queue;
	else
		v->queue_head = s->next_queue;
	if (s->next_queue)
		s->next_queue->prev_queue = s->prev_queue;
	else
		v->queue_tail = s->prev_queue;
}

/* Has the stream anything to tell the guest that could go now? */
static bool wants_to_send(const struct vsock_stream *s)
{
	if (s->send)
		return true;
	if (s->state != VSOCK_STREAM_OPEN)
		return false;
	if (s->shut_want & ~s->shut_sent)
		return true;
	return s->readable && !(s->shut_want & VIRTIO_VSOCK_SHUTDOWN_SEND) &&
		!(s->shut_guest & VIRTIO_VSOCK_SHUTDOWN_RCV) && vsock_stream_credit(s);
}

static void unlink_stream(struct vsock_stream **list, struct vsock_stream *s)
{
	while (*list && *list != s)
		list = &(*list)->next_hash;
	if (*list)
		*list = s->next_hash;
}

/* Takes the stream out of everything; freed after the batch of events. */
static void end(struct virtio_vsock *v, struct vsock_stream *s)
{
	dequeue(v, s);
	unlink_stream(s->state == VSOCK_STREAM_LINE ? &v->lines : bucket(v, s->guest_port, s->host_port), s);
	epoll_ctl(v->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	s->next_hash = v->dead;
	v->dead = s;
	v->n_streams--;
	v->accept_more = true;
}

/* After anything happened to a stream: pass on ends, queue it when it has something to send. */
static void settle(struct virtio_vsock *v, struct vsock_stream *s)
{
	if (vsock_stream_settle(s))
		end(v, s);
	else if (wants_to_send(s))
		enqueue(v, s);
}

static int watch(struct virtio_vsock *v, struct vsock_stream *s)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s };

	return epoll_ctl(v->epoll_fd, EPOLL_CTL_ADD, s->fd, &ev);
}

static void insert(struct virtio_vsock *v, struct vsock_stream *s, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_stream **b = bucket(v, guest_port, host_port);

	s->guest_port = guest_port;
	s->host_port = host_port;
	s->next_hash = *b;
	*b = s;
}

static void queue_reset(struct virtio_vsock *v, uint32_t guest_port, uint32_t host_port)
{
	unsigned int at = (v->reset_head + v->n_resets) % RESETS_MAX;

	if (v->n_resets == RESETS_MAX)
		return; /* transmit() leaves room */
	v->resets[at].guest_port = guest_port;
	v->resets[at].host_port = host_port;
	v->n_resets++;
}

/* The guest is gone from this stream. What it has sent still reaches the host. */
static void guest_reset(struct virtio_vsock *v, struct vsock_stream *s)
{
	if (s->state == VSOCK_STREAM_CONNECTING) {
		vsock_stream_say(s, "ERR connection refused by the guest\n");
		end(v, s);
		return;
	}
	s->state = VSOCK_STREAM_DEAD;
	s->send = 0;
	dequeue(v, s);
	s->shut_guest = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
	settle(v, s);
}

/* The guest wants to talk to one of the host's ports. */
static void guest_request(struct virtio_vsock *v, const struct virtio_vsock_hdr *h)
{
	struct vsock_stream *s;
	int fd = -ECONNREFUSED;

	if (v->params.guest_connect && v->n_streams < VIRTIO_VSOCK_STREAMS_MAX)
		fd = v->params.guest_connect(v->params.arg, h->dst_port);
	s = fd >= 0 ? vsock_stream_new(fd, VSOCK_STREAM_OPEN) : NULL;
	if (!s || watch(v, s) < 0) {
		vsock_stream_free(s);
		queue_reset(v, h->src_port, h->dst_port);
		return;
	}
	v->n_streams++;
	insert(v, s, h->src_port, h->dst_port);
	s->peer_alloc = h->buf_alloc;
	s->peer_fwd = h->fwd_cnt;
	s->send = VSOCK_STREAM_SEND_RESPONSE;
	settle(v, s);
}

static void guest_data(struct virtio_vsock *v, struct vsock_stream *s, const struct virtio_vsock_hdr *h)
{
	size_t at = sizeof(*h), end_ = at + h->len, covered;
	int n;

	if (s->state != VSOCK_STREAM_OPEN || (s->shut_guest & VIRTIO_VSOCK_SHUTDOWN_SEND)) {
		s->send = VSOCK_STREAM_SEND_RST;
		return;
	}
	for (; at < end_; at += covered) {
		n = virtq_iov(&v->chain, false, at, end_ - at, v->iov, IOV_MAX_, &covered);
		if (n <= 0 || !covered)
			return;
		if (vsock_stream_write(s, v->iov, n, covered) < 0) {
			log_debug("virtio-vsock: port %u: the guest exceeds its credit", s->guest_port);
			s->send = VSOCK_STREAM_SEND_RST;
			return;
		}
	}
}

static void guest_packet(struct virtio_vsock *v, const struct virtio_vsock_hdr *h)
{
	struct vsock_stream *s;

	if (h->src_cid != v->params.guest_cid || h->dst_cid != VIRTIO_VSOCK_HOST_CID)
		return;
	s = find(v, h->src_port, h->dst_port);
	if (h->type != VIRTIO_VSOCK_TYPE_STREAM) {
		if (h->op != VIRTIO_VSOCK_OP_RST)
			queue_reset(v, h->src_port, h->dst_port);
		return;
	}
	if (!s) {
		if (h->op == VIRTIO_VSOCK_OP_REQUEST)
			guest_request(v, h);
		else if (h->op != VIRTIO_VSOCK_OP_RST)
			queue_reset(v, h->src_port, h->dst_port);
		return;
	}
	s->peer_alloc = h->buf_alloc;
	s->peer_fwd = h->fwd_cnt;
	s->credit_asked = false;
	switch (h->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		if (s->state == VSOCK_STREAM_CONNECTING) {
			s->state = VSOCK_STREAM_OPEN;
			s->readable = true;
			vsock_stream_say(s, "OK\n");
		}
		break;
	case VIRTIO_VSOCK_OP_RST:
		guest_reset(v, s);
		return;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		s->shut_guest |= h->flags & (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
		break;
	case VIRTIO_VSOCK_OP_RW:
		guest_data(v, s, h);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		s->send |= VSOCK_STREAM_SEND_CREDIT;
		break;
	default: /* REQUEST on a stream that exists, or nonsense */
		s->send = VSOCK_STREAM_SEND_RST;
	}
	settle(v, s);
}

/* Guest → host. True: there is more to do right away. */
static bool transmit(struct virtio_vsock *v)
{
	struct virtq *q = &v->dev.vq[QUEUE_TX];
	struct virtio_vsock_hdr h;
	int r = 0, n;

	for (n = 0; n < ROUND && v->n_resets < RESETS_MAX; n++) {
		r = virtq_pop(q, &v->chain);
		if (r == 0 && virtq_enable_kick(q))
			continue;
		if (r <= 0)
			break;
		if (virtq_read(&v->chain, 0, &h, sizeof(h)) != sizeof(h) || h.len > v->chain.out_len - sizeof(h)) {
			r = -EPROTO;
			break;
		}
		guest_packet(v, &h);
		virtq_push(q, v->chain.head, 0);
	}
	if (n)
		virtq_notify(q);
	if (r < 0)
		virtio_fail(&v->dev, "malformed packet");
	v->tx_more = r > 0 || (r == 0 && n == ROUND);
	return v->tx_more && v->n_resets < RESETS_MAX;
}

/* Fills the receive buffer in v->chain with the reset that is due. */
static size_t reset_packet(struct virtio_vsock *v)
{
	size_t len = vsock_packet_reset(v->params.guest_cid, v->resets[v->reset_head].guest_port,
					v->resets[v->reset_head].host_port, &v->chain);

	v->reset_head = (v->reset_head + 1) % RESETS_MAX;
	v->n_resets--;
	return len;
}

/* Host → guest. True: there is more to do right away. */
static bool receive(struct virtio_vsock *v)
{
	struct virtq *q = &v->dev.vq[QUEUE_RX];
	struct vsock_stream *s;
	size_t len;
	bool over, pushed = false;
	int r = 1;

	for (int n = 0; n < ROUND && (v->queue_head || v->n_resets); n++) {
		r = virtq_pop(q, &v->chain);
		if (r == 0 && virtq_enable_kick(q))
			continue;
		if (r == 0)
			break;
		if (r < 0 || v->chain.in_len <= sizeof(struct virtio_vsock_hdr)) {
			virtio_fail(&v->dev, "malformed receive buffer");
			r = -1;
			break;
		}
		s = v->queue_head;
		over = false;
		if (v->n_resets) {
			len = reset_packet(v);
			s = NULL;
		} else {
			dequeue(v, s);
			len = vsock_packet_next(v->params.guest_cid, s, &v->chain, &over);
		}
		if (len) {
			virtq_push(q, v->chain.head, (uint32_t)len);
			pushed = true;
		} else {
			virtq_unpop(q);
		}
		if (s && over)
			end(v, s);
		else if (s)
			settle(v, s);
	}
	if (pushed)
		virtq_notify(q);
	return r > 0 && (v->queue_head || v->n_resets);
}

/* CONNECT <port>: becomes a stream of the guest. */
static void client_connect(struct virtio_vsock *v, struct vsock_stream *s, uint32_t port)
{
	do {
		if (++v->next_port < PORT_FIRST || v->next_port == UINT32_MAX)
			v->next_port = PORT_FIRST;
	} while (find(v, port, v->next_port));
	unlink_stream(&v->lines, s);
	s->state = VSOCK_STREAM_CONNECTING;
	insert(v, s, port, v->next_port);
	s->send = VSOCK_STREAM_SEND_REQUEST;
	enqueue(v, s);
}

/* One whole line of a client. */
static void client_line(struct virtio_vsock *v, struct vsock_stream *s, char *line)
{
	char reply[512] = "ERR unknown command\n";
	uint32_t port;

	if (str_starts(line, "CONNECT ") && parse_u32(line + 8, &port) == 0) {
		client_connect(v, s, port);
		return;
	}
	if (v->params.control && !str_starts(line, "CONNECT"))
		v->params.control(v->params.arg, line, reply, sizeof(reply));
	vsock_stream_say(s, reply);
}

/* A client's bytes, looked at first so that nothing behind a CONNECT line is taken from the stream. */
static void client_ready(struct virtio_vsock *v, struct vsock_stream *s)
{
	char line[VIRTIO_VSOCK_LINE_MAX + 1];
	ssize_t n;
	char *nl;

	while (s->state == VSOCK_STREAM_LINE) {
		n = recv(s->fd, line, VIRTIO_VSOCK_LINE_MAX, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		nl = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;
		if (!nl && n > 0 && n < VIRTIO_VSOCK_LINE_MAX && !s->hangup)
			return;
		if (!nl) {
			end(v, s);
			return;
		}
		if (recv(s->fd, line, (size_t)(nl - line) + 1, MSG_DONTWAIT) != nl - line + 1) {
			end(v, s);
			return;
		}
		*nl = 0;
		client_line(v, s, line);
	}
}

static void accept_clients(struct virtio_vsock *v)
{
	struct vsock_stream *s;
	int fd;

	v->accept_more = false;
	while (v->n_streams < VIRTIO_VSOCK_STREAMS_MAX) {
		fd = accept4(v->params.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return;
		s = vsock_stream_new(fd, VSOCK_STREAM_LINE);
		if (!s || watch(v, s) < 0) {
			vsock_stream_free(s);
			continue;
		}
		s->next_hash = v->lines;
		v->lines = s;
		v->n_streams++;
	}
}

static void stream_event(struct virtio_vsock *v, struct vsock_stream *s, uint32_t events)
{
	for (struct vsock_stream *d = v->dead; d; d = d->next_hash)
		if (d == s)
			return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->readable = true;
	if (events & (EPOLLHUP | EPOLLERR))
		s->hangup = true;
	if (s->state == VSOCK_STREAM_LINE) {
		client_ready(v, s);
		return;
	}
	if (s->state == VSOCK_STREAM_CONNECTING) {
		/* Gave up before the guest answered. A REQUEST that is not out yet need not go. */
		if (s->hangup && (s->send & VSOCK_STREAM_SEND_REQUEST)) {
			end(v, s);
		} else if (s->hangup) {
			s->send = VSOCK_STREAM_SEND_RST;
			enqueue(v, s);
		}
		return;
	}
	if (s->len)
		vsock_stream_flush(s);
	if (s->hangup && (s->shut_want & VIRTIO_VSOCK_SHUTDOWN_SEND))
		s->shut_want |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	settle(v, s);
}

static void bury(struct virtio_vsock *v)
{
	struct vsock_stream *s;

	while ((s = v->dead)) {
		v->dead = s->next_hash;
		vsock_stream_free(s);
	}
}

static void *vsock_thread(void *arg)
{
	struct virtio_vsock *v = arg;
	struct epoll_event ev[64];
	struct err err = { 0 };
	bool more = true;
	int n;

	if (lockdown_thread(LOCKDOWN_VSOCK, &err) < 0) {
		log_error("%s", err.msg);
		virtio_fail(&v->dev, "thread not locked down");
		return NULL;
	}
	for (;;) {
		n = epoll_wait(v->epoll_fd, ev, ARRAY_SIZE(ev), more ? 0 : -1);
		if (n < 0 && errno != EINTR)
			break;
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 == TAG_STOP)
				return NULL;
			if (ev[i].data.u64 == TAG_LISTEN)
				v->accept_more = true;
			else if (ev[i].data.u64 == TAG_TX)
				v->tx_more = true;
			else if (ev[i].data.u64 >= TAG_MAX)
				stream_event(v, ev[i].data.ptr, ev[i].events);
		}
		if (atomic_load(&v->dev.failed)) {
			more = false;
			bury(v);
			continue;
		}
		if (v->accept_more && v->params.listen_fd >= 0)
			accept_clients(v);
		more = v->tx_more && transmit(v);
		more = receive(v) || more || (v->tx_more && v->n_resets < RESETS_MAX);
		bury(v);
	}
	return NULL;
}

static int add(struct virtio_vsock *v, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event ev = { .events = events, .data.u64 = tag };

	return fd < 0 ? 0 : epoll_ctl(v->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static void stop(struct virtio_vsock *v)
{
	struct vsock_stream *s;
	uint64_t one = 1;

	if (v->running) {
		if (write(v->stop_fd, &one, sizeof(one)) < 0)
			log_debug("virtio-vsock: stop: %m");
		pthread_join(v->thread, NULL);
		v->running = false;
	}
	while ((s = v->lines))
		end(v, s);
	for (unsigned int n = 0; n < BUCKETS; n++)
		while ((s = v->table[n]))
			end(v, s);
	bury(v);
	v->n_resets = 0;
	if (v->epoll_fd >= 0)
		close(v->epoll_fd);
	if (v->stop_fd >= 0)
		close(v->stop_fd);
	v->epoll_fd = v->stop_fd = -1;
}

static int vsock_activate(struct virtio_device *dev, struct err *err)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;
	sigset_t all, old;
	int r;

	v->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	v->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->epoll_fd < 0 || v->stop_fd < 0 || add(v, v->stop_fd, EPOLLIN, TAG_STOP) < 0 ||
	    add(v, dev->vq[QUEUE_RX].kick_fd, EPOLLIN | EPOLLET, TAG_RX) < 0 ||
	    add(v, dev->vq[QUEUE_TX].kick_fd, EPOLLIN | EPOLLET, TAG_TX) < 0 ||
	    add(v, v->params.listen_fd, EPOLLIN | EPOLLET, TAG_LISTEN) < 0) {
		r = err_sys(err, -errno, "epoll");
		stop(v);
		return r;
	}
	v->accept_more = v->tx_more = true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&v->thread, NULL, vsock_thread, v);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		stop(v);
		return err_sys(err, -r, "thread");
	}
	v->running = true;
	return 0;
}

static void vsock_reset(struct virtio_device *dev)
{
	stop((struct virtio_vsock *)dev);
}

static void vsock_free(struct virtio_device *dev)
{
	struct virtio_vsock *v = (struct virtio_vsock *)dev;

	if (v->params.listen_fd >= 0)
		close(v->params.listen_fd);
	free(v);
}

static const struct virtio_device_ops vsock_ops = {
	.name = "virtio-vsock",
	.id = VIRTIO_ID_VSOCK,
	.queue_size = QUEUE_SIZE,
	.activate = vsock_activate,
	.reset = vsock_reset,
	.free = vsock_free,
};

struct virtio_device *virtio_vsock_new(const struct virtio_vsock_params *p, struct err *err)
{
	struct virtio_vsock *v;

	if (p->guest_cid <= VIRTIO_VSOCK_HOST_CID || p->guest_cid >= UINT32_MAX) {
		err_set(err, EINVAL, "virtio-vsock: %llu is no CID for a guest", (unsigned long long)p->guest_cid);
		return NULL;
	}
	v = calloc(1, sizeof(*v));
	if (!v) {
		err_sys(err, -ENOMEM, "virtio-vsock");
		return NULL;
	}
	if (p->listen_fd >= 0 && fd_set_nonblock(p->listen_fd, true) < 0) {
		err_sys(err, -errno, "virtio-vsock: listening socket");
		free(v);
		return NULL;
	}
	v->params = *p;
	v->config.guest_cid = p->guest_cid;
	v->epoll_fd = v->stop_fd = -1;
	v->next_port = PORT_FIRST;
	virtio_init(&v->dev, &vsock_ops, 0, QUEUES, &v->config, sizeof(v->config));
	return &v->dev;
}

int virtio_vsock_client(int fd, uint32_t port, struct err *err)
{
	char line[VIRTIO_VSOCK_LINE_MAX];
	int n = snprintf(line, sizeof(line), "CONNECT %u\n", port);
	int r = fd_write_all(fd, line, (size_t)n);
	ssize_t got;

	if (r < 0)
		return err_sys(err, r, "machine: port %u", port);
	for (n = 0; n < (int)sizeof(line) - 1; n++) {
		got = fd_read_all(fd, line + n, 1);
		if (got < 0)
			return err_sys(err, (int)got, "machine: port %u", port);
		if (!got)
			return err_set(err, EPIPE, "machine: port %u: the machine is gone", port);
		if (line[n] == '\n')
			break;
	}
	line[n] = 0;
	if (strcmp(line, "OK") == 0)
		return 0;
	return err_set(err, ECONNREFUSED, "machine: port %u: %s", port, str_starts(line, "ERR ") ? line + 4 : line);
}
