/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cni_doc: the documents of the Container Network Interface.
 *
 * Theory of operation: pure functions from text to values and back. Configurations are written by administrators and
 * results by foreign programs: both are read strictly where a member is used and passed through untouched where it
 * is somebody else's (unknown keys of a plugin's configuration reach the plugin as they are).
 * CNI specification 1.1.0: section 1 (configuration), 3 (execution), 5 (result types).
 */
#include "network/cni_doc.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/network_lease.h"

const char *const cni_doc_versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", NULL };

int cni_doc_version(const char *v)
{
	for (int i = 0; cni_doc_versions[i]; i++)
		if (!strcmp(v, cni_doc_versions[i]))
			return i;
	return -1;
}

void cni_doc_free(struct cni_doc_list *l)
{
	json_doc_free(l->doc);
	*l = (struct cni_doc_list){ 0 };
}

/* An optional string member without copy. */
static int string_of(const struct json *o, const char *key, const char **ret, struct err *err)
{
	const struct json *v = json_get(o, key);

	return v ? json_string(v, ret, err) : 0;
}

static int choose_version(const struct json *root, struct cni_doc_list *l, struct err *err)
{
	const struct json *more = NULL;
	const char *v = NULL;
	int best, r = string_of(root, "cniVersion", &v, err);

	if (r < 0 || (r = json_opt_array(root, "cniVersions", &more, err)) < 0)
		return r;
	best = v ? cni_doc_version(v) : -1;
	for (size_t i = 0; more && i < more->c.n; i++) {
		const char *s;
		int k;

		r = json_string(&more->c.v[i], &s, err);
		if (r < 0)
			return r;
		k = cni_doc_version(s);
		if (k > best)
			best = k;
	}
	if (best < 0)
		return json_error(root, err, "cniVersion \"%s\": none of 0.3.0 to " CNI_DOC_VERSION, v ? v : "");
	l->version = cni_doc_versions[best];
	return 0;
}

/* A plugin's type becomes the name of a program: no path in it. */
static int check_plugin(const struct json *p, struct err *err)
{
	const char *type = NULL;
	int r = json_want(p, JSON_OBJECT, err);

	if (r < 0 || (r = string_of(p, "type", &type, err)) < 0)
		return r;
	if (str_empty(type))
		return json_error(p, err, "type: required");
	if (strchr(type, '/') || type[0] == '.')
		return json_error(json_get(p, "type"), err, "\"%s\" is not the name of a plugin", type);
	return 0;
}

static int read_list(struct cni_doc_list *l, const struct json *root, struct err *err)
{
	const struct json *plugins = NULL;
	int r = json_want(root, JSON_OBJECT, err);

	if (r < 0 || (r = choose_version(root, l, err)) < 0 || (r = string_of(root, "name", &l->name, err)) < 0 ||
	    (r = json_opt_bool(root, "disableCheck", &l->disable_check, err)) < 0 ||
	    (r = json_opt_bool(root, "disableGC", &l->disable_gc, err)) < 0 ||
	    (r = json_opt_array(root, "plugins", &plugins, err)) < 0)
		return r;
	if (str_empty(l->name) || strchr(l->name, '/'))
		return json_error(root, err, "name: required, without '/'");
	if (!plugins) { /* a single plugin's configuration */
		r = check_plugin(root, err);
		l->plugins[l->n_plugins++] = root;
		return r;
	}
	if (!plugins->c.n || plugins->c.n > ARRAY_SIZE(l->plugins))
		return json_error(plugins, err, "must have 1 to %zu members", ARRAY_SIZE(l->plugins));
	for (size_t i = 0; i < plugins->c.n; i++) {
		r = check_plugin(&plugins->c.v[i], err);
		if (r < 0)
			return r;
		l->plugins[l->n_plugins++] = &plugins->c.v[i];
	}
	return 0;
}

int cni_doc_parse(const char *text, size_t len, const char *what, struct cni_doc_list *ret, struct err *err)
{
	struct cni_doc_list l = { .doc = json_parse(text, len, what, err) };
	int r = l.doc ? read_list(&l, json_root(l.doc), err) : -EINVAL;

	if (r < 0) {
		bool parsed = l.doc;

		cni_doc_free(&l);
		return parsed ? err_wrap(err, "%s", what) : r;
	}
	*ret = l;
	return 0;
}

const char *cni_doc_type(const struct json *plugin)
{
	return json_get(plugin, "type")->s;
}

static bool declares(const struct json *plugin, const char *capability)
{
	const struct json *c = json_get(plugin, "capabilities");
	const struct json *v = c && c->type == JSON_OBJECT ? json_get(c, capability) : NULL;

	return v && v->type == JSON_BOOL && v->b;
}

char *cni_doc_input(const struct cni_doc_list *l, const struct json *plugin, const struct json *capabilities,
		    const struct json *prev_result, const struct json *valid)
{
	static const char *const own[] = {
		"capabilities", "cniVersion", "cniVersions",  "name",      "runtimeConfig",
		"prevResult",   "plugins",    "disableCheck", "disableGC", "cni.dev/valid-attachments"
	};
	struct json_writer w = { .indent = 0 };
	bool any = false;

	json_w_object(&w, NULL);
	json_w_string(&w, "cniVersion", l->version);
	json_w_string(&w, "name", l->name);
	json_for_each(v, plugin) {
		bool skip = false;

		for (size_t i = 0; i < ARRAY_SIZE(own); i++)
			skip |= !strcmp(v->key, own[i]);
		if (!skip)
			json_w_value(&w, v->key, v);
	}
	if (capabilities)
		json_for_each(c, capabilities) {
			if (!declares(plugin, c->key))
				continue;
			if (!any)
				json_w_object(&w, "runtimeConfig");
			any = true;
			json_w_value(&w, c->key, c);
		}
	if (any)
		json_w_object_end(&w);
	if (prev_result)
		json_w_value(&w, "prevResult", prev_result);
	if (valid)
		json_w_value(&w, "cni.dev/valid-attachments", valid);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

static void put_ports(struct json_writer *w, const struct network_request *req)
{
	char a[RTNL_ADDR_TEXT];

	json_w_array(w, "portMappings");
	for (size_t i = 0; i < req->n_ports; i++)
		for (uint32_t k = 0; k < req->ports[i].n; k++) {
			const struct network_port *p = &req->ports[i];

			json_w_object(w, NULL);
			json_w_u64(w, "hostPort", p->port + k);
			json_w_u64(w, "containerPort", p->inside + k);
			json_w_string(w, "protocol", network_lease_proto(p->proto));
			if (p->host.family)
				json_w_string(w, "hostIP", rtnl_addr_text(&p->host, false, a));
			json_w_object_end(w);
		}
	json_w_array_end(w);
}

static void put_bandwidth(struct json_writer *w, const struct network_attachment *a)
{
	json_w_object(w, "bandwidth");
	if (a->rate_in) {
		json_w_u64(w, "ingressRate", a->rate_in);
		json_w_u64(w, "ingressBurst", a->burst_in ? a->burst_in : a->rate_in / 8 + 8 * 65536);
	}
	if (a->rate_out) {
		json_w_u64(w, "egressRate", a->rate_out);
		json_w_u64(w, "egressBurst", a->burst_out ? a->burst_out : a->rate_out / 8 + 8 * 65536);
	}
	json_w_object_end(w);
}

char *cni_doc_capabilities(const struct network_request *req, const char *network)
{
	const struct network_attachment *a = req->n_nets ? &req->nets[0] : NULL;
	struct json_writer w = { .indent = 0 };
	char text[RTNL_ADDR_TEXT], mac[RTNL_MAC_TEXT];

	json_w_object(&w, NULL);
	if (req->n_ports)
		put_ports(&w, req);
	if (a && (a->rate_in || a->rate_out))
		put_bandwidth(&w, a);
	if (a && (a->ip4.family || a->ip6.family)) {
		json_w_array(&w, "ips");
		if (a->ip4.family)
			json_w_string(&w, NULL, rtnl_addr_text(&a->ip4, false, text));
		if (a->ip6.family)
			json_w_string(&w, NULL, rtnl_addr_text(&a->ip6, false, text));
		json_w_array_end(&w);
	}
	if (a && a->has_mac)
		json_w_string(&w, "mac", rtnl_mac_text(a->mac, mac));
	if (a && a->aliases) {
		json_w_object(&w, "aliases");
		json_w_strv(&w, network, a->aliases);
		json_w_object_end(&w);
	}
	if (req->dns_servers || req->dns_search || req->dns_options) {
		json_w_object(&w, "dns");
		json_w_strv(&w, "servers", req->dns_servers);
		json_w_strv(&w, "searches", req->dns_search);
		json_w_strv(&w, "options", req->dns_options);
		json_w_object_end(&w);
	}
	json_w_object_end(&w);
	return json_w_steal(&w);
}

/* ---- results -------------------------------------------------------------------------------------------- */

static int result_interface(const struct json *o, struct network_lease *l, int *ret_index, struct err *err)
{
	const char *name = NULL, *mac = NULL, *sandbox = NULL;
	struct network_iface *f;
	int r = json_want(o, JSON_OBJECT, err);

	*ret_index = -1;
	if (r < 0 || (r = string_of(o, "name", &name, err)) < 0 || (r = string_of(o, "mac", &mac, err)) < 0 ||
	    (r = string_of(o, "sandbox", &sandbox, err)) < 0)
		return r;
	if (str_empty(sandbox))
		return 0;
	if (str_empty(name) || strlen(name) >= IFNAMSIZ)
		return json_error(o, err, "name: not an interface name");
	f = network_lease_add_iface(l);
	strcpy(f->set.name, name);
	if (!str_empty(mac) && rtnl_mac_parse(mac, f->set.mac) < 0)
		return json_error(json_get(o, "mac"), err, "\"%s\" is not a MAC address", mac);
	if ((r = json_opt_u32(o, "mtu", &f->set.mtu, err)) < 0)
		return r;
	*ret_index = (int)l->n_ifaces - 1;
	return 0;
}

static int result_ip(const struct json *o, struct network_lease *l, const int *map, size_t n_map, struct err *err)
{
	const char *address = NULL, *gateway = NULL;
	uint32_t index = 0;
	struct rtnl_addr a, gw;
	int r = json_want(o, JSON_OBJECT, err), present;

	if (r < 0 || (r = string_of(o, "address", &address, err)) < 0 ||
	    (r = string_of(o, "gateway", &gateway, err)) < 0)
		return r;
	present = json_opt_u32(o, "interface", &index, err);
	if (present < 0)
		return present;
	if (!address || rtnl_addr_parse(address, true, &a) < 0)
		return json_error(o, err, "address: not ADDRESS/PREFIX");
	if (!str_empty(gateway) && rtnl_addr_parse(gateway, false, &gw) < 0)
		return json_error(o, err, "gateway: not an address");
	if (present && (index >= n_map))
		return json_error(o, err, "interface: no such index");
	if (!l->n_ifaces || (present && map[index] < 0))
		return 0; /* on the host's side */
	rtnl_iface_add_addr(&l->ifaces[present ? map[index] : 0].set, &a);
	return 0;
}

static int result_route(const struct json *o, struct network_lease *l, struct err *err)
{
	const char *dst = NULL, *gw = NULL;
	struct rtnl_route rt = { 0 };
	int r = json_want(o, JSON_OBJECT, err);

	if (r < 0 || (r = string_of(o, "dst", &dst, err)) < 0 || (r = string_of(o, "gw", &gw, err)) < 0)
		return r;
	if (!dst || rtnl_addr_parse(dst, true, &rt.dst) < 0)
		return json_error(o, err, "dst: not ADDRESS/PREFIX");
	if (!str_empty(gw) && rtnl_addr_parse(gw, false, &rt.gateway) < 0)
		return json_error(o, err, "gw: not an address");
	if (l->n_ifaces)
		rtnl_iface_add_route(&l->ifaces[0].set, &rt);
	return 0;
}

int cni_doc_result(const struct json *result, struct network_lease *l, struct err *err)
{
	const struct json *a = NULL;
	int map[64], r = json_want(result, JSON_OBJECT, err);
	size_t n = 0;

	if (r < 0 || (r = json_opt_array(result, "interfaces", &a, err)) < 0)
		return r;
	if (a && a->c.n > ARRAY_SIZE(map))
		return json_error(a, err, "more than %zu interfaces", ARRAY_SIZE(map));
	for (size_t i = 0; a && i < a->c.n; i++)
		if ((r = result_interface(&a->c.v[i], l, &map[n++], err)) < 0)
			return r;
	a = NULL;
	r = json_opt_array(result, "ips", &a, err);
	for (size_t i = 0; r >= 0 && a && i < a->c.n; i++)
		r = result_ip(&a->c.v[i], l, map, n, err);
	a = NULL;
	if (r >= 0)
		r = json_opt_array(result, "routes", &a, err);
	for (size_t i = 0; r >= 0 && a && i < a->c.n; i++)
		r = result_route(&a->c.v[i], l, err);
	return r < 0 ? r : 0;
}

int cni_doc_error(const char *text, const char *type, const char *command, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(text, strlen(text), "plugin's answer", NULL);
	const struct json *root = doc ? json_root(doc) : NULL;
	const char *msg = NULL, *details = NULL;

	if (root && root->type == JSON_OBJECT) {
		(void)string_of(root, "msg", &msg, NULL);
		(void)string_of(root, "details", &details, NULL);
	}
	if (str_empty(msg))
		return err_set(err, -EIO, "CNI plugin %s %s failed: %.*s", type, command,
			       text[0] ? (int)strcspn(text, "\n") : 9, text[0] ? text : "no output");
	return err_set(err, -EIO, "CNI plugin %s %s: %s%s%s", type, command, msg, str_empty(details) ? "" : ": ",
		       details ? details : "");
}
