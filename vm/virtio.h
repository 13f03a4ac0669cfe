/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device without its transport (virtio 1.2 §2.1–2.5). A core is a struct virtio_device (embedded first in
 * the device's own struct) with an ops table. Two transports drive it: virtio_mmio in our machine and vhost_user
 * for QEMU. The transport owns the queues' guest-written fields, feature negotiation and status; it calls:
 *
 *	activate   once per life: features acked, queues checked and ready. The core starts its threads here.
 *	reset      stops them: after it returned, no thread of the core touches guest memory or a queue.
 *	           Also called before free. May be called without activate. activate may follow again.
 *
 * Kicks arrive on vq[i].kick_fd, an eventfd that the core's own thread polls.
 * Interrupts go out by virtq_notify() and virtio_config_changed(), from any thread.
 * All calls of the transport come from one thread at a time.
 */
#ifndef VM_VIRTIO_H
#define VM_VIRTIO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "vm/lockdown.h"
#include "vm/memory.h"
#include "vm/virtq.h"

#define VIRTIO_QUEUES_MAX 16
/* What every transport adds to the device's own feature bits. */
#define VIRTIO_FEATURES_COMMON \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC)

struct virtio_device;

struct virtio_device_ops {
	const char *name;    /* "virtio-fs" */
	uint32_t id;         /* VIRTIO_ID_* */
	uint16_t queue_size; /* offered for every queue, power of two ≤ VIRTQ_SIZE_MAX */

	/* Starts the core. 0, or -errno with *err: the device becomes NEEDS_RESET. */
	int (*activate)(struct virtio_device *dev, struct err *err);
	/* Stops the core; see above. */
	void (*reset)(struct virtio_device *dev);
	/* Frees the core (already reset). Closes the fds it was given. */
	void (*free)(struct virtio_device *dev);
	/* Driver wrote [off, off + len) of the configuration space (already inside config_len). NULL: read-only. */
	void (*config_write)(struct virtio_device *dev, size_t off, const void *buf, size_t len);
};

/* How a device reaches its driver; set by the transport. Called from any thread. */
struct virtio_transport {
	void (*interrupt)(struct virtio_device *dev, struct virtq *q); /* used buffers */
	void (*config_changed)(struct virtio_device *dev);
	void (*failed)(struct virtio_device *dev); /* NEEDS_RESET and a configuration interrupt */
	/* An eventfd that interrupts for used buffers without this process (see interrupts_by_fd); -1: there is none. */
	int interrupt_fd;
	void *arg;
};

struct virtio_device {
	/* identity and offer: set by the core's constructor through virtio_init() */
	const struct virtio_device_ops *ops;
	uint64_t features; /* offered, without VIRTIO_FEATURES_COMMON (the transport adds those) */
	unsigned int nqueues;
	void *config; /* configuration space as the driver reads it (little endian); owned by the core */
	size_t config_len;

	/* set by the transport */
	uint64_t acked; /* negotiated features, a subset of what was offered */
	const struct vm_memory *mem;
	struct virtio_transport transport;
	struct virtq vq[VIRTIO_QUEUES_MAX];
	_Atomic uint32_t config_generation;

	/* running */
	bool active; /* between activate and reset */
	/* Set by the core in activate: somebody else (vhost) interrupts by transport.interrupt_fd, and nobody is told. */
	_Atomic bool interrupts_by_fd;
	_Atomic bool failed;
	_Atomic unsigned int complaints; /* failures logged so far */
};

/* Fills identity and queues (nqueues ≤ VIRTIO_QUEUES_MAX), kick and call fds -1. */
void virtio_init(struct virtio_device *dev, const struct virtio_device_ops *ops, uint64_t features,
		 unsigned int nqueues, void *config, size_t config_len);
static inline bool virtio_has(const struct virtio_device *dev, unsigned int feature)
{
	return dev->acked & (1ULL << feature);
}
/* The guest broke the rules (what says how): logs it once, marks NEEDS_RESET, tells the driver. The core stops. */
void virtio_fail(struct virtio_device *dev, const char *what);
/* The core changed *config: bump the generation, interrupt. */
void virtio_config_changed(struct virtio_device *dev);
/* For transports: activates (virtq event_idx/indirect set from acked, queues with ready started), resets, frees. */
int virtio_activate(struct virtio_device *dev, struct err *err);
void virtio_reset(struct virtio_device *dev);
void virtio_free(struct virtio_device *dev);
/* Kicks the queue as the driver would: its worker looks at it again. */
void virtio_kick(struct virtq *q);
/* Chains that a worker takes from one queue before it looks at the others and at its stop fd. */
#define VIRTIO_TURN 128
/*
 * The usual kicked(): handles each waiting chain (handle gives the bytes written) and returns it, a turn at most. c is
 * the worker's room for it.
 */
void virtio_serve(struct virtio_device *dev, struct virtq *q, struct virtq_chain *c,
		  uint32_t (*handle)(struct virtio_device *dev, struct virtq *q, const struct virtq_chain *c));

/*
 * The thread most cores need: polls the kick fds of its ready queues, up to VIRTIO_WORKER_FDS more fds and its own
 * stop fd, and calls back. Locked down as its kind before the first call. The callbacks run in the worker thread.
 */
#define VIRTIO_WORKER_FDS 8
#define VIRTIO_WORKER_ALL UINT32_MAX
struct virtio_worker {
	struct virtio_device *dev;
	enum lockdown_kind kind;
	uint32_t queues; /* bit n: queue n is its; VIRTIO_WORKER_ALL */
	void (*kicked)(struct virtio_device *dev, struct virtq *q);
	/* events: EPOLL*; an fd with the mask 0 is not watched. NULL allowed when there are no fds. */
	void (*fd_ready)(struct virtio_device *dev, unsigned int slot, uint32_t events);
	/* owned by virtio_worker_* */
	int epoll_fd, stop_fd;
	int fds[VIRTIO_WORKER_FDS];
	uint32_t masks[VIRTIO_WORKER_FDS];
	unsigned long thread; /* pthread_t */
	bool running;
};
/* Starts it (fields up to fd_ready set by the caller; the rest zero). 0 or -errno with *err. */
int virtio_worker_start(struct virtio_worker *w, struct err *err);
/* Ends and joins it; no-op when not running. Not from the worker itself. */
void virtio_worker_stop(struct virtio_worker *w);
/* Watches fd in the slot with an EPOLL mask (0: stop watching). From the worker itself, or before start. */
int virtio_worker_watch(struct virtio_worker *w, unsigned int slot, int fd, uint32_t mask);

#endif
