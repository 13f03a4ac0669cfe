/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge: the host's bridge of a network.
 *
 * Theory of operation: a bridge is made when the first endpoint needs it and stays until its network is removed or
 * pruned, because making one costs more than an attach. Ours carries the alias "amphi:NAME"; anything else of the
 * same name is left alone. Its MAC address is pinned (an unpinned bridge takes the lowest of its ports' and changes
 * with them). Settings of the network namespace: forwarding on, with published ports route_localnet so that they
 * work on 127.0.0.1 (network/nat drops such packets from the bridge itself, CVE-2020-8558), router
 * advertisements from endpoints ignored (CVE-2020-10749), IPv6 off on IPv4-only networks (CVE-2024-32473).
 */
#include "network/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/ipv6_route.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "network/ipam.h"
#include "network/vlan.h"

#define ALIAS "amphi:"
#define ROUTES_MAX (1U << 20) /* more than that is a router, which needs no advice */

static bool has_family(const struct network *n, uint8_t family)
{
	for (unsigned int i = 0; i < n->n_subnets; i++)
		if (n->subnets[i].net.family == family)
			return true;
	return false;
}

/* Writes a sysctl unless it has the value already. A missing one (no IPv6) is fine. */
static int sysctl(const char *path, const char *value, struct err *err)
{
	cleanup_free char *old = NULL;
	size_t n;
	int r = fd_slurp_at(AT_FDCWD, path, 64, &old, &n);

	if (!r && n && !strncmp(old, value, strlen(value)) && (old[strlen(value)] == '\n' || !old[strlen(value)]))
		return 0;
	r = fd_write_file_at(AT_FDCWD, path, value);
	return r < 0 && r != -ENOENT ? err_sys(err, r, "write %s to %s", value, path) : 0;
}

/*
 * Before IPv6 forwarding is turned on: the kernel then drops the default routes that it learnt from router advertisements, and
 * learns no more, on links with accept_ra=1; with 2 it keeps them. That is the host's own connection, and its owner's to
 * change: it is said, once, for it is on from then. The routes are those of /proc/net/ipv6_route with these flags.
 */
static void warn_of_advertisements(const struct network *n)
{
	const uint32_t learnt = RTF_ADDRCONF | RTF_DEFAULT;
	cleanup_free char *text = NULL, *on = NULL;
	cleanup_strv char **lines = NULL;
	size_t len;

	if (fd_slurp_at(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/forwarding", 64, &on, &len) < 0 || *on != '0' ||
	    fd_slurp_at(AT_FDCWD, "/proc/net/ipv6_route", ROUTES_MAX, &text, &len) < 0)
		return;
	lines = strv_split(text, '\n');
	for (char **line = lines; line && *line; line++) {
		cleanup_free char *path = NULL, *accept = NULL;
		char link[IFNAMSIZ];
		uint32_t flags;

		if (sscanf(*line, "%*s %*s %*s %*s %*s %*s %*s %*s %x %15s", &flags, link) != 2 ||
		    (flags & learnt) != learnt)
			continue;
		path = xasprintf("/proc/sys/net/ipv6/conf/%s/accept_ra", link);
		if (fd_slurp_at(AT_FDCWD, path, 64, &accept, &len) < 0 || *accept != '1')
			continue;
		log_warn("network %s: IPv6 forwarding, which it needs, makes the kernel forget the default route that "
			 "the "
			 "router on %s advertises; to keep it: sysctl -w net.ipv6.conf.%s.accept_ra=2",
			 n->name, link, link);
		return;
	}
}

static int set_sysctls(const struct network *n, struct err *err)
{
	const struct {
		const char *path; /* with the bridge's name */
		const char *value;
		bool want;
	} table[] = {
		{ "/proc/sys/net/ipv6/conf/%s/accept_ra", "0", true },
		{ "/proc/sys/net/ipv6/conf/%s/accept_dad", "0", true },
		{ "/proc/sys/net/ipv6/conf/%s/disable_ipv6", has_family(n, AF_INET6) ? "0" : "1", true },
		{ "/proc/sys/net/ipv4/ip_forward", "1", !n->internal && has_family(n, AF_INET) },
		{ "/proc/sys/net/ipv6/conf/all/forwarding", "1", !n->internal && has_family(n, AF_INET6) },
	};

	if (!n->internal && has_family(n, AF_INET6))
		warn_of_advertisements(n);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char path[128];
		int r;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(path, sizeof(path), table[i].path, n->bridge);
#pragma GCC diagnostic pop
		r = table[i].want ? sysctl(path, table[i].value, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int bridge_repair(struct rtnl *nl, const struct network *n, int index, struct err *err)
{
	int r;

	if (n->foreign)
		return 0;
	r = set_sysctls(n, err);
	for (unsigned int i = 0; r >= 0 && i < n->n_subnets; i++)
		if (n->subnets[i].gateway.family)
			r = rtnl_iface_add_address(nl, index, &n->subnets[i].gateway, err);
	if (r >= 0)
		r = rtnl_link_change(nl, index, &(struct rtnl_change){ .up = 1 }, err);
	if (r >= 0 && n->vlan)
		r = vlan_bridge(nl, n, index, err);
	return r;
}

uint32_t bridge_uplink_mtu(struct rtnl *nl)
{
	struct rtnl_iface all = { 0 };
	struct rtnl_link *links = NULL;
	uint32_t mtu = 1500;
	size_t n = 0;

	/* Which link has the default route? Scanned link by link: there are few, and it happens once a bridge. */
	if (rtnl_link_list(nl, &links, &n, NULL) < 0)
		return mtu;
	for (size_t i = 0; i < n; i++) {
		if ((links[i].flags & IFF_LOOPBACK) || rtnl_iface_scan(nl, &links[i], &all, NULL) < 0)
			continue;
		for (size_t k = 0; k < all.n_routes; k++)
			if (!all.routes[k].dst.prefix && links[i].mtu)
				mtu = links[i].mtu;
		rtnl_iface_free(&all);
	}
	free(links);
	return mtu;
}

/* One batch: the bridge, down; then its alias. */
static int make(struct rtnl *nl, const struct network *n, uint32_t mtu, struct err *err)
{
	struct ifinfomsg h = { .ifi_family = AF_UNSPEC };
	struct rtnl_msg m = { .len = 0 };
	uint8_t mac[RTNL_MAC_LEN];
	char alias[128], what[64];
	size_t info, data;

	snprintf(alias, sizeof(alias), ALIAS "%s", n->name);
	snprintf(what, sizeof(what), "make bridge %s", n->bridge);
	ipam_mac(n->name, &n->subnets[0].gateway, mac);
	rtnl_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &h, sizeof(h));
	rtnl_put_str(&m, IFLA_IFNAME, n->bridge);
	rtnl_put(&m, IFLA_ADDRESS, mac, sizeof(mac));
	rtnl_put_u32(&m, IFLA_MTU, mtu);
	info = rtnl_nest(&m, IFLA_LINKINFO);
	rtnl_put(&m, IFLA_INFO_KIND, "bridge", 6);
	data = rtnl_nest(&m, IFLA_INFO_DATA);
	rtnl_put_u32(&m, IFLA_BR_FORWARD_DELAY, 0);
	rtnl_put_u32(&m, IFLA_BR_STP_STATE, 0);
	rtnl_nest_end(&m, data);
	rtnl_nest_end(&m, info);
	rtnl_begin(&m, RTM_NEWLINK, 0, &h, sizeof(h));
	rtnl_put_str(&m, IFLA_IFNAME, n->bridge);
	rtnl_put(&m, IFLA_IFALIAS, alias, strlen(alias));
	return rtnl_send(nl, &m, NULL, err, what);
}

static bool is_ours(const struct rtnl_link *l, const struct network *n)
{
	return str_starts(l->alias, ALIAS) && !strcmp(l->alias + strlen(ALIAS), n->name);
}

int bridge_ensure(struct rtnl *nl, const struct network *n, int *ret_index, uint32_t *ret_mtu, bool *ret_made,
		  struct err *err)
{
	struct rtnl_link l;
	bool made = false;
	int r = rtnl_link_get(nl, n->bridge, 0, &l, err);

	if (r == -ENODEV && n->foreign)
		return err_set(err, -ENODEV, "bridge %s of network %s does not exist", n->bridge, n->name);
	if (r == -ENODEV) {
		r = make(nl, n, n->mtu ? n->mtu : bridge_uplink_mtu(nl), err);
		made = r >= 0;
		if (r >= 0)
			r = rtnl_link_get(nl, n->bridge, 0, &l, err);
		if (r >= 0)
			r = bridge_repair(nl, n, l.index, err);
		if (r < 0 && made)
			(void)rtnl_link_del(nl, n->bridge, NULL);
	}
	if (r < 0)
		return r;
	if (strcmp(l.kind, "bridge"))
		return err_set(err, -EEXIST, "link %s exists and is not a bridge", n->bridge);
	if (!n->foreign && !is_ours(&l, n))
		return err_set(err, -EEXIST,
			       "bridge %s exists and does not belong to network %s (create the network with --foreign "
			       "to use it as it is)",
			       n->bridge, n->name);
	if (n->mtu && l.mtu != n->mtu && !n->foreign)
		return err_set(err, -EEXIST, "bridge %s exists with MTU %u, not %u", n->bridge, l.mtu, n->mtu);
	*ret_index = l.index;
	*ret_mtu = l.mtu;
	if (ret_made)
		*ret_made = made;
	return 0;
}

int bridge_remove(struct rtnl *nl, const struct network *n, struct err *err)
{
	struct rtnl_link l;
	int r;

	if (n->foreign)
		return 0;
	r = rtnl_link_get(nl, n->bridge, 0, &l, err);
	if (r == -ENODEV || (r >= 0 && !is_ours(&l, n)))
		return 0;
	if (r >= 0)
		r = rtnl_link_del(nl, n->bridge, err);
	return r == -ENODEV ? 0 : r;
}

int bridge_publish(struct rtnl *nl, const char *bridge, int port, struct err *err)
{
	cleanup_free char *localnet = xasprintf("/proc/sys/net/ipv4/conf/%s/route_localnet", bridge);
	struct ifinfomsg h = { .ifi_family = AF_BRIDGE, .ifi_index = port };
	struct rtnl_msg m = { .len = 0 };
	size_t nest;
	int r = sysctl(localnet, "1", err);

	if (r < 0)
		return r;
	rtnl_begin(&m, RTM_SETLINK, 0, &h, sizeof(h));
	nest = rtnl_nest(&m, IFLA_PROTINFO | NLA_F_NESTED);
	rtnl_put_u8(&m, IFLA_BRPORT_MODE, 1);
	rtnl_nest_end(&m, nest);
	return rtnl_send(nl, &m, NULL, err, "set hairpin mode of bridge port");
}
