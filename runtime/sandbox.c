/* SPDX-License-Identifier: Apache-2.0 */
/* struct sandbox: load, status, create, start, delete. */
/*
 * Theory of operation: a command makes one struct sandbox, either from a request (create, run) or from the record in
 * the state directory, does its verb and closes it; nothing stays in memory between commands. Status is derived, not
 * stored: the recorded pid with its start time says whether the process lives, the back end whether it is still
 * parked, the cgroup whether it is frozen. Commands that change the container hold the lock, the others do not.
 */
#include "runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/cgroup_plan.h"
#include "container/container.h"
#include "container/hook.h"
#include "container/intelrdt.h"
#include "oci/bundle.h"
#include "runtime/attach.h"
#include "runtime/machine.h"
#include "runtime/notify.h"
#include "runtime/steps.h"

#define CONFIG_MAX (64U << 20)

int sandbox_load(const struct globals *g, const char *id, bool lock, struct sandbox *ret, struct err *err)
{
	struct sandbox sb = SANDBOX_INIT;
	int r = statedir_open(g, id, lock, &sb.dir, err);

	if (r < 0)
		return r;
	sb.globals = g;
	r = statedir_load(&sb.dir, &sb.rec, err);
	if (r == 0 && sb.rec.machine)
		r = machine_saved_check(sb.rec.machine, err);
	if (r < 0 && r != -ENODATA) {
		sandbox_close(&sb);
		return r;
	}
	if (r == 0)
		sb.backend = backend_get(sb.rec.isolation);
	*ret = sb;
	return r;
}

int sandbox_config(struct sandbox *sb, struct err *err)
{
	int r;

	if (sb->config)
		return 0;
	if (sb->dir.fd < 0)
		return err_set(err, ENOENT, "no config.json");
	r = fd_slurp_at(sb->dir.fd, "config.json", CONFIG_MAX, &sb->loaded_json, &sb->config_json_len);
	if (r < 0)
		return err_sys(err, r, "%s/config.json", sb->dir.path);
	sb->config_json = sb->loaded_json;
	r = oci_config_parse(sb->loaded_json, sb->config_json_len, &sb->loaded_config, err);
	if (r < 0)
		return err_wrap(err, "%s/config.json", sb->dir.path);
	sb->config = sb->loaded_config;
	return 0;
}

int sandbox_cgroup(struct sandbox *sb, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = NULL;

	if (sb->cgroup)
		return 0;
	if (!sb->rec.cgroup)
		return err_set(err, ENOENT, "container %s has no control group", sb->dir.id);
	doc = json_parse(sb->rec.cgroup, strlen(sb->rec.cgroup), "cgroup", err);
	if (!doc)
		return err ? err->code : -EINVAL;
	return cgroup_load(json_root(doc), &sb->cgroup, err);
}

int sandbox_thaw_killed(struct sandbox *sb, struct err *err)
{
	if (!sb->rec.cgroup || sandbox_cgroup(sb, NULL) < 0)
		return 0;
	return cgroup_thaw_killed(sb->cgroup, sb->rec.pid, err);
}

int sandbox_save(struct sandbox *sb, struct err *err)
{
	return statedir_save(&sb->dir, &sb->rec, err);
}

bool sandbox_alive(const struct sandbox *sb)
{
	return sb->rec.pid > 0 && container_alive(sb->rec.pid, sb->rec.start_time) == 1;
}

/* A record that says "creating" while nobody holds the lock was left by a killed create. */
static bool sandbox_being_created(const struct sandbox *sb)
{
	cleanup_fd int fd = -1;

	if (sb->dir.locked)
		return sb->request != NULL;
	fd = openat(sb->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	return flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

int sandbox_status(struct sandbox *sb, enum oci_status *ret, struct err *err)
{
	int paused;

	*ret = OCI_STATUS_STOPPED;
	if (!strcmp(sb->rec.phase, "creating")) {
		if (sandbox_being_created(sb))
			*ret = OCI_STATUS_CREATING;
		return 0;
	}
	if (!sandbox_alive(sb))
		return 0;
	paused = sb->backend->paused(sb, err);
	if (paused < 0)
		return paused;
	if (paused)
		*ret = OCI_STATUS_PAUSED;
	else
		*ret = sb->backend->pending(sb) > 0 ? OCI_STATUS_CREATED : OCI_STATUS_RUNNING;
	return 0;
}

static void sandbox_state(struct sandbox *sb, enum oci_status status, bool for_hook, const char *owner,
			  struct oci_state *s)
{
	*s = (struct oci_state){
		.id = sb->rec.id,
		.status = status,
		.pid = status == OCI_STATUS_STOPPED ? 0 : sb->rec.pid,
		.bundle = sb->rec.bundle,
	};
	if (sandbox_config(sb, NULL) == 0) {
		s->annotations = sb->config->annotations;
		s->n_annotations = sb->config->n_annotations;
	}
	if (for_hook)
		return;
	s->rootfs = sb->rec.rootfs;
	s->owner = owner;
	if (sb->rec.cgroup_driver == CGROUP_DRIVER_SYSTEMD && sandbox_cgroup(sb, NULL) == 0)
		s->scope = cgroup_scope(sb->cgroup);
	(void)oci_time_parse(sb->rec.created, &s->created);
}

char *sandbox_state_json(struct sandbox *sb, enum oci_status status, bool for_hook, const char *owner)
{
	struct oci_state s;

	sandbox_state(sb, status, for_hook, owner, &s);
	return oci_state_write(&s, !for_hook);
}

void sandbox_state_write(struct sandbox *sb, struct json_writer *w, enum oci_status status, const char *owner)
{
	struct oci_state s;

	sandbox_state(sb, status, false, owner, &s);
	oci_state_write_to(w, NULL, &s);
}

int sandbox_pid_file(const char *path, pid_t pid, struct err *err)
{
	cleanup_free char *dir = NULL, *base = NULL;
	cleanup_fd int fd = -1;
	char text[16];
	int r;

	if (!path || !*path)
		return 0;
	dir = xstrdup(path);
	base = xstrdup(path);
	fd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "option --pid-file: %s", path);
	snprintf(text, sizeof(text), "%d", pid);
	r = path_write_atomic(fd, basename(base), text, strlen(text), 0644);
	return r < 0 ? err_sys(err, r, "option --pid-file: %s", path) : 0;
}

/* ---- create --------------------------------------------------------------------------------------------- */

static void sandbox_record(struct sandbox *sb)
{
	struct statedir_record *rec = &sb->rec;
	char created[OCI_TIME_MAX];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	rec->id = xstrdup(sb->request->id);
	rec->bundle = xstrdup(sb->bundle->path);
	rec->rootfs = xstrdup(sb->bundle->rootfs);
	rec->created = xstrdup(oci_time_write(&now, created));
	rec->owner = geteuid();
	rec->isolation = sb->plan.isolation;
	rec->vmm = sb->plan.vmm;
	rec->cgroup_driver = sb->plan.cgroup_driver;
	rec->rootless = sb->plan.rootless;
	rec->keyring = !sb->request->no_new_keyring;
	rec->networks = strv_dup(sb->request->networks);
	if (sb->request->cni_config)
		strv_add_take(&rec->networks, xasprintf("cni:%s", sb->request->cni_config));
	rec->image = xstrdup(sb->request->image);
	rec->phase = xstrdup("creating");
}

/* Plans the cgroup; refuses one in use. No side effects. */
static int sandbox_plan_cgroup(struct sandbox *sb, struct err *err)
{
	const struct oci_config *config = sb->config;
	struct cgroup_params *p = &sb->cgroup_params;
	int r;

	*p = (struct cgroup_params){
		.id = sb->request->id,
		.cgroups_path = config->linux_.cgroups_path,
		.driver = sb->plan.cgroup_driver,
		.rootless = sb->plan.rootless,
	};
	/* a machine's cgroup holds the monitor: what the container is given is inside */
	if (sb->plan.isolation == ISOLATION_CONTAINER)
		p->delegate = cgroup_plan_owner(config, &p->owner_uid);
	r = sb->backend->limits(sb, &p->resources, err);
	if (r < 0)
		return r;
	p->annotations = config->annotations;
	p->n_annotations = config->n_annotations;
	r = intelrdt_check(config->linux_.intel_rdt, err);
	return r < 0 ? r : cgroup_new(p, &sb->cgroup, err);
}

/* Bundle, facts, plan, checks: everything before the first side effect. */
static int sandbox_prepare(const struct globals *g, const struct create_request *req, struct sandbox *sb,
			   struct err *err)
{
	int r;

	sb->globals = g;
	sb->request = req;
	r = statedir_check_id(req->id, err);
	if (!r)
		r = oci_bundle_load(req->bundle, req->config, &sb->bundle, err);
	if (!r)
		r = plan_host_facts(&sb->facts, err);
	if (r < 0)
		return r;
	r = attach_adapt(sb, err);
	if (r < 0)
		return r;
	sb->config = sb->bundle->config;
	sb->config_json = sb->bundle->json;
	sb->config_json_len = sb->bundle->json_len;
	for (char **w = sb->config->warnings; w && *w; w++)
		log_warn("%s", *w);
	r = plan_make(g, req, sb->config, &sb->facts, &sb->plan, err);
	if (r < 0)
		return r;
	sb->backend = backend_get(sb->plan.isolation);
	if (!sb->backend)
		return err_set(err, ENOTSUP, "isolation %s: not part of this build",
			       commands_isolation_name(sb->plan.isolation));
	return sb->backend->check(&sb->plan, err);
}

int sandbox_console_pair(int *ret_socket, int *ret_peer, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, errno, "socketpair");
	*ret_socket = pair[0];
	*ret_peer = pair[1];
	return 0;
}

static int sandbox_connect_console(struct sandbox *sb, struct err *err)
{
	if (!sb->plan.terminal)
		return 0;
	if (!sb->request->console_socket)
		return sandbox_console_pair(&sb->console_socket, &sb->console_peer, err);
	sb->console_socket = fd_unix_connect(sb->request->console_socket);
	if (sb->console_socket < 0)
		return err_sys(err, sb->console_socket, "option --console-socket: %s", sb->request->console_socket);
	return 0;
}

/* An id in use must be told before the cgroup of its container is found to be in use. */
static int sandbox_check_unused(const struct sandbox *sb, struct err *err)
{
	cleanup_free char *path = path_join(sb->globals->root, sb->request->id);

	if (access(path, F_OK) == 0)
		return err_set(err, EEXIST, "container with given ID already exists");
	return 0;
}

int sandbox_create(const struct globals *g, const struct create_request *req, struct sandbox *sb, struct err *err)
{
	int r = sandbox_prepare(g, req, sb, err);

	if (!r)
		r = sandbox_check_unused(sb, err);
	if (!r)
		r = sandbox_plan_cgroup(sb, err);
	if (!r)
		r = sandbox_connect_console(sb, err);
	if (r < 0)
		return r;
	sandbox_record(sb);
	return steps_run(sb, err);
}

int sandbox_dry_run(const struct globals *g, const struct create_request *req, char **ret, struct err *err)
{
	struct sandbox sb = SANDBOX_INIT;
	struct str out = { 0 };
	int r = sandbox_prepare(g, req, &sb, err);

	if (!r) {
		plan_print(&sb.plan, steps_names(), &out);
		*ret = str_steal(&out);
	}
	sandbox_close(&sb);
	return r;
}

/* ---- start ---------------------------------------------------------------------------------------------- */

static int sandbox_poststart(struct sandbox *sb, struct err *err)
{
	cleanup_free char *state = NULL;
	int r;

	r = sandbox_config(sb, err);
	if (r < 0 || !hook_any(sb->config, OCI_HOOK_POSTSTART))
		return r;
	state = sandbox_state_json(sb, OCI_STATUS_RUNNING, true, NULL);
	r = hook_run(sb->config, OCI_HOOK_POSTSTART, state, err);
	if (r < 0)
		(void)sb->backend->kill(sb, SIGKILL, false, NULL);
	return r;
}

int sandbox_start(struct sandbox *sb, struct err *err)
{
	enum oci_status status = OCI_STATUS_CREATED;
	int r = 0;

	/* run has just created it and holds the lock */
	if (!sb->request)
		r = sandbox_status(sb, &status, err);
	if (r < 0)
		return r;
	switch (status) {
	case OCI_STATUS_CREATED:
		break;
	case OCI_STATUS_STOPPED:
		return err_set(err, EINVAL, "cannot start a container that has stopped");
	case OCI_STATUS_RUNNING:
		return err_set(err, EINVAL, "cannot start an already running container");
	default:
		return err_set(err, EINVAL, "cannot start a container in the %s state", oci_status_word(status));
	}
	steps_stop_at("start");
	r = notify_listen(sb, &sb->notify_sock, err);
	if (!r)
		r = sb->backend->start(sb, err);
	if (r < 0)
		return r;
	steps_stop_at("started");
	free(sb->rec.phase);
	sb->rec.phase = xstrdup("started");
	r = sandbox_save(sb, err);
	steps_stop_at("poststart");
	return r < 0 ? r : sandbox_poststart(sb, err);
}

/* ---- delete --------------------------------------------------------------------------------------------- */

int sandbox_delete(struct sandbox *sb, bool force, struct err *err)
{
	enum oci_status status = OCI_STATUS_STOPPED;
	int r;

	steps_stop_at("delete");
	/* killed between mkdir and the first record: there is nothing but the directory */
	if (!sb->rec.phase) {
		if (!force)
			return err_set(err, ENOENT, "container does not exist");
		return statedir_remove(&sb->dir, err);
	}
	if (!force) {
		r = sandbox_status(sb, &status, err);
		if (r < 0)
			return r;
		if (status != OCI_STATUS_STOPPED && status != OCI_STATUS_CREATED)
			return err_set(err, EBUSY, "cannot delete container %s that is not stopped: %s", sb->rec.id,
				       oci_status_word(status));
	}
	return steps_undo(sb, err);
}

int sandbox_ready(struct sandbox *sb, bool stay, struct err *err)
{
	if (sb->notify_sock < 0)
		return 0;
	statedir_unlock(&sb->dir);
	return stay ? notify_forward(sb->notify_sock, sb->rec.pid, err) :
		      notify_wait(sb->notify_sock, sb->rec.pid, err);
}

void sandbox_close(struct sandbox *sb)
{
	if (sb->backend && sb->backend_data)
		sb->backend->release(sb);
	if (sb->lease.ref.id) /* else that room's pages stay untouched */
		network_lease_free(&sb->lease);
	cgroup_free(sb->cgroup);
	plan_free(&sb->plan);
	plan_host_facts_free(&sb->facts);
	oci_bundle_free(sb->bundle);
	oci_config_free(sb->loaded_config);
	free(sb->loaded_json);
	statedir_record_free(&sb->rec);
	statedir_close(&sb->dir);
	if (sb->console_socket >= 0)
		close(sb->console_socket);
	if (sb->console_peer >= 0)
		close(sb->console_peer);
	if (sb->notify_sock >= 0)
		close(sb->notify_sock);
	if (sb->pidfd >= 0)
		close(sb->pidfd);
	*sb = (struct sandbox)SANDBOX_INIT;
}
