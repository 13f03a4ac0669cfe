/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attached: the records of attachments.
 *
 * Theory of operation: attached/KEY.json is the lease document of one attachment. It is written before the first
 * link is made and removed after the last trace is gone. Undoing works through the parts a lease names: neighbours'
 * names, firewall elements, host ports, links, addresses. Each part may be missing already; a failure is kept and
 * the rest is still done.
 */
#include "network/attached.h"

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
#include "network/cni.h"
#include "network/conntrack.h"
#include "network/dns.h"
#include "network/endpoint.h"
#include "network/nat.h"
#include "network/network_def.h"
#include "network/network_lease.h"
#include "network/resolver.h"

#define RECORD_MAX (4 << 20)

static void record_name(const char *key, char ret[32])
{
	snprintf(ret, 32, "%.16s.json", key);
}

int attached_save(const struct netdir *nd, const char *key, const struct network_lease *l, struct err *err)
{
	cleanup_fd int dir = netdir_sub(nd, "attached", err);
	cleanup_free char *text = NULL;
	struct json_writer w = { .indent = 1 };
	char name[32];
	int r;

	if (dir < 0)
		return dir;
	record_name(key, name);
	network_lease_save(&w, NULL, l);
	text = json_w_steal(&w);
	r = path_write_atomic(dir, name, text, strlen(text), 0644);
	return r < 0 ? err_sys(err, r, "write %s/attached/%s", nd->run, name) : 0;
}

static int load(int dir, const char *name, const char *conf, struct network_lease *ret, struct err *err)
{
	cleanup_free char *text = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	size_t len;
	int r = fd_slurp_at(dir, name, RECORD_MAX, &text, &len);

	if (r == -ENOENT)
		return err_set(err, r, "no network attachment");
	if (r < 0)
		return err_sys(err, r, "read attached/%s", name);
	doc = json_parse(text, len, name, err);
	r = doc ? network_lease_load(json_root(doc), ret, err) : -EINVAL;
	if (r >= 0)
		ret->ref.dir = xstrdup(conf);
	return r < 0 ? err_wrap(err, "attached/%s", name) : 0;
}

int attached_load(const struct netdir *nd, const struct network_ref *ref, struct network_lease *ret, struct err *err)
{
	cleanup_fd int dir = netdir_sub(nd, "attached", err);
	char key[NETDIR_KEY], name[32];

	if (dir < 0)
		return dir;
	netdir_key(ref->id, ref->owner, key);
	record_name(key, name);
	return load(dir, name, nd->conf, ret, err);
}

void attached_list_free(struct network_lease *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		network_lease_free(&v[i]);
	free(v);
}

int attached_list(const struct netdir *nd, struct network_lease **ret, size_t *ret_n, struct err *err)
{
	cleanup_dir DIR *d = NULL;
	struct network_lease *v = NULL;
	size_t n = 0;
	int fd = netdir_sub(nd, "attached", err);

	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return err_sys(err, -ENOMEM, "read %s/attached", nd->run);
	}
	for (struct dirent *e; (e = readdir(d));) {
		struct network_lease l = { 0 };
		struct err why = { 0 };

		if (e->d_name[0] == '.' || !str_ends(e->d_name, ".json"))
			continue;
		if (load(fd, e->d_name, nd->conf, &l, &why) < 0) {
			log_warn("network: %s", why.msg);
			continue;
		}
		v = xreallocarray(v, n + 1, sizeof(*v));
		v[n++] = l;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

int attached_rebuild_nat(const struct netdir *nd, const char *without, struct err *err)
{
	struct network *nets = NULL;
	struct network_lease *leases = NULL;
	cleanup_str struct str text = { 0 }, names = { 0 };
	size_t n_nets = 0, n = 0;
	int r = network_def_load_all(nd, &nets, &n_nets, err);

	if (r >= 0)
		r = attached_list(nd, &leases, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		char key[NETDIR_KEY];

		netdir_key(leases[i].ref.id, leases[i].ref.owner, key);
		if (leases[i].netns_path || (without && !strcmp(key, without)))
			leases[i].n_ports = 0; /* nothing of this one */
	}
	if (r >= 0) {
		nat_table(&text, nets, n_nets, leases, n);
		r = nat_run(str_get(&text), err);
	}
	for (size_t i = 0; r >= 0 && i < n_nets; i++)
		str_addf(&names, "%s\n", nets[i].name);
	if (r >= 0)
		r = path_write_atomic(nd->run_fd, "nat", str_get(&names), names.len, 0644);
	attached_list_free(leases, n);
	for (size_t i = 0; i < n_nets; i++)
		network_def_free(&nets[i]);
	free(nets);
	return r;
}

/* Takes the port elements out; when not all of them were there, the table is written anew without them. */
static int remove_elements(const struct netdir *nd, const struct network_lease *l, const char *key, struct err *err)
{
	cleanup_str struct str text = { 0 };
	int r = nat_present(err);

	if (r > 0) {
		nat_elements(&text, "delete", l);
		r = 0;
		if (text.len && nat_run(str_get(&text), NULL) < 0)
			r = attached_rebuild_nat(nd, key, err);
	}
	conntrack_forget(l);
	return r;
}

/* Keeps the first failure. */
static void keep(int r, const struct err *e, int *first, struct err *err)
{
	if (r >= 0 || *first)
		return;
	*first = r;
	if (err)
		*err = *e;
}

static void undo_iface(const struct netdir *nd, struct rtnl *nl, const struct network_lease *l, size_t i,
		       const char *key, int *first, struct err *err)
{
	struct err e = { 0 };

	if (l->ifaces[i].network)
		dns_publish(nd, l, &l->ifaces[i], false);
	if (nl->fd >= 0)
		keep(endpoint_remove(nl, &l->ifaces[i], &e), &e, first, err);
	netdir_stop_at("detach-link");
	keep(endpoint_release(nd, &l->ifaces[i], key, &e), &e, first, err);
	netdir_stop_at("detach-resolver");
	if (l->ifaces[i].network)
		resolver_refresh(nd, l->ifaces[i].network);
}

int attached_detach(const struct netdir *nd, const struct network_ref *ref, struct err *err)
{
	cleanup_network_lease struct network_lease l = { 0 };
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	cleanup_fd int dir = -1;
	struct err e = { 0 };
	char key[NETDIR_KEY], name[32];
	int first = 0, r;

	netdir_key(ref->id, ref->owner, key);
	record_name(key, name);
	r = attached_load(nd, ref, &l, &e);
	if (r == -ENOENT)
		return endpoint_sweep(nd, key, err);
	if (r < 0) { /* a damaged record: what it named is left to prune */
		log_warn("network: %s", e.msg);
		keep(endpoint_sweep(nd, key, &e), &e, &first, err);
	} else if (l.netns_path) {
		keep(cni_detach(nd, &l, &e), &e, &first, err);
	} else {
		if (l.n_ports) {
			keep(remove_elements(nd, &l, key, &e), &e, &first, err);
			netdir_stop_at("detach-elements");
			nat_release(nd, &l, key);
		}
		keep(rtnl_open(&nl, -1, &e), &e, &first, err);
		for (size_t i = 0; i < l.n_ifaces; i++)
			undo_iface(nd, &nl, &l, i, key, &first, err);
	}
	netdir_stop_at("detach-record");
	if (first)
		return first;
	dir = netdir_sub(nd, "attached", err);
	if (dir < 0)
		return dir;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "remove %s/attached/%s", nd->run, name);
	return 0;
}

/* Bridges that had no published ports before learn of those that moved. */
static int republish(const struct netdir *nd, struct rtnl *nl, const struct network_lease *l, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < l->n_ifaces; i++) {
		cleanup_network struct network n = { 0 };
		struct rtnl_link bridge;

		if (!l->ifaces[i].network || network_def_load_in(nd, l->ifaces[i].network, &n, NULL) < 0 ||
		    rtnl_link_get(nl, n.bridge, 0, &bridge, NULL) < 0)
			continue;
		r = endpoint_replug(nl, &n, l, &l->ifaces[i], bridge.index, err);
	}
	return r;
}

int attached_drop_iface(const struct netdir *nd, struct network_lease *l, size_t i, struct err *err)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	char key[NETDIR_KEY];
	int first = 0, r;

	netdir_key(l->ref.id, l->ref.owner, key);
	if (l->n_ports && l->ifaces[i].bridge) {
		/* Ports lead to the first bridged interface: they move to the next one with the table's new text. */
		r = remove_elements(nd, l, key, err);
		if (r < 0)
			return r;
	}
	r = rtnl_open(&nl, -1, err);
	if (r < 0)
		return r;
	undo_iface(nd, &nl, l, i, key, &first, err);
	if (first)
		return first;
	network_lease_drop_iface(l, i);
	r = attached_save(nd, key, l, err);
	if (r >= 0 && l->n_ports)
		r = attached_rebuild_nat(nd, NULL, err);
	return r < 0 || !l->n_ports ? r : republish(nd, &nl, l, err);
}
