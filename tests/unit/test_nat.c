/* SPDX-License-Identifier: Apache-2.0 */
/* The firewall table's text and what the nft program says to it. */
#include <sched.h>
#include <unistd.h>

#include "base/str.h"
#include "network/ipam.h"
#include "network/nat.h"
#include "network/network_lease.h"
#include "tests/unit/tap.h"

static struct err e;

static struct network net(const char *name, const char *bridge, const char *s4, const char *s6)
{
	struct network n = { .name = xstrdup(name), .bridge = xstrdup(bridge), .masquerade = true };

	rtnl_addr_parse(s4, true, &n.subnets[0].net);
	n.n_subnets = 1;
	if (s6)
		rtnl_addr_parse(s6, true, &n.subnets[n.n_subnets++].net);
	return n;
}

static void lease(struct network_lease *l, const char *spec[])
{
	struct network_request q;
	struct network_iface *f = network_lease_add_iface(l);
	struct rtnl_addr a;

	network_request_init(&q, "c", "/c", NETWORK_CONTAINER);
	for (; *spec; spec++)
		is_int(network_request_add_port(&q, *spec, &e), 0);
	l->ports = q.ports;
	l->n_ports = q.n_ports;
	f->bridge = xstrdup("br0");
	rtnl_addr_parse("10.0.0.2/24", true, &a);
	rtnl_iface_add_addr(&f->set, &a);
	rtnl_addr_parse("fd00::2/64", true, &a);
	rtnl_iface_add_addr(&f->set, &a);
}

static void test_text(void)
{
	struct network n[] = { net("a", "br0", "10.0.0.0/24", "fd00::/64"), net("b", "br1", "10.0.1.0/24", NULL),
			       net("c", "br2", "10.0.2.0/24", NULL) };
	struct network_lease l = { 0 };
	const char *ports[] = { "8080:80", "53:53/udp", "192.0.2.1:90-92:70-72", "[fd00:9::1]:99:99/sctp", NULL };
	struct str s = { 0 };
	int r;

	n[1].internal = true;
	n[1].masquerade = false;
	n[2].foreign = true;
	n[0].isolate = NETWORK_ISOLATE_NO;
	lease(&l, ports);
	nat_table(&s, n, 3, &l, 1);
	has_str(s.s, "ip saddr 10.0.0.0/24 oifname != @bridges ip daddr != 224.0.0.0/4 masquerade");
	has_str(s.s, "ip6 saddr fd00::/64 oifname != @bridges ip6 daddr != ff00::/8 masquerade");
	ok(!strstr(s.s, "10.0.1.0/24 oifname"));
	ok(!strstr(s.s, "br2"));
	has_str(s.s, "set internal {\n\t\ttype ifname\n\t\telements = { \"br1\" }");
	has_str(s.s, "tcp . 8080 : 10.0.0.2 . 80");
	has_str(s.s, "udp . 53 : fd00::2 . 53");
	has_str(s.s, "192.0.2.1 . tcp . 92 : 10.0.0.2 . 72");
	has_str(s.s, "fd00:9::1 . sctp . 99 : fd00::2 . 99");
	if (getuid() != 0 || unshare(CLONE_NEWNET) < 0 ||
	    (access("/usr/sbin/nft", X_OK) && access("/sbin/nft", X_OK))) {
		skip("needs root and nft");
	} else {
		struct str d = { 0 };

		is_int(nat_present(&e), 0);
		r = nat_run(s.s, &e);
		is_int(r, 0);
		if (r < 0)
			printf("# %s\n", e.msg);
		is_int(nat_present(&e), 1);
		is_int(nat_run(s.s, &e), 0); /* a whole table replaces the one before */
		nat_elements(&d, "delete", &l);
		is_int(nat_run(d.s, &e), 0);
		is_int(nat_run(d.s, &e), -EIO);
		has_str(e.msg, "nft:");
		str_free(&d);
	}
	str_free(&s);
}

static void test_ports(void)
{
	static const char *const bad[] = { "",
					   "x",
					   "0",
					   "65536",
					   "80:",
					   "80-70",
					   "1-2:3",
					   "1:2:3:4",
					   "[::1]:80:80",
					   "[fd00::1:80",
					   "80/icmp",
					   "300.0.0.1:80:80",
					   "1-65535:1-65535" };
	struct network_request q;

	network_request_init(&q, "c", "/c", NETWORK_CONTAINER);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ok(network_request_add_port(&q, bad[i], &e) < 0);
		has_str(e.msg, "--publish");
	}
	is_int(q.n_ports, 0);
	is_int(network_request_add_port(&q, "80", &e), 0);
	is_int(network_request_add_port(&q, ":80", &e), 0);
	is_int(network_request_add_port(&q, "0.0.0.0:81:80/tcp", &e), 0);
	is_int(q.ports[2].host.family, 0);
	is_int(q.ports[2].port, 81);
	network_request_free(&q);
}

static void test_networks(void)
{
	static const char *const bad[] = { "",
					   "none",
					   "host",
					   "pasta",
					   "a:ip",
					   "a:ip=x",
					   "a:ip6=10.0.0.1",
					   "a:mac=01:00:00:00:00:00",
					   "a:foo=1",
					   "a:interface=lo",
					   "a:interface=waytoolongforalink",
					   "a:rate-in=0",
					   "a:alias=a b",
					   "a:alias=" };
	struct network_request q;

	network_request_init(&q, "c", "/c", NETWORK_CONTAINER);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct network_request one;

		network_request_init(&one, "c", "/c", NETWORK_CONTAINER);
		ok(network_request_add_network(&one, bad[i], &e) < 0);
		has_str(e.msg, "--network");
		network_request_free(&one);
	}
	is_int(network_request_add_network(&q, "bridge", &e), 0);
	is_str(q.nets[0].network, "default");
	is_int(network_request_add_network(
		       &q,
		       "b:ip=10.0.0.9,ip6=fd00::9,mac=02:00:00:00:00:01,alias=x,alias=y,interface=net1,rate-in=10mbit",
		       &e),
	       0);
	is_int(q.nets[1].rate_in, 10000000);
	is_str(q.nets[1].ifname, "net1");
	is_int(network_request_add_network(&q, "b", &e), -EINVAL);
	is_int(network_request_mode("host", NETWORK_MACHINE, &e), -ENOTSUP);
	is_int(network_request_mode("host", NETWORK_CONTAINER, &e), 0);
	network_request_free(&q);
}

int main(void)
{
	test_ports();
	test_networks();
	test_text();
	return tap_done();
}
