/* SPDX-License-Identifier: Apache-2.0 */
/* bridge: the host's bridge of a network and its settings. */
#ifndef NETWORK_BRIDGE_H
#define NETWORK_BRIDGE_H

#include "base/err.h"
#include "network/network.h"
#include "network/rtnl.h"

/*
 * Makes sure that the network's bridge exists with its addresses; a link of that name that is not ours is an error
 * (-EEXIST), or is used as it is when the definition says foreign. *ret_index and *ret_mtu are the link's;
 * *ret_made (may be NULL) tells that it was created now. 0 or -errno.
 */
int bridge_ensure(struct rtnl *nl, const struct network *n, int *ret_index, uint32_t *ret_mtu, bool *ret_made,
		  struct err *err);
/* Puts addresses and sysctls of an existing bridge back. */
int bridge_repair(struct rtnl *nl, const struct network *n, int index, struct err *err);
/* Removes the bridge when it is ours; 0 when there is none. */
int bridge_remove(struct rtnl *nl, const struct network *n, struct err *err);
/*
 * What published ports need, after the firewall table is there: 127.0.0.1 is routed to the bridge, and frames may leave the
 * port they came in by (a container that calls its own published port, where br_netfilter is on).
 */
int bridge_publish(struct rtnl *nl, const char *bridge, int port, struct err *err);
/* MTU of the default route's link; 1500 when there is none. */
uint32_t bridge_uplink_mtu(struct rtnl *nl);

#endif
