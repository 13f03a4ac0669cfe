/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's side of a container.
 *
 * create makes the child and does what only we can do for it (id maps, mount trees, cgroup, OOM score), while it already
 * mounts; setup follows it until it is parked; start lets it go. The child itself is init.c. Between the steps nothing runs here: the
 * caller may take as long as it wants and do what it has to (network, hooks). State between processes is the pid, its
 * start time, and the socket "start.sock" in the caller's directory, which exists exactly from setup to start.
 */
#include "container/container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"
#include "container/cgroup.h"
#include "container/clone.h"
#include "container/exec.h"
#include "container/hook.h"
#include "container/init.h"
#include "container/lsm.h"
#include "container/mount_live.h"
#include "container/mount_words.h"
#include "container/netdev.h"
#include "container/rlimit.h"
#include "container/seccomp.h"
#include "container/setup.h"
#include "container/start.h"
#include "container/sync.h"
#include "oci/config.h"

#define RENDEZVOUS "start.sock"

struct container {
	const struct oci_config *config;
	bool rootless;
	bool entry;
	pid_t pid; /* 0: none, or reaped */
	unsigned long long start_time;
	int pidfd;   /* owned, like all below; -1: none */
	int sync;    /* our end */
	int console; /* terminal's master */
	struct seccomp_filter filter;
};

static int check(const struct container_params *p, struct err *err)
{
	const struct oci_config *c = p->config;

	if (str_empty(p->rootfs) || *p->rootfs != '/')
		return err_set(err, EINVAL, "root.path: the root filesystem needs an absolute path");
	if (!p->entry && (!c->process.args || !c->process.args[0]))
		return err_set(err, EINVAL, "process.args: required");
	return lsm_check(c->process.apparmor_profile, c->process.selinux_label, c->linux_.mount_label, err);
}

static void fill_init(struct init *in, const struct container_params *p, const struct seccomp_filter *filter)
{
	*in = (struct init){
		.config = p->config,
		.process = &p->config->process,
		.rootfs = p->rootfs,
		.keyring = p->keyring,
		.notify_dir = p->notify_dir,
		.filter = filter->len ? filter : NULL,
		.sync = -1,
		.listener = -1,
		.console_socket = p->console_socket,
		.listen_fds = p->listen_fds,
		.preserve_fds = p->preserve_fds,
		.no_pivot = p->no_pivot,
		.rootless = p->rootless,
		.entry = p->entry,
		.entry_arg = p->entry_arg,
		.entry_root = p->entry_root,
		.entry_root_arg = p->entry_root_arg,
		.keep_fds = p->keep_fds,
		.n_keep_fds = p->n_keep_fds,
		.container_pidfd = -1,
		.root_dir = -1,
		.procfd = -1,
		.rootfd = -1,
		.hook_output = HOOK_OUTPUT_INIT,
	};
	memcpy(in->stdio, p->stdio, sizeof(in->stdio));
}

static int listen_rendezvous(int dirfd, struct err *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/" RENDEZVOUS, dirfd);
	fd = fd_unix_listen(path, 4, SOCK_STREAM);
	return fd < 0 ? err_sys(err, fd, "make the start socket") : fd;
}

/* The child has closed its end: its last message says why, or how it died does. */
static int child_gone(struct container *c, struct err *err)
{
	for (;;) {
		cleanup_sync_msg struct sync_msg m = { 0 };

		if (sync_recv(c->sync, &m) < 0)
			return start_died(c->config, c->pid, err);
		if (m.type == SYNC_ERROR)
			return sync_take_err(&m, err);
	}
}

static int tell(struct container *c, enum sync_type type, const char *data, struct err *err)
{
	int r = sync_send(c->sync, type, data, data ? strlen(data) : 0, NULL, 0);

	if (r == -EPIPE || r == -ECONNRESET)
		return child_gone(c, err);
	return r < 0 ? err_sys(err, r, "talk to container init") : 0;
}

static int hear(struct container *c, enum sync_type type, struct err *err)
{
	int r = sync_expect(c->sync, type, NULL, err);

	return r == -EPIPE ? start_died(c->config, c->pid, err) : r;
}

/* What must be done for the child from outside, in the order in which it needs it. */
static int help_child(struct container *c, struct init *in, struct cgroup_manager *cgroup, bool in_cgroup,
		      struct err *err)
{
	struct child_stat st;
	int r = 0;

	if (in->wait_mapped)
		r = tell(c, SYNC_MAPPED, NULL, err);
	if (!r && in->ack_joined)
		r = hear(c, SYNC_JOINED, err);
	if (!r)
		r = setup_send(c->sync, c->config, in->rootfs, in->notify_dir, c->pid, err);
	if (r == -EPIPE)
		return child_gone(c, err);
	/* born in its only cgroup: nothing left to do */
	if (!r && cgroup && !(in_cgroup && cgroup_mode() == CGROUP_MODE_V2 && !cgroup_scope(cgroup)))
		r = cgroup_enter(cgroup, c->pid, err);
	if (!r)
		r = rlimit_oom_score(c->pid, in->process, c->rootless, err);
	if (!r)
		r = netdev_move(&c->config->linux_, c->pid, err);
	if (!r)
		r = tell(c, SYNC_ENTERED, NULL, err);
	if (!r) {
		r = child_stat(c->pid, &st);
		if (r < 0)
			return err_sys(err, r, "read the start time of container init");
		c->start_time = st.start_time;
		if (st.ending)
			return child_gone(c, err);
	}
	/* hooks may look at the mounts; without them the child goes on beside us */
	if (!r && (hook_any(c->config, OCI_HOOK_PRESTART) || hook_any(c->config, OCI_HOOK_CREATE_RUNTIME)))
		r = hear(c, SYNC_MOUNTED, err);
	return r;
}

static int create(struct container *c, struct init *in, const struct container_params *p, int cgroup, struct err *err)
{
	struct clone_result child;
	int pair[2], r;

	r = sync_pair(pair);
	if (r < 0)
		return err_sys(err, r, "socketpair");
	c->sync = pair[0];
	in->sync = pair[1];
	r = clone_init(in, cgroup, &child, err);
	close(in->sync);
	if (r < 0)
		return r;
	c->pid = child.pid;
	c->pidfd = child.pidfd;
	r = help_child(c, in, p->cgroup, child.in_cgroup, err);
	if (r == 0 || !clone_killed_at_birth(&child, r))
		return r;
	container_abort(c);
	close(steal_fd(c->pidfd));
	close(steal_fd(c->sync));
	*err = (struct err){ 0 };
	return create(c, in, p, -1, err);
}

int container_create(const struct container_params *params, struct container **ret, struct err *err)
{
	struct container *c = xcalloc(1, sizeof(*c));
	struct err none = { 0 };
	struct init in;
	int r;

	err = err ? err : &none;
	*c = (struct container){ .config = params->config,
				 .rootless = params->rootless,
				 .entry = params->entry,
				 .pidfd = -1,
				 .sync = -1,
				 .console = -1 };
	r = check(params, err);
	if (!r && params->config->linux_.seccomp)
		r = seccomp_compile_cached(params->seccomp_cache_fd, params->config->linux_.seccomp, &c->filter, err);
	if (r < 0) {
		container_free(c);
		return r;
	}
	fill_init(&in, params, &c->filter);
	r = namespace_open(params->config, &in.ns, err);
	if (r < 0) {
		container_free(c);
		return r;
	}
	if (params->rendezvous_fd >= 0 && !params->entry) {
		in.listener = listen_rendezvous(params->rendezvous_fd, err);
		r = in.listener < 0 ? in.listener : 0;
	}
	if (!r)
		r = create(c, &in, params, params->cgroup ? cgroup_fd(params->cgroup) : -1, err);
	if (in.listener >= 0)
		close(in.listener);
	namespace_close(&in.ns);
	if (r < 0) {
		container_abort(c);
		container_free(c);
		if (in.listener >= 0)
			(void)unlinkat(params->rendezvous_fd, RENDEZVOUS, 0);
		return r;
	}
	*ret = c;
	return 0;
}

pid_t container_pid(const struct container *c)
{
	return c->pid;
}

unsigned long long container_start_time(const struct container *c)
{
	return c->start_time;
}

int container_pidfd(const struct container *c)
{
	return c->pidfd;
}

/* Serves the child's wishes until it is parked. */
static int follow_setup(struct container *c, struct err *err)
{
	for (;;) {
		cleanup_sync_msg struct sync_msg m = { 0 };
		int r = sync_recv(c->sync, &m);

		if (r == -EPIPE)
			return start_died(c->config, c->pid, err);
		if (r < 0)
			return err_sys(err, r, "talk to container init");
		switch (m.type) {
		case SYNC_MOUNTED:
			break;
		case SYNC_PARKED:
			return 0;
		case SYNC_ERROR:
			return sync_take_err(&m, err);
		case SYNC_CONSOLE:
			if (m.n_fds != 1 || c->console >= 0)
				return err_set(err, EPROTO, "container init sent a broken terminal");
			c->console = m.fds[0];
			m.n_fds = 0;
			break;
		case SYNC_LIMITS:
			r = rlimit_apply(c->pid, &c->config->process, err);
			if (!r)
				r = sync_send(c->sync, SYNC_ACK, NULL, 0, NULL, 0);
			if (r < 0)
				return err->code ? r : err_sys(err, r, "talk to container init");
			break;
		default:
			return err_set(err, EPROTO, "container init said \"%s\"", sync_name(m.type));
		}
	}
}

int container_setup(struct container *c, const char *state_json, struct err *err)
{
	struct err none = { 0 };
	int r;

	err = err ? err : &none;
	r = tell(c, SYNC_SETUP, state_json, err);
	return r < 0 ? r : follow_setup(c, err);
}

int container_console(struct container *c)
{
	return steal_fd(c->console);
}

int container_start(struct container *c, const char *state_json, struct err *err)
{
	struct start_watch w = { .config = c->config, .state_json = state_json, .pid = c->pid, .pidfd = c->pidfd };

	return start_run(c->sync, &w, err);
}

int container_start_at(int rendezvous_fd, const struct oci_config *config, pid_t pid, unsigned long long start_time,
		       const char *state_json, struct err *err)
{
	struct start_watch w = { .config = config, .state_json = state_json, .pid = pid };
	cleanup_fd int pidfd = fd_pidfd_open(pid);
	cleanup_fd int sock = -1;
	char path[64];
	int r;

	if (pidfd < 0 || !container_alive(pid, start_time))
		return err_set(err, ESRCH, "container init is gone");
	w.pidfd = pidfd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/" RENDEZVOUS, rendezvous_fd);
	sock = fd_unix_connect(path);
	if (sock == -ECONNREFUSED)
		return err_set(err, ESRCH, "container init is gone");
	if (sock < 0)
		return err_sys(err, sock, "connect to the start socket");
	r = start_run(sock, &w, err);
	if (!r)
		(void)unlinkat(rendezvous_fd, RENDEZVOUS, 0);
	return r;
}

int container_start_pending(int rendezvous_fd)
{
	return faccessat(rendezvous_fd, RENDEZVOUS, F_OK, 0) == 0;
}

int container_entry_fd(const struct container *c)
{
	return c->sync;
}

int container_entry_wait(struct container *c, struct err *err)
{
	cleanup_sync_msg struct sync_msg m = { 0 };
	int r = sync_recv(c->sync, &m);

	if (r == -EPIPE)
		return 0;
	if (r < 0)
		return err_sys(err, r, "talk to the child");
	return m.type == SYNC_ERROR ? sync_take_err(&m, err) :
				      err_set(err, EPROTO, "the child said \"%s\"", sync_name(m.type));
}

void container_abort(struct container *c)
{
	int status;

	if (c->pid <= 0 || c->pidfd < 0)
		return;
	(void)fd_pidfd_kill(c->pidfd, SIGKILL);
	(void)child_wait(c->pid, &status);
	c->pid = 0;
}

void container_free(struct container *c)
{
	int *fds[3];

	if (!c)
		return;
	fds[0] = &c->pidfd;
	fds[1] = &c->sync;
	fds[2] = &c->console;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	seccomp_filter_free(&c->filter);
	free(c);
}

int container_exec(const struct container_exec_params *params, struct container_exec_result *ret, struct err *err)
{
	return exec_run(params, ret, err);
}

int container_mounts(const struct container_mounts_params *params, struct err *err)
{
	struct err none = { 0 };

	return mount_live_change(params, err ? err : &none);
}

int container_alive(pid_t pid, unsigned long long start_time)
{
	char path[64], buf[512], *p;
	unsigned long long now;
	cleanup_fd int fd = -1;
	ssize_t n;

	if (pid <= 0 || child_start_time(pid, &now) < 0 || now != start_time)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	p = strrchr(buf, ')');
	return p && p[1] == ' ' && p[2] != 'Z' && p[2] != 'X' && p[2] != 'x';
}

int container_kill(pid_t pid, unsigned long long start_time, int sig, struct err *err)
{
	cleanup_fd int pidfd = pid > 0 ? fd_pidfd_open(pid) : -ESRCH;
	int r = pidfd;

	/* the fd first: what it names cannot change any more when its start time is looked at */
	if (r >= 0)
		r = container_alive(pid, start_time) ? fd_pidfd_kill(pidfd, sig) : -ESRCH;
	if (r == -ESRCH)
		return err_set(err, ESRCH, "container not running");
	return r < 0 ? err_sys(err, r, "send signal %d to container init", sig) : 0;
}

int container_wait(pid_t pid, int *ret_status, struct err *err)
{
	int r = child_wait(pid, ret_status);

	return r < 0 ? err_sys(err, r, "wait for process %d", (int)pid) : 0;
}

const char *const *container_mount_words(void)
{
	return mount_words_all();
}
