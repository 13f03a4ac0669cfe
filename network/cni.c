/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cni: running other people's network plugins.
 *
 * Theory of operation: the plugins of a conflist are run one after the other with ADD, each getting the result of
 * the one before; DEL runs them in reverse with the final result, also after an ADD that failed half-way, and
 * whatever one of them says the others still run. What DEL and CHECK need (configuration as it was, capabilities,
 * interface name, result) is kept in cni/KEY.json, written before the first plugin runs. The plugins see the
 * namespace as a file, cni/KEY.netns, on which it is mounted from ADD to DEL: a container's own, or a new one for a
 * machine, whose links are then joined to its taps (network_join).
 * The network lock is not held while a plugin runs; what is recorded under a living owner is left alone by prune.
 * CNI specification 1.1.0, section 2 (execution protocol), 3 (of lists), 4 (delegation is the plugins' matter).
 */
#include "network/cni.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "network/attached.h"
#include "network/cni_doc.h"
#include "network/dns.h"
#include "network/netns.h"
#include "network/network_lease.h"

#define DOC_MAX (4 << 20)
#define PLUGIN_TIMEOUT_MS 120000

/* One attachment made by plugins: the content of cni/KEY.json. */
struct run {
	struct cni_doc_list list;
	char *config;                   /* text of the conflist */
	struct json_doc *caps, *result; /* NULL: none yet */
	struct json_doc *valid;         /* GC only */
	char *ifname;
	char *netns; /* "" when gone */
	char *id;
	char **path; /* directories */
};

static void run_free(struct run *u)
{
	cni_doc_free(&u->list);
	json_doc_free(u->caps);
	json_doc_free(u->result);
	json_doc_free(u->valid);
	free(u->config);
	free(u->ifname);
	free(u->netns);
	free(u->id);
	strv_free(u->path);
	*u = (struct run){ 0 };
}

static char *find_plugin(const struct run *u, const char *type, struct err *err)
{
	cleanup_free char *all = NULL;

	for (char **p = u->path; p && *p; p++) {
		char *file = path_join(*p, type);

		if (!access(file, X_OK))
			return file;
		free(file);
	}
	all = strv_join(u->path, ":");
	err_set(err, -ENOENT, "CNI plugin %s: not found in %s", type, all);
	return NULL;
}

static char **plugin_env(const struct run *u, const char *command)
{
	cleanup_free char *path = strv_join(u->path, ":");
	char **env = NULL;

	for (char **p = environ; *p; p++)
		if (!str_starts(*p, "CNI_"))
			strv_add(&env, *p);
	strv_add_take(&env, xasprintf("CNI_COMMAND=%s", command));
	strv_add_take(&env, xasprintf("CNI_CONTAINERID=%s", u->id));
	strv_add_take(&env, xasprintf("CNI_NETNS=%s", u->netns));
	strv_add_take(&env, xasprintf("CNI_IFNAME=%s", u->ifname));
	strv_add_take(&env, xasprintf("CNI_PATH=%s", path));
	return env;
}

/* Runs one plugin. *ret_out (may be NULL): its stdout. 0, or -EIO with its words. */
static int execute(const struct run *u, const struct json *plugin, const char *command, char **ret_out, struct err *err)
{
	const char *type = cni_doc_type(plugin);
	cleanup_free char *file = find_plugin(u, type, err), *input = NULL, *out = NULL, *errout = NULL;
	cleanup_strv char **env = NULL;
	struct child_io io = { .want_out = 1, .want_err = 1, .timeout_ms = PLUGIN_TIMEOUT_MS };
	int r;

	if (!file)
		return -ENOENT;
	env = plugin_env(u, command);
	input = cni_doc_input(&u->list, plugin, u->caps ? json_root(u->caps) : NULL,
			      u->result ? json_root(u->result) : NULL, u->valid ? json_root(u->valid) : NULL);
	io.in = input;
	io.in_len = strlen(input);
	io.env = env;
	r = child_run((char *[]){ file, NULL }, &io, err);
	out = io.out;
	errout = io.errout;
	if (r < 0)
		return err_wrap(err, "CNI plugin %s %s", type, command);
	if (r)
		return cni_doc_error(!str_empty(out) ? out : errout ? errout : "", type, command, err);
	if (ret_out)
		*ret_out = steal_ptr(out);
	return 0;
}

/* A plugin may be this very program and take the network lock: it is given up meanwhile. */
static int run_plugin(const struct netdir *nd, const struct run *u, const struct json *plugin, const char *command,
		      char **ret_out, struct err *err)
{
	int r, k;

	netdir_unlock(nd);
	r = execute(u, plugin, command, ret_out, err);
	k = netdir_relock(nd, r < 0 ? NULL : err);
	return r < 0 ? r : k;
}

/* ---- record --------------------------------------------------------------------------------------------- */

static int record_save(const struct netdir *nd, const char *key, const struct run *u, struct err *err)
{
	cleanup_fd int dir = netdir_sub(nd, "cni", err);
	cleanup_free char *name = xasprintf("%s.json", key), *text = NULL;
	struct json_writer w = { .indent = 1 };
	int r;

	if (dir < 0)
		return dir;
	json_w_object(&w, NULL);
	json_w_u64(&w, "version", 1);
	json_w_string(&w, "config", u->config);
	json_w_string(&w, "ifname", u->ifname);
	json_w_string(&w, "netns", u->netns);
	json_w_strv(&w, "path", u->path);
	if (u->caps)
		json_w_value(&w, "capabilities", json_root(u->caps));
	if (u->result)
		json_w_value(&w, "result", json_root(u->result));
	json_w_object_end(&w);
	text = json_w_steal(&w);
	r = path_write_atomic(dir, name, text, strlen(text), 0600);
	return r < 0 ? err_sys(err, r, "write %s/cni/%s", nd->run, name) : 0;
}

/* A member as a document of its own. */
static struct json_doc *part(const struct json *o, const char *key, struct err *err)
{
	const struct json *v = json_get(o, key);
	struct json_writer w = { .indent = 0 };
	cleanup_free char *text = NULL;

	if (!v)
		return NULL;
	json_w_value(&w, NULL, v);
	text = json_w_steal(&w);
	return json_parse(text, strlen(text), key, err);
}

static int record_load(const struct netdir *nd, const char *key, const char *id, struct run *u, struct err *err)
{
	cleanup_fd int dir = netdir_sub(nd, "cni", err);
	cleanup_free char *name = xasprintf("%s.json", key), *text = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	const struct json *o;
	size_t len;
	int r;

	if (dir < 0)
		return dir;
	r = fd_slurp_at(dir, name, DOC_MAX, &text, &len);
	if (r < 0)
		return r == -ENOENT ? r : err_sys(err, r, "read %s/cni/%s", nd->run, name);
	doc = json_parse(text, len, name, err);
	if (!doc)
		return -EINVAL;
	o = json_root(doc);
	if ((r = json_req_string(o, "config", &u->config, err)) < 0 ||
	    (r = json_req_string(o, "ifname", &u->ifname, err)) < 0 ||
	    (r = json_req_string(o, "netns", &u->netns, err)) < 0 || (r = json_opt_strv(o, "path", &u->path, err)) < 0)
		return r;
	u->id = xstrdup(id);
	u->caps = part(o, "capabilities", err);
	u->result = part(o, "result", err);
	return cni_doc_parse(u->config, strlen(u->config), "recorded CNI configuration", &u->list, err);
}

/*
 * CNI forbids GC beside ADD and DEL. Plugins run without the network's lock, so those share another one that GC has
 * alone. It is waited for without the network's lock: whoever has it wants that one next. Descriptor or -errno.
 */
static int enter(const struct netdir *nd, int how, struct err *err)
{
	cleanup_fd int fd = openat(nd->run_fd, "cni.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -errno : 0, k;

	netdir_unlock(nd);
	while (!r && flock(fd, how) < 0)
		r = errno == EINTR ? 0 : -errno;
	k = netdir_relock(nd, err);
	if (r < 0)
		return err_sys(err, r, "lock %s/cni.lock", nd->run);
	return k < 0 ? k : steal_fd(fd);
}

/* ---- verbs ---------------------------------------------------------------------------------------------- */

/* DEL of all plugins in reverse; the first failure is kept. */
static int del_all(const struct netdir *nd, struct run *u, struct err *err)
{
	struct err e = { 0 };
	int first = 0;

	if (u->netns[0] && access(u->netns, F_OK) < 0)
		u->netns[0] = '\0';
	for (size_t i = u->list.n_plugins; i-- > 0;) {
		int r = run_plugin(nd, u, u->list.plugins[i], "DEL", NULL, &e);

		if (r == -ENOENT) { /* no such program: it cannot have made anything, or nobody can undo it */
			log_warn("network: %s", e.msg);
			continue;
		}
		if (r < 0 && !first) {
			first = r;
			if (err)
				*err = e;
		}
	}
	return first;
}

static int add_all(const struct netdir *nd, const char *key, struct run *u, struct err *err)
{
	for (size_t i = 0; i < u->list.n_plugins; i++) {
		cleanup_free char *out = NULL;
		struct json_doc *result;
		int r = run_plugin(nd, u, u->list.plugins[i], "ADD", &out, err);

		if (r < 0)
			return r;
		result = json_parse(out ? out : "", out ? strlen(out) : 0, "result", err);
		if (!result)
			return err_wrap(err, "CNI plugin %s ADD", cni_doc_type(u->list.plugins[i]));
		json_doc_free(u->result);
		u->result = result;
		r = record_save(nd, key, u, err);
		if (r < 0)
			return r;
		netdir_stop_at("cni-plugin");
	}
	return 0;
}

static char **search_path(const struct network_request *req)
{
	const char *env = getenv("CNI_PATH");
	char **v = NULL;

	if (req->cni_path)
		return strv_dup(req->cni_path);
	if (!str_empty(env))
		return strv_split(env, ':');
	strv_add(&v, "/opt/cni/bin");
	strv_add(&v, "/usr/lib/cni");
	strv_add(&v, "/usr/libexec/cni");
	return v;
}

static int run_begin(const struct network_request *req, struct run *u, struct err *err)
{
	size_t len;
	int r = fd_slurp_at(AT_FDCWD, req->cni_config, DOC_MAX, &u->config, &len);

	if (r < 0)
		return err_sys(err, r, "--cni-config %s", req->cni_config);
	r = cni_doc_parse(u->config, len, req->cni_config, &u->list, err);
	if (r < 0)
		return r;
	u->id = xstrdup(req->ref.id);
	u->ifname = xstrdup(req->n_nets && req->nets[0].ifname ? req->nets[0].ifname : "eth0");
	u->path = search_path(req);
	return 0;
}

static int capabilities(const struct network_request *req, struct run *u, struct err *err)
{
	cleanup_free char *text = cni_doc_capabilities(req, u->list.name);

	u->caps = json_parse(text, strlen(text), "capabilities", err);
	return u->caps ? 0 : -EINVAL;
}

/* The final result as the lease's interfaces; for machines the links joined to taps. */
static int fill_lease(const struct network_request *req, struct run *u, int netns_fd, struct network_lease *l,
		      struct err *err)
{
	struct network_lease joined = { 0 };
	int r;

	if (l->kind == NETWORK_CONTAINER)
		return u->result ? cni_doc_result(json_root(u->result), l, err) : 0;
	r = network_join(&l->ref, netns_fd, req->tap_queues, false, &joined, err);
	if (r < 0)
		return r;
	l->ifaces = joined.ifaces;
	l->n_ifaces = joined.n_ifaces;
	joined.ifaces = NULL;
	joined.n_ifaces = 0;
	network_lease_free(&joined);
	return 0;
}

int cni_attach(const struct netdir *nd, const struct network_request *req, struct network_lease *l, struct err *err)
{
	struct run u CLEANUP(run_free) = { 0 };
	cleanup_fd int own = -1, dir = -1, lock = -1;
	char key[NETDIR_KEY];
	int ns = req->netns_fd, r = run_begin(req, &u, err);

	netdir_key(req->ref.id, req->ref.owner, key);
	if (r >= 0)
		r = capabilities(req, &u, err);
	if (r >= 0)
		r = lock = enter(nd, LOCK_SH, err);
	if (r < 0)
		return r;
	dir = netdir_sub(nd, "cni", err);
	u.netns = xstrdup(l->netns_path);
	r = dir < 0 ? dir : record_save(nd, key, &u, err);
	if (r >= 0 && l->kind == NETWORK_MACHINE)
		r = ns = own = netns_keep(u.netns, err);
	else if (r >= 0)
		r = netns_bind(u.netns, ns, err);
	if (r >= 0)
		r = add_all(nd, key, &u, err);
	if (r >= 0)
		r = fill_lease(req, &u, ns, l, err);
	/* The caller's undo runs DEL for what is recorded. */
	return r < 0 ? r : dns_write_plain(req, l, u.result ? json_get(json_root(u.result), "dns") : NULL, err);
}

int cni_detach(const struct netdir *nd, const struct network_lease *l, struct err *err)
{
	struct run u CLEANUP(run_free) = { 0 };
	cleanup_free char *file = NULL, *netns = NULL;
	cleanup_fd int dir = -1, lock = enter(nd, LOCK_SH, err);
	char key[NETDIR_KEY];
	int r, n;

	if (lock < 0)
		return lock;
	netdir_key(l->ref.id, l->ref.owner, key);
	r = record_load(nd, key, l->ref.id, &u, err);
	netns = xasprintf("%s/cni/%s.netns", nd->run, key);
	if (r == -ENOENT)
		return netns_drop(netns, err);
	if (r < 0)
		return r;
	r = del_all(nd, &u, err);
	n = netns_drop(netns, r < 0 ? NULL : err);
	if (r < 0 || n < 0)
		return r < 0 ? r : n;
	dir = netdir_sub(nd, "cni", err);
	file = xasprintf("%s.json", key);
	if (dir < 0 || (unlinkat(dir, file, 0) < 0 && errno != ENOENT))
		return err_sys(err, -errno, "remove %s/cni/%s", nd->run, file);
	return 0;
}

int cni_check(const struct netdir *nd, const struct network_lease *l, int netns_fd, struct err *err)
{
	struct run u CLEANUP(run_free) = { 0 };
	char key[NETDIR_KEY];
	int r;

	netdir_key(l->ref.id, l->ref.owner, key);
	r = record_load(nd, key, l->ref.id, &u, err);
	if (r == -ENOENT)
		return err_set(err, r, "no record of CNI plugins");
	if (r < 0 || u.list.disable_check || cni_doc_version(u.list.version) < cni_doc_version("0.4.0"))
		return r;
	/* plugins compare the path with their result's: it is another one only when the mounted file is gone */
	if (netns_fd >= 0 && access(u.netns, F_OK) < 0) {
		free(u.netns);
		u.netns = xasprintf("/proc/%d/fd/%d", (int)getpid(), netns_fd);
	}
	for (size_t i = 0; r >= 0 && i < u.list.n_plugins; i++)
		r = run_plugin(nd, &u, u.list.plugins[i], "CHECK", NULL, err);
	return r;
}

/* The attachments of a list that are still in use, as GC wants them. */
static struct json_doc *valid_attachments(const struct netdir *nd, const char *list, const struct network_lease *leases,
					  size_t n)
{
	struct json_writer w = { .indent = 0 };
	cleanup_free char *text = NULL;

	json_w_array(&w, NULL);
	for (size_t i = 0; i < n; i++) {
		struct run o CLEANUP(run_free) = { 0 };
		char key[NETDIR_KEY];

		netdir_key(leases[i].ref.id, leases[i].ref.owner, key);
		if (!leases[i].netns_path || record_load(nd, key, leases[i].ref.id, &o, NULL) < 0 ||
		    strcmp(o.list.name, list))
			continue;
		json_w_object(&w, NULL);
		json_w_string(&w, "containerID", o.id);
		json_w_string(&w, "ifname", o.ifname);
		json_w_object_end(&w);
	}
	json_w_array_end(&w);
	text = json_w_steal(&w);
	return json_parse(text, strlen(text), "attachments", NULL);
}

int cni_gc(const struct netdir *nd, struct err *err)
{
	cleanup_strv char **done = NULL;
	cleanup_fd int lock = enter(nd, LOCK_EX, err);
	struct network_lease *leases = NULL;
	struct err e = { 0 };
	size_t n = 0;
	int first = lock < 0 ? lock : attached_list(nd, &leases, &n, err);

	for (size_t i = 0; lock >= 0 && i < n; i++) {
		struct run u CLEANUP(run_free) = { 0 };
		char key[NETDIR_KEY];

		netdir_key(leases[i].ref.id, leases[i].ref.owner, key);
		if (!leases[i].netns_path || record_load(nd, key, leases[i].ref.id, &u, NULL) < 0 ||
		    u.list.disable_gc || cni_doc_version(u.list.version) < cni_doc_version("1.1.0") ||
		    strv_has(done, u.list.name))
			continue;
		strv_add(&done, u.list.name);
		u.valid = valid_attachments(nd, u.list.name, leases, n);
		for (size_t k = 0; k < u.list.n_plugins; k++) {
			int r = run_plugin(nd, &u, u.list.plugins[k], "GC", NULL, &e);

			if (r < 0 && first >= 0) {
				first = r;
				if (err)
					*err = e;
			}
		}
	}
	attached_list_free(leases, n);
	return first < 0 ? first : 0;
}
