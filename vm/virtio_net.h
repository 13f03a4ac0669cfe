/* SPDX-License-Identifier: Apache-2.0 */
/* virtio network device (virtio 1.2 §5.1): frames between the guest and a tap. */
#ifndef VM_VIRTIO_NET_H
#define VM_VIRTIO_NET_H

#include <stdint.h>

#include "base/err.h"

struct virtio_device;

/*
 * The device core for one tap (IFF_VNET_HDR, 12-byte header); the tap's offloads are set as the guest negotiates
 * them. tap_fd becomes non-blocking and is owned by the device from a successful call on. mtu 0: not announced.
 * NULL with *err.
 */
struct virtio_device *virtio_net_new(int tap_fd, const uint8_t mac[6], uint16_t mtu, struct err *err);

#endif
