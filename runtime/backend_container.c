/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs in container mode: container/ on this kernel. */
/*
 * Theory of operation: a thin layer. create and setup hold a struct container in this process; everything later
 * works from the record: the pid with its start time, the rendezvous socket in the state directory, the control
 * group. Read side by side with backend_vm.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "container/cgroup.h"
#include "container/container.h"
#include "container/criu_dump.h"
#include "container/criu_restore.h"
#include "oci/bundle.h"
#include "runtime/notify.h"
#include "runtime/proctable.h"
#include "runtime/sandbox.h"

/* How long a killed process may take to die (it may be in an uninterruptible call). */
#define BACKEND_KILL_TIMEOUT_MS 60000

/* What create leaves for setup in this process. */
struct container_data {
	struct container *container;
	struct criu_restore_params restore_params;
	struct criu_restore restore; /* instead of container when sb->request->restore */
	char *keyring, *notify;
	int seccomp_cache_fd;
};

static int verb_check(const struct plan *plan, struct err *err)
{
	const struct oci_config *config = plan->config;

	if (!config->has_process || !config->process.args || !config->process.args[0])
		return err_set(err, EINVAL, "process.args: required to create a container");
	if (!config->has_root)
		return err_set(err, EINVAL, "root: required to create a container");
	return 0;
}

static int verb_limits(struct sandbox *sb, const struct oci_resources **ret, struct err *err)
{
	const struct oci_linux *l = &sb->config->linux_;

	(void)err;
	*ret = l->has_resources ? &l->resources : NULL;
	return 0;
}

/* Compiled filters are shared by the containers of one root; without the directory they are compiled anew. */
static int container_open_cache(const struct sandbox *sb)
{
	cleanup_free char *path = NULL;

	if (!sb->config->linux_.seccomp)
		return -1;
	path = xasprintf("%s/.seccomp", sb->globals->root);
	(void)mkdir(path, 0700);
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The first process comes from criu's images. */
static int container_restore(struct sandbox *sb, struct err *err)
{
	struct container_data *d = sb->backend_data;
	struct criu_restore_params *p = &d->restore_params;
	unsigned long long start_time;
	int r;

	*p = (struct criu_restore_params){ .config = sb->config,
					   .rootfs = sb->bundle->rootfs,
					   .cgroup = sb->cgroup,
					   .console_socket = sb->console_socket,
					   .options = sb->request->restore };
	memcpy(p->stdio, sb->stdio, sizeof(p->stdio));
	r = notify_prepare(sb, &d->notify, err);
	if (r < 0)
		return r;
	p->notify_dir = d->notify;
	r = criu_restore_begin(p, &d->restore, err);
	if (r < 0)
		return r;
	sb->rec.pid = d->restore.pid;
	r = child_start_time(sb->rec.pid, &start_time);
	if (r < 0)
		return err_sys(err, r, "read the start time of the restored process");
	sb->rec.start_time = start_time;
	sb->pidfd = fd_pidfd_open(sb->rec.pid);
	return 0;
}

static int verb_create(struct sandbox *sb, struct err *err)
{
	struct container_params p = CONTAINER_PARAMS_INIT;
	struct container_data *d = xcalloc(1, sizeof(*d));
	const struct create_request *req = sb->request;
	int r;

	sb->backend_data = d;
	d->seccomp_cache_fd = -1;
	d->restore = (struct criu_restore)CRIU_RESTORE_INIT;
	if (req->restore)
		return container_restore(sb, err);
	d->seccomp_cache_fd = container_open_cache(sb);
	if (!req->no_new_keyring)
		d->keyring = xasprintf("_ses.%s", req->id);
	p.config = sb->config;
	p.rootfs = sb->bundle->rootfs;
	r = notify_prepare(sb, &d->notify, err);
	if (r < 0)
		return r;
	p.keyring = d->keyring;
	p.notify_dir = d->notify;
	p.cgroup = sb->cgroup;
	p.seccomp_cache_fd = d->seccomp_cache_fd;
	memcpy(p.stdio, sb->stdio, sizeof(p.stdio));
	p.console_socket = sb->console_socket;
	p.listen_fds = sb->plan.listen_fds;
	p.preserve_fds = sb->plan.preserve_fds;
	p.no_pivot = req->no_pivot;
	p.rootless = sb->plan.rootless;
	p.rendezvous_fd = sb->dir.fd;
	r = container_create(&p, &d->container, err);
	if (r < 0)
		return r;
	sb->rec.pid = container_pid(d->container);
	sb->rec.start_time = container_start_time(d->container);
	sb->pidfd = fcntl(container_pidfd(d->container), F_DUPFD_CLOEXEC, 3);
	return 0;
}

static int verb_setup(struct sandbox *sb, struct err *err)
{
	struct container_data *d = sb->backend_data;
	cleanup_free char *state = NULL;

	if (sb->request->restore)
		return criu_restore_finish(&d->restore, err);
	state = sandbox_state_json(sb, OCI_STATUS_CREATING, true, NULL);
	return container_setup(d->container, state, err);
}

static int verb_pending(struct sandbox *sb)
{
	return container_start_pending(sb->dir.fd);
}

static int verb_start(struct sandbox *sb, struct err *err)
{
	cleanup_free char *state = NULL;
	int r = sandbox_config(sb, err);

	if (r < 0)
		return r;
	state = sandbox_state_json(sb, OCI_STATUS_CREATED, true, NULL);
	return container_start_at(sb->dir.fd, sb->config, sb->rec.pid, sb->rec.start_time, state, err);
}

static int verb_exec(struct sandbox *sb, const struct exec_request *req, struct err *err)
{
	struct container_exec_params p = CONTAINER_EXEC_INIT;
	struct container_exec_result res = { .pidfd = -1, .console = -1 };
	cleanup_free char *keyring = sb->rec.keyring ? xasprintf("_ses.%s", sb->rec.id) : NULL;
	cleanup_fd int cache = -1;
	int r = sandbox_config(sb, err);

	if (!r && sb->rec.cgroup)
		r = sandbox_cgroup(sb, err);
	if (r < 0)
		return r;
	cache = container_open_cache(sb);
	p.config = sb->config;
	p.process = req->process;
	p.pid = sb->rec.pid;
	p.start_time = sb->rec.start_time;
	p.keyring = keyring;
	p.cgroup = sb->cgroup && cgroup_exists(sb->cgroup) ? sb->cgroup : NULL;
	p.sub_cgroups = req->cgroups;
	p.ignore_paused = req->ignore_paused;
	p.seccomp_cache_fd = cache;
	memcpy(p.stdio, req->stdio, sizeof(p.stdio));
	p.console_socket = req->console_socket;
	p.preserve_fds = req->preserve_fds;
	p.rootless = sb->rec.rootless;
	r = container_exec(&p, &res, err);
	if (r < 0)
		return r;
	if (res.pidfd >= 0)
		close(res.pidfd);
	if (res.console >= 0)
		close(res.console);
	return res.pid;
}

static int container_signal(struct sandbox *sb, int sig, struct err *err)
{
	struct err thaw_err = { 0 };
	int r = container_kill(sb->rec.pid, sb->rec.start_time, sig, err);

	if (r == 0 && sig == SIGKILL && sandbox_thaw_killed(sb, &thaw_err) < 0)
		log_warn("%s", thaw_err.msg);
	return r;
}

static int verb_kill(struct sandbox *sb, int sig, bool all, struct err *err)
{
	int r;

	if (!all || !sb->rec.cgroup)
		return container_signal(sb, sig, err);
	r = sandbox_cgroup(sb, err);
	if (r < 0)
		return r;
	if (!cgroup_exists(sb->cgroup))
		return container_signal(sb, sig, err);
	return cgroup_kill(sb->cgroup, sig, err);
}

/* The container's control group where one can be frozen. */
static int container_freezer(struct sandbox *sb, struct err *err)
{
	int r = sandbox_cgroup(sb, err);

	if (!r && !cgroup_exists(sb->cgroup))
		r = err_set(err, ENOTSUP, "container %s has no control group: it cannot be paused", sb->rec.id);
	return r;
}

static int verb_pause(struct sandbox *sb, struct err *err)
{
	int r = container_freezer(sb, err);

	return r < 0 ? r : cgroup_freeze(sb->cgroup, err);
}

static int verb_resume(struct sandbox *sb, struct err *err)
{
	int r = container_freezer(sb, err);

	return r < 0 ? r : cgroup_thaw(sb->cgroup, err);
}

static int verb_paused(struct sandbox *sb, struct err *err)
{
	int r;

	if (!sb->rec.cgroup)
		return 0;
	r = sandbox_cgroup(sb, err);
	if (r < 0)
		return r;
	r = cgroup_frozen(sb->cgroup);
	/* the cgroup may go away while we look: then there is nothing to be paused */
	return r == -ENOENT || r == -ENODEV ? 0 : r;
}

static int verb_checkpoint(struct sandbox *sb, const struct criu_options *o, struct err *err)
{
	cleanup_free char *notify = notify_dir(sb);
	struct criu_dump_params p = {
		.rootfs = sb->rec.rootfs, .pid = sb->rec.pid, .notify_dir = notify, .options = o
	};
	int r = sandbox_config(sb, err);

	if (!r && sb->rec.cgroup)
		r = sandbox_cgroup(sb, err);
	p.config = sb->config;
	p.cgroup = sb->cgroup;
	return r < 0 ? r : criu_dump(&p, err);
}

static int verb_mounts(struct sandbox *sb, bool add, const struct oci_mount *v, size_t n, struct err *err)
{
	struct container_mounts_params p = {
		.pid = sb->rec.pid, .start_time = sb->rec.start_time, .add = add, .mounts = v, .n_mounts = n
	};
	int r = sandbox_config(sb, err);

	p.config = sb->config;
	return r < 0 ? r : container_mounts(&p, err);
}

static int verb_update(struct sandbox *sb, const struct oci_resources *res, struct err *err)
{
	int r = sandbox_cgroup(sb, err);

	return r < 0 ? r : cgroup_update(sb->cgroup, res, err);
}

static int verb_stats(struct sandbox *sb, struct cgroup_stats *ret, char **ret_vm, struct err *err)
{
	int r = sandbox_cgroup(sb, err);

	*ret_vm = NULL;
	return r < 0 ? r : cgroup_stats_read(sb->cgroup, ret, err);
}

/* The cgroup of the host says it all. */
static int verb_oom_open(struct sandbox *sb, int *ret_fd, struct err *err)
{
	(void)sb;
	(void)err;
	*ret_fd = -1;
	return 0;
}

static int verb_oom_read(int fd)
{
	(void)fd;
	return 0;
}

/* Without a control group: the first process and its descendants. */
static int container_descendants(const struct sandbox *sb, struct ps_entry **ret, struct err *err)
{
	struct ps_entry *e = NULL;
	size_t n;
	int k = 0, r = proctable_all(&e, &n);

	if (r < 0)
		return err_sys(err, r, "/proc");
	/* parents come before their children unless ids wrapped: repeat until nothing is added */
	for (bool more = true; more;) {
		more = false;
		for (size_t i = (size_t)k; i < n; i++) {
			bool ours = e[i].pid == sb->rec.pid;

			for (int j = 0; j < k && !ours; j++)
				ours = e[j].pid == e[i].ppid;
			if (ours) {
				struct ps_entry found = e[i];

				e[i] = e[k];
				e[k++] = found;
				more = true;
			}
		}
	}
	*ret = e;
	return k;
}

static int verb_ps(struct sandbox *sb, struct ps_entry **ret, struct err *err)
{
	cleanup_free pid_t *pids = NULL;
	struct ps_entry *e;
	size_t n, k = 0;
	int r = sandbox_cgroup(sb, err);

	if (r < 0)
		return r;
	if (!cgroup_exists(sb->cgroup))
		return container_descendants(sb, ret, err);
	r = cgroup_procs(sb->cgroup, &pids, &n, err);
	if (r < 0)
		return r;
	e = xcalloc(n + 1, sizeof(*e));
	for (size_t i = 0; i < n; i++)
		if (proctable_read(pids[i], &e[k]) == 0)
			k++;
	*ret = e;
	return (int)k;
}

static int verb_wait(struct sandbox *sb, int *ret_status, struct err *err)
{
	cleanup_fd int pidfd = -1;
	int r;

	*ret_status = 0;
	if (sb->rec.pid <= 0)
		return 0;
	r = child_wait(sb->rec.pid, ret_status);
	if (r != -ECHILD)
		return r < 0 ? err_sys(err, r, "wait for %d", sb->rec.pid) : 0;
	pidfd = fd_pidfd_open(sb->rec.pid);
	if (pidfd < 0 || !sandbox_alive(sb))
		return 0;
	do
		r = poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, BACKEND_KILL_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return err_set(err, ETIMEDOUT, "process %d does not end", sb->rec.pid);
	return 0;
}

static int verb_delete(struct sandbox *sb, struct err *err)
{
	struct container_data *d = sb->backend_data;
	int r, status;

	if (d && d->container) {
		container_abort(d->container);
		return 0;
	}
	if (d)
		criu_restore_abort(&d->restore);
	if (sb->rec.pid <= 0 || !sandbox_alive(sb))
		return 0;
	r = container_kill(sb->rec.pid, sb->rec.start_time, SIGKILL, err);
	if (r == -ESRCH)
		return 0;
	if (!r)
		r = sandbox_thaw_killed(sb, err);
	return r < 0 ? r : verb_wait(sb, &status, err);
}

static void verb_release(struct sandbox *sb)
{
	struct container_data *d = sb->backend_data;

	container_free(d->container);
	criu_restore_free(&d->restore);
	if (d->seccomp_cache_fd >= 0)
		close(d->seccomp_cache_fd);
	free(d->keyring);
	free(d->notify);
	free(d);
	sb->backend_data = NULL;
}

const struct backend backend_container = {
	.name = "container",
	.isolation = ISOLATION_CONTAINER,
	.check = verb_check,
	.limits = verb_limits,
	.create = verb_create,
	.setup = verb_setup,
	.pending = verb_pending,
	.start = verb_start,
	.exec = verb_exec,
	.kill = verb_kill,
	.pause = verb_pause,
	.resume = verb_resume,
	.paused = verb_paused,
	.checkpoint = verb_checkpoint,
	.mounts = verb_mounts,
	.update = verb_update,
	.stats = verb_stats,
	.oom_open = verb_oom_open,
	.oom_read = verb_oom_read,
	.ps = verb_ps,
	.wait = verb_wait,
	.delete = verb_delete,
	.release = verb_release,
};
