/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_join: a machine in a network namespace that somebody else made.
 *
 * Theory of operation: an engine or a chain of CNI plugins leaves a namespace with configured links (veth, macvlan,
 * ipvlan, whatever). Each link that has an address is joined to a new tap by tc redirects in both directions, and
 * what it has (MAC address, MTU, addresses, routes, permanent neighbours) becomes the guest's configuration. The
 * link keeps its own configuration, so its maker's CHECK and DEL find what they left; it never sees a packet, because
 * the redirect takes every one. Undoing means removing the redirects; the taps go with their descriptors.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/endpoint.h"
#include "network/netdir.h"
#include "network/network.h"
#include "network/network_lease.h"
#include "network/tap.h"
#include "network/tc.h"

static int join_link(struct rtnl *nl, int netns_fd, const struct rtnl_link *link, const char *key, size_t number,
		     uint16_t queues, struct network_iface *f, struct err *err)
{
	char name[IFNAMSIZ];
	struct rtnl_link tap;
	int r;

	snprintf(name, sizeof(name), ENDPOINT_TAP "%.12s%zx", key, number & 15);
	r = tap_open(name, netns_fd, queues ? queues : 1, f->tap_fds, err);
	if (r < 0)
		return r;
	f->n_taps = queues ? queues : 1;
	r = rtnl_link_get(nl, name, 0, &tap, err);
	if (r >= 0)
		r = rtnl_link_change(nl, tap.index, &(struct rtnl_change){ .mtu = link->mtu, .up = 1 }, err);
	if (r >= 0)
		r = tc_join(nl, link->index, tap.index, err);
	return r < 0 ? err_wrap(err, "join %s to a tap", link->name) : 0;
}

static int join_all(struct rtnl *nl, int netns_fd, const char *key, uint16_t queues, struct network_lease *l,
		    struct err *err)
{
	cleanup_free struct rtnl_link *links = NULL;
	size_t n = 0, number = 0;
	int r = rtnl_link_list(nl, &links, &n, err);

	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct rtnl_iface set = { 0 };

		if ((links[i].flags & IFF_LOOPBACK) || str_starts(links[i].name, ENDPOINT_TAP))
			continue;
		r = rtnl_iface_scan(nl, &links[i], &set, err);
		if (r < 0)
			break;
		if (!set.n_addrs) {
			rtnl_iface_free(&set);
			continue;
		}
		if (number == 16) {
			rtnl_iface_free(&set);
			return err_set(err, -E2BIG, "network namespace: more than 16 links with addresses");
		}
		set.no_ipv6 = true;
		for (size_t k = 0; k < set.n_addrs; k++)
			set.no_ipv6 &= set.addrs[k].family != AF_INET6;
		network_lease_add_iface(l)->set = set;
		r = join_link(nl, netns_fd, &links[i], key, number++, queues, &l->ifaces[l->n_ifaces - 1], err);
	}
	return r;
}

/* A tap of another machine than key's in the list, or NULL: it has the links, and a link has one place to redirect to. */
static const char *foreign_tap(const struct rtnl_link *links, size_t n, const char *key)
{
	cleanup_free char *own = xasprintf(ENDPOINT_TAP "%.12s", key);

	for (size_t i = 0; i < n; i++)
		if (str_starts(links[i].name, ENDPOINT_TAP) && !str_starts(links[i].name, own))
			return links[i].name;
	return NULL;
}

/* Who came later would silently take the links from the machine that is there. */
static int check_free(struct rtnl *nl, const char *key, struct err *err)
{
	cleanup_free struct rtnl_link *links = NULL;
	const char *tap;
	size_t n = 0;
	int r = rtnl_link_list(nl, &links, &n, err);

	tap = r < 0 ? NULL : foreign_tap(links, n, key);
	return tap ? err_set(err, -EBUSY,
			     "network namespace: another machine has its links already (tap %s); "
			     "machines cannot share one, containers of a pod can",
			     tap) :
		     r;
}

int network_join(const struct network_ref *ref, int netns_fd, uint16_t queues, struct network_lease *ret,
		 struct err *err)
{
	struct network_lease l = { .kind = NETWORK_MACHINE };
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	char key[NETDIR_KEY];
	int r;

	netdir_key(ref->id, ref->owner, key);
	l.ref = (struct network_ref){ .id = xstrdup(ref->id), .owner = xstrdup(ref->owner) };
	r = rtnl_open(&nl, netns_fd, err);
	if (r >= 0)
		r = check_free(&nl, key, err);
	if (r < 0) {
		network_lease_free(&l);
		return r;
	}
	r = join_all(&nl, netns_fd, key, queues, &l, err);
	if (r < 0) {
		(void)network_join_undo(ref, netns_fd, NULL);
		network_lease_free(&l);
		return r;
	}
	*ret = l;
	return 0;
}

int network_join_undo(const struct network_ref *ref, int netns_fd, struct err *err)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	cleanup_free struct rtnl_link *links = NULL;
	char key[NETDIR_KEY];
	size_t n = 0;
	int r = rtnl_open(&nl, netns_fd, err);

	netdir_key(ref->id, ref->owner, key);
	if (r >= 0)
		r = rtnl_link_list(&nl, &links, &n, err);
	if (r >= 0 && foreign_tap(links, n, key))
		return 0;
	for (size_t i = 0; r >= 0 && i < n; i++)
		if (!(links[i].flags & IFF_LOOPBACK) && !str_starts(links[i].name, ENDPOINT_TAP))
			r = tc_unjoin(&nl, links[i].index, err);
	return r < 0 ? r : 0;
}
