/* SPDX-License-Identifier: Apache-2.0 */
/* Address leases: ranges, reserved addresses, exhaustion, release, remains of killed processes. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "network/ipam.h"
#include "tests/unit/tap.h"

static struct err e;
static char dir[] = "/tmp/amphi-test-ipam-XXXXXX";
static int dfd;
static char text[RTNL_ADDR_TEXT];
static const struct ipam_owner owner = { .key = "0123456789abcdef", .owner = "/o", .files_dir = "/f", .names = "a b" };
static const struct ipam_owner other = { .key = "fedcba9876543210", .owner = "/p", .files_dir = "", .names = "" };

static struct network_subnet subnet(const char *net)
{
	struct network_subnet s = { 0 };

	rtnl_addr_parse(net, true, &s.net);
	ipam_defaults(&s, &e);
	return s;
}

static const char *lease(const struct network_subnet *s, const char *want, const struct ipam_owner *o)
{
	struct rtnl_addr w = { 0 }, got;

	if (want)
		rtnl_addr_parse(want, false, &w);
	e = (struct err){ 0 };
	return ipam_lease(dfd, s, &w, o, &got, &e) < 0 ? e.msg : rtnl_addr_text(&got, true, text);
}

static void test_defaults(void)
{
	struct network_subnet s = subnet("10.1.2.77/24");

	is_str(rtnl_addr_text(&s.net, true, text), "10.1.2.0/24");
	is_str(rtnl_addr_text(&s.gateway, false, text), "10.1.2.1");
	is_str(rtnl_addr_text(&s.first, false, text), "10.1.2.1");
	is_str(rtnl_addr_text(&s.last, false, text), "10.1.2.254");
	s = subnet("fd00::/64");
	is_str(rtnl_addr_text(&s.gateway, false, text), "fd00::1");
	is_str(rtnl_addr_text(&s.last, false, text), "fd00::ffff:ffff:ffff:ffff");
	s = (struct network_subnet){ 0 };
	rtnl_addr_parse("10.0.0.1/32", true, &s.net);
	is_int(ipam_defaults(&s, &e), -EINVAL);
	s = (struct network_subnet){ 0 };
	rtnl_addr_parse("10.0.0.0/24", true, &s.net);
	rtnl_addr_parse("10.0.1.1", false, &s.gateway);
	is_int(ipam_defaults(&s, &e), -EINVAL);
	has_str(e.msg, "outside");
}

static void test_lease(void)
{
	struct network_subnet s = subnet("10.1.2.0/29");
	struct rtnl_addr a;
	struct ipam_entry *v = NULL;
	size_t n = 0;
	int fd;

	is_str(lease(&s, NULL, &owner), "10.1.2.2/29");
	is_str(lease(&s, NULL, &other), "10.1.2.3/29");
	is_str(lease(&s, "10.1.2.6", &owner), "10.1.2.6/29");
	has_str(lease(&s, "10.1.2.6", &other), "in use");
	has_str(lease(&s, "10.1.2.1", &other), "reserved");
	has_str(lease(&s, "10.1.2.7", &other), "reserved");
	has_str(lease(&s, "10.9.2.7", &other), "outside");
	is_str(lease(&s, NULL, &owner), "10.1.2.4/29");
	is_str(lease(&s, NULL, &owner), "10.1.2.5/29");
	has_str(lease(&s, NULL, &owner), "exhausted");
	/* Only the key's own lease is released. */
	rtnl_addr_parse("10.1.2.3", false, &a);
	is_int(ipam_release(dfd, &a, owner.key, &e), 0);
	has_str(lease(&s, NULL, &owner), "exhausted");
	is_int(ipam_release(dfd, &a, other.key, &e), 0);
	is_int(ipam_release(dfd, &a, other.key, &e), 0);
	is_str(lease(&s, NULL, &owner), "10.1.2.3/29");
	is_int(ipam_list(dfd, &v, &n, &e), 0);
	is_int(n, 5);
	is_str(v[0].names, "a b");
	ipam_list_free(v, n);
	/* An empty file is what a killed process left. */
	ipam_release(dfd, &a, owner.key, &e);
	fd = openat(dfd, "10.1.2.3", O_CREAT | O_WRONLY, 0644);
	close(fd);
	is_str(lease(&s, "10.1.2.3", &owner), "10.1.2.3/29");
}

static void test_small_and_six(void)
{
	struct network_subnet s = subnet("10.5.0.0/31"), six = subnet("fd00:1::/64");
	uint8_t mac[RTNL_MAC_LEN], again[RTNL_MAC_LEN];

	is_str(lease(&s, NULL, &owner), "10.5.0.1/31");
	has_str(lease(&s, NULL, &owner), "exhausted");
	is_str(lease(&six, NULL, &owner), "fd00:1::2/64");
	is_str(lease(&six, "fd00:1::ff", &owner), "fd00:1::ff/64");
	is_str(lease(&six, NULL, &owner), "fd00:1::3/64");
	ipam_mac("net", &six.first, mac);
	ipam_mac("net", &six.first, again);
	ok(!memcmp(mac, again, sizeof(mac)));
	is_int(mac[0], 2);
	ipam_mac("net2", &six.first, again);
	ok(memcmp(mac, again, sizeof(mac)) != 0);
}

int main(void)
{
	need(mkdtemp(dir));
	dfd = open(dir, O_RDONLY | O_DIRECTORY);
	test_defaults();
	test_lease();
	test_small_and_six();
	path_remove_tree(AT_FDCWD, dir, true);
	return tap_done();
}
