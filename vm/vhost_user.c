/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back end of the vhost-user protocol (QEMU docs/interop/vhost-user.rst), protocol features MQ, REPLY_ACK and CONFIG.
 *
 * One thread reads messages from the front-end's socket. Memory regions are mapped when the table arrives; rings are
 * described piece by piece (size, addresses, base, kick, call, enable). When every ring of the device is complete and
 * enabled, the core is activated; the first GET_VRING_BASE or a hang-up resets it. QEMU stops rings when the guest resets
 * the device, so that is a reset for the core as well.
 *
 * The call fd of a ring changes while the core runs (the guest masks interrupts), hence the lock around it. A front-end
 * that breaks the protocol loses its connection; the device then stands still and QEMU says so.
 *
 * What a front-end may do it can do anyway, it owns the memory; indexes, sizes and counts are checked all the same.
 * #syscalls recvmsg sendmsg read write mmap munmap close poll clone3 (activation starts the core's threads)
 */
#include "vm/vhost_user.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "vm/lockdown.h"
#include "vm/virtio.h"

enum {
	GET_FEATURES = 1,
	SET_FEATURES,
	SET_OWNER,
	RESET_OWNER,
	SET_MEM_TABLE,
	SET_LOG_BASE,
	SET_LOG_FD,
	SET_VRING_NUM,
	SET_VRING_ADDR,
	SET_VRING_BASE,
	GET_VRING_BASE,
	SET_VRING_KICK,
	SET_VRING_CALL,
	SET_VRING_ERR,
	GET_PROTOCOL_FEATURES,
	SET_PROTOCOL_FEATURES,
	GET_QUEUE_NUM,
	SET_VRING_ENABLE,
	GET_CONFIG = 24,
	SET_CONFIG,
};

#define VERSION 1u
#define FLAG_REPLY 4u
#define FLAG_NEED_REPLY 8u
#define F_PROTOCOL_FEATURES (1ULL << 30)
#define PROTOCOL_MQ (1ULL << 0)
#define PROTOCOL_REPLY_ACK (1ULL << 3)
#define PROTOCOL_CONFIG (1ULL << 9)
#define PROTOCOL_OFFER (PROTOCOL_MQ | PROTOCOL_REPLY_ACK | PROTOCOL_CONFIG)
#define FDS_MAX 8
#define CONFIG_MAX 256
#define VRING_NO_FD 0x100u

struct vring_state {
	uint32_t index, num;
};

struct vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

struct mem_region {
	uint64_t gpa, size, user_addr, mmap_offset;
};

/* On the wire from request on; the padding aligns the payload. */
struct message {
	uint32_t pad, request, flags, size;
	union {
		uint64_t u64;
		struct vring_state state;
		struct vring_addr addr;
		struct {
			uint32_t n, pad;
			struct mem_region regions[FDS_MAX];
		} mem;
		struct {
			uint32_t offset, size, flags;
			uint8_t data[CONFIG_MAX];
		} config;
	} u;
};

#define HEADER 12
static_assert(offsetof(struct message, u) == offsetof(struct message, request) + HEADER, "no hole on the wire");

struct ring {
	uint16_t size, base;
	gpa_t desc, avail, used;
	bool has_addr, has_kick, enabled;
	int kick_fd, call_fd;
};

struct vhost_user {
	struct virtio_device *dev;
	int sock;
	unsigned int nqueues;
	pthread_t thread;
	int stop_fd;
	uint64_t protocol; /* acked */
	bool has_protocol; /* F_PROTOCOL_FEATURES acked: rings start disabled */
	uint64_t features; /* acked */
	struct vm_memory mem;
	struct ring rings[VIRTIO_QUEUES_MAX];
	pthread_mutex_t call_lock; /* of all call_fd */
};

static void replace_fd(int *slot, int fd)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
}

static void interrupt(struct virtio_device *dev, struct virtq *q)
{
	struct vhost_user *vu = dev->transport.arg;
	uint64_t one = 1;

	pthread_mutex_lock(&vu->call_lock);
	if (vu->rings[q->index].call_fd >= 0 && write(vu->rings[q->index].call_fd, &one, sizeof(one)) < 0)
		log_debug("vhost-user: call fd: %m");
	pthread_mutex_unlock(&vu->call_lock);
}

/* Neither event has a message in what we negotiate; the core has logged a failure. */
static void ignore_event(struct virtio_device *dev)
{
}

/* Stops the core, remembering where the rings stood. */
static void deactivate(struct vhost_user *vu)
{
	struct virtio_device *dev = vu->dev;

	if (!dev->active)
		return;
	dev->ops->reset(dev);
	for (unsigned int n = 0; n < vu->nqueues; n++)
		vu->rings[n].base = dev->vq[n].next_avail;
	virtio_reset(dev);
}

static int start_ring(struct vhost_user *vu, unsigned int n, struct err *err)
{
	struct ring *g = &vu->rings[n];
	struct virtq *q = &vu->dev->vq[n];
	uint16_t used_idx = 0;

	q->mem = &vu->mem;
	q->size = g->size;
	q->desc = g->desc;
	q->avail = g->avail;
	q->used = g->used;
	q->kick_fd = g->kick_fd;
	if (memory_read(&vu->mem, g->used + 2, &used_idx, sizeof(used_idx)) < 0)
		return err_set(err, EFAULT, "queue %u: used ring outside memory", n);
	q->next_avail = g->base;
	q->next_used = used_idx;
	return virtq_start(q, err);
}

/* Activates the core once every ring is complete. */
static int try_activate(struct vhost_user *vu, struct err *err)
{
	struct virtio_device *dev = vu->dev;
	int r;

	if (dev->active)
		return 0;
	for (unsigned int n = 0; n < vu->nqueues; n++) {
		struct ring *g = &vu->rings[n];

		if (!g->size || !g->has_addr || !g->has_kick || (vu->has_protocol && !g->enabled))
			return 0;
	}
	dev->acked = vu->features & (dev->features | VIRTIO_FEATURES_COMMON);
	dev->mem = &vu->mem;
	for (unsigned int n = 0; n < vu->nqueues; n++) {
		r = start_ring(vu, n, err);
		if (r < 0)
			return r;
	}
	r = virtio_activate(dev, err);
	if (r == 0)
		log_debug("vhost-user: %s active", dev->ops->name);
	return r;
}

static bool same_table(const struct vhost_user *vu, const struct message *m)
{
	if (vu->mem.n != m->u.mem.n)
		return false;
	for (unsigned int n = 0; n < vu->mem.n; n++) {
		const struct memory_region *a = &vu->mem.regions[n];
		const struct mem_region *b = &m->u.mem.regions[n];

		if (a->gpa != b->gpa || a->len != b->size || a->user_addr != b->user_addr)
			return false;
	}
	return true;
}

static int set_mem_table(struct vhost_user *vu, const struct message *m, const int *fds, size_t n_fds, struct err *err)
{
	if (m->size < 8 || m->u.mem.n > FDS_MAX || m->u.mem.n != n_fds ||
	    m->size < 8 + m->u.mem.n * sizeof(struct mem_region))
		return err_set(err, EPROTO, "memory table of %u bytes with %zu fds", m->size, n_fds);
	if (same_table(vu, m))
		return 0;
	if (vu->dev->active)
		return err_set(err, EBUSY, "memory table changed while the device runs");
	memory_free(&vu->mem);
	for (unsigned int n = 0; n < m->u.mem.n; n++) {
		const struct mem_region *g = &m->u.mem.regions[n];
		struct memory_region region = { .gpa = g->gpa, .len = g->size, .user_addr = g->user_addr };
		int r;

		if (!g->size || g->size > SIZE_MAX - g->mmap_offset)
			return err_set(err, EPROTO, "memory region of %llu bytes", (unsigned long long)g->size);
		region.map_len = g->size + g->mmap_offset;
		region.map = mmap(NULL, region.map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fds[n], 0);
		if (region.map == MAP_FAILED)
			return err_sys(err, -errno, "memory region %u", n);
		region.host = (uint8_t *)region.map + g->mmap_offset;
		r = memory_add(&vu->mem, &region);
		if (r < 0) {
			munmap(region.map, region.map_len);
			return err_sys(err, r, "memory region %u", n);
		}
	}
	return 0;
}

static int set_vring_addr(struct vhost_user *vu, const struct vring_addr *a, struct err *err)
{
	struct ring *g = &vu->rings[a->index];

	if (memory_from_user(&vu->mem, a->desc, &g->desc) < 0 || memory_from_user(&vu->mem, a->avail, &g->avail) < 0 ||
	    memory_from_user(&vu->mem, a->used, &g->used) < 0)
		return err_set(err, EFAULT, "queue %u: ring address outside memory", a->index);
	g->has_addr = true;
	return 0;
}

/* kick, call, err: the fd comes with the message, or none does and bit 8 says so. */
static int set_vring_fd(struct vhost_user *vu, const struct message *m, int *fds, size_t n_fds, struct err *err)
{
	unsigned int index = m->u.u64 & 0xff;
	int fd = -1;

	if (m->size != 8 || index >= vu->nqueues)
		return err_set(err, EPROTO, "queue %u does not exist", index);
	if (!(m->u.u64 & VRING_NO_FD)) {
		if (n_fds != 1)
			return err_set(err, EPROTO, "queue %u: no fd", index);
		fd = fds[0];
		fds[0] = -1;
	}
	if (m->request == SET_VRING_KICK) {
		if (vu->dev->active) {
			replace_fd(&fd, -1);
			return err_set(err, EBUSY, "queue %u: kick fd changed while the device runs", index);
		}
		replace_fd(&vu->rings[index].kick_fd, fd);
		vu->rings[index].has_kick = true;
		if (!vu->has_protocol)
			vu->rings[index].enabled = true;
	} else if (m->request == SET_VRING_CALL) {
		pthread_mutex_lock(&vu->call_lock);
		replace_fd(&vu->rings[index].call_fd, fd);
		pthread_mutex_unlock(&vu->call_lock);
	} else {
		replace_fd(&fd, -1);
	}
	return 0;
}

static int vring_state(struct vhost_user *vu, struct message *m, struct err *err)
{
	struct vring_state *s = &m->u.state;
	struct ring *g;

	if (m->size != sizeof(*s) || s->index >= vu->nqueues)
		return err_set(err, EPROTO, "queue %u does not exist", m->size == sizeof(*s) ? s->index : 0);
	g = &vu->rings[s->index];
	if (m->request == GET_VRING_BASE) {
		deactivate(vu);
		s->num = g->base;
		replace_fd(&g->kick_fd, -1);
		vu->dev->vq[s->index].kick_fd = -1;
		g->has_kick = g->enabled = false;
		return 1;
	}
	if (m->request == SET_VRING_ENABLE) {
		g->enabled = s->num;
		return 0;
	}
	if (vu->dev->active)
		return err_set(err, EBUSY, "queue %u changed while the device runs", s->index);
	if (m->request == SET_VRING_NUM) {
		if (s->num > VIRTQ_SIZE_MAX)
			return err_set(err, EPROTO, "queue %u: %u entries", s->index, s->num);
		g->size = (uint16_t)s->num;
		vu->dev->vq[s->index].size_max = VIRTQ_SIZE_MAX;
	} else {
		g->base = (uint16_t)s->num;
	}
	return 0;
}

static int config(struct vhost_user *vu, struct message *m, struct err *err)
{
	uint32_t off = m->u.config.offset, size = m->u.config.size;

	if (m->size < 12 || size > CONFIG_MAX || m->size < 12 + size)
		return err_set(err, EPROTO, "configuration of %u bytes", size);
	if (m->request == SET_CONFIG)
		return 0; /* none of our devices has anything to set */
	memset(m->u.config.data, 0, size);
	if (off < vu->dev->config_len)
		memcpy(m->u.config.data, (const uint8_t *)vu->dev->config + off,
		       size < vu->dev->config_len - off ? size : vu->dev->config_len - off);
	m->size = 12 + size;
	return 1;
}

/* 1: *m is the reply; 0: none of its own; negative: the front-end broke the protocol. */
static int handle(struct vhost_user *vu, struct message *m, int *fds, size_t n_fds, struct err *err)
{
	switch (m->request) {
	case GET_FEATURES:
		m->u.u64 = vu->dev->features | VIRTIO_FEATURES_COMMON | F_PROTOCOL_FEATURES;
		m->size = 8;
		return 1;
	case SET_FEATURES:
		vu->features = m->u.u64;
		vu->has_protocol = m->u.u64 & F_PROTOCOL_FEATURES;
		return 0;
	case SET_OWNER:
	case RESET_OWNER:
		return 0;
	case SET_MEM_TABLE:
		return set_mem_table(vu, m, fds, n_fds, err);
	case SET_VRING_ADDR:
		if (m->size != sizeof(m->u.addr) || m->u.addr.index >= vu->nqueues)
			return err_set(err, EPROTO, "ring address of no queue");
		return set_vring_addr(vu, &m->u.addr, err);
	case SET_VRING_NUM:
	case SET_VRING_BASE:
	case GET_VRING_BASE:
	case SET_VRING_ENABLE:
		return vring_state(vu, m, err);
	case SET_VRING_KICK:
	case SET_VRING_CALL:
	case SET_VRING_ERR:
		return set_vring_fd(vu, m, fds, n_fds, err);
	case GET_PROTOCOL_FEATURES:
		m->u.u64 = PROTOCOL_OFFER;
		m->size = 8;
		return 1;
	case SET_PROTOCOL_FEATURES:
		vu->protocol = m->u.u64 & PROTOCOL_OFFER;
		return 0;
	case GET_QUEUE_NUM:
		m->u.u64 = vu->dev->nqueues;
		m->size = 8;
		return 1;
	case GET_CONFIG:
	case SET_CONFIG:
		return config(vu, m, err);
	default:
		return err_set(err, EOPNOTSUPP, "request %u", m->request);
	}
}

/* Receives one message. 1, 0 at the end of the connection, or -errno. */
static int receive(struct vhost_user *vu, struct message *m, int *fds, size_t *n_fds, struct err *err)
{
	ssize_t n;

	memset(m, 0, sizeof(*m));
	n = fd_recv(vu->sock, &m->request, HEADER, fds, n_fds);
	if (n <= 0)
		return n < 0 && n != -ECONNRESET ? err_sys(err, (int)n, "receive") : 0;
	if (n < HEADER && fd_read_all(vu->sock, (char *)&m->request + n, (size_t)(HEADER - n)) != HEADER - n)
		return 0;
	if ((m->flags & 3) != VERSION || m->size > sizeof(m->u))
		return err_set(err, EPROTO, "message %u with flags %#x and %u bytes", m->request, m->flags, m->size);
	if (m->size && fd_read_all(vu->sock, &m->u, m->size) != (ssize_t)m->size)
		return 0;
	return 1;
}

static int serve_one(struct vhost_user *vu, struct err *err)
{
	int fds[FDS_MAX] = { -1, -1, -1, -1, -1, -1, -1, -1 };
	size_t n_fds = FDS_MAX;
	struct message m;
	struct err ignored;
	bool need_reply;
	int r = receive(vu, &m, fds, &n_fds, err);

	if (r > 0) {
		need_reply = (m.flags & FLAG_NEED_REPLY) && (vu->protocol & PROTOCOL_REPLY_ACK);
		r = handle(vu, &m, fds, n_fds, err);
		if (r == 0)
			r = try_activate(vu, err);
		if (r > 0 || need_reply) {
			if (r <= 0) {
				m.u.u64 = r < 0;
				m.size = 8;
			}
			m.flags = VERSION | FLAG_REPLY;
			if (fd_write_all(vu->sock, &m.request, HEADER + m.size) < 0 && r >= 0)
				r = err_set(&ignored, EPIPE, "reply");
		}
		r = r < 0 ? r : 1;
	}
	for (size_t n = 0; n < FDS_MAX; n++)
		replace_fd(&fds[n], -1);
	return r;
}

static void *server_thread(void *arg)
{
	struct vhost_user *vu = arg;
	struct pollfd p[2] = { { .fd = vu->sock, .events = POLLIN }, { .fd = vu->stop_fd, .events = POLLIN } };
	struct err err = { 0 };
	/* It starts the core's threads, which lock themselves further. */
	int r = lockdown_thread(LOCKDOWN_MAIN, &err) < 0 ? -1 : 1;

	while (r > 0) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			break;
		if (p[0].revents)
			r = serve_one(vu, &err);
	}
	if (r < 0)
		log_error("vhost-user: %s: %s", vu->dev->ops->name, err.msg[0] ? err.msg : "connection lost");
	deactivate(vu);
	shutdown(vu->sock, SHUT_RDWR);
	return NULL;
}

struct vhost_user *vhost_user_start(struct virtio_device *dev, int sock, unsigned int nqueues, struct err *err)
{
	struct vhost_user *vu = calloc(1, sizeof(*vu));
	sigset_t all, old;
	int r;

	if (!vu) {
		err_sys(err, -ENOMEM, "vhost-user");
		return NULL;
	}
	vu->dev = dev;
	vu->sock = sock;
	vu->nqueues = nqueues < dev->nqueues ? nqueues : dev->nqueues;
	pthread_mutex_init(&vu->call_lock, NULL);
	for (unsigned int n = 0; n < VIRTIO_QUEUES_MAX; n++)
		vu->rings[n].kick_fd = vu->rings[n].call_fd = -1;
	dev->mem = &vu->mem;
	dev->transport.interrupt = interrupt;
	dev->transport.interrupt_fd = -1;
	dev->transport.config_changed = ignore_event;
	dev->transport.failed = ignore_event;
	dev->transport.arg = vu;
	vu->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (vu->stop_fd < 0) {
		err_sys(err, -errno, "vhost-user: eventfd");
		goto fail;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&vu->thread, NULL, server_thread, vu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		err_sys(err, -r, "vhost-user: thread");
		goto fail;
	}
	return vu;
fail:
	if (vu->stop_fd >= 0)
		close(vu->stop_fd);
	free(vu);
	return NULL;
}

void vhost_user_stop(struct vhost_user *vu)
{
	uint64_t one = 1;

	if (!vu)
		return;
	/* The thread may sit in a read of half a message: the socket's end wakes it. */
	if (write(vu->stop_fd, &one, sizeof(one)) < 0)
		log_debug("vhost-user: stop: %m");
	shutdown(vu->sock, SHUT_RDWR);
	pthread_join(vu->thread, NULL);
	virtio_free(vu->dev);
	for (unsigned int n = 0; n < VIRTIO_QUEUES_MAX; n++) {
		replace_fd(&vu->rings[n].kick_fd, -1);
		replace_fd(&vu->rings[n].call_fd, -1);
	}
	memory_free(&vu->mem);
	close(vu->sock);
	close(vu->stop_fd);
	pthread_mutex_destroy(&vu->call_lock);
	free(vu);
}
