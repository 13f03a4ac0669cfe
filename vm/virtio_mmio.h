/* SPDX-License-Identifier: Apache-2.0 */
/* virtio over memory-mapped registers, version 2 (virtio 1.2 §4.2), for our own machine. */
#ifndef VM_VIRTIO_MMIO_H
#define VM_VIRTIO_MMIO_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"
#include "vm/virtio.h"

struct virtio_mmio;

/* What a transport needs from the machine. Functions return 0 or -errno. */
struct virtio_mmio_host {
	/* Runs fn(arg) in the machine's main thread, which may start and stop threads; returns its result. */
	int (*call)(void *host, int (*fn)(void *arg), void *arg);
	/* Connects or disconnects a queue's kick eventfd with a 4-byte write of value to addr; NULL: none. */
	int (*ioeventfd)(void *host, int event_fd, uint64_t addr, uint32_t value, bool assign);
	/* Interrupts the guest for the device of t. Any thread. */
	void (*pulse)(void *host, const struct virtio_mmio *t);
	void *host;
};

struct virtio_mmio {
	struct virtio_device *dev; /* owned */
	struct virtio_mmio_host host;
	const struct vm_memory *mem;
	uint64_t base; /* its registers' guest address */
	int line;      /* interrupt line, for who interrupts past us; owned */

	pthread_mutex_t lock; /* the fields below; not held by interrupts */
	uint32_t status;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features;
	_Atomic uint32_t interrupt_status;
	_Atomic bool needs_reset;
};

/* Takes the device and line. Makes the queues' kick eventfds. 0 or -errno (nothing taken then). */
int virtio_mmio_init(struct virtio_mmio *t, struct virtio_device *dev, const struct vm_memory *mem, uint64_t base,
		     int line, const struct virtio_mmio_host *host, struct err *err);
/* bus_fn for LAYOUT_VIRTIO_SIZE bytes of registers. */
void virtio_mmio_access(void *arg, uint64_t off, void *data, unsigned int len, bool write);
/* Stops the device's threads (from the machine's main thread; the vCPUs do not run any more). */
void virtio_mmio_stop(struct virtio_mmio *t);
/* Frees device, eventfds and line. */
void virtio_mmio_free(struct virtio_mmio *t);

#endif
