/* SPDX-License-Identifier: Apache-2.0 */
/* filter: packet filters of others that drop what a network of ours forwards. They are looked at, never changed. */
#ifndef NETWORK_FILTER_H
#define NETWORK_FILTER_H

#include "base/err.h"
#include "network/netdir.h"
#include "network/network.h"

enum filter_way {
	FILTER_FORWARD, /* to and from the endpoints: the outside, published ports */
	FILTER_INPUT,   /* what endpoints ask of this host: names */
	FILTER_WAY_MAX
};

/*
 * Does a chain of somebody else drop what comes through the network's bridge? 1 with the chain and a command that
 * lets it pass (owned texts), 0 or -errno. Without nftables and iptables in the kernel: 0.
 */
int filter_blocks(const struct network *n, enum filter_way way, char **ret_what, char **ret_remedy, struct err *err);
/* Warns when something drops what the network forwards: once, until it changes. Under the lock. */
void filter_warn(const struct netdir *nd, const struct network *n);
/* Forgets what was warned of. */
void filter_forget(const struct netdir *nd, const char *network);

#endif
