/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's interfaces, hostname, clock and entropy, as the host says. */
#ifndef VM_GUEST_GUEST_NET_H
#define VM_GUEST_GUEST_NET_H

#include <stddef.h>

#include "base/err.h"

/* Applies {"interfaces":[…]} (struct rtnl_iface, found by MAC address) and brings up loopback. 0 or -errno. */
int guest_net_apply(const char *json, size_t len, struct err *err);
/* Brings up loopback alone. 0 or -errno. */
int guest_net_loopback(struct err *err);

#endif
