/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all device cores share: construction, the life between activate and reset, failure, and the worker thread
 * most of them use. See virtio.h for who calls what.
 *
 * A worker is one epoll set over the queues' kick fds, a few fds of the core's own and a stop eventfd. Queue n has the
 * data n, slot s has FD_BASE + s. Kicks are edges, and their eventfds are not read: that would be two system calls for each.
 * It is locked down before it looks at anything a guest wrote. A callback does a bounded amount of work and kicks its
 * queue for the rest, so that a guest that never stops asking cannot keep a worker from its stop fd, and a reset always
 * comes through.
 */
#include "vm/virtio.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

#define FD_BASE 1000
#define STOP_DATA UINT32_MAX
/* Warnings about one device in the life of the machine. */
#define COMPLAINTS_MAX 4

void virtio_init(struct virtio_device *dev, const struct virtio_device_ops *ops, uint64_t features,
		 unsigned int nqueues, void *config, size_t config_len)
{
	dev->ops = ops;
	dev->features = features;
	dev->nqueues = nqueues < VIRTIO_QUEUES_MAX ? nqueues : VIRTIO_QUEUES_MAX;
	dev->config = config;
	dev->config_len = config_len;
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		struct virtq *q = &dev->vq[i];

		memset(q, 0, sizeof(*q));
		q->dev = dev;
		q->index = i;
		q->size_max = ops->queue_size;
		q->kick_fd = -1;
	}
}

void virtio_fail(struct virtio_device *dev, const char *what)
{
	if (atomic_exchange(&dev->failed, true))
		return;
	/* Each reset may begin it anew: the log is not the guest's to fill. */
	if (dev->complaints < COMPLAINTS_MAX)
		log_warn("%s: the guest broke the rules: %s; the device needs a reset%s", dev->ops->name, what,
			 ++dev->complaints == COMPLAINTS_MAX ? "; no more of this will be said" : "");
	if (dev->transport.failed)
		dev->transport.failed(dev);
}

void virtio_config_changed(struct virtio_device *dev)
{
	atomic_fetch_add(&dev->config_generation, 1);
	if (dev->transport.config_changed)
		dev->transport.config_changed(dev);
}

int virtio_activate(struct virtio_device *dev, struct err *err)
{
	int r;

	if (dev->active)
		return 0;
	for (unsigned int i = 0; i < dev->nqueues; i++) {
		struct virtq *q = &dev->vq[i];

		q->mem = dev->mem;
		q->event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX);
		q->indirect = virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
	}
	atomic_store(&dev->failed, false);
	r = dev->ops->activate(dev, err);
	if (r < 0)
		return err_wrap(err, "%s", dev->ops->name);
	dev->active = true;
	return 0;
}

/* Reads a kick eventfd empty, for the next life of the device. */
static void drain_kicks(struct virtq *q)
{
	uint64_t n;
	struct pollfd p = { .fd = q->kick_fd, .events = POLLIN };

	/* QEMU's kick fds need not be non-blocking: look first. A negative fd is ignored by poll. */
	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLIN))
		return;
	if (read(q->kick_fd, &n, sizeof(n)) < 0)
		log_debug("%s: kick fd: %m", q->dev->ops->name);
}

void virtio_reset(struct virtio_device *dev)
{
	dev->ops->reset(dev);
	dev->active = false;
	atomic_store(&dev->interrupts_by_fd, false);
	dev->acked = 0;
	atomic_store(&dev->failed, false);
	for (unsigned int i = 0; i < dev->nqueues; i++) {
		struct virtq *q = &dev->vq[i];

		virtq_stop(q);
		q->size = 0;
		q->desc = q->avail = q->used = 0;
		q->next_avail = q->next_used = 0;
		q->broken = false;
		drain_kicks(q);
	}
}

void virtio_free(struct virtio_device *dev)
{
	if (!dev)
		return;
	virtio_reset(dev);
	dev->ops->free(dev);
}

void virtio_kick(struct virtq *q)
{
	uint64_t one = 1;

	if (write(q->kick_fd, &one, sizeof(one)) < 0)
		log_debug("%s: kick: %m", q->dev->ops->name);
}

void virtio_serve(struct virtio_device *dev, struct virtq *q, struct virtq_chain *c,
		  uint32_t (*handle)(struct virtio_device *dev, struct virtq *q, const struct virtq_chain *c))
{
	virtq_disable_kick(q);
	for (unsigned int i = 0; i < VIRTIO_TURN; i++) {
		int r = virtq_pop(q, c);

		if (r == 0 && !virtq_enable_kick(q))
			return;
		if (r < 0)
			virtio_fail(dev, "malformed descriptor chain");
		if (r > 0) {
			virtq_push(q, c->head, handle(dev, q, c));
			virtq_notify(q);
		}
		if (atomic_load(&dev->failed))
			return;
	}
	virtio_kick(q);
}

static int watch(int epoll_fd, int op, int fd, uint32_t mask, uint32_t data)
{
	struct epoll_event ev = { .events = mask, .data.u32 = data };

	return epoll_ctl(epoll_fd, op, fd, &ev) ? -errno : 0;
}

int virtio_worker_watch(struct virtio_worker *w, unsigned int slot, int fd, uint32_t mask)
{
	int op = EPOLL_CTL_MOD;

	if (slot >= VIRTIO_WORKER_FDS)
		return -EINVAL;
	if (!w->running && !w->epoll_fd) { /* before start: remembered */
		w->fds[slot] = fd;
		w->masks[slot] = mask;
		return 0;
	}
	if (!w->masks[slot] && !mask)
		return 0;
	if (!mask)
		op = EPOLL_CTL_DEL;
	else if (!w->masks[slot])
		op = EPOLL_CTL_ADD;
	w->fds[slot] = fd;
	w->masks[slot] = mask;
	return watch(w->epoll_fd, op, fd, mask, FD_BASE + slot);
}

static void *worker_main(void *arg)
{
	struct virtio_worker *w = arg;
	struct virtio_device *dev = w->dev;
	struct epoll_event ev[16];
	struct err err = { 0 };

	if (lockdown_thread(w->kind, &err) < 0) {
		log_error("%s: %s", dev->ops->name, err.msg);
		virtio_fail(dev, "its thread could not be locked down");
		return NULL;
	}
	for (;;) {
		int n = epoll_wait(w->epoll_fd, ev, ARRAY_SIZE(ev), -1);

		if (n < 0 && errno != EINTR)
			return NULL;
		for (int i = 0; i < n; i++) {
			uint32_t data = ev[i].data.u32;

			if (data == STOP_DATA)
				return NULL;
			if (data < dev->nqueues) {
				if (!atomic_load(&dev->failed))
					w->kicked(dev, &dev->vq[data]);
			} else if (data >= FD_BASE && data - FD_BASE < VIRTIO_WORKER_FDS && w->masks[data - FD_BASE]) {
				w->fd_ready(dev, data - FD_BASE, ev[i].events);
			}
		}
	}
}

int virtio_worker_start(struct virtio_worker *w, struct err *err)
{
	pthread_t thread;
	int r;

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->epoll_fd < 0 || w->stop_fd < 0) {
		r = err_sys(err, -errno, "worker");
		goto fail;
	}
	r = watch(w->epoll_fd, EPOLL_CTL_ADD, w->stop_fd, EPOLLIN, STOP_DATA);
	for (unsigned int i = 0; !r && i < w->dev->nqueues; i++) {
		if (w->queues & 1u << i && w->dev->vq[i].ready && w->dev->vq[i].kick_fd >= 0)
			r = watch(w->epoll_fd, EPOLL_CTL_ADD, w->dev->vq[i].kick_fd, EPOLLIN | EPOLLET, i);
	}
	for (unsigned int i = 0; !r && i < VIRTIO_WORKER_FDS; i++) {
		if (w->masks[i])
			r = watch(w->epoll_fd, EPOLL_CTL_ADD, w->fds[i], w->masks[i], FD_BASE + i);
	}
	if (r < 0) {
		err_sys(err, r, "worker: epoll");
		goto fail;
	}
	r = pthread_create(&thread, NULL, worker_main, w);
	if (r) {
		r = err_sys(err, -r, "worker: thread");
		goto fail;
	}
	w->thread = thread;
	w->running = true;
	return 0;
fail:
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
	w->epoll_fd = w->stop_fd = 0;
	return r;
}

void virtio_worker_stop(struct virtio_worker *w)
{
	uint64_t one = 1;

	if (!w->running)
		return;
	while (write(w->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(w->thread, NULL);
	w->running = false;
	close(w->epoll_fd);
	close(w->stop_fd);
	w->epoll_fd = w->stop_fd = 0;
	memset(w->masks, 0, sizeof(w->masks));
}
