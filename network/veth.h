/* SPDX-License-Identifier: Apache-2.0 */
/* veth: a pair whose one end is a bridge port on the host and the other an interface in a container. */
#ifndef NETWORK_VETH_H
#define NETWORK_VETH_H

#include "base/err.h"
#include "network/rtnl.h"

/*
 * Makes the pair in one request: host_name up, plugged into link index master (0: none), with alias; the other end
 * in netns_fd as inside_name, with mac and mtu, down. -EEXIST when a name is taken. 0 or -errno.
 */
int veth_make(struct rtnl *nl, const char *host_name, int master, const char *alias, const char *inside_name,
	      const uint8_t mac[RTNL_MAC_LEN], uint32_t mtu, int netns_fd, struct err *err);
/* In the namespace: looks inside_name up by nl, sets its IPv6 sysctls (the thread enters netns_fd), applies i. */
int veth_configure(struct rtnl *nl, int netns_fd, const struct rtnl_iface *i, struct err *err);

#endif
