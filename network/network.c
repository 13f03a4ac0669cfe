/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network: attach and detach.
 *
 * Theory of operation: everything happens under the one lock of the network directory. attach first decides
 * (addresses are leased, names and ports chosen), then writes the lease down (attached/KEY.json), then acts: host
 * ports, bridge, firewall table, links, port elements, names. On any failure it runs detach, which needs only that
 * record, or, when the process was killed before the record existed, only the key: address files name it. detach
 * goes through all parts whatever fails, reports the first failure and removes the record last, so it can be run
 * again. Reload, prune and removal of networks are in network_prune.c, joined namespaces in network_join.c.
 */
#include "network/network.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "network/attached.h"
#include "network/cni.h"
#include "network/conntrack.h"
#include "network/dns.h"
#include "network/endpoint.h"
#include "network/filter.h"
#include "network/nat.h"
#include "network/netdir.h"
#include "network/network_def.h"
#include "network/network_lease.h"
#include "network/resolver.h"

static void lease_begin(struct network_lease *l, const struct network_request *req)
{
	*l = (struct network_lease){ .kind = req->kind };
	l->ref = (struct network_ref){ .dir = xstrdup(req->ref.dir),
				       .id = xstrdup(req->ref.id),
				       .owner = xstrdup(req->ref.owner) };
	if (!req->no_files)
		l->files_dir = xstrdup(req->files_dir ? req->files_dir : req->ref.owner);
	strv_add(&l->names, req->hostname ? req->hostname : req->ref.id);
	if (req->name && !strv_has(l->names, req->name))
		strv_add(&l->names, req->name);
	if (!strv_has(l->names, req->ref.id))
		strv_add(&l->names, req->ref.id);
	for (size_t i = 0; i < req->n_ports; i++) {
		l->ports = xreallocarray(l->ports, l->n_ports + 1, sizeof(*l->ports));
		l->ports[l->n_ports++] = req->ports[i];
	}
}

static bool needs_nat(const struct network *n)
{
	return !n->foreign && (n->masquerade || n->internal || n->isolate == NETWORK_ISOLATE_YES);
}

/* Brings the firewall table up to date with the definitions in nets, unless it is. */
static int sync_nat(const struct netdir *nd, const struct network *nets, size_t n, bool ports, struct err *err)
{
	cleanup_free char *known = NULL;
	cleanup_strv char **names = NULL;
	bool need = ports, missing = false;
	size_t len;
	int r;

	if (!fd_slurp_at(nd->run_fd, "nat", 1 << 20, &known, &len))
		names = strv_split(known, '\n');
	for (size_t i = 0; i < n; i++) {
		need |= needs_nat(&nets[i]);
		missing |= !nets[i].foreign && !strv_has(names, nets[i].name);
	}
	if (!need)
		return 0;
	r = nat_present(err);
	if (r < 0)
		return r;
	return r && !missing ? 0 : attached_rebuild_nat(nd, NULL, err);
}

/* Two endpoints with one MAC address would take each other's frames. */
static int check_mac(const struct netdir *nd, const struct network_iface *f, struct err *err)
{
	struct network_lease *v = NULL;
	char mac[RTNL_MAC_TEXT];
	size_t n = 0;
	int r = attached_list(nd, &v, &n, err);

	for (size_t i = 0; r >= 0 && i < n; i++)
		for (size_t k = 0; r >= 0 && k < v[i].n_ifaces; k++)
			if (v[i].ifaces[k].network && !strcmp(v[i].ifaces[k].network, f->network) &&
			    !memcmp(v[i].ifaces[k].set.mac, f->set.mac, RTNL_MAC_LEN))
				r = err_set(err, -EADDRINUSE, "MAC address %s is in use by container %s",
					    rtnl_mac_text(f->set.mac, mac), v[i].ref.id);
	attached_list_free(v, n);
	return r;
}

/* An interface's part of a plan. */
static int plan_one(const struct netdir *nd, const struct network *n, const struct network_attachment *a,
		    const struct network_lease *l, unsigned int index, bool gateways, struct network_iface *f,
		    struct err *err)
{
	int r = endpoint_plan(nd, n, a, l, index, gateways, f, err);

	if (r >= 0 && a->has_mac)
		r = check_mac(nd, f, err);
	return r < 0 ? err_wrap(err, "network %s", n->name) : 0;
}

/* Every network's part of the plan. *nets: definitions parallel to lease->ifaces[from…], owned by the caller. */
static int plan(const struct netdir *nd, const struct network_request *req, struct network_lease *l, size_t from,
		struct network *nets, struct err *err)
{
	bool default4 = from > 0, default6 = from > 0;

	for (size_t i = 0; i < req->n_nets; i++) {
		struct network_iface *f;
		int r = network_def_load_in(nd, req->nets[i].network, &nets[i], err);

		if (r < 0)
			return r;
		f = network_lease_add_iface(l);
		r = plan_one(nd, &nets[i], &req->nets[i], l, (unsigned int)(from + i), true, f, err);
		if (r < 0)
			return r;
		for (size_t k = 0; k + 1 < l->n_ifaces; k++)
			if (!strcmp(l->ifaces[k].set.name, f->set.name))
				return err_set(err, -EEXIST, "network %s: interface %s is used twice", nets[i].name,
					       f->set.name);
		/* The first network with a way out has the default route. */
		for (size_t k = 0; k < f->set.n_routes;) {
			bool *have = f->set.routes[k].gateway.family == AF_INET ? &default4 : &default6;

			if (!*have) {
				*have = true;
				k++;
				continue;
			}
			memmove(&f->set.routes[k], &f->set.routes[k + 1],
				(f->set.n_routes - k - 1) * sizeof(*f->set.routes));
			f->set.n_routes--;
		}
	}
	return 0;
}

static int check_request(const struct network_request *req, const struct network_lease *l, const struct network *nets,
			 struct err *err)
{
	bool published = false;

	if (req->kind == NETWORK_CONTAINER && req->netns_fd < 0)
		return err_set(err, -EINVAL, "network: a container needs a network namespace");
	if (!l->n_ports)
		return 0;
	for (size_t i = 0; i < req->n_nets; i++)
		published |= !nets[i].internal && !nets[i].foreign;
	if (!published)
		return err_set(err, -EINVAL, "--publish: network %s is %s; ports cannot be published",
			       req->nets[0].network, nets[0].internal ? "internal" : "on a foreign bridge");
	return 0;
}

/* Acts on the recorded plan. */
static int carry_out(const struct netdir *nd, const struct network_request *req, struct network_lease *l, size_t from,
		     const struct network *nets, const char *key, struct err *err)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	cleanup_str struct str text = { 0 };
	int r = nat_reserve(nd, l, key, err);

	if (r < 0)
		return r;
	netdir_stop_at("ports");
	/* The firewall first: no endpoint is ever without it. */
	r = sync_nat(nd, nets, req->n_nets, l->n_ports > 0, err);
	netdir_stop_at("firewall");
	if (r >= 0)
		r = rtnl_open(&nl, -1, err);
	for (size_t i = 0; r >= 0 && i < req->n_nets; i++) {
		r = endpoint_make(&nl, &nets[i], &req->nets[i], l, &l->ifaces[from + i], req->netns_fd, req->tap_queues,
				  err);
		if (r < 0)
			return err_wrap(err, "network %s", nets[i].name);
	}
	if (r >= 0 && l->n_ports) {
		nat_elements(&text, "add", l);
		r = nat_run(str_get(&text), err);
	}
	if (r >= 0)
		conntrack_forget(l);
	netdir_stop_at("elements");
	for (size_t i = 0; r >= 0 && i < req->n_nets; i++)
		filter_warn(nd, &nets[i]);
	return r;
}

static int attach_cni(const struct netdir *nd, const struct network_request *req, struct network_lease *l,
		      struct err *err)
{
	char key[NETDIR_KEY];
	int r;

	netdir_key(req->ref.id, req->ref.owner, key);
	/* Tells the undo whose business this is. */
	l->netns_path = xasprintf("%s/cni/%s.netns", nd->run, key);
	r = attached_save(nd, key, l, err);
	if (r >= 0)
		r = cni_attach(nd, req, l, err);
	return r < 0 ? r : attached_save(nd, key, l, err);
}

static int attach(const struct netdir *nd, const struct network_request *req, struct network_lease *l,
		  struct network *nets, struct err *err)
{
	char key[NETDIR_KEY];
	int r;

	netdir_key(req->ref.id, req->ref.owner, key);
	if (req->cni_config)
		return attach_cni(nd, req, l, err);
	r = plan(nd, req, l, 0, nets, err);
	if (r >= 0)
		r = check_request(req, l, nets, err);
	netdir_stop_at("leased");
	if (r >= 0)
		r = attached_save(nd, key, l, err);
	netdir_stop_at("recorded");
	if (r >= 0)
		r = carry_out(nd, req, l, 0, nets, key, err);
	for (size_t i = 0; r >= 0 && l->files_dir && i < l->n_ifaces; i++)
		resolver_start(nd, &nets[i]);
	netdir_stop_at("resolver");
	if (r >= 0)
		r = dns_write(nd, req, l, nets, err);
	for (size_t i = 0; r >= 0 && i < l->n_ifaces; i++)
		if (nets[i].dns) {
			dns_publish(nd, l, &l->ifaces[i], true);
			resolver_refresh(nd, nets[i].name);
		}
	netdir_stop_at("names");
	/* Once more: the MTU is known only now. */
	return r < 0 ? r : attached_save(nd, key, l, err);
}

static void free_nets(struct network *nets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		network_def_free(&nets[i]);
	free(nets);
}

int network_attach(const struct network_request *req, struct network_lease *ret, struct err *err)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	struct network *nets = xcalloc(req->n_nets ? req->n_nets : 1, sizeof(*nets));
	struct network_lease l;
	int r;

	lease_begin(&l, req);
	r = netdir_open(req->ref.dir, true, &nd, err);
	if (r >= 0) {
		r = attached_detach(&nd, &req->ref, err);
		if (r >= 0) {
			r = attach(&nd, req, &l, nets, err);
			if (r < 0) {
				struct err undo = { 0 };

				if (attached_detach(&nd, &req->ref, &undo) < 0)
					log_warn("network: undo of a failed attach: %s", undo.msg);
			}
		}
	}
	free_nets(nets, req->n_nets);
	if (r < 0) {
		network_lease_free(&l);
		return r;
	}
	*ret = l;
	return 0;
}

int network_detach(const struct network_ref *ref, struct err *err)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	int r = netdir_open(ref->dir, true, &nd, err);

	return r < 0 ? r : attached_detach(&nd, ref, err);
}

/* ---- a running container -------------------------------------------------------------------------------- */

static int connect_one(const struct netdir *nd, const struct network_request *req, struct network_lease *l,
		       struct err *err)
{
	struct network_lease before = { 0 };
	struct network n = { 0 };
	char key[NETDIR_KEY];
	size_t from = l->n_ifaces;
	int r;

	netdir_key(req->ref.id, req->ref.owner, key);
	for (size_t i = 0; i < from; i++)
		if (l->ifaces[i].network && !strcmp(l->ifaces[i].network, req->nets[0].network))
			return err_set(err, -EEXIST, "container %s is connected to network %s already", req->ref.id,
				       req->nets[0].network);
	/* The next free number: interfaces may have gone in between. */
	for (size_t i = 0; i < from; i++) {
		const char *h = l->ifaces[i].host_link;
		size_t number = h[0] ? strtoul(h + strlen(h) - 1, NULL, 16) : i;

		if (number >= from)
			from = number + 1;
	}
	if (from > 15)
		return err_set(err, -ENOSPC, "container %s: no free interface number", req->ref.id);
	r = network_def_load_in(nd, req->nets[0].network, &n, err);
	if (r >= 0) {
		struct network_iface *f = network_lease_add_iface(l);

		r = plan_one(nd, &n, &req->nets[0], l, (unsigned int)from, false, f, err);
		if (r >= 0)
			r = attached_save(nd, key, l, err);
	}
	if (r >= 0) {
		struct network_request one = *req;

		one.ports = NULL;
		one.n_ports = 0;
		before.ref = l->ref;
		before.kind = l->kind;
		before.ifaces = &l->ifaces[l->n_ifaces - 1];
		before.n_ifaces = 1;
		r = carry_out(nd, &one, &before, 0, &n, key, err);
	}
	if (r >= 0)
		r = attached_save(nd, key, l, err);
	if (r >= 0 && n.dns) {
		dns_publish(nd, l, &l->ifaces[l->n_ifaces - 1], true);
		dns_learn(nd, l, &l->ifaces[l->n_ifaces - 1]);
		resolver_refresh(nd, n.name);
	}
	if (r < 0 && l->n_ifaces > 0 && n.name)
		(void)attached_drop_iface(nd, l, l->n_ifaces - 1, NULL);
	network_def_free(&n);
	return r;
}

int network_connect(const struct network_request *req, struct network_lease *ret, struct err *err)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	cleanup_network_lease struct network_lease l = { 0 };
	bool fresh;
	int r;

	if (req->kind != NETWORK_CONTAINER)
		return err_set(err, -ENOTSUP, "a machine's network interfaces are fixed when it starts");
	if (req->n_nets != 1 || req->netns_fd < 0)
		return err_set(err, -EINVAL, "network connect: one network and a network namespace are needed");
	r = netdir_open(req->ref.dir, true, &nd, err);
	if (r >= 0)
		r = attached_load(&nd, &req->ref, &l, err);
	fresh = r == -ENOENT;
	if (fresh) {
		lease_begin(&l, req);
		r = 0;
	}
	if (r >= 0 && l.kind != NETWORK_CONTAINER)
		return err_set(err, -ENOTSUP, "a machine's network interfaces are fixed when it starts");
	if (r >= 0)
		r = connect_one(&nd, req, &l, err);
	if (r < 0 && fresh)
		(void)attached_detach(&nd, &req->ref, NULL);
	if (r < 0)
		return r;
	*ret = l;
	l = (struct network_lease){ 0 };
	return 0;
}

int network_disconnect(const struct network_ref *ref, const char *network, struct err *err)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	cleanup_network_lease struct network_lease l = { 0 };
	int r = netdir_open(ref->dir, true, &nd, err);

	if (r >= 0)
		r = attached_load(&nd, ref, &l, err);
	if (r == -ENOENT)
		return err_set(err, r, "container %s is connected to no network", ref->id);
	if (r < 0)
		return r;
	if (l.kind != NETWORK_CONTAINER)
		return err_set(err, -ENOTSUP, "a machine's network interfaces are fixed when it starts");
	for (size_t i = 0; i < l.n_ifaces; i++)
		if (l.ifaces[i].network && !strcmp(l.ifaces[i].network, network))
			return attached_drop_iface(&nd, &l, i, err);
	return err_set(err, -ENOENT, "container %s is not connected to network %s", ref->id, network);
}

/* ---- looking -------------------------------------------------------------------------------------------- */

static int check_iface(struct rtnl *host, struct rtnl *inside, const struct network_iface *f, struct err *err)
{
	struct rtnl_link link;
	struct rtnl_iface now = { 0 };
	int r;

	if (f->host_link[0]) {
		r = rtnl_link_get(host, f->host_link, 0, &link, err);
		if (r == -ENODEV)
			return err_set(err, -ENOENT, "link %s of interface %s is missing", f->host_link, f->set.name);
		if (r < 0)
			return r;
		if (f->bridge && !link.master)
			return err_set(err, -ENOENT, "link %s is not in bridge %s", f->host_link, f->bridge);
	}
	if (inside->fd < 0)
		return 0;
	r = rtnl_link_get(inside, f->set.name, 0, &link, err);
	if (r == -ENODEV)
		return err_set(err, -ENOENT, "interface %s is missing", f->set.name);
	if (r >= 0)
		r = rtnl_iface_scan(inside, &link, &now, err);
	for (size_t i = 0; r >= 0 && i < f->set.n_addrs; i++) {
		bool found = false;
		char a[RTNL_ADDR_TEXT];

		for (size_t k = 0; k < now.n_addrs; k++)
			found |= rtnl_addr_equal(&now.addrs[k], &f->set.addrs[i]);
		if (!found)
			r = err_set(err, -ENOENT, "interface %s lacks address %s", f->set.name,
				    rtnl_addr_text(&f->set.addrs[i], true, a));
	}
	rtnl_iface_free(&now);
	return r;
}

int network_check(const struct network_lease *lease, int netns_fd, struct err *err)
{
	cleanup_rtnl struct rtnl host = RTNL_INIT, inside = RTNL_INIT;
	int r = rtnl_open(&host, -1, err);

	if (r >= 0 && netns_fd >= 0)
		r = rtnl_open(&inside, netns_fd, err);
	for (size_t i = 0; r >= 0 && i < lease->n_ifaces; i++)
		r = check_iface(&host, &inside, &lease->ifaces[i], err);
	if (r >= 0 && lease->netns_path) {
		cleanup_netdir struct netdir nd = NETDIR_INIT;

		r = netdir_open(lease->ref.dir, true, &nd, err);
		return r < 0 ? r : cni_check(&nd, lease, netns_fd, err);
	}
	if (r >= 0 && lease->n_ports) {
		r = nat_present(err);
		if (r == 0)
			r = err_set(err, -ENOENT, "firewall table is missing (amphi network reload puts it back)");
	}
	return r < 0 ? r : 0;
}

static void add_stats(struct network_stats **v, size_t *n, const char *name, const struct rtnl_link *l, bool swap)
{
	struct network_stats *s;

	*v = xreallocarray(*v, *n + 1, sizeof(**v));
	s = &(*v)[(*n)++];
	*s = (struct network_stats){ .rx_bytes = swap ? l->tx_bytes : l->rx_bytes,
				     .rx_packets = swap ? l->tx_packets : l->rx_packets,
				     .rx_errors = swap ? l->tx_errors : l->rx_errors,
				     .rx_dropped = swap ? l->tx_dropped : l->rx_dropped,
				     .tx_bytes = swap ? l->rx_bytes : l->tx_bytes,
				     .tx_packets = swap ? l->rx_packets : l->tx_packets,
				     .tx_errors = swap ? l->rx_errors : l->tx_errors,
				     .tx_dropped = swap ? l->rx_dropped : l->tx_dropped };
	snprintf(s->name, sizeof(s->name), "%s", name);
}

int network_stats(const struct network_lease *lease, int netns_fd, struct network_stats **ret, size_t *ret_n,
		  struct err *err)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	cleanup_free struct rtnl_link *links = NULL;
	struct network_stats *v = NULL;
	size_t n = 0, n_links = 0;
	int r = rtnl_open(&nl, netns_fd, err);

	if (r >= 0)
		r = rtnl_link_list(&nl, &links, &n_links, err);
	for (size_t i = 0; r >= 0 && i < n_links; i++) {
		if (netns_fd >= 0) {
			/* a machine's tap repeats what its link counts */
			if (!(links[i].flags & IFF_LOOPBACK) && !str_starts(links[i].name, ENDPOINT_TAP))
				add_stats(&v, &n, links[i].name, &links[i], false);
			continue;
		}
		for (size_t k = 0; lease && k < lease->n_ifaces; k++)
			if (lease->ifaces[k].host_link[0] && !strcmp(lease->ifaces[k].host_link, links[i].name))
				add_stats(&v, &n, lease->ifaces[k].set.name, &links[i], true);
	}
	if (r < 0) {
		free(v);
		return r;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

static int look_network(const struct network *n, char **ret_what, char **ret_remedy, struct err *err)
{
	cleanup_free char *what = NULL;
	int r = filter_blocks(n, FILTER_FORWARD, &what, ret_remedy, err);

	if (r > 0)
		*ret_what = xasprintf("network %s (bridge %s): %s", n->name, n->bridge, what);
	if (r || !n->dns)
		return r;
	r = filter_blocks(n, FILTER_INPUT, &what, ret_remedy, err);
	if (r > 0)
		*ret_what = xasprintf("network %s (bridge %s): no names by DNS: %s", n->name, n->bridge, what);
	return r;
}

int network_blocked(const char *dir, char **ret_what, char **ret_remedy, struct err *err)
{
	const struct network usual = { .name = (char *)"default",
				       .bridge = (char *)"amphi0",
				       .n_subnets = 1,
				       .subnets = { { .net = { .family = AF_INET, .prefix = 24, .b = { 10, 89 } } } },
				       .dns = true };
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	struct network *nets = NULL;
	size_t n = 0;
	int r = 0;

	if (netdir_exists(dir)) {
		r = netdir_open(dir, false, &nd, err);
		if (r >= 0)
			r = network_def_load_all(&nd, &nets, &n, err);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = look_network(&nets[i], ret_what, ret_remedy, err);
	if (r == 0 && !n)
		r = look_network(&usual, ret_what, ret_remedy, err);
	free_nets(nets, n);
	return r;
}

int network_endpoints(const char *dir, const char *name, struct network_lease **ret, size_t *ret_n, struct err *err)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	struct network_lease *v = NULL;
	size_t n = 0, kept = 0;
	int r = netdir_open(dir, false, &nd, err);

	if (r >= 0)
		r = attached_list(&nd, &v, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		bool on = false;

		for (size_t k = 0; k < v[i].n_ifaces; k++)
			on |= v[i].ifaces[k].network && !strcmp(v[i].ifaces[k].network, name);
		if (on)
			v[kept++] = v[i];
		else
			network_lease_free(&v[i]);
	}
	*ret = v;
	*ret_n = kept;
	return 0;
}
