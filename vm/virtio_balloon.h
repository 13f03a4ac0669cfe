/* SPDX-License-Identifier: Apache-2.0 */
/* virtio balloon (virtio 1.2 §5.5): takes memory from the guest and gives what it reports free back to the host. */
#ifndef VM_VIRTIO_BALLOON_H
#define VM_VIRTIO_BALLOON_H

#include <stdint.h>

#include "base/err.h"

struct virtio_device;

/* The device core: inflate, deflate, deflate on out-of-memory, free page reporting. NULL with *err. */
struct virtio_device *virtio_balloon_new(struct err *err);
/* Asks the guest to give up bytes (rounded down to 4 KiB). Any thread. */
void virtio_balloon_set(struct virtio_device *dev, uint64_t bytes);
/* What the guest says it gave up. Any thread. */
uint64_t virtio_balloon_get(const struct virtio_device *dev);

#endif
