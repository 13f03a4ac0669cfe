/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl_iface: one interface as a value: to JSON and back, onto a link, and from a link.
 *
 * Theory of operation: rtnl_iface_apply() puts everything an interface needs into one batch whose order matters:
 * name and MAC while the link is down, then up, then addresses (IPv6 without duplicate address detection, else the
 * first packets of a new container are lost for a second), then routes, which need the addresses. rtnl_iface_scan()
 * is the reverse and takes only what a guest must have: global addresses and routes of the main table that the
 * kernel did not make itself. The JSON form is written on the host (state file, agent protocol) and read in the
 * guest by the same code; it may come from a hostile place, so every member is checked and named by its path.
 * rtnetlink(7).
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/rtnl.h"

void rtnl_iface_free(struct rtnl_iface *i)
{
	free(i->addrs);
	free(i->routes);
	free(i->neighs);
	*i = (struct rtnl_iface){ 0 };
}

void rtnl_iface_add_addr(struct rtnl_iface *i, const struct rtnl_addr *a)
{
	i->addrs = xreallocarray(i->addrs, i->n_addrs + 1, sizeof(*a));
	i->addrs[i->n_addrs++] = *a;
}

void rtnl_iface_add_route(struct rtnl_iface *i, const struct rtnl_route *r)
{
	i->routes = xreallocarray(i->routes, i->n_routes + 1, sizeof(*r));
	i->routes[i->n_routes++] = *r;
}

static void iface_add_neigh(struct rtnl_iface *i, const struct rtnl_neigh *n)
{
	i->neighs = xreallocarray(i->neighs, i->n_neighs + 1, sizeof(*n));
	i->neighs[i->n_neighs++] = *n;
}

void rtnl_iface_save(struct json_writer *w, const char *key, const struct rtnl_iface *i)
{
	static const uint8_t none[RTNL_MAC_LEN];
	char buf[RTNL_ADDR_TEXT], mac[RTNL_MAC_TEXT];

	json_w_object(w, key);
	json_w_string(w, "name", i->name);
	if (memcmp(i->mac, none, RTNL_MAC_LEN))
		json_w_string(w, "mac", rtnl_mac_text(i->mac, mac));
	if (memcmp(i->was, none, RTNL_MAC_LEN))
		json_w_string(w, "was", rtnl_mac_text(i->was, mac));
	if (i->mtu)
		json_w_u64(w, "mtu", i->mtu);
	if (i->no_ipv6)
		json_w_bool(w, "noIpv6", true);
	json_w_array(w, "addresses");
	for (size_t k = 0; k < i->n_addrs; k++)
		json_w_string(w, NULL, rtnl_addr_text(&i->addrs[k], true, buf));
	json_w_array_end(w);
	json_w_array(w, "routes");
	for (size_t k = 0; k < i->n_routes; k++) {
		const struct rtnl_route *r = &i->routes[k];

		json_w_object(w, NULL);
		if (r->dst.family)
			json_w_string(w, "dst", rtnl_addr_text(&r->dst, true, buf));
		else
			json_w_string(w, "dst", r->gateway.family == AF_INET6 ? "::/0" : "0.0.0.0/0");
		if (r->gateway.family)
			json_w_string(w, "gateway", rtnl_addr_text(&r->gateway, false, buf));
		if (r->src.family)
			json_w_string(w, "src", rtnl_addr_text(&r->src, false, buf));
		if (r->metric)
			json_w_u64(w, "metric", r->metric);
		if (r->scope)
			json_w_u64(w, "scope", r->scope);
		json_w_object_end(w);
	}
	json_w_array_end(w);
	if (i->n_neighs) {
		json_w_array(w, "neighbours");
		for (size_t k = 0; k < i->n_neighs; k++) {
			json_w_object(w, NULL);
			json_w_string(w, "address", rtnl_addr_text(&i->neighs[k].addr, false, buf));
			json_w_string(w, "mac", rtnl_mac_text(i->neighs[k].mac, mac));
			json_w_object_end(w);
		}
		json_w_array_end(w);
	}
	json_w_object_end(w);
}

/* Optional address member: 1, 0 or negative. */
static int load_addr(const struct json *o, const char *key, bool prefix, struct rtnl_addr *ret, struct err *err)
{
	const struct json *v = json_get(o, key);
	const char *s;
	int r;

	if (!v)
		return 0;
	r = json_string(v, &s, err);
	if (r < 0)
		return r;
	if (rtnl_addr_parse(s, prefix, ret) < 0)
		return json_error(v, err, "\"%s\" is not an address%s", s, prefix ? " with prefix length" : "");
	return 1;
}

static int load_route(const struct json *o, struct rtnl_iface *i, struct err *err)
{
	struct rtnl_route rt = { 0 };
	uint32_t scope = 0;
	int r = json_want(o, JSON_OBJECT, err);

	if (r < 0 || (r = load_addr(o, "dst", true, &rt.dst, err)) < 0 ||
	    (r = load_addr(o, "gateway", false, &rt.gateway, err)) < 0 ||
	    (r = load_addr(o, "src", false, &rt.src, err)) < 0 ||
	    (r = json_opt_u32(o, "metric", &rt.metric, err)) < 0 || (r = json_opt_u32(o, "scope", &scope, err)) < 0)
		return r;
	if (!rt.dst.family && !rt.gateway.family)
		return json_error(o, err, "a route needs dst or gateway");
	if (scope > 255)
		return json_error(o, err, "scope must be at most 255");
	rt.scope = (uint8_t)scope;
	rtnl_iface_add_route(i, &rt);
	return 0;
}

static int load_neigh(const struct json *o, struct rtnl_iface *i, struct err *err)
{
	struct rtnl_neigh n = { 0 };
	cleanup_free char *mac = NULL;
	int r = json_want(o, JSON_OBJECT, err);

	if (r < 0 || (r = load_addr(o, "address", false, &n.addr, err)) < 0 ||
	    (r = json_req_string(o, "mac", &mac, err)) < 0)
		return r;
	if (!n.addr.family || rtnl_mac_parse(mac, n.mac) < 0)
		return json_error(o, err, "a neighbour needs an address and a MAC address");
	iface_add_neigh(i, &n);
	return 0;
}

static int load_members(const struct json *v, struct rtnl_iface *i, struct err *err)
{
	cleanup_free char *name = NULL, *mac = NULL, *was = NULL;
	const struct json *a = NULL;
	struct rtnl_addr addr;
	int r = json_want(v, JSON_OBJECT, err);

	if (r < 0 || (r = json_opt_string(v, "name", &name, err)) < 0 ||
	    (r = json_opt_string(v, "mac", &mac, err)) < 0 || (r = json_opt_string(v, "was", &was, err)) < 0 ||
	    (r = json_opt_u32(v, "mtu", &i->mtu, err)) < 0 || (r = json_opt_bool(v, "noIpv6", &i->no_ipv6, err)) < 0)
		return r;
	if (name) {
		if (strlen(name) >= IFNAMSIZ || strpbrk(name, "/ \t\n"))
			return json_error(json_get(v, "name"), err, "\"%s\" is not an interface name", name);
		strcpy(i->name, name);
	}
	if (mac && rtnl_mac_parse(mac, i->mac) < 0)
		return json_error(json_get(v, "mac"), err, "\"%s\" is not a MAC address", mac);
	if (was && rtnl_mac_parse(was, i->was) < 0)
		return json_error(json_get(v, "was"), err, "\"%s\" is not a MAC address", was);
	r = json_opt_array(v, "addresses", &a, err);
	if (r < 0)
		return r;
	for (size_t k = 0; a && k < a->c.n; k++) {
		const char *s;

		r = json_string(&a->c.v[k], &s, err);
		if (r < 0)
			return r;
		if (rtnl_addr_parse(s, true, &addr) < 0)
			return json_error(&a->c.v[k], err, "\"%s\" is not an address with prefix length", s);
		rtnl_iface_add_addr(i, &addr);
	}
	a = NULL;
	r = json_opt_array(v, "routes", &a, err);
	for (size_t k = 0; r >= 0 && a && k < a->c.n; k++)
		r = load_route(&a->c.v[k], i, err);
	a = NULL;
	if (r >= 0)
		r = json_opt_array(v, "neighbours", &a, err);
	for (size_t k = 0; r >= 0 && a && k < a->c.n; k++)
		r = load_neigh(&a->c.v[k], i, err);
	return r < 0 ? r : 0;
}

int rtnl_iface_load(const struct json *v, struct rtnl_iface *ret, struct err *err)
{
	struct rtnl_iface i = { 0 };
	int r = load_members(v, &i, err);

	if (r < 0) {
		rtnl_iface_free(&i);
		return r;
	}
	*ret = i;
	return 0;
}

/* ---- addresses, routes, neighbours ---------------------------------------------------------------------- */

static void put_addr(struct rtnl_msg *m, int index, const struct rtnl_addr *a)
{
	struct ifaddrmsg h = { .ifa_family = a->family, .ifa_prefixlen = a->prefix, .ifa_index = (uint32_t)index };

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

int rtnl_iface_add_address(struct rtnl *nl, int index, const struct rtnl_addr *a, struct err *err)
{
	char text[RTNL_ADDR_TEXT], what[RTNL_ADDR_TEXT + 16];
	struct rtnl_msg m = { .len = 0 };

	snprintf(what, sizeof(what), "add address %s", rtnl_addr_text(a, true, text));
	put_addr(&m, index, a);
	return rtnl_send(nl, &m, NULL, err, what);
}

static void put_route(struct rtnl_msg *m, int index, const struct rtnl_route *rt)
{
	uint8_t family = rt->dst.family ? rt->dst.family : rt->gateway.family;
	struct rtmsg h = { .rtm_family = family,
			   .rtm_dst_len = rt->dst.family ? rt->dst.prefix : 0,
			   .rtm_table = RT_TABLE_MAIN,
			   .rtm_protocol = RTPROT_STATIC,
			   .rtm_scope = rt->scope,
			   .rtm_type = RTN_UNICAST };

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

static void put_neigh(struct rtnl_msg *m, int index, const struct rtnl_neigh *n)
{
	struct ndmsg h = { .ndm_family = n->addr.family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT };

	rtnl_begin(m, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &h, sizeof(h));
	rtnl_put_addr(m, NDA_DST, &n->addr);
	rtnl_put(m, NDA_LLADDR, n->mac, RTNL_MAC_LEN);
}

int rtnl_iface_apply(struct rtnl *nl, int index, const struct rtnl_iface *i, struct err *err)
{
	static const uint8_t none[RTNL_MAC_LEN];
	struct rtnl_msg m = { .len = 0 };
	int failed, r;

	rtnl_link_put(&m, 1, &(struct rtnl_change){ .up = 1 });
	rtnl_link_put(&m, index,
		      &(struct rtnl_change){ .rename = i->name[0] ? i->name : NULL,
					     .mac = memcmp(i->mac, none, RTNL_MAC_LEN) ? i->mac : NULL,
					     .mtu = i->mtu });
	rtnl_link_put(&m, index, &(struct rtnl_change){ .up = 1 });
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
			 k == 0                                   ? "loopback" :
				 k < 3                            ? "link" :
				 k < 3 + i->n_addrs               ? "address" :
				 k < 3 + i->n_addrs + i->n_routes ? "route" :
								    "neighbour");
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

	*ret = (struct rtnl_addr){ 0 };
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

	if (h->nlmsg_type != RTM_NEWADDR || (s->index && (int)m->ifa_index != s->index) ||
	    m->ifa_scope >= RT_SCOPE_LINK || (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
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
	struct rtnl_route r = { 0 };

	if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_type != RTN_UNICAST || m->rtm_protocol == RTPROT_KERNEL ||
	    (m->rtm_family != AF_INET && m->rtm_family != AF_INET6))
		return 0;
	rtnl_attrs(RTM_RTA(m), RTM_PAYLOAD(h), tb, RTA_MAX);
	if ((tb[RTA_TABLE] ? rtnl_get_u32(tb[RTA_TABLE]) : m->rtm_table) != RT_TABLE_MAIN ||
	    (s->index && (int)rtnl_get_u32(tb[RTA_OIF]) != s->index))
		return 0;
	attr_addr(tb[RTA_DST], m->rtm_family, m->rtm_dst_len, &r.dst);
	attr_addr(tb[RTA_GATEWAY], m->rtm_family, m->rtm_family == AF_INET ? 32 : 128, &r.gateway);
	attr_addr(tb[RTA_PREFSRC], m->rtm_family, m->rtm_family == AF_INET ? 32 : 128, &r.src);
	if (!r.dst.family && !r.gateway.family)
		r.dst.family = m->rtm_family; /* a default route straight onto the link */
	r.metric = rtnl_get_u32(tb[RTA_PRIORITY]);
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

	if (h->nlmsg_type != RTM_NEWNEIGH || (s->index && m->ndm_ifindex != s->index) ||
	    !(m->ndm_state & NUD_PERMANENT) || (m->ndm_family != AF_INET && m->ndm_family != AF_INET6))
		return 0;
	rtnl_attrs((const struct rtattr *)((const char *)m + NLMSG_ALIGN(sizeof(*m))),
		   h->nlmsg_len - NLMSG_SPACE(sizeof(*m)), tb, NDA_MAX);
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
	struct rtnl_iface i = { .mtu = link->mtu };
	struct scan s = { &i, link->index };
	struct rtnl_msg m = { .len = 0 };
	int r;

	memcpy(i.name, link->name, sizeof(i.name));
	memcpy(i.mac, link->mac, RTNL_MAC_LEN);
	rtnl_begin(&m, RTM_GETADDR, NLM_F_DUMP, &(struct ifaddrmsg){ 0 }, sizeof(struct ifaddrmsg));
	r = rtnl_dump(nl, &m, scan_addr, reset_addrs, &s, err);
	if (r >= 0) {
		m = (struct rtnl_msg){ .len = 0 };
		rtnl_begin(&m, RTM_GETROUTE, NLM_F_DUMP, &(struct rtmsg){ 0 }, sizeof(struct rtmsg));
		r = rtnl_dump(nl, &m, scan_route, reset_routes, &s, err);
	}
	if (r >= 0) {
		m = (struct rtnl_msg){ .len = 0 };
		rtnl_begin(&m, RTM_GETNEIGH, NLM_F_DUMP, &(struct ndmsg){ 0 }, sizeof(struct ndmsg));
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

int rtnl_iface_flush(struct rtnl *nl, int index, struct err *err)
{
	struct rtnl_iface i = { 0 };
	struct scan s = { &i, index };
	struct rtnl_msg m = { .len = 0 };
	int r;

	rtnl_begin(&m, RTM_GETADDR, NLM_F_DUMP, &(struct ifaddrmsg){ 0 }, sizeof(struct ifaddrmsg));
	r = rtnl_dump(nl, &m, scan_addr, reset_addrs, &s, err);
	m = (struct rtnl_msg){ .len = 0 };
	for (size_t k = 0; r >= 0 && k < i.n_addrs; k++) {
		struct ifaddrmsg h = { .ifa_family = i.addrs[k].family,
				       .ifa_prefixlen = i.addrs[k].prefix,
				       .ifa_index = (uint32_t)index };

		rtnl_begin(&m, RTM_DELADDR, 0, &h, sizeof(h));
		rtnl_put_addr(&m, IFA_LOCAL, &i.addrs[k]);
	}
	rtnl_iface_free(&i);
	return r < 0 ? r : rtnl_send(nl, &m, NULL, err, "remove addresses");
}
