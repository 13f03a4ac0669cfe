/* SPDX-License-Identifier: Apache-2.0 */
/* conntrack: forgets the kernel's tracked flows of published ports that no handshake ends. */
#ifndef NETWORK_CONNTRACK_H
#define NETWORK_CONNTRACK_H

#include "network/network.h"

/*
 * Forgets the UDP and SCTP flows to the lease's published ports of this network namespace: those that lead to one of the lease's
 * addresses and those that were there before the port was published. Flows of other ports and other endpoints stay.
 * Best effort: without connection tracking there is nothing to forget.
 */
void conntrack_forget(const struct network_lease *l);

#endif
