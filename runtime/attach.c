/* SPDX-License-Identifier: Apache-2.0 */
/* --network and its relatives: config changes and the attachment as steps. */
/*
 * Theory of operation: an engine prepares a network namespace and says so in config.json; a person says
 * --network. The words none, host, ns:PATH, container:ID and pasta become a change of the config's network
 * namespace, everything else is a network of ours that network_attach() connects: a machine's taps exist before the
 * monitor that inherits them, a container's veth moves into the namespace that create made. resolv.conf, hosts and
 * hostname are files in the state directory which added mounts bind; the child's mounts are final when it is cloned,
 * so the files are made empty first and filled in place by the attach. The rewritten document replaces the bundle's
 * in memory and is what the state directory and the guest get; the bundle itself is not touched.
 */
#include "runtime/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "network/network.h"
#include "oci/bundle.h"
#include "runtime/sandbox.h"

static const char *const attach_names[] = { "resolv.conf", "hosts", "hostname" };

/* What the words of --network come down to. */
struct attach_wish {
	bool edit_netns;  /* replace the config's network namespace */
	bool netns;       /* then: have one at all */
	char *netns_path; /* then: join this one; owned */
	bool pasta;
	bool files; /* bind resolv.conf, hosts, hostname */
	const char *statedir;
	const struct create_request *req;
};

/* Has the word a network of ours as its subject? */
static bool attach_is_ours(const char *word)
{
	return strcmp(word, "none") && strcmp(word, "host") && strcmp(word, "pasta") && !str_starts(word, "ns:") &&
		!str_starts(word, "container:");
}

/* The networks of ours in a list; "cni:FILE" of the record counts too. */
static size_t attach_count(char *const *networks)
{
	size_t n = 0;

	for (; networks && *networks; networks++)
		n += attach_is_ours(*networks);
	return n;
}

bool attach_owns_links(char *const *networks)
{
	for (; networks && *networks; networks++)
		if (attach_is_ours(*networks) || !strcmp(*networks, "pasta"))
			return true;
	return false;
}

static int attach_netns_of(const struct globals *g, const char *id, char **ret, struct err *err)
{
	struct sandbox sb = SANDBOX_INIT;
	int r = sandbox_load(g, id, false, &sb, err);

	if (r < 0)
		return err_wrap(err, "option --network: container:%s", id);
	if (!sandbox_alive(&sb))
		r = err_set(err, ESRCH, "option --network: container:%s: container not running", id);
	else
		*ret = xasprintf("/proc/%d/ns/net", sb.rec.pid);
	sandbox_close(&sb);
	return r;
}

static int attach_wish(const struct globals *g, const struct create_request *req, struct attach_wish *w,
		       struct err *err)
{
	size_t ours = attach_count(req->networks);

	if (req->cni_config) {
		if (req->networks)
			return err_set(err, EINVAL, "option --cni-config: cannot be combined with --network");
		w->req = req;
		w->edit_netns = w->netns = w->files = true;
		return 0;
	}
	if (strv_len(req->networks) > 1 && ours < strv_len(req->networks))
		return err_set(err, EINVAL, "option --network: none, host, ns:, container: and pasta stand alone");
	if (!ours && req->publish && !(req->networks && !strcmp(req->networks[0], "pasta")))
		return err_set(err, EINVAL, "option --publish: needs --network");
	w->req = req;
	w->files = ours || req->dns || req->add_hosts;
	if (!req->networks)
		return 0;
	w->edit_netns = true;
	w->netns = true;
	if (!strcmp(req->networks[0], "host"))
		w->netns = false;
	else if (!strcmp(req->networks[0], "pasta"))
		w->pasta = true;
	else if (str_starts(req->networks[0], "ns:"))
		w->netns_path = path_abs(req->networks[0] + strlen("ns:"));
	else if (str_starts(req->networks[0], "container:"))
		return attach_netns_of(g, req->networks[0] + strlen("container:"), &w->netns_path, err);
	return 0;
}

/* ---- the document --------------------------------------------------------------------------------------- */

static void write_mounts(struct json_writer *w, const struct json *old, const struct attach_wish *wish)
{
	json_w_array(w, "mounts");
	if (old)
		json_for_each(m, old)
			json_w_value(w, NULL, m);
	for (size_t i = 0; wish->files && i < ARRAY_SIZE(attach_names); i++) {
		cleanup_free char *source = path_join(wish->statedir, attach_names[i]);
		cleanup_free char *target = path_join("/etc", attach_names[i]);

		json_w_object(w, NULL);
		json_w_string(w, "destination", target);
		json_w_string(w, "type", "bind");
		json_w_string(w, "source", source);
		json_w_array(w, "options");
		json_w_string(w, NULL, "bind");
		json_w_string(w, NULL, "private");
		json_w_array_end(w);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

static void write_namespaces(struct json_writer *w, const struct json *old, const struct attach_wish *wish)
{
	json_w_array(w, "namespaces");
	if (old)
		json_for_each(ns, old) {
			const struct json *type = json_get(ns, "type");

			if (!type || type->type != JSON_STRING || strcmp(type->s, "network"))
				json_w_value(w, NULL, ns);
		}
	if (wish->netns) {
		json_w_object(w, NULL);
		json_w_string(w, "type", "network");
		if (wish->netns_path)
			json_w_string(w, "path", wish->netns_path);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

static void write_linux(struct json_writer *w, const struct json *old, const struct attach_wish *wish)
{
	bool seen = false;

	json_w_object(w, "linux");
	if (old)
		json_for_each(m, old) {
			if (wish->edit_netns && !strcmp(m->key, "namespaces")) {
				write_namespaces(w, m, wish);
				seen = true;
			} else {
				json_w_value(w, m->key, m);
			}
		}
	if (wish->edit_netns && !seen)
		write_namespaces(w, NULL, wish);
	json_w_object_end(w);
}

static char *attach_rewrite(const struct json *root, const struct attach_wish *wish)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	json_for_each(m, root) {
		if (!strcmp(m->key, "mounts") || !strcmp(m->key, "linux"))
			continue;
		if (!strcmp(m->key, "hostname") && wish->req->hostname)
			continue;
		json_w_value(&w, m->key, m);
	}
	if (wish->req->hostname)
		json_w_string(&w, "hostname", wish->req->hostname);
	write_mounts(&w, json_get(root, "mounts"), wish);
	write_linux(&w, json_get(root, "linux"), wish);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

/* Bind sources that are relative to the bundle become absolute in the text too. */
static int attach_absolute(struct oci_bundle *b, char **ret, struct err *err)
{
	size_t n = b->config->n_mounts;
	char **sources = xcalloc(n + 1, sizeof(*sources));
	int r;

	for (size_t i = 0; i < n; i++)
		if (oci_mount_is_bind(&b->config->mounts[i]))
			sources[i] = b->config->mounts[i].source;
	r = oci_config_rewrite(b->json, b->json_len, NULL, sources, n, ret, err);
	free(sources);
	return r;
}

static int attach_replace(struct sandbox *sb, const struct attach_wish *wish, struct err *err)
{
	struct oci_bundle *b = sb->bundle;
	cleanup_json_doc struct json_doc *doc = NULL;
	struct oci_config *config = NULL;
	cleanup_free char *absolute = NULL, *text = NULL;
	int r = attach_absolute(b, &absolute, err);

	if (r < 0)
		return r;
	doc = json_parse(absolute, strlen(absolute), "config.json", err);
	if (!doc)
		return err ? err->code : -EINVAL;
	text = attach_rewrite(json_root(doc), wish);
	r = oci_config_parse(text, strlen(text), &config, err);
	if (r < 0)
		return err_wrap(err, "config.json with --network");
	oci_config_free(b->config);
	b->config = config;
	free(b->json);
	b->json_len = strlen(text);
	b->json = steal_ptr(text);
	return 0;
}

int attach_adapt(struct sandbox *sb, struct err *err)
{
	const struct create_request *req = sb->request;
	cleanup_free char *statedir = NULL;
	struct attach_wish wish = { 0 };
	int r;

	if (!req->networks && !req->cni_config && !req->publish && !req->dns && !req->add_hosts && !req->hostname)
		return 0;
	statedir = path_join(sb->globals->root, req->id);
	wish.statedir = statedir;
	r = attach_wish(sb->globals, req, &wish, err);
	if (!r)
		r = attach_replace(sb, &wish, err);
	free(wish.netns_path);
	return r;
}

/* ---- steps ---------------------------------------------------------------------------------------------- */

int attach_files(struct sandbox *sb, struct err *err)
{
	const struct create_request *req = sb->request;

	if (!attach_count(req->networks) && !req->cni_config && !req->dns && !req->add_hosts)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(attach_names); i++) {
		cleanup_fd int fd = openat(sb->dir.fd, attach_names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		if (fd < 0)
			return err_sys(err, errno, "%s/%s", sb->dir.path, attach_names[i]);
	}
	return 0;
}

static int attach_request(struct sandbox *sb, enum network_kind kind, struct network_request *nr, struct err *err)
{
	const struct create_request *req = sb->request;
	int r = 0;

	network_request_init(nr, req->id, sb->dir.path, kind);
	nr->hostname = sb->config->hostname;
	nr->files_dir = sb->dir.path;
	nr->tap_queues = (uint16_t)sb->tap_queues;
	for (char **w = req->networks; !r && w && *w; w++)
		if (attach_is_ours(*w))
			r = network_request_add_network(nr, *w, err);
	for (char **w = req->publish; !r && w && *w; w++)
		r = network_request_add_port(nr, *w, err);
	nr->cni_config = req->cni_config;
	nr->dns_servers = strv_dup(req->dns);
	nr->extra_hosts = strv_dup(req->add_hosts);
	return r < 0 ? err_wrap(err, "option --network") : 0;
}

static int attach_do(struct sandbox *sb, enum network_kind kind, int netns_fd, struct err *err)
{
	struct network_request nr;
	struct json_writer w = { 0 };
	int r = attach_request(sb, kind, &nr, err);

	nr.netns_fd = netns_fd;
	if (!r)
		r = network_attach(&nr, &sb->lease, err);
	network_request_free(&nr);
	if (r < 0)
		return r;
	network_lease_save(&w, NULL, &sb->lease);
	free(sb->rec.network);
	sb->rec.network = json_w_steal(&w);
	return sandbox_save(sb, err);
}

int attach_machine(struct sandbox *sb, struct err *err)
{
	if (sb->rec.isolation != ISOLATION_VM || !attach_count(sb->rec.networks))
		return 0;
	return attach_do(sb, NETWORK_MACHINE, -1, err);
}

static int attach_pasta(struct sandbox *sb, struct err *err)
{
	struct network_request nr;
	int pid,
		r = attach_request(sb, sb->rec.isolation == ISOLATION_VM ? NETWORK_MACHINE : NETWORK_CONTAINER, &nr,
				   err);

	if (!r)
		r = network_pasta(&nr, sb->rec.pid, &pid, err);
	network_request_free(&nr);
	return r;
}

int attach_container(struct sandbox *sb, struct err *err)
{
	cleanup_free char *path = NULL;
	cleanup_fd int netns = -1;

	if (!sb->rec.networks)
		return 0;
	if (!strcmp(sb->rec.networks[0], "pasta"))
		return attach_pasta(sb, err);
	if (sb->rec.isolation == ISOLATION_VM || !attach_count(sb->rec.networks))
		return 0;
	path = xasprintf("/proc/%d/ns/net", sb->rec.pid);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return err_sys(err, errno, "%s", path);
	return attach_do(sb, NETWORK_CONTAINER, netns, err);
}

int attach_undo(struct sandbox *sb, struct err *err)
{
	struct network_ref ref = { .id = sb->dir.id, .owner = sb->dir.path };

	if (sb->rec.networks && !strcmp(sb->rec.networks[0], "pasta"))
		return network_pasta_undo(&ref, err);
	return attach_count(sb->rec.networks) ? network_detach(&ref, err) : 0;
}
