/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_lease: what an attachment consists of, as a value and as JSON.
 *
 * Theory of operation: the lease is the undo's only input: written before the first link is made, read by detach,
 * prune and reload. It names links, addresses and ports, so that everything can be found again although the
 * process that made it is gone. Taps are open descriptors and are not part of the document.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/attached.h"
#include "network/network.h"
#include "network/network_lease.h"

#define LEASE_VERSION 1

static const char *const protos[] = { [NETWORK_TCP] = "tcp", [NETWORK_UDP] = "udp", [NETWORK_SCTP] = "sctp" };
_Static_assert(ARRAY_SIZE(protos) == NETWORK_PROTO_MAX, "a word for each protocol");
static const char *const kinds[] = { [NETWORK_CONTAINER] = "container", [NETWORK_MACHINE] = "machine" };
_Static_assert(ARRAY_SIZE(kinds) == NETWORK_KIND_MAX, "a word for each kind");

const char *network_lease_proto(enum network_proto p)
{
	return protos[p];
}

int network_lease_proto_parse(const char *word, enum network_proto *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (!strcmp(word, protos[i])) {
			*ret = (enum network_proto)i;
			return 0;
		}
	return -EINVAL;
}

static void iface_free(struct network_iface *i)
{
	for (unsigned int k = 0; k < i->n_taps; k++)
		if (i->tap_fds[k] >= 0)
			close(i->tap_fds[k]);
	rtnl_iface_free(&i->set);
	free(i->network);
	free(i->bridge);
	*i = (struct network_iface){ 0 };
}

void network_lease_free(struct network_lease *l)
{
	for (size_t i = 0; i < l->n_ifaces; i++)
		iface_free(&l->ifaces[i]);
	free(l->ifaces);
	free(l->ports);
	free((char *)l->ref.dir);
	free((char *)l->ref.id);
	free((char *)l->ref.owner);
	free(l->netns_path);
	free(l->files_dir);
	strv_free(l->names);
	*l = (struct network_lease){ 0 };
}

void network_lease_drop_iface(struct network_lease *l, size_t i)
{
	iface_free(&l->ifaces[i]);
	memmove(&l->ifaces[i], &l->ifaces[i + 1], (l->n_ifaces - i - 1) * sizeof(*l->ifaces));
	l->n_ifaces--;
}

struct network_iface *network_lease_add_iface(struct network_lease *l)
{
	struct network_iface *i;

	l->ifaces = xreallocarray(l->ifaces, l->n_ifaces + 1, sizeof(*l->ifaces));
	i = &l->ifaces[l->n_ifaces++];
	*i = (struct network_iface){ 0 };
	for (unsigned int k = 0; k < NETWORK_TAPS_MAX; k++)
		i->tap_fds[k] = -1;
	return i;
}

void network_lease_save(struct json_writer *w, const char *key, const struct network_lease *l)
{
	char a[RTNL_ADDR_TEXT];

	json_w_object(w, key);
	json_w_u64(w, "version", LEASE_VERSION);
	json_w_string(w, "id", l->ref.id);
	json_w_string(w, "owner", l->ref.owner);
	json_w_string(w, "kind", kinds[l->kind]);
	json_w_array(w, "interfaces");
	for (size_t i = 0; i < l->n_ifaces; i++) {
		const struct network_iface *f = &l->ifaces[i];

		json_w_object(w, NULL);
		if (f->network)
			json_w_string(w, "network", f->network);
		if (f->bridge)
			json_w_string(w, "bridge", f->bridge);
		if (f->host_link[0])
			json_w_string(w, "hostLink", f->host_link);
		rtnl_iface_save(w, "inside", &f->set);
		json_w_object_end(w);
	}
	json_w_array_end(w);
	json_w_array(w, "ports");
	for (size_t i = 0; i < l->n_ports; i++) {
		const struct network_port *p = &l->ports[i];

		json_w_object(w, NULL);
		if (p->host.family)
			json_w_string(w, "host", rtnl_addr_text(&p->host, false, a));
		json_w_string(w, "protocol", protos[p->proto]);
		json_w_u64(w, "hostPort", p->port);
		json_w_u64(w, "containerPort", p->inside);
		json_w_u64(w, "count", p->n);
		json_w_object_end(w);
	}
	json_w_array_end(w);
	if (l->names)
		json_w_strv(w, "names", l->names);
	if (l->files_dir)
		json_w_string(w, "filesDir", l->files_dir);
	if (l->netns_path)
		json_w_string(w, "netns", l->netns_path);
	json_w_object_end(w);
}

static int load_iface(const struct json *o, struct network_lease *l, struct err *err)
{
	struct network_iface *f = network_lease_add_iface(l);
	const struct json *inside = NULL;
	cleanup_free char *link = NULL;
	int r = json_want(o, JSON_OBJECT, err);

	if (r < 0 || (r = json_opt_string(o, "network", &f->network, err)) < 0 ||
	    (r = json_opt_string(o, "bridge", &f->bridge, err)) < 0 ||
	    (r = json_opt_string(o, "hostLink", &link, err)) < 0 ||
	    (r = json_opt_object(o, "inside", &inside, err)) < 0)
		return r;
	if (link && strlen(link) >= IFNAMSIZ)
		return json_error(json_get(o, "hostLink"), err, "is longer than %d bytes", IFNAMSIZ - 1);
	if (link)
		strcpy(f->host_link, link);
	if (!inside)
		return json_error(o, err, "inside: required");
	return rtnl_iface_load(inside, &f->set, err);
}

static int load_port(const struct json *o, struct network_lease *l, struct err *err)
{
	cleanup_free char *host = NULL, *proto = NULL;
	struct network_port p = { 0 };
	uint32_t port = 0, inside = 0, count = 1;
	int r = json_want(o, JSON_OBJECT, err);

	if (r < 0 || (r = json_opt_string(o, "host", &host, err)) < 0 ||
	    (r = json_req_string(o, "protocol", &proto, err)) < 0 ||
	    (r = json_opt_u32(o, "hostPort", &port, err)) < 0 ||
	    (r = json_opt_u32(o, "containerPort", &inside, err)) < 0 || (r = json_opt_u32(o, "count", &count, err)) < 0)
		return r;
	if ((host && rtnl_addr_parse(host, false, &p.host) < 0) || network_lease_proto_parse(proto, &p.proto) < 0 ||
	    !port || !inside || !count || port + count > 65536 || inside + count > 65536)
		return json_error(o, err, "not a published port");
	p.port = (uint16_t)port;
	p.inside = (uint16_t)inside;
	p.n = (uint16_t)count;
	l->ports = xreallocarray(l->ports, l->n_ports + 1, sizeof(p));
	l->ports[l->n_ports++] = p;
	return 0;
}

static int load_members(const struct json *o, struct network_lease *l, struct err *err)
{
	cleanup_free char *id = NULL, *owner = NULL, *kind = NULL;
	const struct json *a = NULL;
	uint32_t version = 0;
	int r = json_want(o, JSON_OBJECT, err);

	if (r < 0 || (r = json_opt_u32(o, "version", &version, err)) < 0)
		return r;
	if (version != LEASE_VERSION)
		return err_set(err, -EPROTO, "network attachment: version %u is unknown", version);
	r = json_req_string(o, "id", &id, err);
	if (r >= 0)
		r = json_req_string(o, "owner", &owner, err);
	l->ref.id = steal_ptr(id);
	l->ref.owner = steal_ptr(owner);
	if (r < 0 || (r = json_req_string(o, "kind", &kind, err)) < 0)
		return r;
	l->kind = strcmp(kind, kinds[NETWORK_MACHINE]) ? NETWORK_CONTAINER : NETWORK_MACHINE;
	r = json_opt_array(o, "interfaces", &a, err);
	for (size_t i = 0; r >= 0 && a && i < a->c.n; i++)
		r = load_iface(&a->c.v[i], l, err);
	a = NULL;
	if (r >= 0)
		r = json_opt_array(o, "ports", &a, err);
	for (size_t i = 0; r >= 0 && a && i < a->c.n; i++)
		r = load_port(&a->c.v[i], l, err);
	if (r < 0 || (r = json_opt_strv(o, "names", &l->names, err)) < 0 ||
	    (r = json_opt_string(o, "filesDir", &l->files_dir, err)) < 0)
		return r;
	return json_opt_string(o, "netns", &l->netns_path, err);
}

int network_lease_load(const struct json *v, struct network_lease *ret, struct err *err)
{
	struct network_lease l = { 0 };
	int r = load_members(v, &l, err);

	if (r < 0) {
		network_lease_free(&l);
		return r;
	}
	*ret = l;
	return 0;
}

char *network_lease_guest(const struct network_lease *l)
{
	struct json_writer w = { .indent = 0 };

	json_w_object(&w, NULL);
	json_w_array(&w, "interfaces");
	for (size_t i = 0; i < l->n_ifaces; i++)
		if (l->ifaces[i].network || !l->ifaces[i].host_link[0])
			rtnl_iface_save(&w, NULL, &l->ifaces[i].set);
	json_w_array_end(&w);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

int network_lease_find(const struct network_ref *ref, struct network_lease *ret, struct err *err)
{
	cleanup_netdir struct netdir nd = NETDIR_INIT;
	int r = netdir_open(ref->dir, false, &nd, err);

	return r < 0 ? r : attached_load(&nd, ref, ret, err);
}
