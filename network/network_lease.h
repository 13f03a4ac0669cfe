/* SPDX-License-Identifier: Apache-2.0 */
/* network_lease: building leases, for callers inside the room (public part: network.h). */
#ifndef NETWORK_NETWORK_LEASE_H
#define NETWORK_NETWORK_LEASE_H

#include "network/network.h"

/* A new interface at the end, without taps. Valid until the next call. */
struct network_iface *network_lease_add_iface(struct network_lease *l);
/* Frees and removes the ith. */
void network_lease_drop_iface(struct network_lease *l, size_t i);
/* "tcp", "udp", "sctp". */
const char *network_lease_proto(enum network_proto p);
int network_lease_proto_parse(const char *word, enum network_proto *ret);

#endif
