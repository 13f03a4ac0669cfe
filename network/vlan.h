/* SPDX-License-Identifier: Apache-2.0 */
/* vlan: VLAN filtering on a network's bridge: its ports untagged in the VLAN, its uplink tagged. */
#ifndef NETWORK_VLAN_H
#define NETWORK_VLAN_H

#include "base/err.h"
#include "network/network.h"
#include "network/rtnl.h"

/* Puts the bridge itself into the VLAN and plugs the uplink in, tagged. 0 or -errno. */
int vlan_bridge(struct rtnl *nl, const struct network *n, int index, struct err *err);
/* Makes the VLAN the port's only one, untagged. self: the port is the bridge itself. */
int vlan_port(struct rtnl *nl, int index, uint16_t vlan, bool self, struct err *err);

#endif
