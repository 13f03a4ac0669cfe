/* SPDX-License-Identifier: Apache-2.0 */
/* Values and JSON; links, addresses and routes in a network namespace of the test's own. */
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "base/str.h"
#include "network/rtnl.h"
#include "network/tc.h"
#include "network/tap.h"
#include "network/veth.h"
#include "tests/unit/tap.h"

static struct err e;

static void test_values(void)
{
	struct rtnl_addr a, b;
	uint8_t mac[RTNL_MAC_LEN];
	char t[RTNL_ADDR_TEXT], m[RTNL_MAC_TEXT];
	static const char *const bad[] = { "",          "/",           "10.0.0.1/33", "10.0.0/8",  "::1/129",
					   "10.0.0.1/", "10.0.0.1/-1", "x",           "1.2.3.4/ 8" };
	static const char *const bad_mac[] = { "",
					       "02:00:00:00:00",
					       "02:00:00:00:00:0g",
					       "01:00:00:00:00:01",
					       "00:00:00:00:00:00",
					       "02-00-00-00-00-01",
					       "02:00:00:00:00:011" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(rtnl_addr_parse(bad[i], false, &a) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad_mac); i++)
		ok(rtnl_mac_parse(bad_mac[i], mac) < 0);
	ok(rtnl_addr_parse("10.0.0.1", true, &a) < 0);
	is_int(rtnl_addr_parse("10.9.8.7/20", true, &a), 0);
	is_str(rtnl_addr_text(&a, true, t), "10.9.8.7/20");
	rtnl_addr_mask(&a);
	is_str(rtnl_addr_text(&a, true, t), "10.9.0.0/20");
	is_int(rtnl_addr_parse("10.9.15.255", false, &b), 0);
	ok(rtnl_addr_in(&b, &a));
	is_int(rtnl_addr_parse("10.9.16.0", false, &b), 0);
	ok(!rtnl_addr_in(&b, &a));
	is_int(rtnl_mac_parse("02:aB:00:00:00:01", mac), 0);
	is_str(rtnl_mac_text(mac, m), "02:ab:00:00:00:01");
}

static char *round_trip(const char *json)
{
	cleanup_json_doc struct json_doc *d = json_parse(json, strlen(json), "test", &e);
	struct json_writer w = { .indent = 0 };
	struct rtnl_iface i = { 0 };

	if (!d || rtnl_iface_load(json_root(d), &i, &e) < 0)
		return xstrdup(e.msg);
	rtnl_iface_save(&w, NULL, &i);
	rtnl_iface_free(&i);
	return json_w_steal(&w);
}

static void test_json(void)
{
	static const char full[] =
		"{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"was\":\"02:00:00:00:00:02\",\"mtu\":1400,"
		"\"noIpv6\":true,"
		"\"addresses\":[\"10.0.0."
		"2/24\"],"
		"\"routes\":[{\"dst\":\"10.1.0.0/16\",\"src\":\"10.0.0.2\",\"metric\":5,\"scope\":253},"
		"{\"dst\":\"0.0.0.0/0\",\"gateway\":\"10.0.0.1\"}],"
		"\"neighbours\":[{\"address\":\"10.0.0.1\",\"mac\":\"02:00:00:00:00:09\"}]}";
	cleanup_free char *a = round_trip(full), *b = round_trip("{\"addresses\":[\"10.0.0.2\"]}"),
			  *c = round_trip("{\"routes\":[{}]}"), *d = round_trip("{\"name\":\"a/b\"}"),
			  *f = round_trip("{\"mac\":\"zz\"}"), *g = round_trip("{\"was\":\"zz\"}");

	is_str(a, full);
	has_str(b, "addresses[0]");
	has_str(c, "routes[0]");
	has_str(d, "name");
	has_str(f, "mac");
	has_str(g, "was");
}

static void test_kernel(void)
{
	struct rtnl nl = RTNL_INIT, in = RTNL_INIT;
	struct rtnl_link l, *all = NULL;
	struct rtnl_iface want = { .name = "eth0", .mtu = 1400, .mac = { 2, 0, 0, 0, 0, 7 } }, got = { 0 };
	struct rtnl_addr a;
	struct rtnl_route rt = { 0 };
	int host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), ns, fds[NETWORK_TAPS_MAX];
	size_t n = 0;

	need(unshare(CLONE_NEWNET) == 0);
	ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	need(setns(host, CLONE_NEWNET) == 0);
	is_int(rtnl_open(&nl, -1, &e), 0);
	is_int(rtnl_open(&in, ns, &e), 0);
	is_int(rtnl_link_get(&nl, "nothere", 0, &l, &e), -ENODEV);
	is_int(rtnl_link_del(&nl, "nothere", &e), -ENODEV);
	is_int(veth_make(&nl, "vtest0", 0, "amphi:test", "eth0", want.mac, 1400, ns, &e), 0);
	is_int(veth_make(&nl, "vtest0", 0, "amphi:test", "eth0", want.mac, 1400, ns, &e), -EEXIST);
	is_int(rtnl_link_get(&nl, "vtest0", 0, &l, &e), 0);
	is_str(l.kind, "veth");
	is_str(l.alias, "amphi:test");
	is_int(l.mtu, 1400);
	rtnl_addr_parse("10.0.0.2/24", true, &a);
	rtnl_iface_add_addr(&want, &a);
	rtnl_addr_parse("fd00::2/64", true, &a);
	rtnl_iface_add_addr(&want, &a);
	rtnl_addr_parse("10.0.0.1", false, &rt.gateway);
	rtnl_iface_add_route(&want, &rt);
	is_int(veth_configure(&in, ns, &want, &e), 0);
	is_int(rtnl_link_by_mac(&in, want.mac, &e) > 0, 1);
	is_int(rtnl_link_get(&in, "eth0", 0, &l, &e), 0);
	is_int(rtnl_iface_scan(&in, &l, &got, &e), 0);
	is_int(got.n_addrs, 2);
	is_int(got.n_routes, 1);
	ok(rtnl_addr_equal(&got.routes[0].gateway, &rt.gateway));
	is_int(rtnl_iface_apply(&in, l.index, &got, &e), 0); /* repeatable */
	is_int(rtnl_iface_flush(&in, l.index, &e), 0);
	rtnl_iface_free(&got);
	is_int(rtnl_iface_scan(&in, &l, &got, &e), 0);
	is_int(got.n_addrs, 0);
	/* The first bad request of a batch is reported by the kernel's words. */
	rtnl_addr_parse("192.0.2.1", false, &rt.gateway);
	rtnl_iface_free(&want);
	strcpy(want.name, "eth0");
	rtnl_iface_add_route(&want, &rt);
	ok(rtnl_iface_apply(&in, l.index, &want, &e) < 0);
	has_str(e.msg, "route");
	/* Redirect to a tap and back. */
	if (access("/dev/net/tun", R_OK | W_OK) == 0) {
		struct rtnl_link tap;

		is_int(tap_open("ttest0", ns, 1, fds, &e), 0);
		is_int(rtnl_link_get(&in, "ttest0", 0, &tap, &e), 0);
		is_int(rtnl_link_change(&in, tap.index, &(struct rtnl_change){ .up = 1 }, &e), 0);
		is_int(tc_join(&in, l.index, tap.index, &e), 0);
		is_int(tc_join(&in, l.index, tap.index, &e), 0);
		is_int(tc_unjoin(&in, l.index, &e), 0);
		is_int(tc_unjoin(&in, l.index, &e), 0);
		close(fds[0]);
		is_int(rtnl_link_get(&in, "ttest0", 0, &tap, &e), -ENODEV);
	} else {
		skip("needs /dev/net/tun");
	}
	is_int(rtnl_link_list(&in, &all, &n, &e), 0);
	ok(n >= 2);
	is_int(rtnl_link_del(&nl, "vtest0", &e), 0);
	free(all);
	rtnl_iface_free(&want);
	rtnl_iface_free(&got);
	rtnl_close(&nl);
	rtnl_close(&in);
}

int main(void)
{
	test_values();
	test_json();
	if (getuid() == 0 && unshare(CLONE_NEWNET) == 0)
		test_kernel();
	else
		skip("needs root and network namespaces");
	return tap_done();
}
