/* SPDX-License-Identifier: Apache-2.0 */
/* The step table {name, do, undo} and the steps themselves. */
/*
 * Theory of operation: everything that create does to the host is a row of one table. Before a row has its first side
 * effect the record says what it is about to make, so whoever finds the record after a SIGKILL knows what there may
 * be. The undo column reads nothing but the record, is repeatable, and is used three ways: when a
 * step fails, by delete, and by delete --force after a kill at any point. Undo of a row that made nothing is a
 * no-op; it never touches what the row did not make (the cgroup was checked to be unused before the record named it).
 * A do that fails leaves nothing of its own, so undoing begins at the row before it.
 *
 * Order: the cgroup exists before the process (clone3 into it), taps before the monitor that inherits them, the
 * process before the veth that moves into its namespace, network before the createRuntime hooks as runtime-spec
 * runtime.md#lifecycle wants, hooks before pivot_root in setup. poststop hooks stand second so that they run
 * when all else is undone.
 */
#include "runtime/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/hook.h"
#include "oci/bundle.h"
#include "runtime/attach.h"
#include "runtime/cmd_images.h"
#include "runtime/rdt.h"
#include "runtime/sandbox.h"

struct step {
	const char *name;
	int (*run)(struct sandbox *sb, struct err *err);  /* NULL: nothing to do on the way down */
	int (*undo)(struct sandbox *sb, struct err *err); /* NULL: nothing to undo */
};

#ifdef AMPHI_DEBUG
void steps_stop_at(const char *point)
{
	const char *at = getenv("AMPHI_STOP_AT");

	if (at && !strcmp(at, point))
		kill(getpid(), SIGKILL);
}
#endif

/* The cgroup manager's present view: before it is made what there may be, afterwards what there is. */
static void record_cgroup(struct sandbox *sb)
{
	struct json_writer w = { 0 };

	cgroup_save(sb->cgroup, NULL, &w);
	free(sb->rec.cgroup);
	sb->rec.cgroup = json_w_steal(&w);
}

/* ---- state directory ------------------------------------------------------------------------------------ */

static int run_statedir(struct sandbox *sb, struct err *err)
{
	int r = statedir_create(sb->globals, sb->request->id, &sb->dir, err);

	if (r < 0)
		return r;
	r = path_write_atomic(sb->dir.fd, "config.json", sb->config_json, sb->config_json_len, 0600);
	if (r < 0)
		err_sys(err, r, "%s/config.json", sb->dir.path);
	steps_stop_at("record");
	/* the first record names the cgroup to come as well: one write less */
	record_cgroup(sb);
	if (!r)
		r = sandbox_save(sb, err);
	if (!r)
		r = attach_files(sb, err);
	if (r < 0)
		(void)statedir_remove(&sb->dir, NULL);
	return r;
}

static int undo_statedir(struct sandbox *sb, struct err *err)
{
	return sb->dir.fd < 0 ? 0 : statedir_remove(&sb->dir, err);
}

/* ---- the image's bundle --------------------------------------------------------------------------------- */

static int undo_image(struct sandbox *sb, struct err *err)
{
	return sb->rec.image ? cmd_images_release(sb->rec.image, err) : 0;
}

/* ---- poststop hooks ------------------------------------------------------------------------------------- */

static int undo_poststop(struct sandbox *sb, struct err *err)
{
	cleanup_free char *state = NULL;

	(void)err;
	if (sandbox_config(sb, NULL) < 0 || !hook_any(sb->config, OCI_HOOK_POSTSTOP))
		return 0;
	state = sandbox_state_json(sb, OCI_STATUS_STOPPED, true, NULL);
	hook_run_all(sb->config, OCI_HOOK_POSTSTOP, state);
	return 0;
}

/* ---- control group -------------------------------------------------------------------------------------- */

static int run_cgroup(struct sandbox *sb, struct err *err)
{
	int r;

	steps_stop_at("cgroup-create");
	r = cgroup_create(sb->cgroup, err);
	if (r < 0) {
		/* it may have come into somebody else's use: what is in it is not ours to kill */
		free(steal_ptr(sb->rec.cgroup));
		(void)sandbox_save(sb, NULL);
	}
	return r;
}

static int undo_cgroup(struct sandbox *sb, struct err *err)
{
	int r;

	if (!sb->rec.cgroup)
		return 0;
	r = sandbox_cgroup(sb, err);
	if (!r)
		r = cgroup_kill(sb->cgroup, SIGKILL, err);
	steps_stop_at("undo-cgroup-destroy");
	if (!r)
		r = cgroup_destroy(sb->cgroup, err);
	return r;
}

/* ---- the process, the network around it ----------------------------------------------------------------- */

static int run_create(struct sandbox *sb, struct err *err)
{
	int r = sb->backend->create(sb, err);

	steps_stop_at("create-record");
	if (r < 0)
		return r;
	record_cgroup(sb);
	r = sandbox_save(sb, err);
	return r < 0 ? r : rdt_apply(sb, err);
}

static int undo_create(struct sandbox *sb, struct err *err)
{
	int r = sb->backend->delete (sb, err);

	return r < 0 ? r : rdt_undo(sb, err);
}

static int run_hooks(struct sandbox *sb, struct err *err)
{
	cleanup_free char *state = NULL;
	int r;

	if (!hook_any(sb->config, OCI_HOOK_PRESTART) && !hook_any(sb->config, OCI_HOOK_CREATE_RUNTIME))
		return 0;
	state = sandbox_state_json(sb, OCI_STATUS_CREATING, true, NULL);
	r = hook_run(sb->config, OCI_HOOK_PRESTART, state, err);
	if (!r)
		r = hook_run(sb->config, OCI_HOOK_CREATE_RUNTIME, state, err);
	return r;
}

static int run_setup(struct sandbox *sb, struct err *err)
{
	return sb->backend->setup(sb, err);
}

/* ---- telling the caller --------------------------------------------------------------------------------- */

static int send_pidfd(struct sandbox *sb, struct err *err)
{
	const char *option = sb->request->pidfd_socket, *path = option ? option : sb->config->pidfd_receiver;
	cleanup_fd int sock = path ? fd_unix_connect(path) : -1;
	int r;

	if (!path)
		return 0;
	r = sock < 0 ? sock : fd_send(sock, "pidfd", strlen("pidfd"), &sb->pidfd, 1);
	return r < 0 ? err_sys(err, r, "%s: %s",
			       option ? "option --pidfd-socket" : "annotations[run.oci.pidfd_receiver]", path) :
		       0;
}

static int run_created(struct sandbox *sb, struct err *err)
{
	int r = send_pidfd(sb, err);

	free(sb->rec.phase);
	sb->rec.phase = xstrdup(sb->request->restore ? "started" : "created");
	if (!r && !sb->request->starts)
		r = sandbox_save(sb, err);
	steps_stop_at("pid-file");
	if (!r)
		r = sandbox_pid_file(sb->request->pid_file, sb->rec.pid, err);
	return r;
}

static const struct step steps[] = {
	{ "statedir", run_statedir, undo_statedir },
	{ "image", NULL, undo_image },
	{ "poststop", NULL, undo_poststop },
	{ "cgroup", run_cgroup, undo_cgroup },
	{ "tap", attach_machine, attach_undo },
	{ "create", run_create, undo_create },
	{ "network", attach_container, attach_undo },
	{ "hooks", run_hooks, NULL },
	{ "setup", run_setup, NULL },
	{ "created", run_created, NULL },
};

const char *const *steps_names(void)
{
	static const char *names[ARRAY_SIZE(steps) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		names[i] = steps[i].name;
	return names;
}

/* Undoes steps[i] and all before it. */
static int undo_from(struct sandbox *sb, size_t i, struct err *err)
{
	int ret = 0;

	while (i-- > 0) {
		struct err own = { 0 };
		char point[64];
		int r;

		if (!steps[i].undo)
			continue;
		snprintf(point, sizeof(point), "undo-%s", steps[i].name);
		steps_stop_at(point);
		/* with something left to undo the record must stay */
		if (ret < 0 && i == 0)
			break;
		log_debug("undo %s", steps[i].name);
		r = steps[i].undo(sb, &own);
		if (r < 0 && ret == 0) {
			ret = r;
			if (err)
				*err = own;
		} else if (r < 0) {
			log_debug("undo %s: %s", steps[i].name, own.msg);
		}
	}
	return ret;
}

int steps_run(struct sandbox *sb, struct err *err)
{
	struct err undo_err = { 0 };
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		if (!steps[i].run)
			continue;
		steps_stop_at(steps[i].name);
		log_debug("step %s", steps[i].name);
		r = steps[i].run(sb, err);
		if (r < 0)
			break;
	}
	if (r >= 0)
		return 0;
	log_debug("step %s failed: %s", steps[i].name, err ? err->msg : "");
	if (sb->dir.fd >= 0 && undo_from(sb, i, &undo_err) < 0)
		log_debug("undo: %s", undo_err.msg);
	return r;
}

int steps_undo(struct sandbox *sb, struct err *err)
{
	return undo_from(sb, ARRAY_SIZE(steps), err);
}
