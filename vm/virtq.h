/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues, device side (virtio 1.2 §2.7). A chain's descriptors are copied out of guest memory once and
 * checked; the device sees an iovec of slices that lie inside guest memory. What the slices hold can still change
 * under the device: copy headers, then look at them.
 *
 * A queue is used by one thread at a time; a device with several workers on one queue locks around virtq_pop()
 * and around virtq_push()+virtq_notify().
 *
 * A guest that breaks the ring's rules makes virtq_pop() return -EPROTO once and the queue broken: the device
 * calls virtio_fail() and stops looking at it. Nothing a guest writes ends the process.
 */
#ifndef VM_VIRTQ_H
#define VM_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vm/memory.h"

#define VIRTQ_SIZE_MAX 1024
/* Longest chain accepted (descriptors, indirect ones included). */
#define VIRTQ_CHAIN_MAX VIRTQ_SIZE_MAX

struct virtio_device;

struct virtq {
	/* set by the transport before virtq_start() */
	const struct vm_memory *mem;
	struct virtio_device *dev; /* for the interrupt */
	unsigned int index;        /* queue number in the device */
	uint16_t size_max;         /* offered */
	uint16_t size;             /* guest-written, power of two ≤ size_max, checked by virtq_start() */
	gpa_t desc, avail, used;   /* guest-written, checked by virtq_start() */
	bool event_idx, indirect;  /* negotiated */
	int kick_fd;               /* eventfd: the driver added buffers; -1: none (call virtq users directly) */

	/* running */
	bool ready; /* may be used; false: skip it */
	bool broken;
	const void *desc_host; /* checked host pointers, valid while ready */
	void *avail_host, *used_host;
	uint16_t next_avail; /* index of the next chain to take */
	uint16_t next_used;  /* index of the next used entry */
	uint16_t signalled;  /* next_used at the last interrupt */
	bool signalled_valid;
};

/* One request: readable slices first, then writable ones. Big (16 KiB): keep it in the worker, not per request. */
struct virtq_chain {
	uint16_t head;  /* for virtq_push() */
	uint16_t out_n; /* slices the device reads: iov[0 .. out_n) */
	uint16_t in_n;  /* slices the device writes: iov[out_n .. out_n + in_n) */
	size_t out_len; /* bytes in them */
	size_t in_len;
	struct iovec iov[VIRTQ_CHAIN_MAX];
};

/* Checks size, alignment and that all three parts lie in guest memory; caches pointers; ready. 0 or -EINVAL. */
int virtq_start(struct virtq *q, struct err *err);
/* Forgets the pointers. The transport has stopped the device's threads before. */
void virtq_stop(struct virtq *q);

/* Takes the next chain. 1: *c filled; 0: nothing there; -EPROTO: broken by the guest (see above). */
int virtq_pop(struct virtq *q, struct virtq_chain *c);
/* Puts back the chain popped last (as if never popped): receive queues that turned out too short. */
void virtq_unpop(struct virtq *q);
/* Puts the n chains popped last back. */
void virtq_rewind(struct virtq *q, uint16_t n);
/* Is a chain waiting? */
bool virtq_pending(const struct virtq *q);
/* Returns a chain with written bytes in its writable part. Not seen by the guest before virtq_flush/notify. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
/* Publishes the used index (virtq_push of several, one publication: mergeable buffers) and interrupts if asked. */
void virtq_notify(struct virtq *q);
/*
 * Ask for (enable) or refuse kicks. virtq_enable_kick() returns true when a chain arrived meanwhile: look again
 * before sleeping.
 */
void virtq_disable_kick(struct virtq *q);
bool virtq_enable_kick(struct virtq *q);

/* Chain data. Copy from/to the slices at a byte offset into the readable/writable part; returns bytes copied. */
size_t virtq_read(const struct virtq_chain *c, size_t off, void *buf, size_t len);
size_t virtq_write(const struct virtq_chain *c, size_t off, const void *buf, size_t len);
/*
 * An iovec of [off, off + len) of the readable (in false) or writable (in true) part, for readv/writev into guest
 * memory. At most max entries; returns their number; *ret_len (may be NULL) the bytes covered.
 */
int virtq_iov(const struct virtq_chain *c, bool in, size_t off, size_t len, struct iovec *iov, int max,
	      size_t *ret_len);

#endif
