/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile guest's rings in front of a virtio device: what the fuzz targets of the devices have in common. */
#ifndef TESTS_FUZZ_RINGS_H
#define TESTS_FUZZ_RINGS_H

#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "vm/memory.h"
#include "vm/virtio.h"

#define RINGS_RAM (2u << 20)
#define RINGS_QUEUE 0x2000u

/* The guest memory of all inputs, its rings empty; NULL: there is none. */
static inline struct vm_memory *rings_memory(unsigned int queues)
{
	static struct vm_memory mem;

	if (!mem.n && memory_alloc(&mem, RINGS_RAM, NULL) < 0)
		return NULL;
	memset(memory_slice(&mem, 0, RINGS_RAM), 0, (queues + 1) * RINGS_QUEUE);
	return &mem;
}

/* Where buffer n of every queue is, 4 KiB each. */
static inline uint8_t *rings_buffer(struct vm_memory *mem, unsigned int n)
{
	return memory_slice(mem, RINGS_RAM / 2 + n * 0x1000, 0x1000);
}

/* Four chains of a buffer to read and one to write: what an input of zeroes means. */
static inline void rings_good(uint8_t *queue)
{
	struct vring_desc *desc = (struct vring_desc *)queue;
	struct vring_avail *avail = (struct vring_avail *)(queue + 0x1000);

	for (uint16_t i = 0; i < 8; i++)
		desc[i] = (struct vring_desc){ .addr = RINGS_RAM / 2 + i * 0x1000u,
					       .len = 0x1000,
					       .flags = i % 2 ? VRING_DESC_F_WRITE : VRING_DESC_F_NEXT,
					       .next = i + 1 };
	avail->idx = 4;
	for (uint16_t i = 0; i < 4; i++)
		avail->ring[i] = 2 * i;
}

/*
 * Starts the device on rings that the input makes worse, bit by bit: pieces of 0x100 bytes by turns, descriptors of all
 * queues, then their available rings, and so on. sizes: a bit for each queue that makes its ring longer.
 */
static inline void rings_start(struct virtio_device *dev, struct vm_memory *mem, unsigned int queues,
			       unsigned int sizes, const uint8_t *data, size_t size)
{
	uint8_t *ram = memory_slice(mem, 0, RINGS_RAM);

	dev->mem = mem;
	for (unsigned int i = 0; i < queues; i++) {
		struct virtq *q = &dev->vq[i];

		q->mem = mem;
		q->size = (uint16_t)(1u << (4 + (sizes >> i) % 5));
		if (q->size > q->size_max)
			q->size = q->size_max;
		q->desc = i * RINGS_QUEUE;
		q->avail = i * RINGS_QUEUE + 0x1000;
		q->used = i * RINGS_QUEUE + 0x1400;
		rings_good(ram + q->desc);
		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (virtq_start(q, NULL) < 0)
			__builtin_trap();
	}
	for (unsigned int i = 0; size; i++) {
		size_t n = size < 0x100 ? size : 0x100;
		unsigned int at = i % queues * RINGS_QUEUE + (i / queues % 2 ? 0x1000 : 0) + i / queues / 2 % 8 * 0x80;

		for (size_t b = 0; b < n; b++)
			ram[at + b] ^= data[b];
		data += n;
		size -= n;
	}
	if (virtio_activate(dev, NULL) < 0)
		__builtin_trap();
}

/* Lets the device work. What it does with a bounded amount of work ends by itself; stopping waits for its current turn. */
static inline void rings_finish(struct virtio_device *dev, unsigned int queues)
{
	uint64_t one = 1;

	for (unsigned int i = 0; i < queues; i++)
		if (write(dev->vq[i].kick_fd, &one, sizeof(one)) < 0)
			__builtin_trap();
	usleep(200);
	virtio_reset(dev);
	for (unsigned int i = 0; i < queues; i++)
		close(dev->vq[i].kick_fd);
	virtio_free(dev);
}

#endif
