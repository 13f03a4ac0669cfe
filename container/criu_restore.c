/* SPDX-License-Identifier: Apache-2.0 */
/* amphi's part of a restore: giving criu the outside world in which the images are to live. */
/*
 * Theory of operation: the mirror of criu_dump.c. criu runs in the container's new cgroup and in a mount namespace of
 * its own, where the root file system is a mount as it wants it; what comes from outside gets its present place: bind
 * mounts their sources, joined namespaces their descriptors, standard streams ours. criu stops at "setup-namespaces",
 * where the first process exists without content: there begin() returns. The terminal's master arrives with the
 * notification "orphan-pts-master" and goes to the console socket.
 */
#include "container/criu_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "container/cgroup.h"
#include "container/tty.h"
#include "oci/config.h"

#define RESTORE_LOG "restore.log"
#define STREAMS_MAX 65536

/* criu's descriptors from CRIU_FIRST_FD on. */
enum { RESTORE_STATUS, RESTORE_STDIO, RESTORE_NET = RESTORE_STDIO + 3, RESTORE_PID, RESTORE_FDS };

static void inherit(struct str *opts, const char *key, int place)
{
	cleanup_str struct str m = { 0 };

	criu_rpc_string(&m, 1, key);
	criu_rpc_number(&m, 2, CRIU_FIRST_FD + place);
	criu_rpc_message(opts, CRIU_OPT_INHERIT_FD, &m);
}

/* Standard streams that came from outside: pipes by their old names, files by the ids of criu_dump. */
static int inherit_streams(const char *text, struct str *opts, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(text, strlen(text), CRIU_STREAMS, err);
	const struct json *root;
	int place = RESTORE_STDIO, r;

	if (!doc)
		return err->code;
	root = json_root(doc);
	r = json_want(root, JSON_ARRAY, err);
	if (r < 0)
		return err_wrap(err, CRIU_STREAMS);
	json_for_each(v, root) {
		r = json_want(v, JSON_STRING, err);
		if (r < 0)
			return err_wrap(err, CRIU_STREAMS);
		if (place < RESTORE_NET && (str_starts(v->s, "pipe:[") || str_starts(v->s, "file[")))
			inherit(opts, v->s, place);
		place++;
	}
	return 0;
}

/* "N:controllers:path" lines: where criu sits is where the container's cgroups begin. */
static void cgroup_roots(const char *cgroups, struct str *opts)
{
	cleanup_strv char **lines = strv_split(cgroups, '\n');

	for (char **l = lines; l && *l; l++) {
		char *names = strchr(*l, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		cleanup_strv char **controllers = NULL;

		if (!path)
			continue;
		*path++ = '\0';
		controllers = strv_split(names + 1, ',');
		for (char **c = controllers; c && *c; c++) {
			cleanup_str struct str m = { 0 };

			criu_rpc_string(&m, 1, *c);
			criu_rpc_string(&m, 2, path);
			criu_rpc_message(opts, CRIU_OPT_CGROUP_ROOT, &m);
		}
	}
}

static void external_mounts(const struct criu_restore_params *p, struct str *opts)
{
	const struct oci_config *c = p->config;

	if (p->notify_dir)
		criu_external(opts, "mnt", "/run/notify", p->notify_dir);
	for (size_t i = 0; i < c->n_mounts; i++)
		if (oci_mount_is_bind(&c->mounts[i]))
			criu_external(opts, "mnt", c->mounts[i].destination, c->mounts[i].source);
	for (char **m = c->linux_.masked_paths; m && *m; m++)
		criu_external(opts, "mnt", *m, "/dev/null");
	if (!c->linux_.namespaces[OCI_NS_USER].present)
		return;
	for (size_t i = 0; i < c->linux_.n_devices; i++)
		criu_external(opts, "mnt", c->linux_.devices[i].path, c->linux_.devices[i].path);
	for (const char *const *d = criu_default_devices(); *d; d++)
		criu_external(opts, "mnt", *d, *d);
}

int criu_restore_opts(const struct criu_restore_params *p, const char *streams, const char *cgroups, struct str *ret,
		      struct err *err)
{
	const struct criu_options *o = p->options;
	const struct oci_namespace *ns = p->config->linux_.namespaces;

	criu_common_opts(o, p->rootfs, RESTORE_LOG, ret);
	criu_rpc_flag(ret, CRIU_OPT_EVASIVE_DEVICES, true);
	criu_rpc_flag(ret, CRIU_OPT_SIBLING, true);
	criu_rpc_string(ret, CRIU_OPT_LSM_PROFILE, o->lsm_profile);
	criu_rpc_string(ret, CRIU_OPT_LSM_CONTEXT, o->lsm_mount_context);
	external_mounts(p, ret);
	cgroup_roots(cgroups, ret);
	if (ns[OCI_NS_NETWORK].present && ns[OCI_NS_NETWORK].path)
		inherit(ret, CRIU_OUTER_NET, RESTORE_NET);
	if (ns[OCI_NS_PID].present && ns[OCI_NS_PID].path)
		inherit(ret, CRIU_OUTER_PID, RESTORE_PID);
	return inherit_streams(streams, ret, err);
}

/* Is the destination inside another mount of the config, whose content criu brings? */
static bool inside_mount(const struct oci_config *c, size_t i)
{
	for (size_t j = 0; j < c->n_mounts; j++)
		if (j != i && strcmp(c->mounts[j].destination, c->mounts[i].destination) &&
		    path_is_below(c->mounts[i].destination, c->mounts[j].destination))
			return true;
	return false;
}

/* A root file system from elsewhere may lack the mount points. */
static int make_targets(const struct criu_restore_params *p, struct err *err)
{
	const struct oci_config *c = p->config;
	cleanup_fd int root = open(p->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_sys(err, -errno, "root.path: open %s", p->rootfs);
	for (size_t i = 0; i < c->n_mounts; i++) {
		const struct oci_mount *m = &c->mounts[i];
		cleanup_fd int fd = -1;
		struct stat st;

		if (!str_starts(m->destination, "/") || inside_mount(c, i))
			continue;
		if (oci_mount_is_bind(m) && stat(m->source, &st) < 0)
			return err_sys(err, -errno, "mounts[%zu].source: %s", i, m->source);
		fd = oci_mount_is_bind(m) && !S_ISDIR(st.st_mode) ?
			path_touch_in(root, m->destination, 0755) :
			path_mkdirs_in(root, m->destination, 0755, (uid_t)-1, (gid_t)-1);
		if (fd < 0)
			return err_sys(err, fd, "mounts[%zu].destination: %s", i, m->destination);
	}
	return 0;
}

static int open_namespace(const struct oci_config *c, enum oci_namespace_kind kind, int *ret, struct err *err)
{
	const struct oci_namespace *ns = &c->linux_.namespaces[kind];

	if (!ns->present || !ns->path)
		return 0;
	*ret = open(ns->path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? err_sys(err, -errno, "linux.namespaces: %s", ns->path) : 0;
}

static int take_console(struct criu_restore *r, struct criu_rpc_reply *m, struct err *err)
{
	int sent;

	if (m->fd < 0)
		return err_set(err, EPROTO, "criu sent no terminal with \"%s\"", m->script);
	if (r->params->console_socket < 0)
		return 0;
	sent = tty_send(r->params->console_socket, m->fd, "/dev/pts/0");
	return sent < 0 ? err_sys(err, sent, "send the terminal to the console socket") : 0;
}

/* Follows criu up to the notification (NULL: to its end), to which it is not answered. */
static int follow(struct criu_restore *r, const char *until, struct err *err)
{
	while (!r->done) {
		cleanup_criu_rpc_reply struct criu_rpc_reply m = { .fd = -1 };
		int ret = criu_next(&r->criu, &m, err);

		if (ret < 0)
			return ret;
		if (m.pid > 0 && !r->pid)
			r->pid = m.pid;
		if (m.type != CRIU_RPC_NOTIFY) {
			r->done = m.success;
			return m.success ? 0 : criu_failed(r->params->options, "RESTORE", RESTORE_LOG, &m, err);
		}
		if (m.script && !strcmp(m.script, "orphan-pts-master"))
			ret = take_console(r, &m, err);
		if (ret < 0)
			return ret;
		if (m.script && until && !strcmp(m.script, until))
			return 0;
		ret = criu_go_on(&r->criu, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int begin(struct criu_restore *r, const int *fds, const char *streams, struct err *err)
{
	const struct criu_restore_params *p = r->params;
	const struct criu_spawn s = { .fds = fds, .n_fds = RESTORE_FDS, .rootfs = p->rootfs };
	cleanup_free char *path = NULL, *cgroups = NULL;
	cleanup_str struct str opts = { 0 };
	int ret = criu_start(&r->criu, &s, err);

	if (!ret && p->cgroup)
		ret = cgroup_enter(p->cgroup, r->criu.pid, err);
	if (ret < 0)
		return ret;
	path = xasprintf("/proc/%d/cgroup", r->criu.pid);
	ret = fd_slurp_at(AT_FDCWD, path, STREAMS_MAX, &cgroups, NULL);
	if (ret < 0)
		return err_sys(err, ret, "%s", path);
	if (p->options->status_fd >= 0)
		criu_rpc_number(&opts, CRIU_OPT_STATUS_FD, CRIU_FIRST_FD + RESTORE_STATUS);
	ret = criu_restore_opts(p, streams, cgroups, &opts, err);
	if (!ret)
		ret = criu_request(&r->criu, CRIU_RPC_RESTORE, &opts, err);
	return ret < 0 ? ret : follow(r, "setup-namespaces", err);
}

int criu_restore_begin(const struct criu_restore_params *p, struct criu_restore *ret, struct err *err)
{
	cleanup_free char *streams = NULL;
	cleanup_fd int net = -1, pid = -1;
	int fds[RESTORE_FDS] = { p->options->status_fd };
	int r = criu_check(NULL, err);

	*ret = (struct criu_restore)CRIU_RESTORE_INIT;
	ret->params = p;
	if (r < 0)
		return r;
	r = fd_slurp_at(p->options->images_fd, CRIU_STREAMS, STREAMS_MAX, &streams, NULL);
	if (r < 0)
		return err_sys(err, r, "option --image-path: " CRIU_STREAMS);
	r = make_targets(p, err);
	if (!r)
		r = open_namespace(p->config, OCI_NS_NETWORK, &net, err);
	if (!r)
		r = open_namespace(p->config, OCI_NS_PID, &pid, err);
	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++)
		fds[RESTORE_STDIO + i] = p->stdio[i] < 0 ? i : p->stdio[i];
	fds[RESTORE_NET] = net;
	fds[RESTORE_PID] = pid;
	r = begin(ret, fds, streams, err);
	if (!r && ret->pid <= 0)
		r = err_set(err, EPROTO, "criu does not tell the pid of the restored process");
	if (r < 0)
		criu_restore_abort(ret);
	return r;
}

int criu_restore_finish(struct criu_restore *r, struct err *err)
{
	int ret = 0;

	if (!r->done) {
		ret = criu_go_on(&r->criu, err);
		if (!ret)
			ret = follow(r, NULL, err);
	}
	criu_stop(&r->criu);
	return ret;
}

void criu_restore_abort(struct criu_restore *r)
{
	int status;

	criu_stop(&r->criu);
	if (r->pid <= 0)
		return;
	(void)kill(r->pid, SIGKILL);
	if (child_wait(r->pid, &status) < 0)
		log_debug("criu: process %d is not ours to reap", r->pid);
	r->pid = 0;
}

void criu_restore_free(struct criu_restore *r)
{
	criu_stop(&r->criu);
}
