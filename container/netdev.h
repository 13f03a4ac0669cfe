/* SPDX-License-Identifier: Apache-2.0 */
/* linux.netDevices: links of the host moved into the container. runtime-spec 1.3 config-linux.md#network-devices. */
#ifndef CONTAINER_NETDEV_H
#define CONTAINER_NETDEV_H

#include <sys/types.h>

#include "base/err.h"

struct oci_linux;

/*
 * Moves every link of linux.netDevices from our network namespace into that of pid, with its new name, its permanent global
 * addresses and up. Runs in the parent (single threaded: it enters the namespace for a moment). A link that was moved
 * stays with the namespace; the kernel gives physical ones back when that ends.
 */
int netdev_move(const struct oci_linux *linux_, pid_t pid, struct err *err);

/*
 * Brings the loopback link of our network namespace up, as engines expect of a namespace that the runtime made (a pod without
 * a network talks over it). Without the privilege for it (CAP_NET_ADMIN) it stays down and that is no error.
 */
int netdev_loopback(struct err *err);

#endif
