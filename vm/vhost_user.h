/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back end of the vhost-user protocol (QEMU docs/interop/vhost-user): serves one device core to one front-end over a
 * connected unix stream socket. It is a transport like virtio_mmio: it maps the memory the front-end sends, fills the
 * queues and activates or resets the core. One thread per device.
 */
#ifndef VM_VHOST_USER_H
#define VM_VHOST_USER_H

#include "base/err.h"

struct virtio_device;
struct vhost_user;

/*
 * Starts serving dev on sock. nqueues: how many of the device's queues the front-end hands over (QEMU keeps the event
 * queue of vsock for itself); the core is activated once all of them are enabled. Takes sock and dev. NULL with *err
 * (sock and dev remain the caller's then).
 */
struct vhost_user *vhost_user_start(struct virtio_device *dev, int sock, unsigned int nqueues, struct err *err);
/* Ends the thread, resets and frees the device, unmaps the memory. NULL allowed. Blocks until the core is quiet. */
void vhost_user_stop(struct vhost_user *vu);

#endif
