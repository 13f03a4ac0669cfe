/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cni_plugin: being a CNI plugin.
 *
 * Theory of operation: an engine runs "amphi cni" (or a link named amphi-cni) with CNI_COMMAND in the environment and
 * a network configuration on stdin. The configuration names one of our networks; the attachment is the same as
 * --network would make, owned by a file plugin/… below the run directory that ADD makes and DEL or GC removes.
 *   "network"  our network; absent: the configuration's own name when such a network exists, else "default"
 *   "subnets"  with them, the network named by "name" is created when it does not exist
 *   "mode"     "bridge" (veth), or "tap": a persistent tap beside it in the namespace, joined to it by tc, for a
 *              monitor that opens a tap by name
 * Capabilities: portMappings, bandwidth, ips, mac, aliases; IP and MAC of CNI_ARGS. Addresses are ours to give: "ipam" is refused.
 * Everything goes to stdout as the specification's documents, errors with its codes.
 * CNI specification 1.1.0: ADD, DEL, CHECK, GC, STATUS, VERSION.
 */
#include "network/cni_plugin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "network/cni_doc.h"
#include "network/nat.h"
#include "network/netdir.h"
#include "network/network.h"
#include "network/network_lease.h"
#include "network/tap.h"
#include "network/tc.h"

enum {
	CODE_VERSION = 1,
	CODE_FIELD = 2,
	CODE_UNKNOWN_CONTAINER = 3,
	CODE_ENVIRONMENT = 4,
	CODE_IO = 5,
	CODE_DECODE = 6,
	CODE_CONFIG = 7,
	CODE_TRY_LATER = 11,
	CODE_UNAVAILABLE = 50,
	CODE_OTHER = 100,
};

struct plugin {
	const struct cni_plugin_call *call;
	struct cni_doc_list list;
	const struct json *config;
	char *network;    /* ours */
	const char *mode; /* "bridge", "tap" */
	char *owner;      /* file */
	const char *version;
	int code; /* of the failure */
	struct err err;
};

static int fail(struct plugin *p, int code, int r)
{
	if (!p->code)
		p->code = code;
	return r;
}

static int code_of(int r)
{
	switch (r) {
	case -EINVAL:
	case -EADDRNOTAVAIL:
	case -EEXIST:
		return CODE_CONFIG;
	case -EBUSY:
	case -EAGAIN:
	case -ENOSPC:
		return CODE_TRY_LATER;
	case -EIO:
	case -ENOTDIR:
	case -EACCES:
	case -EROFS:
		return CODE_IO;
	default:
		return CODE_OTHER;
	}
}

/* ---- configuration -------------------------------------------------------------------------------------- */

static bool id_ok(const char *s)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return !str_empty(s) && !strchr("_.-", s[0]) && strspn(s, set) == strlen(s);
}

static int need_env(struct plugin *p, bool netns)
{
	const struct cni_plugin_call *c = p->call;

	if (!id_ok(c->container_id))
		return fail(p, CODE_ENVIRONMENT,
			    err_set(&p->err, -EINVAL,
				    "CNI_CONTAINERID: letters, digits, _ . -, beginning with a letter or digit"));
	if (str_empty(c->ifname) || strlen(c->ifname) >= IFNAMSIZ || strpbrk(c->ifname, "/ :"))
		return fail(p, CODE_ENVIRONMENT, err_set(&p->err, -EINVAL, "CNI_IFNAME: not an interface name"));
	if (netns && str_empty(c->netns))
		return fail(p, CODE_ENVIRONMENT, err_set(&p->err, -EINVAL, "CNI_NETNS: required"));
	return 0;
}

static int parse_config(struct plugin *p)
{
	const struct json *v;
	int r = cni_doc_parse(p->call->config, p->call->config_len, "configuration", &p->list, &p->err);

	if (r < 0)
		return fail(p, strstr(p->err.msg, "cniVersion") ? CODE_VERSION : CODE_DECODE, r);
	p->version = p->list.version;
	p->config = p->list.plugins[0];
	if (json_get(p->config, "ipam"))
		return fail(p, CODE_FIELD,
			    err_set(&p->err, -EINVAL,
				    "ipam: unsupported field, amphi's networks give their own addresses"));
	p->mode = "bridge";
	v = json_get(p->config, "mode");
	if (v && (json_string(v, &p->mode, &p->err) < 0 || (strcmp(p->mode, "bridge") && strcmp(p->mode, "tap"))))
		return fail(p, CODE_CONFIG, err_set(&p->err, -EINVAL, "mode: must be bridge or tap"));
	return 0;
}

/* Which network; made when the configuration describes it. */
static int choose_network(struct plugin *p, bool make)
{
	cleanup_network struct network n = { 0 };
	cleanup_strv char **subnets = NULL;
	struct err e = { 0 };
	int r = json_opt_string(p->config, "network", &p->network, &p->err);

	if (r >= 0 && !p->network)
		r = json_opt_strv(p->config, "subnets", &subnets, &p->err);
	if (r < 0)
		return fail(p, CODE_DECODE, r);
	if (p->network)
		return 0;
	r = network_def_load(NULL, p->list.name, &n, &e);
	if (r == -ENOENT && subnets && make) {
		r = network_def_create(NULL, &(struct network_create){ .name = p->list.name, .subnets = subnets },
				       &p->err);
		/* another ADD was faster */
		if (r == -EEXIST && network_def_load(NULL, p->list.name, &n, NULL) >= 0)
			r = 0;
	} else if (r < 0 && r != -ENOENT)
		p->err = e;
	if (r < 0 && r != -ENOENT)
		return fail(p, code_of(r), r);
	p->network = xstrdup(r == -ENOENT ? "default" : p->list.name);
	return 0;
}

/* plugin/HASH: stands for the attachment (network's name, container, interface). */
static char *owner_path(const struct plugin *p, const struct netdir *nd, const char *id, const char *ifname)
{
	uint64_t h = netdir_hash(0, p->list.name, strlen(p->list.name) + 1);

	h = netdir_hash(h, id, strlen(id) + 1);
	return xasprintf("%s/plugin/%016llx", nd->run, (unsigned long long)netdir_hash(h, ifname, strlen(ifname)));
}

static int open_owner(struct plugin *p)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	cleanup_fd int dir = -1;
	int r = netdir_open(NULL, false, &nd, &p->err);

	if (r >= 0)
		r = dir = netdir_sub(&nd, "plugin", &p->err);
	if (r < 0)
		return fail(p, CODE_IO, r);
	p->owner = owner_path(p, &nd, p->call->container_id, p->call->ifname);
	return 0;
}

static int read_port(const struct json *o, struct network_request *req, struct err *err)
{
	cleanup_free char *proto = NULL, *host = NULL, *text = NULL;
	uint32_t outside = 0, inside = 0;
	int r = json_want(o, JSON_OBJECT, err);

	if (r < 0 || (r = json_opt_u32(o, "hostPort", &outside, err)) < 0 ||
	    (r = json_opt_u32(o, "containerPort", &inside, err)) < 0 ||
	    (r = json_opt_string(o, "protocol", &proto, err)) < 0 || (r = json_opt_string(o, "hostIP", &host, err)) < 0)
		return r;
	if (!outside) /* not published, as portmap has it */
		return 0;
	text = xasprintf(strchr(host ? host : "", ':') ? "[%s]:%u:%u/%s" : "%s:%u:%u/%s",
			 str_empty(host) ? "0.0.0.0" : host, outside, inside, proto ? proto : "tcp");
	return network_request_add_port(req, text, err);
}

static int read_capabilities(struct plugin *p, struct network_request *req)
{
	struct network_attachment *a = &req->nets[0];
	const struct json *rc = NULL, *list = NULL, *bw = NULL, *aliases = NULL;
	cleanup_strv char **ips = NULL;
	cleanup_free char *mac = NULL;
	struct err *err = &p->err;
	int r = json_opt_object(p->config, "runtimeConfig", &rc, err);

	if (r <= 0)
		return r;
	if ((r = json_opt_array(rc, "portMappings", &list, err)) < 0 ||
	    (r = json_opt_object(rc, "bandwidth", &bw, err)) < 0 || (r = json_opt_strv(rc, "ips", &ips, err)) < 0 ||
	    (r = json_opt_string(rc, "mac", &mac, err)) < 0 || (r = json_opt_object(rc, "aliases", &aliases, err)) < 0)
		return r;
	for (size_t i = 0; list && i < list->c.n; i++)
		if ((r = read_port(&list->c.v[i], req, err)) < 0)
			return r;
	if (bw &&
	    ((r = json_opt_u64(bw, "ingressRate", &a->rate_in, err)) < 0 ||
	     (r = json_opt_u64(bw, "ingressBurst", &a->burst_in, err)) < 0 ||
	     (r = json_opt_u64(bw, "egressRate", &a->rate_out, err)) < 0 ||
	     (r = json_opt_u64(bw, "egressBurst", &a->burst_out, err)) < 0))
		return r;
	for (char **s = ips; s && *s; s++) {
		struct rtnl_addr addr;

		if (rtnl_addr_parse(*s, false, &addr) < 0)
			return err_set(err, -EINVAL, "runtimeConfig.ips: \"%s\" is not an address", *s);
		*(addr.family == AF_INET ? &a->ip4 : &a->ip6) = addr;
	}
	if (mac && rtnl_mac_parse(mac, a->mac) < 0)
		return err_set(err, -EINVAL, "runtimeConfig.mac: \"%s\" is not a MAC address", mac);
	a->has_mac |= mac != NULL;
	return aliases ? json_opt_strv(aliases, p->list.name, &a->aliases, err) : 0;
}

/* "IP=ADDRESS;MAC=ADDRESS;…" of CNI_ARGS, podman's way to ask for fixed addresses; other keys are for others. */
static int read_args(struct plugin *p, struct network_attachment *a)
{
	cleanup_strv char **args = strv_split(p->call->args ? p->call->args : "", ';');

	for (char **s = args; *s; s++) {
		struct rtnl_addr addr;

		if (str_starts(*s, "IP=")) {
			if (rtnl_addr_parse(*s + 3, false, &addr) < 0)
				return err_set(&p->err, -EINVAL, "CNI_ARGS: IP=%s is not an address", *s + 3);
			*(addr.family == AF_INET ? &a->ip4 : &a->ip6) = addr;
		} else if (str_starts(*s, "MAC=")) {
			if (rtnl_mac_parse(*s + 4, a->mac) < 0)
				return err_set(&p->err, -EINVAL, "CNI_ARGS: MAC=%s is not a MAC address", *s + 4);
			a->has_mac = true;
		}
	}
	return 0;
}

/* ---- answers -------------------------------------------------------------------------------------------- */

static void put_error(struct plugin *p, struct str *out)
{
	struct json_writer w = { .indent = 2 };
	cleanup_free char *text = NULL;

	json_w_object(&w, NULL);
	json_w_string(&w, "cniVersion", p->version ? p->version : CNI_DOC_VERSION);
	json_w_u64(&w, "code", (uint64_t)(p->code ? p->code : CODE_OTHER));
	json_w_string(&w, "msg", p->err.msg);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	str_addf(out, "%s\n", text);
}

static void put_interface(struct json_writer *w, const char *name, const char *sandbox, uint32_t mtu, bool with_mtu,
			  const uint8_t *mac)
{
	char text[RTNL_MAC_TEXT];

	json_w_object(w, NULL);
	json_w_string(w, "name", name);
	if (mac)
		json_w_string(w, "mac", rtnl_mac_text(mac, text));
	if (with_mtu)
		json_w_u64(w, "mtu", mtu);
	if (sandbox)
		json_w_string(w, "sandbox", sandbox);
	json_w_object_end(w);
}

static void put_routes(struct json_writer *w, const struct rtnl_iface *set)
{
	char a[RTNL_ADDR_TEXT];

	json_w_array(w, "routes");
	for (size_t i = 0; i < set->n_routes; i++) {
		const struct rtnl_route *rt = &set->routes[i];

		json_w_object(w, NULL);
		json_w_string(w, "dst",
			      rt->dst.family                         ? rtnl_addr_text(&rt->dst, true, a) :
				      rt->gateway.family == AF_INET6 ? "::/0" :
								       "0.0.0.0/0");
		if (rt->gateway.family)
			json_w_string(w, "gw", rtnl_addr_text(&rt->gateway, false, a));
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

static void put_result(const struct plugin *p, const struct network_lease *l, const char *tap, struct str *out)
{
	bool mtu = cni_doc_version(p->version) >= cni_doc_version("1.1.0");
	const struct network_iface *f = &l->ifaces[0];
	cleanup_network struct network n = { 0 };
	struct json_writer w = { .indent = 2 };
	cleanup_free char *text = NULL;
	char a[RTNL_ADDR_TEXT];

	(void)network_def_load(NULL, p->network, &n, NULL);
	json_w_object(&w, NULL);
	json_w_string(&w, "cniVersion", p->version);
	json_w_array(&w, "interfaces");
	put_interface(&w, f->bridge, NULL, 0, false, NULL);
	put_interface(&w, f->host_link, NULL, 0, false, NULL);
	put_interface(&w, f->set.name, p->call->netns, f->set.mtu, mtu, f->set.mac);
	if (tap)
		put_interface(&w, tap, p->call->netns, f->set.mtu, mtu, f->set.mac);
	json_w_array_end(&w);
	json_w_array(&w, "ips");
	for (size_t i = 0; i < f->set.n_addrs; i++) {
		json_w_object(&w, NULL);
		if (cni_doc_version(p->version) < cni_doc_version("1.0.0"))
			json_w_string(&w, "version", f->set.addrs[i].family == AF_INET ? "4" : "6");
		json_w_string(&w, "address", rtnl_addr_text(&f->set.addrs[i], true, a));
		for (unsigned int k = 0; k < n.n_subnets; k++)
			if (n.subnets[k].gateway.family && rtnl_addr_in(&f->set.addrs[i], &n.subnets[k].net))
				json_w_string(&w, "gateway", rtnl_addr_text(&n.subnets[k].gateway, false, a));
		json_w_u64(&w, "interface", 2);
		json_w_object_end(&w);
	}
	json_w_array_end(&w);
	put_routes(&w, &f->set);
	json_w_object(&w, "dns");
	if (n.dns_servers)
		json_w_strv(&w, "nameservers", n.dns_servers);
	if (n.dns_search)
		json_w_strv(&w, "search", n.dns_search);
	if (n.dns_options)
		json_w_strv(&w, "options", n.dns_options);
	json_w_object_end(&w);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	str_addf(out, "%s\n", text);
}

/* ---- commands ------------------------------------------------------------------------------------------- */

static void tap_name(const struct plugin *p, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, "tap%.11s", p->call->ifname);
}

/* A tap a monitor opens by name, beside the interface. */
static int add_tap(struct plugin *p, int netns, const struct network_lease *l, const char *name)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	struct rtnl_link tap, link;
	int r = tap_persist(name, netns, &p->err);

	if (r >= 0)
		r = rtnl_open(&nl, netns, &p->err);
	if (r >= 0)
		r = rtnl_link_get(&nl, name, 0, &tap, &p->err);
	if (r >= 0)
		r = rtnl_link_get(&nl, p->call->ifname, 0, &link, &p->err);
	if (r >= 0)
		r = rtnl_link_change(&nl, tap.index, &(struct rtnl_change){ .mtu = l->ifaces[0].set.mtu, .up = 1 },
				     &p->err);
	return r < 0 ? r : tc_join(&nl, link.index, tap.index, &p->err);
}

static int detach_owner(struct plugin *p, const char *id, const char *owner)
{
	struct network_ref ref = { .id = id, .owner = owner };
	int r = network_detach(&ref, &p->err);

	if (r >= 0)
		(void)unlink(owner);
	return r;
}

static int add(struct plugin *p, struct str *out)
{
	cleanup_network_lease struct network_lease l = { 0 };
	cleanup_free char *record = NULL;
	struct network_request req;
	char tap[IFNAMSIZ];
	cleanup_fd int netns = -1, owner = -1;
	int r = need_env(p, true);

	if (r < 0 || (r = choose_network(p, true)) < 0 || (r = open_owner(p)) < 0)
		return r;
	netns = open(p->call->netns, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return fail(p, CODE_UNKNOWN_CONTAINER, err_sys(&p->err, -errno, "CNI_NETNS %s", p->call->netns));
	owner = open(p->owner, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	record = xasprintf("%s\n%s\n%s\n", p->list.name, p->call->container_id, p->call->ifname);
	if (owner < 0 || fd_write_all(owner, record, strlen(record)) < 0)
		return fail(p, CODE_IO, err_sys(&p->err, -errno, "write %s", p->owner));
	network_request_init(&req, p->call->container_id, p->owner, NETWORK_CONTAINER);
	req.netns_fd = netns;
	req.no_files = true;
	r = network_request_add_network(&req, p->network, &p->err);
	if (r >= 0) {
		free(req.nets[0].ifname);
		req.nets[0].ifname = xstrdup(p->call->ifname);
		r = read_args(p, &req.nets[0]);
		if (r >= 0)
			r = read_capabilities(p, &req);
	}
	if (r >= 0)
		r = network_attach(&req, &l, &p->err);
	network_request_free(&req);
	tap_name(p, tap);
	if (r >= 0 && !strcmp(p->mode, "tap"))
		r = add_tap(p, netns, &l, tap);
	if (r < 0) {
		struct err why = p->err;

		(void)detach_owner(p, p->call->container_id, p->owner);
		p->err = why;
		return fail(p, code_of(r), r);
	}
	put_result(p, &l, strcmp(p->mode, "tap") ? NULL : tap, out);
	return 0;
}

/* The tap of mode "tap" in a namespace that lives on. */
static void del_tap(struct plugin *p)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	cleanup_fd int netns = str_empty(p->call->netns) ? -1 : open(p->call->netns, O_RDONLY | O_CLOEXEC);
	char tap[IFNAMSIZ];

	if (netns < 0 || strcmp(p->mode, "tap") || rtnl_open(&nl, netns, NULL) < 0)
		return;
	tap_name(p, tap);
	(void)rtnl_link_del(&nl, tap, NULL);
}

static int del(struct plugin *p)
{
	int r = need_env(p, false);

	if (r < 0 || (r = open_owner(p)) < 0)
		return r;
	del_tap(p);
	r = detach_owner(p, p->call->container_id, p->owner);
	return r < 0 ? fail(p, code_of(r), r) : 0;
}

static int check(struct plugin *p)
{
	cleanup_network_lease struct network_lease l = { 0 };
	struct network_ref ref = { 0 };
	cleanup_fd int netns = -1;
	int r = need_env(p, true);

	if (r < 0 || (r = open_owner(p)) < 0)
		return r;
	ref.id = p->call->container_id;
	ref.owner = p->owner;
	r = network_lease_find(&ref, &l, &p->err);
	if (r < 0)
		return fail(p, CODE_UNKNOWN_CONTAINER, r);
	netns = open(p->call->netns, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return fail(p, CODE_UNKNOWN_CONTAINER, err_sys(&p->err, -errno, "CNI_NETNS %s", p->call->netns));
	r = network_check(&l, netns, &p->err);
	return r < 0 ? fail(p, CODE_OTHER, r) : 0;
}

static bool is_valid(const struct json *valid, const char *id, const char *ifname)
{
	for (size_t i = 0; i < valid->c.n; i++) {
		const struct json *c = json_get(&valid->c.v[i], "containerID"), *f = json_get(&valid->c.v[i], "ifname");

		if (c && f && c->type == JSON_STRING && f->type == JSON_STRING && !strcmp(c->s, id) &&
		    !strcmp(f->s, ifname))
			return true;
	}
	return false;
}

static int gc(struct plugin *p)
{
	const struct json *valid = json_get(p->config, "cni.dev/valid-attachments");
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	cleanup_dir DIR *d = NULL;
	int fd, first = 0, r;

	/* without the list everything would go */
	if (!valid || valid->type != JSON_ARRAY)
		return fail(p, CODE_FIELD,
			    err_set(&p->err, -EINVAL, "cni.dev/valid-attachments: required for GC, an array"));
	r = netdir_open(NULL, false, &nd, &p->err);
	if (r >= 0)
		r = fd = netdir_sub(&nd, "plugin", &p->err);
	if (r < 0)
		return fail(p, CODE_IO, r);
	d = fdopendir(fd);
	for (struct dirent *e; d && (e = readdir(d));) {
		cleanup_free char *text = NULL, *owner = NULL;
		cleanup_strv char **line = NULL;
		size_t n;

		if (e->d_name[0] == '.' || fd_slurp_at(fd, e->d_name, 65536, &text, &n) < 0)
			continue;
		line = strv_split(text, '\n');
		if (strv_len(line) < 3 || strcmp(line[0], p->list.name) || is_valid(valid, line[1], line[2]))
			continue;
		owner = owner_path(p, &nd, line[1], line[2]);
		r = detach_owner(p, line[1], owner);
		if (r < 0 && !first)
			first = r;
	}
	return first ? fail(p, code_of(first), first) : 0;
}

static int status(struct plugin *p)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	int r = netdir_open(NULL, true, &nd, &p->err);

	if (r >= 0)
		r = nat_present(&p->err);
	return r < 0 ? fail(p, CODE_UNAVAILABLE, r) : 0;
}

static void put_versions(struct str *out)
{
	struct json_writer w = { .indent = 0 };
	cleanup_free char *text = NULL;

	json_w_object(&w, NULL);
	json_w_string(&w, "cniVersion", CNI_DOC_VERSION);
	json_w_strv(&w, "supportedVersions", (char *const *)cni_doc_versions);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	str_addf(out, "%s\n", text);
}

int cni_plugin_run(const struct cni_plugin_call *c, struct str *out)
{
	struct plugin p = { .call = c };
	const char *cmd = c->command;
	int r;

	if (!str_empty(cmd) && !strcmp(cmd, "VERSION")) {
		put_versions(out);
		return 0;
	}
	if (str_empty(cmd))
		r = fail(&p, CODE_ENVIRONMENT, err_set(&p.err, -EINVAL, "CNI_COMMAND: required"));
	else
		r = parse_config(&p);
	if (r >= 0) {
		if (!strcmp(cmd, "ADD"))
			r = add(&p, out);
		else if (!strcmp(cmd, "DEL"))
			r = del(&p);
		else if (!strcmp(cmd, "CHECK"))
			r = check(&p);
		else if (!strcmp(cmd, "GC"))
			r = gc(&p);
		else if (!strcmp(cmd, "STATUS"))
			r = status(&p);
		else
			r = fail(&p, CODE_ENVIRONMENT, err_set(&p.err, -EINVAL, "CNI_COMMAND %s: unknown", cmd));
	}
	if (r < 0)
		put_error(&p, out);
	cni_doc_free(&p.list);
	free(p.network);
	free(p.owner);
	return r < 0 ? 1 : 0;
}
