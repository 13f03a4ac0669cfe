/* SPDX-License-Identifier: Apache-2.0 */
/*
 * endpoint: one interface of an attachment.
 *
 * Theory of operation: planning leases addresses and decides everything; making carries the plan out; removing needs
 * only the names in the plan. Link names come from the attachment's key and the interface's number ("av" veth, "at"
 * tap, "ai" ifb, 12 digits of the key, one digit), so a link tells its owner, and a second attach of the same
 * container finds the remains of the first. One address of each family is leased: from the subnet that holds the
 * static address, else from the first of the family.
 */
#include "network/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/bridge.h"
#include "network/ipam.h"
#include "network/network_lease.h"
#include "network/tap.h"
#include "network/tc.h"
#include "network/veth.h"
#include "network/vlan.h"

int endpoint_dir(const struct netdir *nd, const char *network, struct err *err)
{
	char path[128];

	snprintf(path, sizeof(path), "ipam/%s", network);
	return netdir_sub(nd, path, err);
}

/* The subnet of a family that holds want, else the family's first; NULL: none. */
static const struct network_subnet *choose(const struct network *n, uint8_t family, const struct rtnl_addr *want)
{
	const struct network_subnet *first = NULL;

	for (unsigned int i = 0; i < n->n_subnets; i++) {
		const struct network_subnet *s = &n->subnets[i];

		if (s->net.family != family)
			continue;
		if (want->family && rtnl_addr_in(want, &s->net))
			return s;
		if (!first)
			first = s;
	}
	return first;
}

/* What becomes of an address: in the interface, with the default route when it is this interface's to give. */
static int plan_family(int dir, const struct network *n, uint8_t family, const struct rtnl_addr *want,
		       const struct ipam_owner *o, bool gateways, struct network_iface *iface, struct err *err)
{
	const struct network_subnet *s = choose(n, family, want);
	struct rtnl_addr a;
	int r;

	if (!s && want->family)
		return err_set(err, -EADDRNOTAVAIL, "the network has no %s subnet",
			       family == AF_INET ? "IPv4" : "IPv6");
	if (!s)
		return 0;
	r = ipam_lease(dir, s, want, o, &a, err);
	if (r < 0)
		return r;
	rtnl_iface_add_addr(&iface->set, &a);
	if (gateways && !n->internal && s->gateway.family) {
		struct rtnl_route rt = { .gateway = s->gateway };

		rt.gateway.prefix = (uint8_t)(8 * rtnl_addr_len(&s->gateway));
		rtnl_iface_add_route(&iface->set, &rt);
	}
	return 0;
}

int endpoint_plan(const struct netdir *nd, const struct network *n, const struct network_attachment *a,
		  const struct network_lease *l, unsigned int index, bool gateways, struct network_iface *iface,
		  struct err *err)
{
	cleanup_free char *names = NULL;
	cleanup_strv char **all = strv_dup(l->names);
	char key[NETDIR_KEY];
	struct ipam_owner o = { .key = key, .owner = l->ref.owner, .files_dir = l->files_dir ? l->files_dir : "" };
	cleanup_fd int dir = endpoint_dir(nd, n->name, err);
	int r;

	if (dir < 0)
		return dir;
	netdir_key(l->ref.id, l->ref.owner, key);
	for (char **p = a->aliases; p && *p; p++)
		strv_add(&all, *p);
	o.names = names = strv_join(all, " ");
	iface->network = xstrdup(n->name);
	iface->bridge = xstrdup(n->bridge);
	snprintf(iface->host_link, sizeof(iface->host_link), "%s%.12s%x",
		 l->kind == NETWORK_MACHINE ? ENDPOINT_TAP : ENDPOINT_VETH, key, index & 15);
	if (a->ifname)
		snprintf(iface->set.name, sizeof(iface->set.name), "%s", a->ifname);
	else
		snprintf(iface->set.name, sizeof(iface->set.name), "eth%u", index);
	r = plan_family(dir, n, AF_INET, &a->ip4, &o, gateways, iface, err);
	if (r >= 0)
		r = plan_family(dir, n, AF_INET6, &a->ip6, &o, gateways, iface, err);
	if (r < 0)
		return r;
	iface->set.no_ipv6 = true;
	for (size_t i = 0; i < iface->set.n_addrs; i++)
		iface->set.no_ipv6 &= iface->set.addrs[i].family != AF_INET6;
	if (a->has_mac)
		memcpy(iface->set.mac, a->mac, RTNL_MAC_LEN);
	else
		ipam_mac(n->name, &iface->set.addrs[0], iface->set.mac);
	return 0;
}

static void ifb_name(const struct network_iface *iface, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, ENDPOINT_IFB "%s", iface->host_link + 2);
}

static int plug_tap(struct rtnl *nl, const struct network_lease *l, struct network_iface *iface, int bridge,
		    const char *alias, unsigned int queues, struct err *err)
{
	struct rtnl_link link;
	int r = tap_open(iface->host_link, -1, queues ? queues : 1, iface->tap_fds, err);

	if (r < 0)
		return r;
	iface->n_taps = queues ? queues : 1;
	r = rtnl_link_get(nl, iface->host_link, 0, &link, err);
	if (r >= 0)
		r = rtnl_link_change(
			nl, link.index,
			&(struct rtnl_change){ .mtu = iface->set.mtu, .master = bridge, .up = 1, .alias = alias }, err);
	return r;
}

/* What the bridge has to know of an endpoint's port. */
static int settle_port(struct rtnl *nl, const struct network *n, const struct network_lease *l, int port,
		       struct err *err)
{
	int r = n->vlan ? vlan_port(nl, port, n->vlan, false, err) : 0;

	return r < 0 || !l->n_ports || n->foreign ? r : bridge_publish(nl, n->bridge, port, err);
}

int endpoint_replug(struct rtnl *nl, const struct network *n, const struct network_lease *l,
		    const struct network_iface *iface, int bridge, struct err *err)
{
	struct rtnl_link link;
	int r = rtnl_link_get(nl, iface->host_link, 0, &link, err);

	if (r == -ENODEV)
		return 0;
	if (r >= 0 && link.master != bridge)
		r = rtnl_link_change(nl, link.index, &(struct rtnl_change){ .master = bridge, .up = 1 }, err);
	return r < 0 ? r : settle_port(nl, n, l, link.index, err);
}

int endpoint_make(struct rtnl *nl, const struct network *n, const struct network_attachment *a,
		  const struct network_lease *l, struct network_iface *iface, int netns_fd, unsigned int queues,
		  struct err *err)
{
	struct tc_limit in = { a->rate_in, a->burst_in }, out = { a->rate_out, a->burst_out };
	char alias[256], ifb[IFNAMSIZ];
	struct rtnl_link link;
	int bridge, r;

	r = bridge_ensure(nl, n, &bridge, &iface->set.mtu, NULL, err);
	if (r < 0)
		return r;
	netdir_stop_at("bridge");
	snprintf(alias, sizeof(alias), ENDPOINT_ALIAS "%.200s", l->ref.id);
	if (l->kind == NETWORK_MACHINE) {
		r = plug_tap(nl, l, iface, bridge, alias, queues, err);
	} else {
		cleanup_rtnl struct rtnl inside = RTNL_INIT;

		r = rtnl_open(&inside, netns_fd, err);
		if (r >= 0)
			r = veth_make(nl, iface->host_link, bridge, alias, iface->set.name, iface->set.mac,
				      iface->set.mtu, netns_fd, err);
		if (r == -EEXIST)
			return err_set(err, r, "interface %s exists already in the container", iface->set.name);
		if (r >= 0) {
			netdir_stop_at("link");
			r = veth_configure(&inside, netns_fd, &iface->set, err);
		}
	}
	if (r < 0)
		return r;
	netdir_stop_at("configured");
	if (!n->vlan && !in.rate && !out.rate && !l->n_ports)
		return 0;
	r = rtnl_link_get(nl, iface->host_link, 0, &link, err);
	if (r >= 0)
		r = settle_port(nl, n, l, link.index, err);
	ifb_name(iface, ifb);
	if (r >= 0)
		r = tc_limit(nl, link.index, iface->set.mtu, &in, &out, ifb, err);
	return r;
}

int endpoint_remove(struct rtnl *nl, const struct network_iface *iface, struct err *err)
{
	char ifb[IFNAMSIZ];
	int r, k;

	if (!iface->host_link[0])
		return 0;
	ifb_name(iface, ifb);
	r = rtnl_link_del(nl, iface->host_link, err);
	k = rtnl_link_del(nl, ifb, r == -ENODEV || r >= 0 ? err : NULL);
	if (r == -ENODEV || r >= 0)
		r = k;
	return r == -ENODEV ? 0 : r;
}

int endpoint_release(const struct netdir *nd, const struct network_iface *iface, const char *key, struct err *err)
{
	cleanup_fd int dir = -1;
	int result = 0;

	if (!iface->network)
		return 0;
	dir = endpoint_dir(nd, iface->network, err);
	if (dir < 0)
		return dir;
	for (size_t i = 0; i < iface->set.n_addrs; i++) {
		int r = ipam_release(dir, &iface->set.addrs[i], key, result ? NULL : err);

		if (r < 0 && !result)
			result = r;
	}
	return result;
}

int endpoint_sweep(const struct netdir *nd, const char *key, struct err *err)
{
	cleanup_dir DIR *d = NULL;
	int fd = openat(nd->run_fd, "ipam", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "read %s/ipam", nd->run);
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return err_sys(err, -ENOMEM, "read %s/ipam", nd->run);
	}
	for (struct dirent *e; (e = readdir(d));) {
		struct ipam_entry *v = NULL;
		cleanup_fd int dir = -1;
		size_t n = 0;

		if (e->d_name[0] == '.')
			continue;
		dir = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0 || ipam_list(dir, &v, &n, NULL) < 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			int r = strcmp(v[i].key, key) ? 0 : ipam_release(dir, &v[i].addr, key, result ? NULL : err);

			if (r < 0 && !result)
				result = r;
		}
		ipam_list_free(v, n);
	}
	return result;
}
