/* SPDX-License-Identifier: Apache-2.0 */
/* tap: a machine's end: open descriptors of a tap with virtio-net header. */
#ifndef NETWORK_TAP_H
#define NETWORK_TAP_H

#include "base/err.h"
#include "network/network.h"

/*
 * Makes the tap name in the namespace netns_fd (-1: current) with as many queues (1..NETWORK_TAPS_MAX) and opens
 * each: frames carry a 12-byte virtio_net_hdr. Not persistent: it disappears with the last descriptor. fds: CLOEXEC,
 * O_NONBLOCK. 0 or -errno.
 */
int tap_open(const char *name, int netns_fd, unsigned int queues, int fds[NETWORK_TAPS_MAX], struct err *err);

/* A tap that stays, for somebody who opens it by name; it goes with its namespace. 0 or -errno. */
int tap_persist(const char *name, int netns_fd, struct err *err);

#endif
