/* SPDX-License-Identifier: Apache-2.0 */
/* dns: resolv.conf, hosts and hostname of an attachment, and the hosts files of its neighbours. */
#ifndef NETWORK_DNS_H
#define NETWORK_DNS_H

#include "base/err.h"
#include "base/str.h"
#include "network/netdir.h"
#include "network/network.h"

/*
 * The text of resolv.conf. servers (may be NULL) go first; without any, those of the host's text that work from
 * elsewhere: loopback addresses are left out. search and options NULL: the host's. Pure.
 */
void dns_resolv(struct str *out, char *const *servers, char *const *search, char *const *options,
		const char *host_text);
/* Host's resolver configuration, behind systemd-resolved's stub when that is what /etc/resolv.conf names. Owned; "" when none. */
char *dns_host_resolv(void);
/*
 * Removes from text the lines whose first field is one of the n addresses; the rest is kept byte for byte. Owned. Pure.
 */
char *dns_hosts_without(const char *text, const struct rtnl_addr *addrs, size_t n);
/* Writes the three files of a lease in place (containers have them mounted already). nets: definitions, parallel to ifaces. */
int dns_write(const struct netdir *nd, const struct network_request *req, const struct network_lease *l,
	      const struct network *nets, struct err *err);
/* The same for an attachment made by plugins: own names only; dns: the "dns" member of their result, or NULL. */
int dns_write_plain(const struct network_request *req, const struct network_lease *l, const struct json *dns,
		    struct err *err);
/* Tells the neighbours of iface: adds its names to their hosts files, or takes them out. Best effort. */
void dns_publish(const struct netdir *nd, const struct network_lease *l, const struct network_iface *iface, bool add);
/* The other way round: adds the names of iface's neighbours to the lease's own hosts file. Best effort. */
void dns_learn(const struct netdir *nd, const struct network_lease *l, const struct network_iface *iface);

#endif
