/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/virtio_net: a hostile guest's rings against the running device; datagram sockets stand for the queues of the tap. The
 * input fills guest memory with the rings of two pairs and of the control queue, and says how many frames arrive.
 */
#include <sys/socket.h>

#include <linux/virtio_net.h>

#include "base/log.h"
#include "tests/fuzz/rings.h"
#include "vm/virtio_net.h"

#define PAIRS 2u
#define QUEUES (2 * PAIRS + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_memory *mem = rings_memory(QUEUES);
	struct virtio_net_params params = {
		.pairs = PAIRS, .vhost_fds = { -1, -1 }, .mac = { 2, 0, 0, 0, 0, 1 }, .mtu = 1500
	};
	uint8_t frame[2000] = { 0 };
	struct virtio_device *dev;
	int pair[PAIRS][2];

	if (size < 4 || !mem)
		return 0;
	log_set(LOG_ERROR_, LOG_TEXT);
	for (unsigned int i = 0; i < PAIRS; i++) {
		if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair[i]))
			return 0;
		params.tap_fds[i] = pair[i][0];
	}
	dev = virtio_net_new(&params, NULL);
	dev->acked = VIRTIO_FEATURES_COMMON | (data[0] & 1 ? 1ULL << VIRTIO_NET_F_MRG_RXBUF : 0) |
		(data[0] & 2 ? 1ULL << VIRTIO_NET_F_MQ : 0) | (data[0] & 4 ? 1ULL << VIRTIO_NET_F_CTRL_VQ : 0);
	rings_start(dev, mem, QUEUES, data[2], data + 4, size - 4);
	for (int i = 0; i < data[1] % 8; i++)
		send(pair[i % (int)PAIRS][1], frame, sizeof(frame) / (size_t)(i + 1), MSG_DONTWAIT);
	rings_finish(dev, QUEUES);
	for (unsigned int i = 0; i < PAIRS; i++)
		close(pair[i][1]);
	return 0;
}
