/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_join: a machine in a network namespace that somebody else made.
 *
 * Theory of operation: an engine or a chain of CNI plugins leaves a namespace with configured links (veth, macvlan,
 * ipvlan, whatever). Each link that has an address is joined to a new tap by tc redirects in both directions, and
 * what it has (MAC address, MTU, addresses, routes, permanent neighbours) becomes the guest's configuration. The
 * link keeps its own configuration, so its maker's CHECK and DEL find what they left; it never sees a packet, because
 * the redirect takes every one. Undoing means removing the redirects; the taps go with their descriptors.
 * A user's machine has its namespace in a user namespace of the user's: a child enters both, joins what pasta made there, and
 * sends the taps and the lease home.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "network/endpoint.h"
#include "network/netdir.h"
#include "network/network.h"
#include "network/network_lease.h"
#include "network/tap.h"
#include "network/tc.h"

/* A link without an IPv6 address has no IPv6 in the guest either. */
static void set_no_ipv6(struct rtnl_iface *i)
{
	i->no_ipv6 = true;
	for (size_t k = 0; k < i->n_addrs; k++)
		i->no_ipv6 &= i->addrs[k].family != AF_INET6;
}

/* Of the number-th interface. */
static void tap_name(char ret[IFNAMSIZ], const char *key, size_t number)
{
	snprintf(ret, IFNAMSIZ, ENDPOINT_TAP "%.12s%zx", key, number & 15);
}

static int make_tap(int netns_fd, const char *key, size_t number, uint16_t queues, char name[IFNAMSIZ],
		    struct network_iface *f, struct err *err)
{
	int r;

	tap_name(name, key, number);
	r = tap_open(name, netns_fd, queues ? queues : 1, f->tap_fds, err);
	if (r >= 0)
		f->n_taps = queues ? queues : 1;
	return r;
}

static int join_tap(struct rtnl *nl, const struct rtnl_link *link, const char *name, struct err *err)
{
	struct rtnl_link tap;
	int r = rtnl_link_get(nl, name, 0, &tap, err);

	if (r >= 0)
		r = rtnl_link_change(nl, tap.index, &(struct rtnl_change){ .mtu = link->mtu, .up = 1 }, err);
	if (r >= 0)
		r = tc_join(nl, link->index, tap.index, err);
	return r < 0 ? err_wrap(err, "join %s to a tap", link->name) : 0;
}

static int join_link(struct rtnl *nl, int netns_fd, const struct rtnl_link *link, const char *key, size_t number,
		     uint16_t queues, struct network_iface *f, struct err *err)
{
	char name[IFNAMSIZ];
	int r = make_tap(netns_fd, key, number, queues, name, f, err);

	return r < 0 ? r : join_tap(nl, link, name, err);
}

/* A tap for a link that may come later, under a MAC address that it then gives up. */
static int add_spare(int netns_fd, const char *key, uint16_t queues, struct network_lease *l, struct err *err)
{
	struct network_iface *f = network_lease_add_iface(l);

	if (getrandom(f->set.mac, RTNL_MAC_LEN, 0) != RTNL_MAC_LEN)
		return err_sys(err, -errno, "getrandom");
	f->set.mac[0] = (uint8_t)((f->set.mac[0] & 0xfc) | 2);
	return make_tap(netns_fd, key, 0, queues, f->host_link, f, err);
}

static bool is_candidate(const struct rtnl_link *link)
{
	return !(link->flags & IFF_LOOPBACK) && !str_starts(link->name, ENDPOINT_TAP);
}

static int join_all(struct rtnl *nl, int netns_fd, const char *key, uint16_t queues, struct network_lease *l,
		    struct err *err)
{
	cleanup_free struct rtnl_link *links = NULL;
	size_t n = 0, number = 0;
	int r = rtnl_link_list(nl, &links, &n, err);

	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct rtnl_iface set = { 0 };

		if (!is_candidate(&links[i]))
			continue;
		r = rtnl_iface_scan(nl, &links[i], &set, err);
		if (r < 0)
			break;
		if (!set.n_addrs) {
			rtnl_iface_free(&set);
			continue;
		}
		if (number == 16) {
			rtnl_iface_free(&set);
			return err_set(err, -E2BIG, "network namespace: more than 16 links with addresses");
		}
		set_no_ipv6(&set);
		network_lease_add_iface(l)->set = set;
		r = join_link(nl, netns_fd, &links[i], key, number++, queues, &l->ifaces[l->n_ifaces - 1], err);
	}
	return r;
}

/*
 * A tap of another machine than key's in the list, or NULL: it has the links, and a link has one place to redirect to. Where
 * no link is the tap is a spare one, and has none.
 */
static const char *foreign_tap(const struct rtnl_link *links, size_t n, const char *key)
{
	cleanup_free char *own = xasprintf(ENDPOINT_TAP "%.12s", key);
	const char *tap = NULL;
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		any |= is_candidate(&links[i]);
		if (str_starts(links[i].name, ENDPOINT_TAP) && !str_starts(links[i].name, own))
			tap = links[i].name;
	}
	return any ? tap : NULL;
}

/* Who came later would silently take the links from the machine that is there. */
static int check_free(struct rtnl *nl, const char *key, struct err *err)
{
	cleanup_free struct rtnl_link *links = NULL;
	const char *tap;
	size_t n = 0;
	int r = rtnl_link_list(nl, &links, &n, err);

	tap = r < 0 ? NULL : foreign_tap(links, n, key);
	return tap ? err_set(err, -EBUSY,
			     "network namespace: another machine has its links already (tap %s); "
			     "machines cannot share one, containers of a pod can",
			     tap) :
		     r;
}

int network_join(const struct network_ref *ref, int netns_fd, uint16_t queues, bool spare, struct network_lease *ret,
		 struct err *err)
{
	struct network_lease l = { .kind = NETWORK_MACHINE };
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	char key[NETDIR_KEY];
	int r;

	netdir_key(ref->id, ref->owner, key);
	l.ref = (struct network_ref){ .id = xstrdup(ref->id), .owner = xstrdup(ref->owner) };
	r = rtnl_open(&nl, netns_fd, err);
	if (r >= 0)
		r = check_free(&nl, key, err);
	if (r < 0) {
		network_lease_free(&l);
		return r;
	}
	r = join_all(&nl, netns_fd, key, queues, &l, err);
	if (r >= 0 && !l.n_ifaces && spare)
		r = add_spare(netns_fd, key, queues, &l, err);
	if (r < 0) {
		(void)network_join_undo(ref, netns_fd, NULL);
		network_lease_free(&l);
		return r;
	}
	*ret = l;
	return 0;
}

static char *iface_text(const struct rtnl_iface *i)
{
	struct json_writer w = { 0 };

	rtnl_iface_save(&w, NULL, i);
	return json_w_steal(&w);
}

/* What the joined link of the name has now, beside what its machine was told. 0, 1 (another state) or -errno. */
static int look_again(struct rtnl *nl, const struct rtnl_iface *told, const char *tap, struct rtnl_iface *ret,
		      struct err *err)
{
	cleanup_free char *before = iface_text(told), *after = NULL;
	struct rtnl_link link;
	int r = rtnl_link_get(nl, told->name, 0, &link, NULL);

	if (r < 0)
		return err_sys(err, r, "network namespace: link %s was there when the machine was created", told->name);
	r = rtnl_iface_scan(nl, &link, ret, err);
	if (r < 0)
		return r;
	set_no_ipv6(ret);
	after = iface_text(ret);
	memcpy(ret->was, told->mac, RTNL_MAC_LEN);
	if (!strcmp(before, after))
		return 0;
	r = join_tap(nl, &link, tap, err); /* whose MTU follows; and the link may be another by now */
	return r < 0 ? r : 1;
}

/* The first link with an address takes the spare tap; there is no other. 1, 0 (none yet) or -errno. */
static int join_spare(struct rtnl *nl, const struct network_iface *spare, struct network_lease *now, struct err *err)
{
	cleanup_free struct rtnl_link *links = NULL;
	size_t n = 0;
	int r = rtnl_link_list(nl, &links, &n, err), joined = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct rtnl_iface set = { 0 };

		if (!is_candidate(&links[i]))
			continue;
		r = rtnl_iface_scan(nl, &links[i], &set, err);
		if (r < 0 || !set.n_addrs || joined) {
			if (set.n_addrs && joined)
				log_warn("network namespace: %s: a machine takes one link that came after it was "
					 "created",
					 links[i].name);
			rtnl_iface_free(&set);
			continue;
		}
		set_no_ipv6(&set);
		memcpy(set.was, spare->set.mac, RTNL_MAC_LEN);
		network_lease_add_iface(now)->set = set;
		r = join_tap(nl, &links[i], spare->host_link, err);
		joined = 1;
	}
	return r < 0 ? r : joined;
}

int network_join_changes(int netns_fd, const struct network_lease *told, char **ret, struct err *err)
{
	cleanup_network_lease struct network_lease now = { 0 };
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	char key[NETDIR_KEY], tap[IFNAMSIZ];
	bool changed = false;
	int r = rtnl_open(&nl, netns_fd, err);

	netdir_key(told->ref.id, told->ref.owner, key);
	for (size_t i = 0; r >= 0 && i < told->n_ifaces; i++) {
		const struct network_iface *f = &told->ifaces[i];

		tap_name(tap, key, i);
		r = f->host_link[0] ? join_spare(&nl, f, &now, err) :
				      look_again(&nl, &f->set, tap, &network_lease_add_iface(&now)->set, err);
		changed |= r > 0;
	}
	if (r < 0 || !changed)
		return r < 0 ? r : 0;
	*ret = network_lease_guest(&now);
	return 1;
}

#define ANSWER_MAX 65536
#define ANSWER_FDS 64

/* In the child: joins, and answers with the lease and its taps, or with the error. */
static int join_and_tell(int sock, const struct network_ref *ref, int pid, uint16_t queues)
{
	cleanup_free char *user = xasprintf("/proc/%d/ns/user", pid), *net = xasprintf("/proc/%d/ns/net", pid);
	cleanup_fd int userns = open(user, O_RDONLY | O_CLOEXEC), netns = open(net, O_RDONLY | O_CLOEXEC);
	struct network_lease l = { 0 };
	struct json_writer w = { 0 };
	struct err err = { 0 };
	int fds[ANSWER_FDS], r;
	size_t n = 0;

	if (userns < 0 || netns < 0 || setns(userns, CLONE_NEWUSER) < 0 || setns(netns, CLONE_NEWNET) < 0)
		r = err_sys(&err, -errno, "enter the machine's namespaces");
	else
		r = network_join(ref, -1, queues, false, &l, &err);
	if (r < 0)
		return fd_send(sock, &err, sizeof(err), NULL, 0);
	network_lease_save(&w, NULL, &l);
	cleanup_free char *text = json_w_steal(&w);

	for (size_t i = 0; i < l.n_ifaces; i++)
		for (unsigned int k = 0; k < l.ifaces[i].n_taps && n < ANSWER_FDS; k++)
			fds[n++] = l.ifaces[i].tap_fds[k];
	return fd_send(sock, text, strlen(text), fds, n);
}

/* The answer in buf: the lease gets its taps, queues for each interface. */
static int take_answer(const char *buf, size_t len, int *fds, size_t n, uint16_t queues, struct network_lease *ret,
		       struct err *err)
{
	cleanup_json_doc struct json_doc *doc = NULL;
	size_t k = 0;
	int r;

	if (*buf != '{') {
		if (len == sizeof(*err) && err)
			memcpy(err, buf, len);
		return len == sizeof(*err) && err ? err->code : -EIO;
	}
	doc = json_parse(buf, len, "lease", err);
	r = doc ? network_lease_load(json_root(doc), ret, err) : -EINVAL;
	if (r >= 0 && n != ret->n_ifaces * queues) {
		network_lease_free(ret);
		r = err_set(err, -EIO, "network namespace: %zu taps for %zu links", n, ret->n_ifaces);
	}
	for (size_t i = 0; r >= 0 && i < ret->n_ifaces; i++) {
		ret->ifaces[i].n_taps = queues;
		for (unsigned int q = 0; q < queues; q++)
			ret->ifaces[i].tap_fds[q] = steal_fd(fds[k++]);
	}
	return r;
}

int network_join_process(const struct network_ref *ref, int pid, uint16_t queues, struct network_lease *ret,
			 struct err *err)
{
	cleanup_free char *buf = xmalloc(ANSWER_MAX);
	int fds[ANSWER_FDS], sv[2], status, r;
	size_t n = ANSWER_FDS;
	ssize_t len;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(err, -errno, "socket");
	child = fork();
	if (child == 0)
		_exit(join_and_tell(sv[1], ref, pid, queues ? queues : 1) < 0);
	close(sv[1]);
	len = child < 0 ? -errno : fd_recv(sv[0], buf, ANSWER_MAX, fds, &n);
	close(sv[0]);
	if (child > 0)
		(void)child_wait(child, &status);
	if (len <= 0)
		return err_sys(err, len < 0 ? (int)len : -EIO, "join the machine's network namespace");
	r = take_answer(buf, (size_t)len, fds, n, queues ? queues : 1, ret, err);
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return r < 0 ? r : 0;
}

int network_join_undo(const struct network_ref *ref, int netns_fd, struct err *err)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	cleanup_free struct rtnl_link *links = NULL;
	char key[NETDIR_KEY];
	size_t n = 0;
	int r = rtnl_open(&nl, netns_fd, err);

	netdir_key(ref->id, ref->owner, key);
	if (r >= 0)
		r = rtnl_link_list(&nl, &links, &n, err);
	if (r >= 0 && foreign_tap(links, n, key))
		return 0;
	for (size_t i = 0; r >= 0 && i < n; i++)
		if (is_candidate(&links[i]))
			r = tc_unjoin(&nl, links[i].index, err);
	return r < 0 ? r : 0;
}
