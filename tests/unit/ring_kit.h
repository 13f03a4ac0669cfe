/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a virtio device in plain memory: queues with direct descriptors, one buffer each, and a transport that
 * signals an eventfd. For tests of device cores with their real threads.
 */
#ifndef TESTS_UNIT_RING_KIT_H
#define TESTS_UNIT_RING_KIT_H

#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "vm/virtio.h"

/* A check that is a line only when it fails, and then the last. */
#define must(cond) \
	do { \
		if (!(cond)) \
			need(!#cond); \
	} while (0)

#define RING_MEM (8u << 20)
#define RING_GPA 0x100000ULL
#define RING_SIZE 64
#define RING_QUEUES 5
#define RING_BUF 4096u
#define RING_TIMEOUT_MS 60000

struct ring_queue {
	struct vring_desc *desc;
	uint16_t *avail, *used; /* flags, idx, entries */
	uint8_t *bufs;          /* RING_SIZE of RING_BUF bytes */
	uint64_t bufs_gpa;
	uint16_t next, seen; /* avail index given out, used index taken */
	uint16_t free[RING_SIZE], n_free;
	uint16_t answer[RING_SIZE]; /* of a chain of two by its head: the second + 1 */
};

struct ring_kit {
	struct virtio_device *dev;
	struct vm_memory mem;
	uint8_t *ram;
	struct ring_queue q[RING_QUEUES];
	int call_fd;
	int config_changes, failures;
};

static inline void ring_interrupt(struct virtio_device *dev, struct virtq *q)
{
	struct ring_kit *k = dev->transport.arg;
	uint64_t one = 1;

	if (write(k->call_fd, &one, sizeof(one)) < 0)
		abort();
}

static inline void ring_failed(struct virtio_device *dev)
{
	struct ring_kit *k = dev->transport.arg;
	uint64_t one = 1;

	__atomic_fetch_add(&k->failures, 1, __ATOMIC_SEQ_CST);
	if (write(k->call_fd, &one, sizeof(one)) < 0)
		abort();
}

static inline void ring_config_changed(struct virtio_device *dev)
{
}

/* Lays the queues out and activates dev (not with EVENT_IDX: every buffer kicks and interrupts). */
static inline void ring_start(struct ring_kit *k, struct virtio_device *dev, unsigned int nqueues)
{
	struct memory_region region = { .gpa = RING_GPA, .len = RING_MEM };
	uint64_t at = RING_GPA;
	struct err err = { 0 };

	memset(k, 0, sizeof(*k));
	k->dev = dev;
	k->ram = aligned_alloc(4096, RING_MEM);
	memset(k->ram, 0, RING_MEM);
	region.host = k->ram;
	must(memory_add(&k->mem, &region) == 0);
	k->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	dev->mem = &k->mem;
	dev->transport.interrupt = ring_interrupt;
	dev->transport.failed = ring_failed;
	dev->transport.config_changed = ring_config_changed;
	dev->transport.arg = k;
	dev->acked |= 1ULL << VIRTIO_F_VERSION_1; /* to what the test has negotiated */
	for (unsigned int n = 0; n < nqueues; n++) {
		struct ring_queue *r = &k->q[n];
		struct virtq *q = &dev->vq[n];

		r->desc = (void *)(k->ram + (at - RING_GPA));
		q->desc = at;
		r->avail = (void *)(k->ram + (at + 4096 - RING_GPA));
		q->avail = at + 4096;
		r->used = (void *)(k->ram + (at + 8192 - RING_GPA));
		q->used = at + 8192;
		r->bufs_gpa = at + 12288;
		r->bufs = k->ram + (r->bufs_gpa - RING_GPA);
		at = r->bufs_gpa + RING_SIZE * RING_BUF;
		for (uint16_t i = 0; i < RING_SIZE; i++)
			r->free[r->n_free++] = i;
		q->mem = &k->mem;
		q->size = RING_SIZE;
		q->size_max = RING_SIZE;
		q->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		must(virtq_start(q, &err) == 0);
	}
	must(virtio_activate(dev, &err) == 0);
}

static inline void ring_stop(struct ring_kit *k)
{
	int kicks[RING_QUEUES];

	for (int n = 0; n < RING_QUEUES; n++)
		kicks[n] = k->dev->vq[n].kick_fd;
	virtio_free(k->dev);
	for (int n = 0; n < RING_QUEUES; n++)
		if (kicks[n] >= 0)
			close(kicks[n]);
	close(k->call_fd);
	free(k->ram);
}

/* Offers a buffer: out bytes readable (copied from data), or in bytes writable. False: none free. */
static inline bool ring_add(struct ring_kit *k, unsigned int queue, const void *data, uint32_t out, uint32_t in)
{
	struct ring_queue *r = &k->q[queue];
	uint64_t one = 1;
	uint16_t d;

	if (!r->n_free)
		return false;
	d = r->free[--r->n_free];
	if (out)
		memcpy(r->bufs + d * RING_BUF, data, out);
	r->desc[d] = (struct vring_desc){ r->bufs_gpa + d * RING_BUF, out ? out : in, out ? 0 : VRING_DESC_F_WRITE, 0 };
	r->avail[2 + r->next % RING_SIZE] = d;
	r->next++;
	__atomic_store_n(&r->avail[1], r->next, __ATOMIC_SEQ_CST);
	if (write(k->dev->vq[queue].kick_fd, &one, sizeof(one)) < 0)
		abort();
	return true;
}

/* Offers a chain of a readable buffer (copied from data) and a writable one; ring_used() gives the latter. False: none free. */
static inline bool ring_add_both(struct ring_kit *k, unsigned int queue, const void *data, uint32_t out, uint32_t in)
{
	struct ring_queue *r = &k->q[queue];
	uint64_t one = 1;
	uint16_t d, e;

	if (r->n_free < 2)
		return false;
	d = r->free[--r->n_free];
	e = r->free[--r->n_free];
	memcpy(r->bufs + d * RING_BUF, data, out);
	r->desc[d] = (struct vring_desc){ r->bufs_gpa + d * RING_BUF, out, VRING_DESC_F_NEXT, e };
	r->desc[e] = (struct vring_desc){ r->bufs_gpa + e * RING_BUF, in, VRING_DESC_F_WRITE, 0 };
	r->answer[d] = (uint16_t)(e + 1);
	r->avail[2 + r->next % RING_SIZE] = d;
	r->next++;
	__atomic_store_n(&r->avail[1], r->next, __ATOMIC_SEQ_CST);
	if (write(k->dev->vq[queue].kick_fd, &one, sizeof(one)) < 0)
		abort();
	return true;
}

/* The next used buffer: its data and length. NULL when none is there. */
static inline uint8_t *ring_used(struct ring_kit *k, unsigned int queue, uint32_t *len)
{
	struct ring_queue *r = &k->q[queue];
	struct vring_used_elem *e = (void *)(r->used + 2);

	if (__atomic_load_n(&r->used[1], __ATOMIC_ACQUIRE) == r->seen)
		return NULL;
	e += r->seen++ % RING_SIZE;
	r->free[r->n_free++] = (uint16_t)e->id;
	*len = e->len;
	if (r->answer[e->id]) {
		uint16_t second = (uint16_t)(r->answer[e->id] - 1);

		r->answer[e->id] = 0;
		r->free[r->n_free++] = second;
		return r->bufs + second * RING_BUF;
	}
	return r->bufs + e->id * RING_BUF;
}

/* Waits for an interrupt or a second; false after RING_TIMEOUT_MS without any. */
static inline bool ring_wait(struct ring_kit *k)
{
	struct pollfd p = { .fd = k->call_fd, .events = POLLIN };
	uint64_t n;

	if (poll(&p, 1, RING_TIMEOUT_MS) != 1)
		return false;
	return read(k->call_fd, &n, sizeof(n)) == sizeof(n);
}

#endif
