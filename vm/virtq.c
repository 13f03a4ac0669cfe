/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues, device side (virtio 1.2 §2.7).
 *
 * The three parts of a ring lie in guest memory: descriptor table, available ring (driver → device), used ring
 * (device → driver). virtq_start() turns their addresses into host pointers once; until virtq_stop() the guest can
 * change what they hold, but not where they are. virtq_pop() takes one head from the available ring, copies each
 * descriptor into a local before looking at it, follows the chain (into at most one indirect table), and gives out
 * slices that memory_slice() vouches for.
 *
 * What a guest can do wrong, and what happens: a ring index too far ahead, a head or next beyond the ring, a chain
 * longer than the ring (loop), a readable after a writable descriptor, an indirect table inside another or of odd
 * length, an address outside memory, 4 GiB or more in a chain: -EPROTO and the queue is broken.
 *
 * Order: the available index is read with acquire before the entries, the used index written with release behind the
 * entries, and a full fence stands between publishing and reading the other side's event index, and between
 * announcing an event index and looking for work (§2.7.7.2, §2.7.10).
 */
#include "vm/virtq.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_ring.h>

#include "base/cleanup.h"
#include "vm/virtio.h"

/* The available and used rings as 16-bit words: flags, idx, entries …, event. */
#define AVAIL_BYTES(size) (6ULL + 2ULL * (size))
#define USED_BYTES(size) (6ULL + 8ULL * (size))

static uint16_t load16(const void *p)
{
	return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
}

static uint16_t load16_acquire(const void *p)
{
	return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}

static void store16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, v, __ATOMIC_RELAXED);
}

static void store16_release(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE);
}

static uint8_t *avail_idx(const struct virtq *q)
{
	return (uint8_t *)q->avail_host + 2;
}

static uint8_t *used_event(const struct virtq *q) /* written by the driver, behind the available ring */
{
	return (uint8_t *)q->avail_host + 4 + 2 * (size_t)q->size;
}

static uint8_t *avail_event(const struct virtq *q) /* written by us, behind the used ring */
{
	return (uint8_t *)q->used_host + 4 + 8 * (size_t)q->size;
}

int virtq_start(struct virtq *q, struct err *err)
{
	virtq_stop(q);
	if (!q->size || q->size > q->size_max || (q->size & (q->size - 1)))
		return err_set(err, EINVAL, "queue %u: size %u", q->index, q->size);
	if (q->desc % 16 || q->avail % 2 || q->used % 4)
		return err_set(err, EINVAL, "queue %u: rings not aligned", q->index);
	q->desc_host = memory_slice(q->mem, q->desc, 16ULL * q->size);
	q->avail_host = memory_slice(q->mem, q->avail, AVAIL_BYTES(q->size));
	q->used_host = memory_slice(q->mem, q->used, USED_BYTES(q->size));
	if (!q->desc_host || !q->avail_host || !q->used_host)
		return err_set(err, EINVAL, "queue %u: rings outside memory", q->index);
	q->broken = false;
	q->signalled_valid = false;
	q->ready = true;
	return 0;
}

void virtq_stop(struct virtq *q)
{
	q->ready = false;
	q->desc_host = NULL;
	q->avail_host = NULL;
	q->used_host = NULL;
}

static int broken(struct virtq *q)
{
	q->broken = true;
	return -EPROTO;
}

/* One descriptor's slice to the chain. */
static int add_slice(struct virtq *q, struct virtq_chain *c, const struct vring_desc *d)
{
	bool in = d->flags & VRING_DESC_F_WRITE;
	unsigned int n = c->out_n + c->in_n;
	void *p;

	if (!in && c->in_n)
		return -EPROTO;
	if (n >= VIRTQ_CHAIN_MAX)
		return -EPROTO;
	if (!d->len)
		return 0; /* nothing to see; allowed */
	p = memory_slice(q->mem, d->addr, d->len);
	if (!p || c->out_len + c->in_len + d->len > UINT32_MAX)
		return -EPROTO;
	c->iov[n].iov_base = p;
	c->iov[n].iov_len = d->len;
	if (in) {
		c->in_n++;
		c->in_len += d->len;
	} else {
		c->out_n++;
		c->out_len += d->len;
	}
	return 0;
}

/* Follows a table from index i on. seen bounds loops over both tables. */
static int follow(struct virtq *q, struct virtq_chain *c, const void *table, uint32_t entries, uint32_t i, bool nested)
{
	for (uint32_t seen = 0; seen < entries; seen++) {
		struct vring_desc d;

		if (i >= entries)
			return -EPROTO;
		memcpy(&d, (const uint8_t *)table + 16 * (size_t)i, sizeof(d));
		/* The compiler may not read the descriptor again behind the checks. */
		__asm__ volatile("" ::: "memory");
		if (d.flags & VRING_DESC_F_INDIRECT) {
			const void *inner;
			uint32_t n = d.len / 16;

			if (!q->indirect || nested || (d.flags & VRING_DESC_F_NEXT) || d.len % 16 || !n ||
			    n > VIRTQ_CHAIN_MAX)
				return -EPROTO;
			inner = memory_slice(q->mem, d.addr, d.len);
			return inner ? follow(q, c, inner, n, 0, true) : -EPROTO;
		}
		if (add_slice(q, c, &d))
			return -EPROTO;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
	}
	return -EPROTO;
}

int virtq_pop(struct virtq *q, struct virtq_chain *c)
{
	uint16_t idx, head;

	if (!q->ready || q->broken)
		return 0;
	idx = load16_acquire(avail_idx(q));
	if (idx == q->next_avail)
		return 0;
	if ((uint16_t)(idx - q->next_avail) > q->size)
		return broken(q);
	head = load16((uint8_t *)q->avail_host + 4 + 2 * (size_t)(q->next_avail & (q->size - 1)));
	if (head >= q->size)
		return broken(q);
	c->head = head;
	c->out_n = 0;
	c->in_n = 0;
	c->out_len = 0;
	c->in_len = 0;
	if (follow(q, c, q->desc_host, q->size, head, false))
		return broken(q);
	q->next_avail++;
	return 1;
}

void virtq_rewind(struct virtq *q, uint16_t n)
{
	q->next_avail -= n;
}

void virtq_unpop(struct virtq *q)
{
	virtq_rewind(q, 1);
}

bool virtq_pending(const struct virtq *q)
{
	return q->ready && !q->broken && load16_acquire(avail_idx(q)) != q->next_avail;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
	struct vring_used_elem e = { .id = head, .len = written };

	if (!q->ready)
		return;
	memcpy((uint8_t *)q->used_host + 4 + 8 * (size_t)(q->next_used & (q->size - 1)), &e, sizeof(e));
	q->next_used++;
}

/* Does the driver want to hear of the entries since the last interrupt? */
static bool wants_interrupt(struct virtq *q)
{
	uint16_t old = q->signalled, event;
	bool valid = q->signalled_valid;

	if (!q->event_idx)
		return !(load16(q->avail_host) & VRING_AVAIL_F_NO_INTERRUPT);
	q->signalled = q->next_used;
	q->signalled_valid = true;
	if (!valid)
		return true;
	event = load16(used_event(q));
	return (uint16_t)(q->next_used - event - 1) < (uint16_t)(q->next_used - old);
}

void virtq_notify(struct virtq *q)
{
	if (!q->ready)
		return;
	store16_release((uint8_t *)q->used_host + 2, q->next_used);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (wants_interrupt(q) && q->dev && q->dev->transport.interrupt)
		q->dev->transport.interrupt(q->dev, q);
}

void virtq_disable_kick(struct virtq *q)
{
	if (!q->ready)
		return;
	if (!q->event_idx)
		store16(q->used_host, VRING_USED_F_NO_NOTIFY);
	/* With event indices the driver stays silent until we move the event index on. */
}

bool virtq_enable_kick(struct virtq *q)
{
	if (!q->ready || q->broken)
		return false;
	if (q->event_idx)
		store16(avail_event(q), q->next_avail);
	else
		store16(q->used_host, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtq_pending(q);
}

int virtq_iov(const struct virtq_chain *c, bool in, size_t off, size_t len, struct iovec *iov, int max, size_t *ret_len)
{
	const struct iovec *v = c->iov + (in ? c->out_n : 0);
	size_t done = 0;
	int n = 0;

	for (unsigned int i = 0; i < (in ? c->in_n : c->out_n) && n < max && done < len; i++) {
		size_t part = v[i].iov_len;

		if (off >= part) {
			off -= part;
			continue;
		}
		part -= off;
		if (part > len - done)
			part = len - done;
		iov[n].iov_base = (uint8_t *)v[i].iov_base + off;
		iov[n].iov_len = part;
		n++;
		done += part;
		off = 0;
	}
	if (ret_len)
		*ret_len = done;
	return n;
}

/* Copies between buf and the slices; to says into guest memory. */
static size_t copy(const struct virtq_chain *c, bool in, size_t off, void *buf, size_t len, bool to)
{
	const struct iovec *v = c->iov + (in ? c->out_n : 0);
	size_t done = 0;

	for (unsigned int i = 0; i < (in ? c->in_n : c->out_n) && done < len; i++) {
		size_t part = v[i].iov_len;
		uint8_t *p;

		if (off >= part) {
			off -= part;
			continue;
		}
		p = (uint8_t *)v[i].iov_base + off;
		part -= off;
		if (part > len - done)
			part = len - done;
		if (to)
			memcpy(p, (uint8_t *)buf + done, part);
		else
			memcpy((uint8_t *)buf + done, p, part);
		done += part;
		off = 0;
	}
	return done;
}

size_t virtq_read(const struct virtq_chain *c, size_t off, void *buf, size_t len)
{
	return copy(c, false, off, buf, len, false);
}

size_t virtq_write(const struct virtq_chain *c, size_t off, const void *buf, size_t len)
{
	return copy(c, true, off, (void *)(uintptr_t)buf, len, true);
}
