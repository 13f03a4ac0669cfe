/* SPDX-License-Identifier: Apache-2.0 */
/* Attach and detach between network namespaces of this test's own: nothing of the host is touched. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "network/nat.h"
#include "network/network.h"
#include "network/veth.h"
#include "tests/unit/tap.h"

static char dir[] = "/tmp/amphi-test-network-XXXXXX";
static struct err e;
static int host_ns;

/* A new namespace; the caller stays in its own. */
static int new_netns(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (setns(host_ns, CLONE_NEWNET) < 0)
		abort();
	return fd;
}

static char *owner_of(const char *id)
{
	char *path = xasprintf("%s/%s", dir, id);

	mkdir(path, 0755);
	return path;
}

static size_t count_links(void)
{
	struct rtnl nl = RTNL_INIT;
	struct rtnl_link *v = NULL;
	size_t n = 0;

	if (rtnl_open(&nl, -1, NULL) == 0)
		(void)rtnl_link_list(&nl, &v, &n, NULL);
	rtnl_close(&nl);
	free(v);
	return n;
}

static size_t count_files(const char *sub)
{
	cleanup_free char *path = xasprintf("%s/nets/run/%s", dir, sub);
	cleanup_dir DIR *d = opendir(path);
	size_t n = 0;

	for (struct dirent *x; d && (x = readdir(d));)
		n += x->d_name[0] != '.';
	return n;
}

static char *file_of(const char *owner, const char *name)
{
	cleanup_free char *path = path_join(owner, name);
	char *text = NULL;
	size_t n;

	return fd_slurp_at(AT_FDCWD, path, 65536, &text, &n) < 0 ? xstrdup("") : text;
}

static int attach(const char *id, int ns, const char *net, const char *port, struct network_lease *l)
{
	cleanup_free char *owner = owner_of(id);
	struct network_request q;
	int r = 0;

	network_request_init(&q, id, owner, ns >= 0 ? NETWORK_CONTAINER : NETWORK_MACHINE);
	q.netns_fd = ns;
	e = (struct err){ 0 };
	r = network_request_add_network(&q, net, &e);
	if (!r && port)
		r = network_request_add_port(&q, port, &e);
	if (!r)
		r = network_attach(&q, l, &e);
	network_request_free(&q);
	return r;
}

static int detach(const char *id)
{
	cleanup_free char *owner = owner_of(id);
	struct network_ref ref = { .id = id, .owner = owner };

	e = (struct err){ 0 };
	return network_detach(&ref, &e);
}

static void test_container(void)
{
	struct network_lease a = { 0 }, b = { 0 };
	int ns_a = new_netns(), ns_b = new_netns();
	cleanup_free char *owner_a = owner_of("a"), *hosts = NULL, *again = NULL, *text = NULL;
	char t[RTNL_ADDR_TEXT];

	is_int(attach("a", ns_a, "default:alias=web", "127.0.0.1:8080:80", &a), 0);
	if (e.code)
		printf("# %s\n", e.msg);
	need(a.n_ifaces == 1);
	is_str(rtnl_addr_text(&a.ifaces[0].set.addrs[0], true, t), "10.89.0.2/24");
	is_str(a.ifaces[0].set.name, "eth0");
	is_int(a.ifaces[0].set.n_routes, 1);
	is_int(a.ifaces[0].set.mtu, 1500);
	is_int(network_check(&a, ns_a, &e), 0);
	is_int(attach("b", ns_b, "default", NULL, &b), 0);
	is_str(rtnl_addr_text(&b.ifaces[0].set.addrs[0], true, t), "10.89.0.3/24");
	hosts = file_of(owner_a, "hosts");
	has_str(hosts, "10.89.0.2\ta web\n");
	has_str(hosts, "10.89.0.3\tb\n");
	is_int(attach("c", new_netns(), "default", "8080:80", &b), -EADDRINUSE);
	has_str(e.msg, "8080/tcp");
	is_int(detach("b"), 0);
	is_int(detach("b"), 0);
	again = file_of(owner_a, "hosts");
	ok(!strstr(again, "10.89.0.3"));
	is_int(detach("a"), 0);
	is_int(count_files("attached"), 0);
	is_int(count_files("ports"), 0);
	is_int(count_files("ipam/default"), 0);
	is_int(network_check(&a, ns_a, &e), -ENOENT);
	close(ns_a);
	close(ns_b);
	network_lease_free(&a);
}

static void test_machine(void)
{
	struct network_lease m = { 0 };
	size_t before = count_links();
	cleanup_free char *guest = NULL;

	is_int(attach("m", -1, "default:mac=02:00:00:00:00:07", NULL, &m), 0);
	if (e.code)
		printf("# %s\n", e.msg);
	need(m.n_ifaces == 1);
	ok(m.ifaces[0].tap_fds[0] >= 0);
	is_int(count_links(), before + 1);
	guest = network_lease_guest(&m);
	has_str(guest, "02:00:00:00:00:07");
	has_str(guest, "\"gateway\":\"10.89.0.1\"");
	is_int(detach("m"), 0);
	network_lease_free(&m);
	is_int(count_links(), before);
}

/* Links that somebody else made: what they are given later is told, and how the guest finds them. */
static void test_join(void)
{
	static const uint8_t mac[RTNL_MAC_LEN] = { 2, 0, 0, 0, 0, 7 }, other[RTNL_MAC_LEN] = { 2, 0, 0, 0, 0, 8 };
	struct network_ref ref = { .id = "j", .owner = dir };
	cleanup_network_lease struct network_lease l = { 0 }, other_lease = { 0 };
	cleanup_rtnl struct rtnl nl = RTNL_INIT, in = RTNL_INIT;
	struct rtnl_link link;
	struct rtnl_addr a;
	cleanup_fd int ns = new_netns();
	char *now = NULL;

	if (access("/dev/net/tun", R_OK | W_OK) < 0) {
		skip("join: needs /dev/net/tun");
		return;
	}
	need(rtnl_open(&nl, -1, &e) == 0 && rtnl_open(&in, ns, &e) == 0);
	need(veth_make(&nl, "vjoin0", 0, "amphi:test", "eth0", mac, 1400, ns, &e) == 0);
	need(rtnl_link_get(&in, "eth0", 0, &link, &e) == 0);
	rtnl_addr_parse("10.0.0.2/24", true, &a);
	is_int(rtnl_iface_add_address(&in, link.index, &a, &e), 0);
	is_int(network_join(&ref, ns, 1, true, &l, &e), 0);
	need(l.n_ifaces == 1);
	is_int(network_join_changes(ns, &l, &now, &e), 0);
	/* an address, a MAC address, an MTU above what the machine began with */
	rtnl_addr_parse("fd00::2/64", true, &a);
	is_int(rtnl_iface_add_address(&in, link.index, &a, &e), 0);
	is_int(rtnl_link_change(&in, link.index, &(struct rtnl_change){ .mac = other, .mtu = 1500 }, &e), 0);
	is_int(network_join_changes(ns, &l, &now, &e), 1);
	has_str(now, "fd00::2/64");
	has_str(now, "\"mac\":\"02:00:00:00:00:08\",\"was\":\"02:00:00:00:00:07\",\"mtu\":1500");
	ok(!strstr(now, "noIpv6"));
	free(now);
	is_int(rtnl_link_del(&nl, "vjoin0", &e), 0);
	ok(network_join_changes(ns, &l, &now, &e) < 0);
	has_str(e.msg, "link eth0 was there when the machine was created");
	/* an empty namespace: the spare tap waits for its first link, and keeps nobody else out before */
	network_lease_free(&l);
	is_int(network_join(&ref, ns, 1, true, &l, &e), 0);
	need(l.n_ifaces == 1);
	is_str(now = network_lease_guest(&l), "{\"interfaces\":[]}");
	free(now);
	is_int(network_join_changes(ns, &l, &now, &e), 0);
	is_int(network_join(&(struct network_ref){ .id = "k", .owner = dir }, ns, 1, false, &other_lease, &e), 0);
	is_int(other_lease.n_ifaces, 0);
	network_lease_free(&other_lease);
	need(veth_make(&nl, "vjoin0", 0, "amphi:test", "eth0", other, 1400, ns, &e) == 0);
	need(rtnl_link_get(&in, "eth0", 0, &link, &e) == 0);
	is_int(network_join_changes(ns, &l, &now, &e), 0);
	is_int(rtnl_iface_add_address(&in, link.index, &a, &e), 0);
	is_int(network_join_changes(ns, &l, &now, &e), 1);
	has_str(now, "\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:08\",\"was\":\"");
	free(now);
	is_int(network_join(&(struct network_ref){ .id = "k", .owner = dir }, ns, 1, false, &other_lease, &e), -EBUSY);
	is_int(rtnl_link_del(&nl, "vjoin0", &e), 0);
}

static void test_many(void)
{
	size_t before = count_links();
	int bad = 0;

	for (int i = 0; i < 50; i++) {
		struct network_lease l = { 0 };
		int ns = new_netns();

		bad += attach("loop", ns, "default", NULL, &l) < 0;
		network_lease_free(&l);
		bad += detach("loop") < 0;
		close(ns);
	}
	is_int(bad, 0);
	is_int(count_links(), before);
	is_int(count_files("attached"), 0);
}

static void test_parallel(void)
{
	pid_t pids[20];
	int bad = 0, distinct = 0;

	for (int i = 0; i < 20; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			for (int k = 0; k < 5; k++) {
				cleanup_free char *id = xasprintf("p%d-%d", i, k);
				struct network_lease l = { 0 };

				if (attach(id, -1, "default", NULL, &l) < 0)
					_exit(1);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < 20; i++) {
		int st = 0;

		waitpid(pids[i], &st, 0);
		bad += st != 0;
	}
	is_int(bad, 0);
	distinct = (int)count_files("ipam/default");
	is_int(distinct, 100);
	is_int(count_files("attached"), 100);
	for (int i = 0; i < 20; i++)
		for (int k = 0; k < 5; k++) {
			cleanup_free char *id = xasprintf("p%d-%d", i, k);

			bad += detach(id) < 0;
		}
	is_int(bad, 0);
	is_int(count_files("ipam/default"), 0);
}

int main(void)
{
	cleanup_free char *nets = NULL;

	if (getuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		skip("needs root and network namespaces");
		return tap_done();
	}
	host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	need(mkdtemp(dir));
	nets = path_join(dir, "nets");
	setenv("AMPHI_NETWORK_DIR", nets, 1);
	test_container();
	test_machine();
	test_join();
	test_many();
	test_parallel();
	path_remove_tree(AT_FDCWD, dir, true);
	return tap_done();
}
