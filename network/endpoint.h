/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint: one interface of an attachment: planned, made, removed. The caller holds the network lock. */
#ifndef NETWORK_ENDPOINT_H
#define NETWORK_ENDPOINT_H

#include "base/err.h"
#include "network/netdir.h"
#include "network/network.h"

/*
 * Leases addresses on network n for the attachment a and fills iface with what it will look like (name, MAC,
 * addresses, routes, names of links); nothing but address files is made. index numbers the interface; gateways tells
 * whether it gives the default routes. 0 or -errno; on failure leased addresses stay for endpoint_release().
 */
int endpoint_plan(const struct netdir *nd, const struct network *n, const struct network_attachment *a,
		  const struct network_lease *l, unsigned int index, bool gateways, struct network_iface *iface,
		  struct err *err);
/* Makes bridge (when needed) and links as planned, and configures them. netns_fd for containers. */
int endpoint_make(struct rtnl *nl, const struct network *n, const struct network_attachment *a,
		  const struct network_lease *l, struct network_iface *iface, int netns_fd, unsigned int queues,
		  struct err *err);
/* Puts an endpoint that was made, and is there still, back into its bridge, with all that the bridge knew of it. */
int endpoint_replug(struct rtnl *nl, const struct network *n, const struct network_lease *l,
		    const struct network_iface *iface, int bridge, struct err *err);
/* Removes the links; 0 when there are none. */
int endpoint_remove(struct rtnl *nl, const struct network_iface *iface, struct err *err);
/* Gives the addresses back. */
int endpoint_release(const struct netdir *nd, const struct network_iface *iface, const char *key, struct err *err);
/* Gives back every address that key has leased on any network (after a kill before the record was written). */
int endpoint_sweep(const struct netdir *nd, const char *key, struct err *err);
/* The lease directory of a network; fd or -errno. */
int endpoint_dir(const struct netdir *nd, const char *network, struct err *err);
/* Beginning of the alias that every link made here carries. */
#define ENDPOINT_ALIAS "amphi:"
#define ENDPOINT_VETH "av"
#define ENDPOINT_TAP "at"
#define ENDPOINT_IFB "ai"

#endif
