/* SPDX-License-Identifier: Apache-2.0 */
/* vhost-net: the host's kernel moves a pair's frames between a tap and the guest's rings, past the monitor. */
#ifndef VM_VHOST_NET_H
#define VM_VHOST_NET_H

#include <stdint.h>

#include "base/err.h"

struct virtio_device;

/* Opens one for a pair of queues. fd, or -errno: this host has none that does what the device offers. */
int vhost_net_open(void);
/* Makes the calling process's memory the one it works on; once, before any start. 0 or -errno. */
int vhost_net_own(int vhost_fd, struct err *err);
/*
 * Lets it work on the queues rx and tx of dev, which are ready, and on tap_fd, until vhost_net_stop(). It interrupts by the
 * transport's interrupt_fd, and signals error_fd (an eventfd) when the guest breaks a ring. 0 or -errno, nothing runs then.
 */
int vhost_net_start(int vhost_fd, struct virtio_device *dev, unsigned int rx, unsigned int tx, int tap_fd, int error_fd,
		    struct err *err);
/* Ends that: afterwards it touches neither guest memory nor rings. May be called without start. */
void vhost_net_stop(int vhost_fd);

#endif
