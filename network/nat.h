/* SPDX-License-Identifier: Apache-2.0 */
/* nat: our nftables table: masquerade, published ports, isolation. The caller holds the network lock. */
#ifndef NETWORK_NAT_H
#define NETWORK_NAT_H

#include "base/err.h"
#include "base/str.h"
#include "network/netdir.h"
#include "network/network.h"

/* The whole table as nft's text: rules of the networks, elements of the attachments' ports. Pure. */
void nat_table(struct str *out, const struct network *nets, size_t n_nets, const struct network_lease *leases,
	       size_t n_leases);
/* The elements of one attachment's ports; verb "add" or "delete" ("destroy" needs newer nft). Pure. */
void nat_elements(struct str *out, const char *verb, const struct network_lease *l);
/* Feeds text to "nft -f -". 0 or -errno with nft's first line. -ENOENT with a remedy when there is no nft. */
int nat_run(const char *text, struct err *err);
/* Is our table in the kernel? 1, 0 or -errno; by netlink, without a process. */
int nat_present(struct err *err);
/*
 * Reserves the host ports of a lease (files PORTS/…) and checks that no process of the host listens on them.
 * -EADDRINUSE naming the port and who has it. On failure nothing is kept.
 */
int nat_reserve(const struct netdir *nd, const struct network_lease *l, const char *key, struct err *err);
/* Gives them back. */
void nat_release(const struct netdir *nd, const struct network_lease *l, const char *key);

#endif
