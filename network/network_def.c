/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_def: definitions of networks: made, checked, written, read.
 *
 * Theory of operation: a definition is CONF/NAME.json with every choice already made, so that two hosts with the
 * same file behave alike; nothing is chosen later. Creating one looks at the other definitions and at what the host
 * has on its links, because an overlapping subnet cuts the host off from a part of its world. The network "default"
 * is created when it is first asked for. Removing the definition is network_prune_network()'s business, which knows what
 * uses it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "network/filter.h"
#include "network/ipam.h"
#include "network/netdir.h"
#include "network/network.h"
#include "network/network_def.h"

#define DEF_VERSION 1
#define DEF_MAX (1 << 20)

void network_def_free(struct network *n)
{
	free(n->name);
	free(n->bridge);
	free(n->uplink);
	strv_free(n->dns_servers);
	strv_free(n->dns_search);
	strv_free(n->dns_options);
	strv_free(n->labels);
	*n = (struct network){ 0 };
}

void network_def_save(struct json_writer *w, const char *key, const struct network *n)
{
	char a[RTNL_ADDR_TEXT];

	json_w_object(w, key);
	json_w_u64(w, "version", DEF_VERSION);
	json_w_string(w, "name", n->name);
	json_w_string(w, "driver", "bridge");
	json_w_string(w, "bridge", n->bridge);
	json_w_array(w, "subnets");
	for (unsigned int i = 0; i < n->n_subnets; i++) {
		const struct network_subnet *s = &n->subnets[i];

		json_w_object(w, NULL);
		json_w_string(w, "subnet", rtnl_addr_text(&s->net, true, a));
		if (s->gateway.family)
			json_w_string(w, "gateway", rtnl_addr_text(&s->gateway, false, a));
		json_w_string(w, "first", rtnl_addr_text(&s->first, false, a));
		json_w_string(w, "last", rtnl_addr_text(&s->last, false, a));
		json_w_object_end(w);
	}
	json_w_array_end(w);
	if (n->vlan)
		json_w_u64(w, "vlan", n->vlan);
	if (n->uplink)
		json_w_string(w, "uplink", n->uplink);
	if (n->mtu)
		json_w_u64(w, "mtu", n->mtu);
	json_w_bool(w, "internal", n->internal);
	json_w_bool(w, "masquerade", n->masquerade);
	json_w_bool(w, "foreignBridge", n->foreign);
	json_w_bool(w, "isolate", n->isolate == NETWORK_ISOLATE_YES);
	json_w_object(w, "dns");
	json_w_bool(w, "enabled", n->dns);
	json_w_strv(w, "servers", n->dns_servers);
	json_w_strv(w, "search", n->dns_search);
	json_w_strv(w, "options", n->dns_options);
	json_w_object_end(w);
	json_w_strv(w, "labels", n->labels);
	json_w_object_end(w);
}

static int opt_addr(const struct json *o, const char *key, struct rtnl_addr *ret, struct err *err)
{
	const struct json *v = json_get(o, key);
	const char *s;
	int r;

	if (!v)
		return 0;
	r = json_string(v, &s, err);
	if (r < 0)
		return r;
	if (rtnl_addr_parse(s, false, ret) < 0)
		return json_error(v, err, "\"%s\" is not an address", s);
	return 1;
}

static int load_subnet(const struct json *o, struct network *n, struct err *err)
{
	struct network_subnet s = { 0 };
	cleanup_free char *net = NULL;
	int r = json_want(o, JSON_OBJECT, err);

	if (r < 0 || (r = json_req_string(o, "subnet", &net, err)) < 0)
		return r;
	if (n->n_subnets == NETWORK_SUBNETS_MAX)
		return json_error(o, err, "at most %d subnets", NETWORK_SUBNETS_MAX);
	if (rtnl_addr_parse(net, true, &s.net) < 0)
		return json_error(json_get(o, "subnet"), err, "\"%s\" is not a subnet", net);
	if ((r = opt_addr(o, "gateway", &s.gateway, err)) < 0 || (r = opt_addr(o, "first", &s.first, err)) < 0 ||
	    (r = opt_addr(o, "last", &s.last, err)) < 0)
		return r;
	r = ipam_defaults(&s, err);
	if (r < 0)
		return r;
	n->subnets[n->n_subnets++] = s;
	return 0;
}

static int load_members(const struct json *o, struct network *n, struct err *err)
{
	const struct json *a = NULL, *dns = NULL;
	uint32_t version = 0, vlan = 0;
	bool isolate = true;
	int r = json_want(o, JSON_OBJECT, err);

	n->masquerade = n->dns = true;
	if (r < 0 || (r = json_opt_u32(o, "version", &version, err)) < 0)
		return r;
	if (version != DEF_VERSION)
		return err_set(err, -EPROTO, "network definition: version %u is unknown", version);
	if ((r = json_req_string(o, "name", &n->name, err)) < 0 ||
	    (r = json_req_string(o, "bridge", &n->bridge, err)) < 0 ||
	    (r = json_opt_string(o, "uplink", &n->uplink, err)) < 0 || (r = json_opt_u32(o, "vlan", &vlan, err)) < 0 ||
	    (r = json_opt_u32(o, "mtu", &n->mtu, err)) < 0 ||
	    (r = json_opt_bool(o, "internal", &n->internal, err)) < 0 ||
	    (r = json_opt_bool(o, "masquerade", &n->masquerade, err)) < 0 ||
	    (r = json_opt_bool(o, "foreignBridge", &n->foreign, err)) < 0 ||
	    (r = json_opt_bool(o, "isolate", &isolate, err)) < 0 || (r = json_opt_object(o, "dns", &dns, err)) < 0 ||
	    (r = json_opt_bool(dns, "enabled", &n->dns, err)) < 0 ||
	    (r = json_opt_strv(dns, "servers", &n->dns_servers, err)) < 0 ||
	    (r = json_opt_strv(dns, "search", &n->dns_search, err)) < 0 ||
	    (r = json_opt_strv(dns, "options", &n->dns_options, err)) < 0 ||
	    (r = json_opt_strv(o, "labels", &n->labels, err)) < 0 || (r = json_opt_array(o, "subnets", &a, err)) < 0)
		return r;
	if (vlan > 4094)
		return json_error(json_get(o, "vlan"), err, "must be 1 to 4094");
	if (strlen(n->bridge) >= IFNAMSIZ)
		return json_error(json_get(o, "bridge"), err, "is longer than %d bytes", IFNAMSIZ - 1);
	n->vlan = (uint16_t)vlan;
	n->isolate = isolate ? NETWORK_ISOLATE_YES : NETWORK_ISOLATE_NO;
	for (size_t i = 0; a && i < a->c.n; i++)
		if ((r = load_subnet(&a->c.v[i], n, err)) < 0)
			return r;
	return 0;
}

static bool name_ok(const char *s)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return s[0] && s[0] != '_' && s[0] != '.' && s[0] != '-' && strspn(s, set) == strlen(s) && strlen(s) <= 64;
}

/* Loads CONF/NAME.json; -ENOENT with a text. */
static int load_file(const struct netdir *nd, const char *name, struct network *ret, struct err *err)
{
	cleanup_free char *file = NULL, *text = NULL, *path = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	struct network n = { 0 };
	size_t len;
	int r;

	if (!name_ok(name))
		return err_set(
			err, -EINVAL,
			"network name \"%s\": letters, digits, _ . - (at most 64), beginning with a letter or digit",
			name);
	file = xasprintf("%s.json", name);
	path = path_join(nd->conf, file);
	r = fd_slurp_at(nd->conf_fd, file, DEF_MAX, &text, &len);
	if (r == -ENOENT)
		return err_set(err, -ENOENT, "network %s does not exist", name);
	if (r < 0)
		return err_sys(err, r, "read %s", path);
	doc = json_parse(text, len, path, err);
	r = doc ? load_members(json_root(doc), &n, err) : -EINVAL;
	if (r >= 0 && strcmp(n.name, name))
		r = err_set(err, -EINVAL, "name is \"%s\"", n.name);
	if (r < 0) {
		network_def_free(&n);
		return doc ? err_wrap(err, "%s", path) : r;
	}
	*ret = n;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(const struct netdir *nd, char ***ret, struct err *err)
{
	cleanup_dir DIR *d = NULL;
	cleanup_strv char **v = NULL;
	int fd = openat(nd->conf_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_sys(err, -errno, "read %s", nd->conf);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.' && str_ends(e->d_name, ".json"))
			strv_add_take(&v, xstrndup(e->d_name, strlen(e->d_name) - 5));
	if (v)
		qsort(v, strv_len(v), sizeof(*v), by_name);
	else
		v = xcalloc(1, sizeof(*v));
	*ret = steal_ptr(v);
	return 0;
}

int network_def_list(const char *dir, char ***ret, struct err *err)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	int r = netdir_open(dir, false, &nd, err);

	return r < 0 ? r : list_names(&nd, ret, err);
}

/* ---- create --------------------------------------------------------------------------------------------- */

static bool overlaps(const struct rtnl_addr *a, const struct rtnl_addr *b)
{
	return rtnl_addr_in(a, b) || rtnl_addr_in(b, a);
}

struct taken {
	struct network *nets;
	size_t n_nets;
	struct rtnl_iface host; /* addresses and routes of all links */
};

static void taken_free(struct taken *t)
{
	for (size_t i = 0; i < t->n_nets; i++)
		network_def_free(&t->nets[i]);
	free(t->nets);
	rtnl_iface_free(&t->host);
}

static int taken_load(const struct netdir *nd, struct taken *t, struct err *err)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	cleanup_strv char **names = NULL;
	int r = list_names(nd, &names, err);

	for (char **p = names; r >= 0 && p && *p; p++) {
		t->nets = xreallocarray(t->nets, t->n_nets + 1, sizeof(*t->nets));
		r = load_file(nd, *p, &t->nets[t->n_nets], err);
		if (r >= 0)
			t->n_nets++;
	}
	if (r >= 0)
		r = rtnl_open(&nl, -1, err);
	if (r >= 0)
		r = rtnl_iface_scan(&nl, &(struct rtnl_link){ 0 }, &t->host, err);
	return r;
}

/* What a subnet collides with; NULL: nothing. Text in buf. */
static const char *collision(const struct taken *t, const struct rtnl_addr *net, char *buf, size_t len)
{
	char a[RTNL_ADDR_TEXT];

	for (size_t i = 0; i < t->n_nets; i++)
		for (unsigned int k = 0; k < t->nets[i].n_subnets; k++)
			if (overlaps(net, &t->nets[i].subnets[k].net)) {
				snprintf(buf, len, "network %s (%s)", t->nets[i].name,
					 rtnl_addr_text(&t->nets[i].subnets[k].net, true, a));
				return buf;
			}
	for (size_t i = 0; i < t->host.n_addrs; i++)
		if (overlaps(net, &t->host.addrs[i])) {
			snprintf(buf, len, "address %s of this host", rtnl_addr_text(&t->host.addrs[i], true, a));
			return buf;
		}
	for (size_t i = 0; i < t->host.n_routes; i++)
		if (t->host.routes[i].dst.prefix && overlaps(net, &t->host.routes[i].dst)) {
			snprintf(buf, len, "route %s of this host", rtnl_addr_text(&t->host.routes[i].dst, true, a));
			return buf;
		}
	return NULL;
}

static int choose_subnet4(const struct taken *t, struct network *n, struct err *err)
{
	struct network_subnet s = { .net = { .family = AF_INET, .prefix = 24, .b = { 10, 89 } } };
	char buf[160];

	for (int i = 0; i < 256 * 8; i++) {
		s.net.b[1] = (uint8_t)(89 + i / 256);
		s.net.b[2] = (uint8_t)i;
		if (collision(t, &s.net, buf, sizeof(buf)))
			continue;
		n->subnets[n->n_subnets++] = s;
		return ipam_defaults(&n->subnets[n->n_subnets - 1], err);
	}
	return err_set(err, -ENOSPC, "no free subnet from 10.89.0.0/24 to 10.96.255.0/24: name one with --subnet");
}

static int choose_subnet6(const struct taken *t, struct network *n, struct err *err)
{
	struct network_subnet s = { .net = { .family = AF_INET6, .prefix = 64, .b = { 0xfd } } };
	uint64_t h = netdir_hash(0, n->name, strlen(n->name));
	char buf[160];

	do {
		h = netdir_hash(h, "6", 1);
		for (int i = 1; i < 8; i++)
			s.net.b[i] = (uint8_t)(h >> (8 * i));
	} while (collision(t, &s.net, buf, sizeof(buf)));
	n->subnets[n->n_subnets++] = s;
	return ipam_defaults(&n->subnets[n->n_subnets - 1], err);
}

/* "FIRST-LAST" */
static int parse_range(const char *text, struct network_subnet *s)
{
	cleanup_strv char **p = strv_split(text, '-');

	if (strv_len(p) != 2 || rtnl_addr_parse(p[0], false, &s->first) < 0 ||
	    rtnl_addr_parse(p[1], false, &s->last) < 0 || s->first.family != s->net.family ||
	    s->last.family != s->net.family)
		return -EINVAL;
	return 0;
}

static int add_subnets(const struct network_create *c, const struct taken *t, struct network *n, struct err *err)
{
	bool has6 = false;
	char buf[160];
	int r;

	if (strv_len(c->gateways) > strv_len(c->subnets) || strv_len(c->ranges) > strv_len(c->subnets))
		return err_set(err, -EINVAL, "--gateway and --ip-range belong to a --subnet before them");
	for (size_t i = 0; i < strv_len(c->subnets); i++) {
		struct network_subnet s = { 0 };
		const char *what;

		if (i == NETWORK_SUBNETS_MAX)
			return err_set(err, -EINVAL, "--subnet: at most %d", NETWORK_SUBNETS_MAX);
		if (rtnl_addr_parse(c->subnets[i], true, &s.net) < 0)
			return err_set(err, -EINVAL, "--subnet %s: not ADDRESS/PREFIX", c->subnets[i]);
		if (i < strv_len(c->gateways) &&
		    (rtnl_addr_parse(c->gateways[i], false, &s.gateway) < 0 || s.gateway.family != s.net.family))
			return err_set(err, -EINVAL, "--gateway %s: not an address of subnet %s", c->gateways[i],
				       c->subnets[i]);
		if (i < strv_len(c->ranges) && parse_range(c->ranges[i], &s) < 0)
			return err_set(err, -EINVAL, "--ip-range %s: not FIRST-LAST in subnet %s", c->ranges[i],
				       c->subnets[i]);
		r = ipam_defaults(&s, err);
		if (r < 0)
			return r;
		what = c->foreign ? NULL : collision(t, &s.net, buf, sizeof(buf));
		for (unsigned int k = 0; !what && k < n->n_subnets; k++)
			if (overlaps(&s.net, &n->subnets[k].net))
				what = "another --subnet";
		if (what)
			return err_set(err, -EEXIST, "subnet %s overlaps %s", c->subnets[i], what);
		n->subnets[n->n_subnets++] = s;
		has6 |= s.net.family == AF_INET6;
	}
	if (!n->n_subnets && (r = choose_subnet4(t, n, err)) < 0)
		return r;
	if (c->ipv6 && !has6) {
		if (n->n_subnets == NETWORK_SUBNETS_MAX)
			return err_set(err, -EINVAL, "--ipv6: no room for another subnet");
		return choose_subnet6(t, n, err);
	}
	return 0;
}

static int choose_bridge(const struct network_create *c, const struct taken *t, struct network *n, struct err *err)
{
	char name[IFNAMSIZ];

	if (c->foreign && !c->bridge)
		return err_set(err, -EINVAL, "--foreign needs --bridge");
	if (c->bridge) {
		if (!c->bridge[0] || strlen(c->bridge) >= IFNAMSIZ || strpbrk(c->bridge, "/ \t\n:"))
			return err_set(err, -EINVAL, "--bridge %s: not a link name (at most %d bytes)", c->bridge,
				       IFNAMSIZ - 1);
		for (size_t i = 0; i < t->n_nets; i++)
			if (!strcmp(t->nets[i].bridge, c->bridge))
				return err_set(err, -EEXIST, "bridge %s belongs to network %s", c->bridge,
					       t->nets[i].name);
		n->bridge = xstrdup(c->bridge);
		return 0;
	}
	for (unsigned int i = 0; i < 10000; i++) {
		bool used = false;

		snprintf(name, sizeof(name), "amphi%u", i);
		for (size_t k = 0; k < t->n_nets; k++)
			used |= !strcmp(t->nets[k].bridge, name);
		if (!used) {
			n->bridge = xstrdup(name);
			return 0;
		}
	}
	return err_set(err, -ENOSPC, "no free bridge name");
}

static int check_addresses(char *const *v, const char *option, struct err *err)
{
	struct rtnl_addr a;

	for (char *const *p = v; p && *p; p++)
		if (strchr(*p, '/') || rtnl_addr_parse(*p, false, &a) < 0)
			return err_set(err, -EINVAL, "%s %s: not an address", option, *p);
	return 0;
}

/* Under the lock. */
static int create(const struct netdir *nd, const struct network_create *c, struct network *n, struct err *err)
{
	struct taken t CLEANUP(taken_free) = { 0 };
	cleanup_free char *file = NULL, *text = NULL;
	struct json_writer w = { .indent = 2 };
	int r;

	if (!name_ok(c->name))
		return err_set(
			err, -EINVAL,
			"network name \"%s\": letters, digits, _ . - (at most 64), beginning with a letter or digit",
			c->name);
	if (!strcmp(c->name, "none") || !strcmp(c->name, "host") || !strcmp(c->name, "bridge") ||
	    !strcmp(c->name, "pasta") || !strcmp(c->name, "private"))
		return err_set(err, -EINVAL, "network name \"%s\" is the name of a mode", c->name);
	if (c->vlan > 4094)
		return err_set(err, -EINVAL, "--vlan %u: must be 1 to 4094", c->vlan);
	if (c->mtu && (c->mtu < 68 || c->mtu > 65535))
		return err_set(err, -EINVAL, "--mtu %u: must be 68 to 65535", c->mtu);
	if (c->uplink && !c->vlan)
		return err_set(err, -EINVAL, "--uplink needs --vlan");
	r = check_addresses(c->dns_servers, "--dns", err);
	if (r >= 0)
		r = taken_load(nd, &t, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < t.n_nets; i++)
		if (!strcmp(t.nets[i].name, c->name))
			return err_set(err, -EEXIST, "network %s already exists", c->name);
	n->name = xstrdup(c->name);
	if ((r = choose_bridge(c, &t, n, err)) < 0 || (r = add_subnets(c, &t, n, err)) < 0)
		return r;
	for (unsigned int i = 0; i < n->n_subnets; i++)
		if (n->subnets[i].net.family == AF_INET6 && c->mtu && c->mtu < 1280)
			return err_set(err, -EINVAL, "--mtu %u: IPv6 needs 1280", c->mtu);
	n->uplink = xstrdup(c->uplink);
	n->vlan = (uint16_t)c->vlan;
	n->mtu = c->mtu;
	n->internal = c->internal;
	n->masquerade = !c->no_masquerade && !c->internal && !c->foreign;
	n->foreign = c->foreign;
	n->isolate = c->no_isolate ? NETWORK_ISOLATE_NO : NETWORK_ISOLATE_YES;
	n->dns = !c->no_dns;
	n->dns_servers = strv_dup(c->dns_servers);
	n->dns_search = strv_dup(c->dns_search);
	n->dns_options = strv_dup(c->dns_options);
	n->labels = strv_dup(c->labels);
	file = xasprintf("%s.json", n->name);
	network_def_save(&w, NULL, n);
	text = json_w_steal(&w);
	r = path_write_atomic(nd->conf_fd, file, text, strlen(text), 0644);
	if (r < 0)
		return err_sys(err, r, "write %s/%s", nd->conf, file);
	filter_warn(nd, n);
	return 0;
}

int network_def_create(const char *dir, const struct network_create *c, struct err *err)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	cleanup_network struct network n = { 0 };
	int r = netdir_open(dir, true, &nd, err);

	return r < 0 ? r : create(&nd, c, &n, err);
}

int network_def_load_in(const struct netdir *nd, const char *name, struct network *ret, struct err *err)
{
	struct err e = { 0 };
	int r = load_file(nd, name, ret, &e);

	if (r == -ENOENT && !strcmp(name, "default") && nd->lock_fd >= 0) {
		struct network n = { 0 };

		r = create(nd, &(struct network_create){ .name = "default" }, &n, err);
		if (r < 0)
			network_def_free(&n);
		else
			*ret = n;
		return r;
	}
	if (r < 0 && err)
		*err = e;
	return r;
}

int network_def_load(const char *dir, const char *name, struct network *ret, struct err *err)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	int r = netdir_open(dir, !strcmp(name, "default"), &nd, err);

	return r < 0 ? r : network_def_load_in(&nd, name, ret, err);
}

int network_def_load_all(const struct netdir *nd, struct network **ret, size_t *ret_n, struct err *err)
{
	cleanup_strv char **names = NULL;
	struct network *v = NULL;
	size_t n = 0;
	int r = list_names(nd, &names, err);

	for (char **p = names; r >= 0 && p && *p; p++) {
		v = xreallocarray(v, n + 1, sizeof(*v));
		r = load_file(nd, *p, &v[n], err);
		if (r >= 0)
			n++;
	}
	if (r < 0) {
		for (size_t i = 0; i < n; i++)
			network_def_free(&v[i]);
		free(v);
		return r;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}
