/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_prune: putting right what others left: reload, prune, removal of networks.
 *
 * Theory of operation: the records (attached/) say what there should be, the kernel and the lease and port files
 * say what there is. Under the lock nobody is half-way through an attach, so whatever no record names is the
 * remains of a killed process. An attachment whose owner's directory is gone is detached. Only links with our alias
 * and our naming are looked at, and only bridges of our definitions.
 */
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
#include "network/bridge.h"
#include "network/cni.h"
#include "network/endpoint.h"
#include "network/filter.h"
#include "network/ipam.h"
#include "network/nat.h"
#include "network/netdir.h"
#include "network/network.h"
#include "network/network_def.h"
#include "network/network_lease.h"
#include "network/resolver.h"

struct prune {
	struct netdir nd;
	struct rtnl nl;
	struct network *nets;
	size_t n_nets;
	struct network_lease *leases;
	size_t n_leases;
	char **keys; /* of leases */
	unsigned int removed;
	int first; /* first failure; its text in *err */
	struct err *err;
};

static void keep(struct prune *p, int r, const struct err *e)
{
	if (r >= 0 || p->first)
		return;
	p->first = r;
	if (p->err)
		*p->err = *e;
}

static void prune_end(struct prune *p)
{
	attached_list_free(p->leases, p->n_leases);
	for (size_t i = 0; i < p->n_nets; i++)
		network_def_free(&p->nets[i]);
	free(p->nets);
	strv_free(p->keys);
	rtnl_close(&p->nl);
	netdir_close(&p->nd);
}

static int prune_begin(struct prune *p, const char *dir, struct err *err)
{
	int r;

	*p = (struct prune){ .nd = NETDIR_INIT, .nl = RTNL_INIT, .err = err };
	r = netdir_open(dir, true, &p->nd, err);
	if (r >= 0)
		r = rtnl_open(&p->nl, -1, err);
	if (r >= 0)
		r = network_def_load_all(&p->nd, &p->nets, &p->n_nets, err);
	return r < 0 ? r : attached_list(&p->nd, &p->leases, &p->n_leases, err);
}

static void collect_keys(struct prune *p)
{
	for (size_t i = 0; i < p->n_leases; i++) {
		char key[NETDIR_KEY];

		netdir_key(p->leases[i].ref.id, p->leases[i].ref.owner, key);
		strv_add(&p->keys, key);
	}
}

/* Attachments whose owner is gone. */
static void drop_orphans(struct prune *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->n_leases; i++) {
		struct network_lease *l = &p->leases[i];
		struct err e = { 0 };

		if (faccessat(AT_FDCWD, l->ref.owner, F_OK, 0) < 0 && errno == ENOENT) {
			keep(p, attached_detach(&p->nd, &l->ref, &e), &e);
			p->removed++;
			network_lease_free(l);
			continue;
		}
		p->leases[kept++] = *l;
	}
	p->n_leases = kept;
}

static void drop_addresses(struct prune *p)
{
	int fd = netdir_sub(&p->nd, "ipam", NULL);
	cleanup_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *x; d && (x = readdir(d));) {
		struct ipam_entry *v = NULL;
		cleanup_fd int dir = -1;
		size_t n = 0;

		if (x->d_name[0] == '.')
			continue;
		dir = openat(fd, x->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0 || ipam_list(dir, &v, &n, NULL) < 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			struct err e = { 0 };

			if (strv_has(p->keys, v[i].key))
				continue;
			keep(p, ipam_release(dir, &v[i].addr, v[i].key, &e), &e);
			p->removed++;
		}
		ipam_list_free(v, n);
	}
}

static void drop_ports(struct prune *p)
{
	int fd = netdir_sub(&p->nd, "ports", NULL);
	cleanup_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *x; d && (x = readdir(d));) {
		cleanup_dir DIR *sub = NULL;
		int sfd;

		if (x->d_name[0] == '.')
			continue;
		sfd = openat(fd, x->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		sub = sfd < 0 ? NULL : fdopendir(sfd);
		for (struct dirent *y; sub && (y = readdir(sub));) {
			cleanup_free char *text = NULL;
			size_t n;

			if (y->d_name[0] == '.' || fd_slurp_at(sfd, y->d_name, 4096, &text, &n) < 0)
				continue;
			text[strcspn(text, " ")] = '\0';
			if (!strv_has(p->keys, text) && !unlinkat(sfd, y->d_name, 0))
				p->removed++;
		}
		(void)unlinkat(fd, x->d_name, AT_REMOVEDIR);
	}
}

/* Is the link one of ours by name, and whose: does a record with this key exist? */
static bool wanted(const struct prune *p, const char *name)
{
	for (char **k = p->keys; k && *k; k++)
		if (!strncmp(*k, name + 2, 12))
			return true;
	return false;
}

static bool our_name(const char *name)
{
	return strlen(name) == 15 && strspn(name + 2, "0123456789abcdef") == 13 &&
		(str_starts(name, ENDPOINT_VETH) || str_starts(name, ENDPOINT_TAP) || str_starts(name, ENDPOINT_IFB));
}

static void drop_links(struct prune *p)
{
	cleanup_free struct rtnl_link *links = NULL;
	size_t n = 0;
	struct err e = { 0 };

	keep(p, rtnl_link_list(&p->nl, &links, &n, &e), &e);
	for (size_t i = 0; i < n; i++) {
		int r;

		if (!our_name(links[i].name) || wanted(p, links[i].name) ||
		    (strcmp(links[i].kind, "ifb") && !str_starts(links[i].alias, ENDPOINT_ALIAS)))
			continue;
		r = rtnl_link_del(&p->nl, links[i].name, &e);
		if (r != -ENODEV)
			keep(p, r, &e);
		p->removed++;
	}
}

static bool in_use(const struct prune *p, const char *network)
{
	for (size_t i = 0; i < p->n_leases; i++)
		for (size_t k = 0; k < p->leases[i].n_ifaces; k++)
			if (p->leases[i].ifaces[k].network && !strcmp(p->leases[i].ifaces[k].network, network))
				return true;
	return false;
}

static int remove_def(const struct netdir *nd, const char *name, struct err *err)
{
	cleanup_free char *file = xasprintf("%s.json", name), *leases = xasprintf("ipam/%s", name);
	int r = 0;

	if (unlinkat(nd->conf_fd, file, 0) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "remove %s/%s", nd->conf, file);
	filter_forget(nd, name);
	r = path_remove_tree(nd->run_fd, leases, true);
	return r < 0 && r != -ENOENT ? err_sys(err, r, "remove %s/%s", nd->run, leases) : 0;
}

static void drop_bridges(struct prune *p, bool unused)
{
	for (size_t i = 0; i < p->n_nets; i++) {
		struct rtnl_link l;
		struct err e = { 0 };

		if (in_use(p, p->nets[i].name))
			continue;
		if (!p->nets[i].foreign && rtnl_link_get(&p->nl, p->nets[i].bridge, 0, &l, NULL) >= 0) {
			keep(p, bridge_remove(&p->nl, &p->nets[i], &e), &e);
			p->removed++;
		}
		filter_forget(&p->nd, p->nets[i].name);
		if (unused && strcmp(p->nets[i].name, "default")) {
			keep(p, remove_def(&p->nd, p->nets[i].name, &e), &e);
			p->removed++;
		}
	}
}

static bool keeps_resolver(const void *arg, const char *network)
{
	return in_use(arg, network);
}

/* The table as the records want it; gone when there is nothing in it to keep. */
static int settle_nat(struct prune *p, struct err *err)
{
	int r = nat_present(err);

	if (r <= 0)
		return r;
	if (p->n_leases)
		return attached_rebuild_nat(&p->nd, NULL, err);
	r = nat_run("delete table inet amphi\n", err);
	(void)unlinkat(p->nd.run_fd, "nat", 0);
	return r;
}

int network_prune(const char *dir, bool unused, unsigned int *ret_removed, struct err *err)
{
	struct err e = { 0 };
	struct prune p;
	int r = prune_begin(&p, dir, err);

	if (r >= 0) {
		drop_orphans(&p);
		collect_keys(&p);
		drop_addresses(&p);
		drop_ports(&p);
		drop_links(&p);
		p.removed += resolver_sweep(&p.nd, keeps_resolver, &p);
		drop_bridges(&p, unused);
		keep(&p, settle_nat(&p, &e), &e);
		keep(&p, cni_gc(&p.nd, &e), &e);
		r = p.first;
		if (ret_removed)
			*ret_removed = p.removed;
	}
	prune_end(&p);
	return r;
}

/* Starts a resolver that ended, when an endpoint's resolv.conf names it. */
static void reload_resolver(struct prune *p, const struct network *n)
{
	for (size_t i = 0; i < p->n_leases; i++)
		for (size_t k = 0; p->leases[i].files_dir && k < p->leases[i].n_ifaces; k++)
			if (p->leases[i].ifaces[k].network && !strcmp(p->leases[i].ifaces[k].network, n->name)) {
				if (!resolver_runs(&p->nd, n->name))
					(void)resolver_stop(&p->nd, n->name, NULL); /* forget a failure */
				resolver_start(&p->nd, n);
				resolver_refresh(&p->nd, n->name);
				return;
			}
}

/* Plugs the endpoints' links in again and repairs the bridge. */
static int reload_network(struct prune *p, const struct network *n, struct err *err)
{
	uint32_t mtu;
	int index, r;

	if (!in_use(p, n->name))
		return 0;
	r = bridge_ensure(&p->nl, n, &index, &mtu, NULL, err);
	if (r >= 0)
		r = bridge_repair(&p->nl, n, index, err);
	for (size_t i = 0; r >= 0 && i < p->n_leases; i++)
		for (size_t k = 0; r >= 0 && k < p->leases[i].n_ifaces; k++) {
			const struct network_iface *f = &p->leases[i].ifaces[k];

			if (f->network && !strcmp(f->network, n->name))
				r = endpoint_replug(&p->nl, n, &p->leases[i], f, index, err);
		}
	if (r < 0)
		return err_wrap(err, "network %s", n->name);
	reload_resolver(p, n);
	filter_forget(&p->nd, n->name); /* said again while it is so */
	filter_warn(&p->nd, n);
	return 0;
}

int network_prune_reload(const char *dir, struct err *err)
{
	struct prune p;
	int r = prune_begin(&p, dir, err);

	if (r >= 0 && p.n_leases)
		r = attached_rebuild_nat(&p.nd, NULL, err);
	for (size_t i = 0; r >= 0 && i < p.n_nets; i++)
		r = reload_network(&p, &p.nets[i], err);
	prune_end(&p);
	return r < 0 ? r : 0;
}

/* Takes every endpoint off the network. */
static int disconnect_all(struct prune *p, const char *name, struct err *err)
{
	for (size_t i = 0; i < p->n_leases; i++)
		for (size_t k = 0; k < p->leases[i].n_ifaces;) {
			int r;

			if (!p->leases[i].ifaces[k].network || strcmp(p->leases[i].ifaces[k].network, name)) {
				k++;
				continue;
			}
			r = attached_drop_iface(&p->nd, &p->leases[i], k, err);
			if (r < 0)
				return r;
		}
	return 0;
}

static int remove_network(struct prune *p, const struct network *n, bool force, struct err *err)
{
	int r;

	for (size_t i = 0; i < p->n_leases; i++)
		for (size_t k = 0; !force && k < p->leases[i].n_ifaces; k++)
			if (p->leases[i].ifaces[k].network && !strcmp(p->leases[i].ifaces[k].network, n->name))
				return err_set(err, -EBUSY, "network %s is in use by container %s", n->name,
					       p->leases[i].ref.id);
	r = disconnect_all(p, n->name, err);
	if (r >= 0)
		r = resolver_stop(&p->nd, n->name, err);
	if (r >= 0)
		r = bridge_remove(&p->nl, n, err);
	if (r >= 0)
		r = remove_def(&p->nd, n->name, err);
	if (r >= 0)
		r = nat_present(err) > 0 ? attached_rebuild_nat(&p->nd, NULL, err) : 0;
	return r;
}

int network_prune_network(const char *dir, const char *name, bool force, struct err *err)
{
	struct prune p;
	int r = prune_begin(&p, dir, err);
	bool found = false;

	for (size_t i = 0; r >= 0 && !found && i < p.n_nets; i++)
		if (!strcmp(p.nets[i].name, name)) {
			found = true;
			r = remove_network(&p, &p.nets[i], force, err);
		}
	if (r >= 0 && !found)
		r = err_set(err, -ENOENT, "network %s does not exist", name);
	prune_end(&p);
	return r < 0 ? r : 0;
}
