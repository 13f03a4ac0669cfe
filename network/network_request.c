/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_request: what a person asks for on the command line, parsed and checked.
 *
 * Theory of operation: pure parsing; nothing is looked up, so that a mistake is reported before anything is
 * touched. Each error names the option's text and the part that is wrong.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/network.h"
#include "network/network_lease.h"

void network_request_init(struct network_request *r, const char *id, const char *owner, enum network_kind kind)
{
	*r = (struct network_request){ .ref = { .id = id, .owner = owner }, .kind = kind, .netns_fd = -1 };
}

void network_request_free(struct network_request *r)
{
	for (size_t i = 0; i < r->n_nets; i++) {
		free(r->nets[i].network);
		free(r->nets[i].ifname);
		strv_free(r->nets[i].aliases);
	}
	free(r->nets);
	free(r->ports);
	strv_free(r->dns_servers);
	strv_free(r->dns_search);
	strv_free(r->dns_options);
	strv_free(r->extra_hosts);
	*r = (struct network_request){ .netns_fd = -1 };
}

static bool alias_ok(const char *s)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return s[0] && strspn(s, set) == strlen(s) && strlen(s) <= 253;
}

/* "10mbit", "1gbit", "500kbit", or plain bits. */
static int parse_rate(const char *s, uint64_t *ret)
{
	static const struct {
		const char *suffix;
		uint64_t factor;
	} units[] = { { "kbit", 1000 }, { "mbit", 1000000 }, { "gbit", 1000000000 }, { "bit", 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (str_ends(s, units[i].suffix)) {
			cleanup_free char *n = xstrndup(s, strlen(s) - strlen(units[i].suffix));
			int r = parse_u64(n, ret);

			if (r < 0 || *ret > UINT64_MAX / units[i].factor)
				return -EINVAL;
			*ret *= units[i].factor;
			return *ret ? 0 : -EINVAL;
		}
	return parse_u64(s, ret) < 0 || !*ret ? -EINVAL : 0;
}

static int add_option(struct network_attachment *a, const char *key, const char *value)
{
	if (!strcmp(key, "ip")) {
		int r = rtnl_addr_parse(value, false, &a->ip4);

		if (!r && a->ip4.family == AF_INET6) {
			a->ip6 = a->ip4;
			a->ip4.family = 0;
		}
		return r;
	}
	if (!strcmp(key, "ip6"))
		return rtnl_addr_parse(value, false, &a->ip6) < 0 || a->ip6.family != AF_INET6 ? -EINVAL : 0;
	if (!strcmp(key, "mac")) {
		a->has_mac = true;
		return rtnl_mac_parse(value, a->mac);
	}
	if (!strcmp(key, "alias")) {
		if (!alias_ok(value))
			return -EINVAL;
		strv_add(&a->aliases, value);
		return 0;
	}
	if (!strcmp(key, "interface")) {
		if (!value[0] || strlen(value) >= IFNAMSIZ || strpbrk(value, "/ :%") || !strcmp(value, "lo") ||
		    value[0] == '.')
			return -EINVAL;
		free(a->ifname);
		a->ifname = xstrdup(value);
		return 0;
	}
	if (!strcmp(key, "rate-in"))
		return parse_rate(value, &a->rate_in);
	if (!strcmp(key, "rate-out"))
		return parse_rate(value, &a->rate_out);
	return -ENOENT;
}

int network_request_mode(const char *mode, enum network_kind kind, struct err *err)
{
	if (!strcmp(mode, "host") && kind == NETWORK_MACHINE)
		return err_set(err, -ENOTSUP,
			       "--network host: a machine has its own kernel and cannot share the host's network; use "
			       "a network or publish ports");
	return 0;
}

int network_request_add_network(struct network_request *r, const char *text, struct err *err)
{
	const char *colon = strchr(text, ':');
	cleanup_free char *name = xstrndup(text, colon ? (size_t)(colon - text) : strlen(text));
	cleanup_strv char **options = NULL;
	struct network_attachment *a;

	if (!strcmp(name, "none") || !strcmp(name, "host") || !strcmp(name, "ns") || !strcmp(name, "container") ||
	    !strcmp(name, "pasta"))
		return err_set(err, -EINVAL, "--network %s: this mode cannot be combined with networks", text);
	if (!name[0])
		return err_set(err, -EINVAL, "--network \"%s\": a name is missing", text);
	if (r->n_nets == 15)
		return err_set(err, -EINVAL, "--network %s: at most 15 networks", text);
	r->nets = xreallocarray(r->nets, r->n_nets + 1, sizeof(*r->nets));
	a = &r->nets[r->n_nets++];
	*a = (struct network_attachment){ .network = xstrdup(strcmp(name, "bridge") ? name : "default") };
	for (size_t i = 0; i + 1 < r->n_nets; i++)
		if (!strcmp(r->nets[i].network, a->network))
			return err_set(err, -EINVAL, "--network %s: network %s is named twice", text, a->network);
	options = colon ? strv_split(colon + 1, ',') : NULL;
	for (char **p = options; p && *p; p++) {
		char *eq = strchr(*p, '=');
		int e;

		if (!eq)
			return err_set(err, -EINVAL, "--network %s: \"%s\" is not KEY=VALUE", text, *p);
		*eq = '\0';
		e = add_option(a, *p, eq + 1);
		if (e == -ENOENT)
			return err_set(err, -EINVAL,
				       "--network %s: unknown option \"%s\" (ip, ip6, mac, alias, interface, rate-in, "
				       "rate-out)",
				       text, *p);
		if (e < 0)
			return err_set(err, -EINVAL, "--network %s: %s=%s is not valid", text, *p, eq + 1);
	}
	return 0;
}

/* "80" or "80-89" */
static int parse_range(const char *s, uint32_t *first, uint32_t *last)
{
	cleanup_strv char **p = strv_split(s, '-');

	if (strv_len(p) > 2 || parse_u32(p[0], first) < 0)
		return -EINVAL;
	*last = *first;
	if (p[1] && parse_u32(p[1], last) < 0)
		return -EINVAL;
	return !*first || *first > *last || *last > 65535 ? -EINVAL : 0;
}

/* Splits "[HOSTADDR:][HOSTPORT:]PORT"; brackets around an IPv6 address. Parts NULL when absent. */
static int split_port(const char *s, char **host, char **outside, char **inside)
{
	if (*s == '[') {
		const char *end = strchr(s, ']');

		if (!end || end[1] != ':')
			return -EINVAL;
		*host = xstrndup(s + 1, (size_t)(end - s - 1));
		s = end + 2;
	}
	{
		cleanup_strv char **p = strv_split(s, ':');
		size_t n = strv_len(p);

		if (n == 3 && !*host)
			*host = xstrdup(p[0]);
		else if (n > 2)
			return -EINVAL;
		*inside = xstrdup(p[n - 1]);
		if (n > 1 && p[n - 2][0])
			*outside = xstrdup(p[n - 2]);
	}
	return 0;
}

int network_request_add_port(struct network_request *r, const char *text, struct err *err)
{
	cleanup_free char *body = NULL, *host = NULL, *outside = NULL, *inside = NULL;
	const char *slash = strchr(text, '/');
	struct network_port p = { .proto = NETWORK_TCP };
	uint32_t first, last, hfirst, hlast;

	if (slash && network_lease_proto_parse(slash + 1, &p.proto) < 0)
		return err_set(err, -EINVAL, "--publish %s: protocol must be tcp, udp or sctp", text);
	body = xstrndup(text, slash ? (size_t)(slash - text) : strlen(text));
	if (split_port(body, &host, &outside, &inside) < 0)
		return err_set(err, -EINVAL,
			       "--publish %s: not [ADDRESS:][HOSTPORT:]PORT[/PROTOCOL] (IPv6 addresses in brackets)",
			       text);
	if (host && host[0] && (strchr(host, '/') || rtnl_addr_parse(host, false, &p.host) < 0))
		return err_set(err, -EINVAL, "--publish %s: \"%s\" is not an address", text, host);
	if (p.host.family == AF_INET6 && IN6_IS_ADDR_LOOPBACK((struct in6_addr *)p.host.b))
		return err_set(err, -EINVAL, "--publish %s: the kernel does not route ::1; publish on 127.0.0.1", text);
	if (p.host.family == AF_INET && !memcmp(p.host.b, "\0\0\0\0", 4))
		p.host = (struct rtnl_addr){ 0 };
	if (p.host.family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED((struct in6_addr *)p.host.b))
		p.host = (struct rtnl_addr){ 0 };
	if (parse_range(inside, &first, &last) < 0)
		return err_set(err, -EINVAL, "--publish %s: \"%s\" is not a port or ascending range (1 to 65535)", text,
			       inside);
	hfirst = first;
	hlast = last;
	if (outside && parse_range(outside, &hfirst, &hlast) < 0)
		return err_set(err, -EINVAL, "--publish %s: \"%s\" is not a port or ascending range (1 to 65535)", text,
			       outside);
	if (hlast - hfirst != last - first)
		return err_set(err, -EINVAL, "--publish %s: ranges differ in length", text);
	if (last - first >= 16384)
		return err_set(err, -EINVAL, "--publish %s: more than 16384 ports", text);
	p.port = (uint16_t)hfirst;
	p.inside = (uint16_t)first;
	p.n = (uint16_t)(last - first + 1);
	r->ports = xreallocarray(r->ports, r->n_ports + 1, sizeof(p));
	r->ports[r->n_ports++] = p;
	return 0;
}
