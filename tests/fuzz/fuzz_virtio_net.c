/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/virtio_net: a hostile guest's rings against the running device; a datagram socket stands for the tap. The input
 * fills guest memory with both rings and says how many frames arrive.
 */
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include "base/log.h"
#include "vm/memory.h"
#include "vm/virtio.h"
#include "vm/virtio_net.h"

#define RAM (2u << 20)
#define QUEUE 0x2000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm_memory mem;
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	uint8_t frame[2000] = { 0 }, *ram;
	struct virtio_device *dev;
	uint64_t one = 1;
	int pair[2], frames;

	if (size < 4)
		return 0;
	log_set(LOG_ERROR_, LOG_TEXT);
	if (!mem.n && memory_alloc(&mem, RAM, NULL, NULL) < 0)
		return 0;
	ram = memory_slice(&mem, 0, RAM);
	memset(ram, 0, 4 * QUEUE);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair))
		return 0;
	dev = virtio_net_new(pair[0], mac, 1500, NULL);
	dev->mem = &mem;
	dev->acked = VIRTIO_FEATURES_COMMON | (data[0] & 1 ? 1ULL << VIRTIO_NET_F_MRG_RXBUF : 0);
	frames = data[1] % 8;
	for (unsigned int i = 0; i < 2; i++) {
		struct virtq *q = &dev->vq[i];

		q->mem = &mem;
		q->size = (uint16_t)(1u << (4 + (data[2] >> (4 * i)) % 5));
		q->desc = i * QUEUE;
		q->avail = i * QUEUE + 0x1000;
		q->used = i * QUEUE + 0x1400;
		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (virtq_start(q, NULL) < 0)
			__builtin_trap();
	}
	data += 4;
	size -= 4;
	/* alternating pieces of 0x100 bytes: descriptors and available rings of both queues */
	for (unsigned int i = 0; size; i++) {
		size_t n = size < 0x100 ? size : 0x100;
		unsigned int at = (i & 1) * QUEUE + (i & 2 ? 0x1000 : 0) + (i >> 2) % 8 * 0x80;

		memcpy(ram + at, data, n);
		data += n;
		size -= n;
	}
	if (virtio_activate(dev, NULL) < 0)
		__builtin_trap();
	for (int i = 0; i < frames; i++)
		send(pair[1], frame, sizeof(frame) / (size_t)(i + 1), MSG_DONTWAIT);
	for (unsigned int i = 0; i < 2; i++) {
		if (write(dev->vq[i].kick_fd, &one, sizeof(one)) < 0)
			__builtin_trap();
	}
	/* what the device does with a bounded amount of work ends by itself; stopping it waits for its current turn */
	usleep(200);
	virtio_reset(dev);
	for (unsigned int i = 0; i < 2; i++)
		close(dev->vq[i].kick_fd);
	virtio_free(dev);
	close(pair[1]);
	return 0;
}
