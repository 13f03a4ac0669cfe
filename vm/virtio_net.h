/* SPDX-License-Identifier: Apache-2.0 */
/* virtio network device (virtio 1.2 §5.1): frames between the guest and a tap. */
#ifndef VM_VIRTIO_NET_H
#define VM_VIRTIO_NET_H

#include <stdint.h>

#include "base/err.h"

struct virtio_device;

/* Pairs of a receive and a transmit queue: as many as a device and its control queue have room for. */
#define VIRTIO_NET_PAIRS_MAX 4

struct virtio_net_params {
	unsigned int pairs;                  /* 1 to VIRTIO_NET_PAIRS_MAX */
	int tap_fds[VIRTIO_NET_PAIRS_MAX];   /* the tap's queues (IFF_VNET_HDR, 12-byte header), one for each pair */
	int vhost_fds[VIRTIO_NET_PAIRS_MAX]; /* vhost_net_open(); the first -1: the device moves the frames itself */
	uint8_t mac[6];
	uint16_t mtu; /* 0: not announced */
};

/*
 * The device core; the tap's offloads are set as the guest negotiates them. The descriptors are owned by the device from
 * a successful call on, the taps become non-blocking. NULL with *err.
 */
struct virtio_device *virtio_net_new(const struct virtio_net_params *p, struct err *err);

#endif
