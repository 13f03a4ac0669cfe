/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl_iface: addresses, MAC addresses and the description of one interface, as values and as JSON.
 *
 * Theory of operation: pure functions, no system calls. The JSON form is written on the host (state file, agent
 * protocol) and read in the guest by the same code. What is read may come from a hostile place: every member is
 * checked and named by its JSON path.
 */
#include "network/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

int rtnl_addr_parse(const char *text, bool want_prefix, struct rtnl_addr *ret)
{
	struct rtnl_addr a = {0};
	char buf[RTNL_ADDR_TEXT];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	uint32_t prefix;

	if (!n || n >= sizeof(buf) || (want_prefix && !slash))
		return -EINVAL;
	memcpy(buf, text, n);
	buf[n] = '\0';
	a.family = strchr(buf, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, buf, a.b) != 1)
		return -EINVAL;
	a.prefix = a.family == AF_INET ? 32 : 128;
	if (slash) {
		if (parse_u32(slash + 1, &prefix) < 0 || prefix > a.prefix)
			return -EINVAL;
		a.prefix = (uint8_t)prefix;
	}
	*ret = a;
	return 0;
}

const char *rtnl_addr_text(const struct rtnl_addr *a, bool with_prefix, char buf[RTNL_ADDR_TEXT])
{
	size_t n;

	if (!a->family || !inet_ntop(a->family, a->b, buf, RTNL_ADDR_TEXT)) {
		buf[0] = '\0';
		return buf;
	}
	n = strlen(buf);
	if (with_prefix)
		snprintf(buf + n, RTNL_ADDR_TEXT - n, "/%u", a->prefix);
	return buf;
}

bool rtnl_addr_equal(const struct rtnl_addr *a, const struct rtnl_addr *b)
{
	return a->family == b->family && (!a->family || !memcmp(a->b, b->b, rtnl_addr_len(a)));
}

bool rtnl_addr_in(const struct rtnl_addr *a, const struct rtnl_addr *net)
{
	struct rtnl_addr x = *a, y = *net;

	if (a->family != net->family || !a->family)
		return false;
	x.prefix = net->prefix;
	rtnl_addr_mask(&x);
	rtnl_addr_mask(&y);
	return rtnl_addr_equal(&x, &y);
}

void rtnl_addr_mask(struct rtnl_addr *a)
{
	for (size_t i = 0; i < rtnl_addr_len(a); i++) {
		int bits = (int)a->prefix - (int)(8 * i);

		if (bits <= 0)
			a->b[i] = 0;
		else if (bits < 8)
			a->b[i] &= (uint8_t)(0xff << (8 - bits));
	}
}

int rtnl_mac_parse(const char *text, uint8_t ret[RTNL_MAC_LEN])
{
	uint8_t mac[RTNL_MAC_LEN], any = 0;

	if (strlen(text) != RTNL_MAC_TEXT - 1)
		return -EINVAL;
	for (size_t i = 0; i < RTNL_MAC_LEN; i++) {
		const char *p = text + 3 * i;
		unsigned int v = 0;

		for (int k = 0; k < 2; k++) {
			char c = p[k];

			if (c >= '0' && c <= '9')
				v = v * 16 + (unsigned int)(c - '0');
			else if ((c | 32) >= 'a' && (c | 32) <= 'f')
				v = v * 16 + (unsigned int)((c | 32) - 'a') + 10;
			else
				return -EINVAL;
		}
		if (i < RTNL_MAC_LEN - 1 && p[2] != ':')
			return -EINVAL;
		mac[i] = (uint8_t)v;
		any |= mac[i];
	}
	if (!any || (mac[0] & 1))
		return -EINVAL;
	memcpy(ret, mac, RTNL_MAC_LEN);
	return 0;
}

const char *rtnl_mac_text(const uint8_t mac[RTNL_MAC_LEN], char buf[RTNL_MAC_TEXT])
{
	snprintf(buf, RTNL_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return buf;
}

void rtnl_iface_free(struct rtnl_iface *i)
{
	free(i->addrs);
	free(i->routes);
	free(i->neighs);
	*i = (struct rtnl_iface){0};
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
	struct rtnl_route rt = {0};
	uint32_t scope = 0;
	int r = json_want(o, JSON_OBJECT, err);

	if (r < 0 || (r = load_addr(o, "dst", true, &rt.dst, err)) < 0 ||
	    (r = load_addr(o, "gateway", false, &rt.gateway, err)) < 0 ||
	    (r = load_addr(o, "src", false, &rt.src, err)) < 0 || (r = json_opt_u32(o, "metric", &rt.metric, err)) < 0 ||
	    (r = json_opt_u32(o, "scope", &scope, err)) < 0)
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
	struct rtnl_neigh n = {0};
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
	cleanup_free char *name = NULL, *mac = NULL;
	const struct json *a = NULL;
	struct rtnl_addr addr;
	int r = json_want(v, JSON_OBJECT, err);

	if (r < 0 || (r = json_opt_string(v, "name", &name, err)) < 0 || (r = json_opt_string(v, "mac", &mac, err)) < 0 ||
	    (r = json_opt_u32(v, "mtu", &i->mtu, err)) < 0 || (r = json_opt_bool(v, "noIpv6", &i->no_ipv6, err)) < 0)
		return r;
	if (name) {
		if (strlen(name) >= IFNAMSIZ || strpbrk(name, "/ \t\n"))
			return json_error(json_get(v, "name"), err, "\"%s\" is not an interface name", name);
		strcpy(i->name, name);
	}
	if (mac && rtnl_mac_parse(mac, i->mac) < 0)
		return json_error(json_get(v, "mac"), err, "\"%s\" is not a MAC address", mac);
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
	struct rtnl_iface i = {0};
	int r = load_members(v, &i, err);

	if (r < 0) {
		rtnl_iface_free(&i);
		return r;
	}
	*ret = i;
	return 0;
}
