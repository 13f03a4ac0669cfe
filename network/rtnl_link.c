/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl_link: links, addresses, routes and neighbours by rtnetlink.
 *
 * Theory of operation: thin builders over struct rtnl_msg. rtnl_iface_apply() puts everything an interface needs
 * into one batch whose order matters: name and MAC while the link is down, then up, then addresses (IPv6 without
 * duplicate address detection, else the first packets of a new container are lost for a second), then routes, which
 * need the addresses. rtnl_iface_scan() is the reverse and takes only what a guest must have: global addresses and
 * routes of the main table that the kernel did not make itself.
 * rtnetlink(7).
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/rtnl.h"

/* ---- links ---------------------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t size, const struct rtattr *a)
{
	size_t n = a ? strnlen(RTA_DATA(a), RTA_PAYLOAD(a)) : 0;

	if (n >= size)
		n = size - 1;
	if (n)
		memcpy(to, RTA_DATA(a), n);
	to[n] = '\0';
}

static uint32_t get_u32(const struct rtattr *a)
{
	uint32_t v = 0;

	if (a && RTA_PAYLOAD(a) >= sizeof(v))
		memcpy(&v, RTA_DATA(a), sizeof(v));
	return v;
}

static void parse_link(const struct nlmsghdr *h, struct rtnl_link *l)
{
	const struct ifinfomsg *i = NLMSG_DATA(h);
	const struct rtattr *tb[IFLA_STATS64 + 1], *info[IFLA_INFO_MAX + 1];
	struct rtnl_link_stats64 st;

	*l = (struct rtnl_link){.index = i->ifi_index, .flags = i->ifi_flags};
	rtnl_attrs(IFLA_RTA(i), IFLA_PAYLOAD(h), tb, IFLA_STATS64);
	copy_text(l->name, sizeof(l->name), tb[IFLA_IFNAME]);
	copy_text(l->alias, sizeof(l->alias), tb[IFLA_IFALIAS]);
	l->mtu = get_u32(tb[IFLA_MTU]);
	l->master = (int)get_u32(tb[IFLA_MASTER]);
	l->peer = (int)get_u32(tb[IFLA_LINK]);
	if (tb[IFLA_ADDRESS] && RTA_PAYLOAD(tb[IFLA_ADDRESS]) == RTNL_MAC_LEN)
		memcpy(l->mac, RTA_DATA(tb[IFLA_ADDRESS]), RTNL_MAC_LEN);
	if (tb[IFLA_LINKINFO]) {
		rtnl_attrs(RTA_DATA(tb[IFLA_LINKINFO]), RTA_PAYLOAD(tb[IFLA_LINKINFO]), info, IFLA_INFO_MAX);
		copy_text(l->kind, sizeof(l->kind), info[IFLA_INFO_KIND]);
	}
	if (tb[IFLA_STATS64]) {
		size_t n = RTA_PAYLOAD(tb[IFLA_STATS64]);

		memset(&st, 0, sizeof(st));
		memcpy(&st, RTA_DATA(tb[IFLA_STATS64]), n < sizeof(st) ? n : sizeof(st));
		l->rx_bytes = st.rx_bytes;
		l->rx_packets = st.rx_packets;
		l->rx_errors = st.rx_errors;
		l->rx_dropped = st.rx_dropped;
		l->tx_bytes = st.tx_bytes;
		l->tx_packets = st.tx_packets;
		l->tx_errors = st.tx_errors;
		l->tx_dropped = st.tx_dropped;
	}
}

struct link_array {
	struct rtnl_link *v;
	size_t n;
};

static int add_link(const struct nlmsghdr *h, void *arg)
{
	struct link_array *a = arg;

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	a->v = xreallocarray(a->v, a->n + 1, sizeof(*a->v));
	parse_link(h, &a->v[a->n++]);
	return 0;
}

static void reset_links(void *arg)
{
	((struct link_array *)arg)->n = 0;
}

int rtnl_link_list(struct rtnl *nl, struct rtnl_link **ret, size_t *ret_n, struct err *err)
{
	struct ifinfomsg i = {.ifi_family = AF_UNSPEC};
	struct rtnl_msg m = {.len = 0};
	struct link_array a = {0};
	int r;

	rtnl_begin(&m, RTM_GETLINK, NLM_F_DUMP, &i, sizeof(i));
	r = rtnl_dump(nl, &m, add_link, reset_links, &a, err);
	if (r < 0) {
		free(a.v);
		return r;
	}
	*ret = a.v;
	*ret_n = a.n;
	return 0;
}

int rtnl_link_get(struct rtnl *nl, const char *name, int index, struct rtnl_link *ret, struct err *err)
{
	struct ifinfomsg i = {.ifi_family = AF_UNSPEC, .ifi_index = name ? 0 : index};
	cleanup_free char *buf = xmalloc(32768);
	struct rtnl_msg m = {.len = 0};
	int r;

	rtnl_begin(&m, RTM_GETLINK, 0, &i, sizeof(i));
	((struct nlmsghdr *)m.buf)->nlmsg_flags = NLM_F_REQUEST;
	if (name)
		rtnl_put_str(&m, IFLA_IFNAME, name);
	r = rtnl_ask(nl, &m, buf, 32768);
	if (r == -ENODEV)
		return r;
	if (r < 0)
		return err_sys(err, r, "link %s", name ? name : "by index");
	parse_link((const struct nlmsghdr *)buf, ret);
	return 0;
}

int rtnl_link_del(struct rtnl *nl, const char *name, struct err *err)
{
	struct ifinfomsg i = {.ifi_family = AF_UNSPEC};
	struct rtnl_msg m = {.len = 0};
	char what[64];

	snprintf(what, sizeof(what), "delete link %s", name);
	rtnl_begin(&m, RTM_DELLINK, 0, &i, sizeof(i));
	rtnl_put_str(&m, IFLA_IFNAME, name);
	return rtnl_send(nl, &m, NULL, err, what);
}

static void put_change(struct rtnl_msg *m, int index, const struct rtnl_change *c)
{
	struct ifinfomsg i = {.ifi_family = AF_UNSPEC, .ifi_index = index};

	if (c->up) {
		i.ifi_change = IFF_UP;
		i.ifi_flags = c->up > 0 ? IFF_UP : 0;
	}
	rtnl_begin(m, RTM_NEWLINK, 0, &i, sizeof(i));
	if (c->rename)
		rtnl_put_str(m, IFLA_IFNAME, c->rename);
	if (c->mac)
		rtnl_put(m, IFLA_ADDRESS, c->mac, RTNL_MAC_LEN);
	if (c->mtu)
		rtnl_put_u32(m, IFLA_MTU, c->mtu);
	if (c->master)
		rtnl_put_u32(m, IFLA_MASTER, c->master > 0 ? (uint32_t)c->master : 0);
	if (c->netns_fd > 0)
		rtnl_put_u32(m, IFLA_NET_NS_FD, (uint32_t)c->netns_fd);
	if (c->alias)
		rtnl_put(m, IFLA_IFALIAS, c->alias, strlen(c->alias));
}

int rtnl_link_change(struct rtnl *nl, int index, const struct rtnl_change *c, struct err *err)
{
	struct rtnl_msg m = {.len = 0};

	put_change(&m, index, c);
	return rtnl_send(nl, &m, NULL, err, "change link");
}

int rtnl_link_by_mac(struct rtnl *nl, const uint8_t mac[RTNL_MAC_LEN], struct err *err)
{
	cleanup_free struct rtnl_link *v = NULL;
	size_t n = 0;
	int r = rtnl_link_list(nl, &v, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (!(v[i].flags & IFF_LOOPBACK) && !memcmp(v[i].mac, mac, RTNL_MAC_LEN))
			return v[i].index;
	return -ENODEV;
}

int rtnl_loopback_up(struct rtnl *nl, struct err *err)
{
	struct rtnl_msg m = {.len = 0};

	put_change(&m, 1, &(struct rtnl_change){.up = 1});
	return rtnl_send(nl, &m, NULL, err, "bring up loopback");
}

/* ---- addresses, routes, neighbours ---------------------------------------------------------------------- */

static void put_addr(struct rtnl_msg *m, int index, const struct rtnl_addr *a)
{
	struct ifaddrmsg h = {.ifa_family = a->family, .ifa_prefixlen = a->prefix, .ifa_index = (uint32_t)index};

	rtnl_begin(m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &h, sizeof(h));
	rtnl_put_addr(m, IFA_LOCAL, a);
	rtnl_put_addr(m, IFA_ADDRESS, a);
	if (a->family == AF_INET6)
		rtnl_put_u32(m, IFA_FLAGS, IFA_F_NODAD);
	else if (a->prefix < 31) {
		struct rtnl_addr bc = *a;

		rtnl_addr_mask(&bc);
		for (size_t i = 0; i < 4; i++)
			if (8 * (i + 1) > a->prefix)
				bc.b[i] |= (uint8_t)(8 * i >= a->prefix ? 0xff : 0xff >> (a->prefix - 8 * i));
		rtnl_put_addr(m, IFA_BROADCAST, &bc);
	}
}

int rtnl_addr_add(struct rtnl *nl, int index, const struct rtnl_addr *a, struct err *err)
{
	char text[RTNL_ADDR_TEXT], what[RTNL_ADDR_TEXT + 16];
	struct rtnl_msg m = {.len = 0};

	snprintf(what, sizeof(what), "add address %s", rtnl_addr_text(a, true, text));
	put_addr(&m, index, a);
	return rtnl_send(nl, &m, NULL, err, what);
}

static void put_route(struct rtnl_msg *m, int index, const struct rtnl_route *rt)
{
	uint8_t family = rt->dst.family ? rt->dst.family : rt->gateway.family;
	struct rtmsg h = {.rtm_family = family,
			  .rtm_dst_len = rt->dst.family ? rt->dst.prefix : 0,
			  .rtm_table = RT_TABLE_MAIN,
			  .rtm_protocol = RTPROT_STATIC,
			  .rtm_scope = rt->scope,
			  .rtm_type = RTN_UNICAST};

	if (!rt->scope)
		h.rtm_scope = rt->gateway.family || family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	rtnl_begin(m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &h, sizeof(h));
	if (h.rtm_dst_len)
		rtnl_put_addr(m, RTA_DST, &rt->dst);
	if (rt->gateway.family)
		rtnl_put_addr(m, RTA_GATEWAY, &rt->gateway);
	if (rt->src.family)
		rtnl_put_addr(m, RTA_PREFSRC, &rt->src);
	if (rt->metric)
		rtnl_put_u32(m, RTA_PRIORITY, rt->metric);
	rtnl_put_u32(m, RTA_OIF, (uint32_t)index);
}

int rtnl_route_add(struct rtnl *nl, int index, const struct rtnl_route *r, struct err *err)
{
	struct rtnl_msg m = {.len = 0};

	put_route(&m, index, r);
	return rtnl_send(nl, &m, NULL, err, "add route");
}

static void put_neigh(struct rtnl_msg *m, int index, const struct rtnl_neigh *n)
{
	struct ndmsg h = {.ndm_family = n->addr.family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};

	rtnl_begin(m, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &h, sizeof(h));
	rtnl_put_addr(m, NDA_DST, &n->addr);
	rtnl_put(m, NDA_LLADDR, n->mac, RTNL_MAC_LEN);
}

int rtnl_iface_apply(struct rtnl *nl, int index, const struct rtnl_iface *i, struct err *err)
{
	static const uint8_t none[RTNL_MAC_LEN];
	struct rtnl_msg m = {.len = 0};
	int failed, r;

	put_change(&m, 1, &(struct rtnl_change){.up = 1});
	put_change(&m, index,
		   &(struct rtnl_change){.rename = i->name[0] ? i->name : NULL,
					 .mac = memcmp(i->mac, none, RTNL_MAC_LEN) ? i->mac : NULL,
					 .mtu = i->mtu});
	put_change(&m, index, &(struct rtnl_change){.up = 1});
	for (size_t k = 0; k < i->n_addrs; k++)
		put_addr(&m, index, &i->addrs[k]);
	for (size_t k = 0; k < i->n_routes; k++)
		put_route(&m, index, &i->routes[k]);
	for (size_t k = 0; k < i->n_neighs; k++)
		put_neigh(&m, index, &i->neighs[k]);
	r = rtnl_send(nl, &m, &failed, err, i->name);
	if (r < 0) {
		size_t k = (size_t)failed;

		err_wrap(err, "configure interface (%s)",
			 k == 0			       ? "loopback"
			 : k < 3		       ? "link"
			 : k < 3 + i->n_addrs	       ? "address"
			 : k < 3 + i->n_addrs + i->n_routes ? "route"
							    : "neighbour");
	}
	return r;
}

/* ---- scan ----------------------------------------------------------------------------------------------- */

struct scan {
	struct rtnl_iface *i;
	int index;
};

static void attr_addr(const struct rtattr *a, uint8_t family, uint8_t prefix, struct rtnl_addr *ret)
{
	size_t len = family == AF_INET ? 4 : 16;

	*ret = (struct rtnl_addr){0};
	if (!a || RTA_PAYLOAD(a) < len)
		return;
	ret->family = family;
	ret->prefix = prefix;
	memcpy(ret->b, RTA_DATA(a), len);
}

static int scan_addr(const struct nlmsghdr *h, void *arg)
{
	struct scan *s = arg;
	const struct ifaddrmsg *m = NLMSG_DATA(h);
	const struct rtattr *tb[IFA_MAX + 1];
	struct rtnl_addr a;

	if (h->nlmsg_type != RTM_NEWADDR || (int)m->ifa_index != s->index || m->ifa_scope >= RT_SCOPE_LINK ||
	    (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
		return 0;
	rtnl_attrs(IFA_RTA(m), IFA_PAYLOAD(h), tb, IFA_MAX);
	attr_addr(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS], m->ifa_family, m->ifa_prefixlen, &a);
	if (a.family)
		rtnl_iface_add_addr(s->i, &a);
	return 0;
}

static int scan_route(const struct nlmsghdr *h, void *arg)
{
	struct scan *s = arg;
	const struct rtmsg *m = NLMSG_DATA(h);
	const struct rtattr *tb[RTA_MAX + 1];
	struct rtnl_route r = {0};

	if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_type != RTN_UNICAST || m->rtm_protocol == RTPROT_KERNEL ||
	    (m->rtm_family != AF_INET && m->rtm_family != AF_INET6))
		return 0;
	rtnl_attrs(RTM_RTA(m), RTM_PAYLOAD(h), tb, RTA_MAX);
	if ((tb[RTA_TABLE] ? get_u32(tb[RTA_TABLE]) : m->rtm_table) != RT_TABLE_MAIN ||
	    (int)get_u32(tb[RTA_OIF]) != s->index)
		return 0;
	attr_addr(tb[RTA_DST], m->rtm_family, m->rtm_dst_len, &r.dst);
	attr_addr(tb[RTA_GATEWAY], m->rtm_family, m->rtm_family == AF_INET ? 32 : 128, &r.gateway);
	attr_addr(tb[RTA_PREFSRC], m->rtm_family, m->rtm_family == AF_INET ? 32 : 128, &r.src);
	if (!r.dst.family && !r.gateway.family)
		r.dst.family = m->rtm_family; /* a default route straight onto the link */
	r.metric = get_u32(tb[RTA_PRIORITY]);
	r.scope = m->rtm_family == AF_INET ? m->rtm_scope : 0;
	rtnl_iface_add_route(s->i, &r);
	return 0;
}

static int scan_neigh(const struct nlmsghdr *h, void *arg)
{
	struct scan *s = arg;
	const struct ndmsg *m = NLMSG_DATA(h);
	const struct rtattr *tb[NDA_MAX + 1];
	struct rtnl_neigh n;

	if (h->nlmsg_type != RTM_NEWNEIGH || m->ndm_ifindex != s->index || !(m->ndm_state & NUD_PERMANENT) ||
	    (m->ndm_family != AF_INET && m->ndm_family != AF_INET6))
		return 0;
	rtnl_attrs((const struct rtattr *)((const char *)m + NLMSG_ALIGN(sizeof(*m))), h->nlmsg_len - NLMSG_SPACE(sizeof(*m)),
		   tb, NDA_MAX);
	attr_addr(tb[NDA_DST], m->ndm_family, m->ndm_family == AF_INET ? 32 : 128, &n.addr);
	if (!n.addr.family || !tb[NDA_LLADDR] || RTA_PAYLOAD(tb[NDA_LLADDR]) != RTNL_MAC_LEN)
		return 0;
	memcpy(n.mac, RTA_DATA(tb[NDA_LLADDR]), RTNL_MAC_LEN);
	s->i->neighs = xreallocarray(s->i->neighs, s->i->n_neighs + 1, sizeof(n));
	s->i->neighs[s->i->n_neighs++] = n;
	return 0;
}

static void reset_addrs(void *arg)
{
	((struct scan *)arg)->i->n_addrs = 0;
}

static void reset_routes(void *arg)
{
	((struct scan *)arg)->i->n_routes = 0;
}

static void reset_neighs(void *arg)
{
	((struct scan *)arg)->i->n_neighs = 0;
}

/* A gateway must be reachable before a route through it is added: routes on the link go first. */
static void sort_routes(struct rtnl_iface *i)
{
	for (size_t k = 1; k < i->n_routes; k++)
		for (size_t j = k; j > 0 && !i->routes[j].gateway.family && i->routes[j - 1].gateway.family; j--) {
			struct rtnl_route t = i->routes[j];

			i->routes[j] = i->routes[j - 1];
			i->routes[j - 1] = t;
		}
}

int rtnl_iface_scan(struct rtnl *nl, const struct rtnl_link *link, struct rtnl_iface *ret, struct err *err)
{
	struct rtnl_iface i = {.mtu = link->mtu};
	struct scan s = {&i, link->index};
	struct rtnl_msg m = {.len = 0};
	int r;

	memcpy(i.name, link->name, sizeof(i.name));
	memcpy(i.mac, link->mac, RTNL_MAC_LEN);
	rtnl_begin(&m, RTM_GETADDR, NLM_F_DUMP, &(struct ifaddrmsg){0}, sizeof(struct ifaddrmsg));
	r = rtnl_dump(nl, &m, scan_addr, reset_addrs, &s, err);
	if (r >= 0) {
		m = (struct rtnl_msg){.len = 0};
		rtnl_begin(&m, RTM_GETROUTE, NLM_F_DUMP, &(struct rtmsg){0}, sizeof(struct rtmsg));
		r = rtnl_dump(nl, &m, scan_route, reset_routes, &s, err);
	}
	if (r >= 0) {
		m = (struct rtnl_msg){.len = 0};
		rtnl_begin(&m, RTM_GETNEIGH, NLM_F_DUMP, &(struct ndmsg){0}, sizeof(struct ndmsg));
		r = rtnl_dump(nl, &m, scan_neigh, reset_neighs, &s, err);
	}
	if (r < 0) {
		rtnl_iface_free(&i);
		return r;
	}
	sort_routes(&i);
	*ret = i;
	return 0;
}

int rtnl_addr_flush(struct rtnl *nl, int index, struct err *err)
{
	struct rtnl_iface i = {0};
	struct scan s = {&i, index};
	struct rtnl_msg m = {.len = 0};
	int r;

	rtnl_begin(&m, RTM_GETADDR, NLM_F_DUMP, &(struct ifaddrmsg){0}, sizeof(struct ifaddrmsg));
	r = rtnl_dump(nl, &m, scan_addr, reset_addrs, &s, err);
	m = (struct rtnl_msg){.len = 0};
	for (size_t k = 0; r >= 0 && k < i.n_addrs; k++) {
		struct ifaddrmsg h = {.ifa_family = i.addrs[k].family,
				      .ifa_prefixlen = i.addrs[k].prefix,
				      .ifa_index = (uint32_t)index};

		rtnl_begin(&m, RTM_DELADDR, 0, &h, sizeof(h));
		rtnl_put_addr(&m, IFA_LOCAL, &i.addrs[k]);
	}
	rtnl_iface_free(&i);
	return r < 0 ? r : rtnl_send(nl, &m, NULL, err, "remove addresses");
}
