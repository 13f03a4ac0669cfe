/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: join a running container and run another process there. The parent's side; the child's is in init.c.
 *
 * The container's namespaces are entered by the pidfd of its first process, all in one setns(2). The pid
 * namespace takes effect for children, so we enter it ourselves for the moment of the clone and come back; with a user
 * namespace a helper goes in and clones from there. We and the child are not dumpable before anybody in the
 * container can see it (CVE-2016-9962), its fds are closed before it joins, and the pid of the container is checked by
 * its start time after the pidfd was opened. Success is reported only after execve: the caller may then write a pid file.
 */
#include "container/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"
#include "container/attr.h"
#include "container/cgroup.h"
#include "container/clone.h"
#include "container/container.h"
#include "container/init.h"
#include "container/lsm.h"
#include "container/namespace.h"
#include "container/rlimit.h"
#include "container/seccomp.h"
#include "container/start.h"
#include "container/sync.h"
#include "oci/config.h"

struct exec {
	const struct container_exec_params *p;
	struct init in;
	struct seccomp_filter filter;
	struct clone_result child;
	int sync;    /* our end */
	int console; /* terminal's master */
};

static int check(const struct container_exec_params *p, struct err *err)
{
	if (!p->process->args || !p->process->args[0])
		return err_set(err, EINVAL, "process.args: required");
	if (p->cgroup && !p->ignore_paused && cgroup_frozen(p->cgroup) > 0)
		return err_set(err, EBUSY, "cannot exec in a paused container (use --ignore-paused to override)");
	return lsm_check(p->process->apparmor_profile, p->process->selinux_label, NULL, err);
}

static int fill(struct exec *e, struct err *err)
{
	const struct container_exec_params *p = e->p;
	char path[64];

	e->in = (struct init){
		.config = p->config,
		.process = p->process,
		.keyring = p->keyring,
		.filter = e->filter.len ? &e->filter : NULL,
		.sync = -1,
		.listener = -1,
		.console_socket = p->console_socket,
		.preserve_fds = p->preserve_fds,
		.joined = true,
		.procfd = -1,
		.rootfd = -1,
		.root_dir = -1,
	};
	memcpy(e->in.stdio, p->stdio, sizeof(e->in.stdio));
	e->in.container_pidfd = fd_pidfd_open(p->pid);
	if (e->in.container_pidfd < 0 || !container_alive(p->pid, p->start_time))
		return err_set(err, ESRCH, "cannot exec in a stopped container");
	/*
	 * The root to change to: without a mount namespace setns(2) leaves ours, and where the runtime itself was
	 * chrooted the namespace's own root is not the container's.
	 */
	snprintf(path, sizeof(path), "/proc/%d/root", (int)p->pid);
	e->in.root_dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (e->in.root_dir < 0 && !p->config->linux_.namespaces[OCI_NS_MOUNT].present)
		return err_sys(err, -errno, "open the container's root");
	return 0;
}

/* Clones into the container's pid namespace by being there for a moment. */
static int clone_direct(struct exec *e, uint64_t flags, int cgroup, struct err *err)
{
	cleanup_fd int own = -1;
	int r;

	e->in.join_flags = (int)(flags & ~(uint64_t)CLONE_NEWPID);
	if (flags & CLONE_NEWPID) {
		own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
		if (own < 0)
			return err_sys(err, -errno, "open our pid namespace");
		if (setns(e->in.container_pidfd, CLONE_NEWPID) < 0)
			return errno == ESRCH ? err_set(err, ESRCH, "container not running") :
						err_sys(err, -errno, "join the container's pid namespace");
	}
	r = clone_process(0, cgroup, &e->child);
	if (r == 0)
		init_exec_main(&e->in);
	if (own >= 0 && setns(own, CLONE_NEWPID) < 0 && r > 0)
		r = err_sys(err, -errno, "return to our pid namespace");
	else if (r == -ENOMEM && (flags & CLONE_NEWPID))
		err_set(err, ESRCH, "container not running"); /* what clone says in a pid namespace without init */
	else if (r < 0)
		err_sys(err, r, "clone");
	return r < 0 ? r : 0;
}

static int make_child(struct exec *e, int cgroup, struct err *err)
{
	const struct container_exec_params *p = e->p;
	uint64_t flags = namespace_flags(p->config);
	bool enter = p->cgroup && (cgroup < 0 || cgroup_mode() != CGROUP_MODE_V2);
	int pair[2], r;

	r = sync_pair(pair);
	if (r < 0)
		return err_sys(err, r, "socketpair");
	e->sync = pair[0];
	e->in.sync = pair[1];
	e->in.wait_mapped = enter;
	r = flags & CLONE_NEWUSER ? clone_exec(&e->in, flags, cgroup, &e->child, err) :
				    clone_direct(e, flags, cgroup, err);
	close(steal_fd(e->in.sync));
	if (r < 0)
		return r;
	if (p->cgroup && (enter || !e->child.in_cgroup))
		r = cgroup_enter_exec(p->cgroup, e->child.pid, p->sub_cgroups, p->pid, err);
	if (p->rootless && !p->sub_cgroups && (r == -ENOENT || r == -EACCES || r == -EPERM)) {
		/* nothing was delegated to us: the container itself is where we are */
		log_debug("exec: %s", err->msg);
		r = err->code = 0;
	}
	if (!r)
		r = rlimit_oom_score(e->child.pid, p->process, p->rootless, err);
	if (!r && enter) {
		r = sync_send(e->sync, SYNC_MAPPED, NULL, 0, NULL, 0);
		if (r < 0)
			err_sys(err, r, "talk to the new process");
	}
	return r;
}

static void forget_child(struct exec *e)
{
	int status;

	if (e->child.pid <= 0)
		return;
	(void)fd_pidfd_kill(e->child.pidfd, SIGKILL);
	(void)child_wait(e->child.pid, &status);
	close(e->child.pidfd);
	e->child = (struct clone_result){ .pidfd = -1 };
}

/* Serves the child until its execve. */
static int follow(struct exec *e, struct err *err)
{
	struct start_watch w = { .config = e->p->config, .pid = e->child.pid, .pidfd = e->child.pidfd };
	bool at_exec = false;

	for (;;) {
		cleanup_sync_msg struct sync_msg m = { 0 };
		int r = sync_recv(e->sync, &m);

		if (r == -EPIPE)
			return at_exec ? 0 : start_died(e->p->config, e->child.pid, err);
		if (r < 0)
			return err_sys(err, r, "talk to the new process");
		switch (m.type) {
		case SYNC_ERROR:
			return sync_take_err(&m, err);
		case SYNC_EXEC:
			at_exec = true;
			break;
		case SYNC_CONSOLE:
			if (m.n_fds == 1 && e->console < 0) {
				e->console = m.fds[0];
				m.n_fds = 0;
			}
			break;
		case SYNC_LIMITS:
			r = rlimit_apply(e->child.pid, e->p->process, err);
			if (!r)
				r = sync_send(e->sync, SYNC_ACK, NULL, 0, NULL, 0);
			if (r < 0)
				return err->code ? r : err_sys(err, r, "talk to the new process");
			break;
		case SYNC_LISTENER:
			r = start_hand_over(e->sync, &w, &m, err);
			if (r < 0)
				return r;
			break;
		default:
			return err_set(err, EPROTO, "the new process said \"%s\"", sync_name(m.type));
		}
	}
}

static int run(struct exec *e, struct err *err)
{
	const struct container_exec_params *p = e->p;
	cleanup_fd int cgroup = -1;
	int r = check(p, err);

	if (!r && p->config->linux_.seccomp)
		r = seccomp_compile_cached(p->seccomp_cache_fd, p->config->linux_.seccomp, &e->filter, err);
	if (!r)
		r = fill(e, err);
	/* inherited by the child: it is never dumpable in there */
	if (!r && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = err_sys(err, -errno, "set dumpable");
	if (!r)
		r = attr_affinity(p->process->exec_cpu_affinity_initial, "process.execCPUAffinity.initial", err);
	if (!r && p->cgroup && !p->sub_cgroups)
		cgroup = cgroup_exec_fd(p->cgroup, p->pid);
	if (!r)
		r = make_child(e, cgroup, err);
	if (!r)
		r = follow(e, err);
	if (r < 0 && clone_killed_at_birth(&e->child, r)) {
		forget_child(e);
		close(steal_fd(e->sync));
		*err = (struct err){ 0 };
		r = make_child(e, -1, err);
		r = r < 0 ? r : follow(e, err);
	}
	return r;
}

int exec_run(const struct container_exec_params *params, struct container_exec_result *ret, struct err *err)
{
	struct exec e = { .p = params, .sync = -1, .console = -1, .child = { .pidfd = -1 } };
	struct err none = { 0 };
	int r;

	err = err ? err : &none;
	e.in.container_pidfd = e.in.root_dir = -1;
	r = run(&e, err);
	for (size_t i = 0; i < 3; i++) {
		int fd = (const int[]){ e.sync, e.in.container_pidfd, e.in.root_dir }[i];

		if (fd >= 0)
			close(fd);
	}
	seccomp_filter_free(&e.filter);
	if (r < 0) {
		forget_child(&e);
		if (e.console >= 0)
			close(e.console);
		return r;
	}
	*ret = (struct container_exec_result){ .pid = e.child.pid, .pidfd = e.child.pidfd, .console = e.console };
	return 0;
}
