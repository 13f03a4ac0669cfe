/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat: our nftables table "inet amphi".
 *
 * Theory of operation: one table of our own; no other is read or touched. Its chains are written as a whole
 * (replaced in one transaction) when a network gets its bridge, on reload and after somebody flushed the ruleset;
 * an attachment with published ports only adds elements to maps, and one without ports changes nothing here.
 *   publish     jumped to from prerouting and output for packets to an address of this host: maps from
 *               (protocol, port) or (address, protocol, port) to (endpoint, port)
 *   postrouting masquerades what leaves a network's subnet, what came back to its own subnet through a published
 *               port (hairpin: else the answer would not pass here), and 127/8 (published ports used by the host)
 *   forward     drops between isolated networks, into and out of internal ones, and everything new from outside
 *               that no published port asked for
 *   guard       drops packets for 127/8 that come from a bridge: route_localnet is on there (CVE-2020-8558)
 * An accept here ends only our own chains: other tables' drops still count, which is why nothing needs ordering
 * beside podman's, docker's or firewalld's rules. Ports are also files below ports/, so that two attachments
 * cannot take one port and a release removes only what is its own. The nft program is used for writing, because
 * its language is the documented interface; asking whether the table is there is one netlink message.
 * nft(8).
 */
#include "network/nat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "network/network_lease.h"

#define TABLE "amphi"

/* ---- text ----------------------------------------------------------------------------------------------- */

static bool has_way_out(const struct rtnl_iface *set, uint8_t family)
{
	for (size_t i = 0; i < set->n_routes; i++)
		if (set->routes[i].gateway.family == family)
			return true;
	return false;
}

/* Where ports lead: the interface with the default route, which answers take; else the first of a bridge. */
static const struct rtnl_addr *inside_addr(const struct network_lease *l, uint8_t family)
{
	const struct rtnl_addr *first = NULL;

	for (size_t i = 0; i < l->n_ifaces; i++)
		for (size_t k = 0; k < l->ifaces[i].set.n_addrs; k++) {
			const struct rtnl_addr *a = &l->ifaces[i].set.addrs[k];

			if (!l->ifaces[i].bridge || a->family != family)
				continue;
			if (has_way_out(&l->ifaces[i].set, family))
				return a;
			first = first ? first : a;
		}
	return first;
}

static void elements(struct str *out, const char *verb, const struct network_lease *l, uint8_t family, bool host)
{
	const struct rtnl_addr *to = inside_addr(l, family);
	char a[RTNL_ADDR_TEXT], h[RTNL_ADDR_TEXT];
	bool open = false;

	if (!to)
		return;
	rtnl_addr_text(to, false, a);
	for (size_t i = 0; i < l->n_ports; i++) {
		const struct network_port *p = &l->ports[i];

		if ((p->host.family != 0) != host || (host && p->host.family != family))
			continue;
		for (uint32_t k = 0; k < p->n; k++) {
			str_addf(out, open ? ",\n\t" : "%s element inet " TABLE " ports%d%s {\n\t", verb,
				 family == AF_INET ? 4 : 6, host ? "_host" : "");
			if (host)
				str_addf(out, "%s . ", rtnl_addr_text(&p->host, false, h));
			str_addf(out, "%s . %u : %s . %u", network_lease_proto(p->proto), p->port + k, a,
				 p->inside + k);
			open = true;
		}
	}
	if (open)
		str_add(out, "\n}\n");
}

void nat_elements(struct str *out, const char *verb, const struct network_lease *l)
{
	elements(out, verb, l, AF_INET, false);
	elements(out, verb, l, AF_INET, true);
	elements(out, verb, l, AF_INET6, false);
	elements(out, verb, l, AF_INET6, true);
}

static void set_of(struct str *out, const char *name, const struct network *nets, size_t n,
		   bool (*want)(const struct network *))
{
	bool any = false;

	str_addf(out, "\tset %s {\n\t\ttype ifname\n", name);
	for (size_t i = 0; i < n; i++) {
		if (!want(&nets[i]))
			continue;
		str_addf(out, "%s\"%s\"", any ? ", " : "\t\telements = { ", nets[i].bridge);
		any = true;
	}
	str_add(out, any ? " }\n\t}\n" : "\t}\n");
}

static bool is_ours(const struct network *n)
{
	return !n->foreign;
}

static bool is_isolated(const struct network *n)
{
	return !n->foreign && n->isolate == NETWORK_ISOLATE_YES;
}

static bool is_internal(const struct network *n)
{
	return !n->foreign && n->internal;
}

static void masquerades(struct str *out, const struct network *nets, size_t n)
{
	char a[RTNL_ADDR_TEXT];

	for (size_t i = 0; i < n; i++)
		for (unsigned int k = 0; !nets[i].foreign && k < nets[i].n_subnets; k++) {
			const char *ip = nets[i].subnets[k].net.family == AF_INET ? "ip" : "ip6";

			rtnl_addr_text(&nets[i].subnets[k].net, true, a);
			str_addf(out, "\t\t%s saddr %s %s daddr %s ct status dnat masquerade\n", ip, a, ip, a);
			if (nets[i].masquerade)
				str_addf(out, "\t\t%s saddr %s oifname != @bridges %s daddr != %s masquerade\n", ip, a,
					 ip, ip[2] ? "ff00::/8" : "224.0.0.0/4");
		}
}

void nat_table(struct str *out, const struct network *nets, size_t n_nets, const struct network_lease *leases,
	       size_t n_leases)
{
	/* Declared before it is deleted: a delete of what is not there would fail. */
	str_add(out,
		"table inet " TABLE "\ndelete table inet " TABLE "\ntable inet " TABLE " {\n"
		"\tmap ports4 {\n\t\ttype inet_proto . inet_service : ipv4_addr . inet_service\n\t}\n"
		"\tmap ports4_host {\n\t\ttype ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service\n\t}\n"
		"\tmap ports6 {\n\t\ttype inet_proto . inet_service : ipv6_addr . inet_service\n\t}\n"
		"\tmap ports6_host {\n\t\ttype ipv6_addr . inet_proto . inet_service : ipv6_addr . "
		"inet_service\n\t}\n");
	set_of(out, "bridges", nets, n_nets, is_ours);
	set_of(out, "isolated", nets, n_nets, is_isolated);
	set_of(out, "internal", nets, n_nets, is_internal);
	str_add(out,
		"\tchain guard {\n\t\ttype filter hook prerouting priority raw; policy accept;\n"
		"\t\tip daddr 127.0.0.0/8 iifname @bridges drop\n\t}\n"
		"\tchain publish {\n"
		"\t\tdnat ip to ip daddr . meta l4proto . th dport map @ports4_host\n"
		"\t\tdnat ip to meta l4proto . th dport map @ports4\n"
		"\t\tip6 daddr ::1 return\n"
		"\t\tdnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6_host\n"
		"\t\tdnat ip6 to meta l4proto . th dport map @ports6\n\t}\n"
		"\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n"
		"\t\tfib daddr type local meta l4proto { tcp, udp, sctp } jump publish\n\t}\n"
		"\tchain output {\n\t\ttype nat hook output priority -100; policy accept;\n"
		"\t\tfib daddr type local meta l4proto { tcp, udp, sctp } jump publish\n\t}\n"
		"\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
		"\t\toifname @bridges ip saddr 127.0.0.0/8 masquerade\n");
	masquerades(out, nets, n_nets);
	str_add(out,
		"\t}\n"
		"\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n"
		"\t\tct state established,related accept\n"
		"\t\tiifname != @bridges oifname != @bridges accept\n");
	for (size_t i = 0; i < n_nets; i++)
		if (is_ours(&nets[i]))
			str_addf(out, "\t\tiifname \"%s\" oifname \"%s\" accept\n", nets[i].bridge, nets[i].bridge);
	str_add(out,
		"\t\tiifname @internal drop\n\t\toifname @internal drop\n"
		"\t\tct status dnat accept\n"
		"\t\tiifname @isolated oifname @bridges drop\n\t\tiifname @bridges oifname @isolated drop\n"
		"\t\tiifname @bridges accept\n"
		"\t\toifname @bridges drop\n\t}\n}\n");
	for (size_t i = 0; i < n_leases; i++)
		nat_elements(out, "add", &leases[i]);
}

int nat_run(const char *text, struct err *err)
{
	static char *const argv[] = { "nft", "-f", "-", NULL };
	struct child_io io = { .in = text, .in_len = strlen(text), .want_err = 1, .want_out = 1, .timeout_ms = 60000 };
	cleanup_free char *out = NULL, *errout = NULL;
	int r = child_run(argv, &io, err);

	out = io.out;
	errout = io.errout;
	if (r == -ENOENT || r == 127)
		return err_set(err, -ENOENT,
			       "nft: not found; install nftables, or create the network with --no-masquerade "
			       "--no-isolate and publish no ports");
	if (r < 0)
		return err_wrap(err, "run nft");
	if (r) {
		if (errout)
			errout[strcspn(errout, "\n")] = '\0';
		return err_set(err, -EIO, "nft: %s", str_empty(errout) ? "failed" : errout);
	}
	return 0;
}

/* ---- is the table there? -------------------------------------------------------------------------------- */

int nat_present(struct err *err)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
		struct nlattr a;
		char name[8];
	} req = {
		.h = { .nlmsg_len = sizeof(req),
		       .nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		       .nlmsg_seq = 1 },
		.g = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 },
		.a = { .nla_len = NLA_HDRLEN + sizeof(TABLE), .nla_type = NFTA_TABLE_NAME },
		.name = TABLE,
	};
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	cleanup_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	union {
		struct nlmsghdr h;
		char buf[4096];
	} answer;
	ssize_t n;

	if (fd < 0)
		return err_sys(err, -errno, "netfilter socket");
	if (sendto(fd, &req, sizeof(req), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return err_sys(err, -errno, "ask for the nftables table");
	do {
		n = recv(fd, &answer, sizeof(answer), 0);
	} while (n < 0 && errno == EINTR);
	if (n < (ssize_t)sizeof(answer.h))
		return err_sys(err, n < 0 ? -errno : -EIO, "ask for the nftables table");
	if (answer.h.nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(&answer.h);

		if (e->error == -ENOENT)
			return 0;
		return e->error ? err_sys(err, e->error, "ask for the nftables table") : 0;
	}
	return 1;
}

/* ---- ports ---------------------------------------------------------------------------------------------- */

/* ports/PROTO-PORT is a directory, in it a file for each host address, or one named "any". */
static void port_names(const struct network_port *p, uint32_t k, char dir[32], char file[RTNL_ADDR_TEXT])
{
	snprintf(dir, 32, "%s-%u", network_lease_proto(p->proto), p->port + k);
	if (p->host.family)
		rtnl_addr_text(&p->host, false, file);
	else
		strcpy(file, "any");
}

/* Does a process of this host use the port? Tried by binding, for the protocols that have a socket here. */
static bool host_uses(const struct network_port *p, uint32_t k)
{
	bool six = p->host.family == AF_INET6;
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)(p->port + k)) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(p->port + k)) };
	int type = p->proto == NETWORK_UDP ? SOCK_DGRAM : SOCK_STREAM, one = 1;
	cleanup_fd int fd = -1;

	/* asking would load the module, and without it nobody has such a port */
	if (p->proto == NETWORK_SCTP && access("/proc/net/sctp", F_OK) < 0)
		return false;
	fd = socket(six ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, p->proto == NETWORK_SCTP ? IPPROTO_SCTP : 0);
	if (fd < 0)
		return false;
	if (type == SOCK_STREAM) /* connections in TIME_WAIT do not count, listeners do */
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (p->host.family)
		memcpy(six ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr, p->host.b, rtnl_addr_len(&p->host));
	return bind(fd, six ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4, six ? sizeof(a6) : sizeof(a4)) < 0 &&
		errno == EADDRINUSE;
}

/* Who holds the port already, by one address or by all; owned, NULL: nobody. */
static char *holder(int dir, const char *file, char name[RTNL_ADDR_TEXT])
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *e; d && (e = readdir(d));) {
		cleanup_free char *text = NULL;
		size_t n;

		if (e->d_name[0] == '.' || (strcmp(file, "any") && strcmp(e->d_name, "any") && strcmp(e->d_name, file)))
			continue;
		if (fd_slurp_at(dir, e->d_name, 4096, &text, &n) < 0 || !n)
			continue;
		snprintf(name, RTNL_ADDR_TEXT, "%.*s", RTNL_ADDR_TEXT - 1, e->d_name);
		return xstrdup(strchr(text, ' ') ? strchr(text, ' ') + 1 : text);
	}
	return NULL;
}

static int reserve_one(int ports, const struct network_port *p, uint32_t k, const char *key, const char *id,
		       struct err *err)
{
	char dname[32], file[RTNL_ADDR_TEXT], other[RTNL_ADDR_TEXT];
	cleanup_free char *who = NULL, *text = NULL;
	cleanup_fd int dir = -1, fd = -1;

	port_names(p, k, dname, file);
	if (mkdirat(ports, dname, 0755) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "reserve port %u", p->port + k);
	dir = openat(ports, dname, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	who = dir < 0 ? NULL : holder(dir, file, other);
	if (who)
		return err_set(err, -EADDRINUSE, "port %u/%s is published by container %s (on %s)", p->port + k,
			       network_lease_proto(p->proto), who, strcmp(other, "any") ? other : "all addresses");
	if (host_uses(p, k)) {
		(void)unlinkat(ports, dname, AT_REMOVEDIR);
		return err_set(err, -EADDRINUSE, "port %u/%s of the host is in use", p->port + k,
			       network_lease_proto(p->proto));
	}
	fd = dir < 0 ? -1 : openat(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, -errno, "reserve port %u", p->port + k);
	text = xasprintf("%s %s", key, id);
	return fd_write_all(fd, text, strlen(text));
}

static void release_one(int ports, const struct network_port *p, uint32_t k, const char *key)
{
	cleanup_free char *text = NULL, *path = NULL;
	char dname[32], file[RTNL_ADDR_TEXT];
	size_t n;

	port_names(p, k, dname, file);
	path = xasprintf("%s/%s", dname, file);
	if (!fd_slurp_at(ports, path, 4096, &text, &n) && (!n || str_starts(text, key)))
		(void)unlinkat(ports, path, 0);
	(void)unlinkat(ports, dname, AT_REMOVEDIR);
}

int nat_reserve(const struct netdir *nd, const struct network_lease *l, const char *key, struct err *err)
{
	cleanup_fd int dir = -1;

	if (!l->n_ports)
		return 0;
	dir = netdir_sub(nd, "ports", err);
	if (dir < 0)
		return dir;
	for (size_t i = 0; i < l->n_ports; i++)
		for (uint32_t k = 0; k < l->ports[i].n; k++) {
			int r = reserve_one(dir, &l->ports[i], k, key, l->ref.id, err);

			if (r < 0) {
				/* Back over what this call made: port i up to k, and all ports before it. */
				for (size_t j = 0; j <= i; j++)
					for (uint32_t m = 0; m < (j < i ? l->ports[j].n : k); m++)
						release_one(dir, &l->ports[j], m, key);
				return r;
			}
		}
	return 0;
}

void nat_release(const struct netdir *nd, const struct network_lease *l, const char *key)
{
	cleanup_fd int dir = -1;

	if (!l->n_ports)
		return;
	dir = openat(nd->run_fd, "ports", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; dir >= 0 && i < l->n_ports; i++)
		for (uint32_t k = 0; k < l->ports[i].n; k++)
			release_one(dir, &l->ports[i], k, key);
}
