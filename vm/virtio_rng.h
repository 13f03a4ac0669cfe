/* SPDX-License-Identifier: Apache-2.0 */
/* virtio entropy device (virtio 1.2 §5.4): the host's random bytes for the guest. */
#ifndef VM_VIRTIO_RNG_H
#define VM_VIRTIO_RNG_H

#include "base/err.h"

struct virtio_device;

/* The device core; NULL with *err. */
struct virtio_device *virtio_rng_new(struct err *err);

#endif
