/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/virtio_net: a hostile guest's rings against the running device; datagram sockets stand for the queues of the tap. The
 * input fills guest memory with the rings of two pairs and of the control queue, and says how many frames arrive.
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
#define PAIRS 2u
#define QUEUES (2 * PAIRS + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm_memory mem;
	struct virtio_net_params params = {
		.pairs = PAIRS, .vhost_fds = { -1, -1 }, .mac = { 2, 0, 0, 0, 0, 1 }, .mtu = 1500
	};
	uint8_t frame[2000] = { 0 }, *ram;
	struct virtio_device *dev;
	uint64_t one = 1;
	int pair[PAIRS][2], frames;

	if (size < 4)
		return 0;
	log_set(LOG_ERROR_, LOG_TEXT);
	if (!mem.n && memory_alloc(&mem, RAM, NULL) < 0)
		return 0;
	ram = memory_slice(&mem, 0, RAM);
	memset(ram, 0, (QUEUES + 1) * QUEUE);
	for (unsigned int i = 0; i < PAIRS; i++) {
		if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair[i]))
			return 0;
		params.tap_fds[i] = pair[i][0];
	}
	dev = virtio_net_new(&params, NULL);
	dev->mem = &mem;
	dev->acked = VIRTIO_FEATURES_COMMON | (data[0] & 1 ? 1ULL << VIRTIO_NET_F_MRG_RXBUF : 0) |
		(data[0] & 2 ? 1ULL << VIRTIO_NET_F_MQ : 0) | (data[0] & 4 ? 1ULL << VIRTIO_NET_F_CTRL_VQ : 0);
	frames = data[1] % 8;
	for (unsigned int i = 0; i < QUEUES; i++) {
		struct virtq *q = &dev->vq[i];

		q->mem = &mem;
		q->size = (uint16_t)(1u << (4 + (data[2] >> i) % 5));
		q->desc = i * QUEUE;
		q->avail = i * QUEUE + 0x1000;
		q->used = i * QUEUE + 0x1400;
		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (virtq_start(q, NULL) < 0)
			__builtin_trap();
	}
	data += 4;
	size -= 4;
	/* pieces of 0x100 bytes by turns: descriptors of all queues, then their available rings, and so on */
	for (unsigned int i = 0; size; i++) {
		size_t n = size < 0x100 ? size : 0x100;
		unsigned int at = i % QUEUES * QUEUE + (i / QUEUES % 2 ? 0x1000 : 0) + i / QUEUES / 2 % 8 * 0x80;

		memcpy(ram + at, data, n);
		data += n;
		size -= n;
	}
	if (virtio_activate(dev, NULL) < 0)
		__builtin_trap();
	for (int i = 0; i < frames; i++)
		send(pair[i % PAIRS][1], frame, sizeof(frame) / (size_t)(i + 1), MSG_DONTWAIT);
	for (unsigned int i = 0; i < QUEUES; i++) {
		if (write(dev->vq[i].kick_fd, &one, sizeof(one)) < 0)
			__builtin_trap();
	}
	/* what the device does with a bounded amount of work ends by itself; stopping it waits for its current turn */
	usleep(200);
	virtio_reset(dev);
	for (unsigned int i = 0; i < QUEUES; i++)
		close(dev->vq[i].kick_fd);
	virtio_free(dev);
	for (unsigned int i = 0; i < PAIRS; i++)
		close(pair[i][1]);
	return 0;
}
