/* SPDX-License-Identifier: Apache-2.0 */
/* resolver: a dnsmasq for each network in use, answering with the names of its endpoints. The caller holds the network lock. */
#ifndef NETWORK_RESOLVER_H
#define NETWORK_RESOLVER_H

#include "network/netdir.h"
#include "network/network.h"

/*
 * Starts the network's resolver unless it runs; the bridge must have its addresses. Best effort: without dnsmasq,
 * or when port 53 is taken, names are in hosts files alone (logged once for each time the network is in use).
 */
void resolver_start(const struct netdir *nd, const struct network *n);
/* Does it run? Then the network's gateways answer on port 53. */
bool resolver_runs(const struct netdir *nd, const char *network);
/* Tells it the names as the leases have them now; ends it when no lease has names to ask for. */
void resolver_refresh(const struct netdir *nd, const char *network);
/* Ends it and removes what it needed. 0 when there was none, or -errno. */
int resolver_stop(const struct netdir *nd, const char *network, struct err *err);
/* Ends the resolvers of all networks but those that keep() wants, also of networks that are defined no more; returns how many. */
unsigned int resolver_sweep(const struct netdir *nd, bool (*keep)(const void *arg, const char *network),
			    const void *arg);

#endif
