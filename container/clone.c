/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one process to two.
 *
 * Usually one clone3(2) does everything: new namespaces, the cgroup, a pidfd. Some namespaces can only be entered by
 * children (pid, time), and joins must happen before the child's own user namespace exists or after the
 * one it joins: then a helper is cloned first, which joins, and clones the real child with CLONE_PARENT, so that the child
 * is ours and not the helper's. The helper tells the child's pid over a socket of its own and ends. The cgroup namespace
 * is never part of it: it is rooted where its maker's cgroup is, so the child makes it once it is in its cgroup. Nor is
 * the ipc namespace of a new user namespace, which that one's root makes.
 */
#include "container/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "container/idmap.h"
#include "container/init.h"
#include "container/namespace.h"
#include "container/sync.h"
#include "oci/config.h"

/* The kernel's flags for clone3 where the C library's headers are older. */
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

/* How long a child may take to end that has closed its socket. */
#define DYING_MS 1000

int clone_process(uint64_t flags, int cgroup_fd, struct clone_result *ret)
{
	int pidfd = -1;
	struct clone_args a = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t pid;

	*ret = (struct clone_result){ .pidfd = -1 };
	if (cgroup_fd >= 0) {
		a.flags |= CLONE_INTO_CGROUP;
		a.cgroup = (uint64_t)cgroup_fd;
	}
	pid = sys_clone3(&a);
	if (pid < 0 && cgroup_fd >= 0 && errno != EAGAIN && errno != ENOMEM && errno != ENOSPC) {
		/* a domain that takes no processes, or no right to: the caller tries cgroup.procs and has the better error */
		log_debug("clone: into cgroup: %s", strerrordesc_np(errno));
		a.flags &= ~CLONE_INTO_CGROUP;
		a.cgroup = 0;
		cgroup_fd = -1;
		pid = sys_clone3(&a);
	}
	if (pid < 0)
		return -errno;
	if (pid == 0)
		return 0;
	*ret = (struct clone_result){ .pid = pid, .pidfd = pidfd, .in_cgroup = cgroup_fd >= 0 };
	return 1;
}

bool clone_killed_at_birth(const struct clone_result *child, int r)
{
	struct pollfd end = { .fd = child->pidfd, .events = POLLIN };
	siginfo_t si = { 0 };

	if (!child->in_cgroup || (r != -ESRCH && r != -EPIPE) || poll(&end, 1, DYING_MS) <= 0)
		return false;
	if (waitid(P_PID, (id_t)child->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_code != CLD_KILLED ||
	    si.si_status != SIGKILL)
		return false;
	log_debug("clone: killed at birth in its cgroup: once more outside");
	return true;
}

static int clone_error(int r, struct err *err)
{
	err_sys(err, r, "clone container init");
	if (r == -ENOSPC)
		err_wrap(err, "too many namespaces (see /proc/sys/user/max_*_namespaces)");
	return r;
}

/* In the helper: a child of our parent. Returns 0 in it, its pid in the helper, -errno. */
static pid_t clone_sibling(uint64_t flags)
{
	struct clone_args a = { .flags = flags | CLONE_PARENT };
	pid_t pid = sys_clone3(&a);

	return pid < 0 ? -errno : pid;
}

/* The helper's joins, and what must be made by it; takes what is done out of *flags. */
static int helper_prepare(struct init *in, int sock, uint64_t *flags, struct err *err)
{
	cleanup_fd int offsets = in->ns.time_offsets ? open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC) : -1;
	pid_t self = getpid();
	int r;

	if (in->ns.time_offsets && offsets < 0)
		return err_sys(err, -errno, "linux.timeOffsets: open timens_offsets");
	r = namespace_join(&in->ns, err);
	if (r < 0 || !in->ns.time_offsets)
		return r;
	if (*flags & CLONE_NEWUSER) {
		if (unshare(CLONE_NEWUSER) < 0)
			return err_sys(err, -errno, "unshare the user namespace");
		r = sync_send(sock, SYNC_MAP_ME, &self, sizeof(self), NULL, 0);
		if (!r)
			r = sync_expect(sock, SYNC_MAPPED, NULL, err);
		if (!r)
			r = namespace_become_root(err);
		if (r < 0)
			return r;
		*flags &= ~(uint64_t)CLONE_NEWUSER;
		in->wait_mapped = in->become_root = false;
	}
	if (unshare(CLONE_NEWTIME) < 0)
		return err_sys(err, -errno, "unshare the time namespace");
	*flags &= ~(uint64_t)CLONE_NEWTIME;
	return namespace_write_time_offsets(in->config, offsets, err);
}

static _Noreturn void helper_main(struct init *in, int sock)
{
	uint64_t flags = in->ns.create;
	struct err err = { 0 };
	pid_t pid = -1;
	int r;

	r = helper_prepare(in, sock, &flags, &err);
	if (!r) {
		pid = clone_sibling(flags);
		if (pid == 0) {
			in->joined = true;
			init_main(in);
		}
		r = pid < 0 ? clone_error(pid, &err) : sync_send(sock, SYNC_CLONED, &pid, sizeof(pid), NULL, 0);
	}
	if (r < 0) {
		if (!err.code)
			err_sys(&err, r, "clone helper");
		sync_send_err(sock, &err);
	}
	_exit(r < 0);
}

/* Serves the helper until it has told the child's pid. */
static int helper_serve(struct init *in, int sock, pid_t *ret, struct err *err)
{
	for (;;) {
		cleanup_sync_msg struct sync_msg m = { 0 };
		pid_t pid;
		int r = sync_recv(sock, &m);

		if (r < 0)
			return err_sys(err, r, "the clone helper ended early");
		if (m.type == SYNC_ERROR)
			return sync_take_err(&m, err);
		if (m.len != sizeof(pid) || (m.type != SYNC_MAP_ME && m.type != SYNC_CLONED))
			return err_set(err, EPROTO, "the clone helper said \"%s\"", sync_name(m.type));
		memcpy(&pid, m.data, sizeof(pid));
		if (m.type == SYNC_CLONED) {
			*ret = pid;
			return 0;
		}
		r = idmap_write(pid, &in->config->linux_, err);
		if (!r)
			r = sync_send(sock, SYNC_MAPPED, NULL, 0, NULL, 0);
		if (r < 0)
			return err->code ? r : err_sys(err, r, "tell the clone helper");
	}
}

typedef void helper_fn(struct init *in, int sock);

static int clone_through_helper(struct init *in, helper_fn *fn, int cgroup_fd, struct clone_result *ret,
				struct err *err)
{
	struct clone_result helper;
	pid_t pid = -1;
	int pair[2], r, status;
	bool again;

	r = sync_pair(pair);
	if (r < 0)
		return err_sys(err, r, "socketpair");
	r = clone_process(0, cgroup_fd, &helper);
	if (r < 0) {
		close(pair[0]);
		close(pair[1]);
		return clone_error(r, err);
	}
	if (r == 0) {
		close(pair[0]);
		fn(in, pair[1]);
	}
	close(pair[1]);
	r = helper_serve(in, pair[0], &pid, err);
	close(pair[0]);
	again = r < 0 && clone_killed_at_birth(&helper, r);
	close(helper.pidfd);
	if (r < 0)
		kill(helper.pid, SIGKILL);
	(void)child_wait(helper.pid, &status);
	if (again) {
		*err = (struct err){ 0 };
		return clone_through_helper(in, fn, -1, ret, err);
	}
	if (r < 0)
		return r;
	*ret = (struct clone_result){ .pid = pid, .in_cgroup = helper.in_cgroup };
	ret->pidfd = fd_pidfd_open(pid); /* ours and not waited for: the number is certainly its own */
	if (ret->pidfd < 0) {
		r = err_sys(err, ret->pidfd, "pidfd of container init");
		kill(pid, SIGKILL);
		(void)child_wait(pid, &status);
		return r;
	}
	return 0;
}

int clone_init(struct init *in, int cgroup_fd, struct clone_result *ret, struct err *err)
{
	bool new_user = in->ns.create & CLONE_NEWUSER;
	int r, status;

	in->wait_mapped = in->become_root = new_user;
	if (namespace_needs_helper(&in->ns)) {
		r = clone_through_helper(in, helper_main, cgroup_fd, ret, err);
		if (in->ns.time_offsets)
			in->wait_mapped = false; /* the helper was mapped */
	} else {
		in->ack_joined = in->ns.any_join;
		r = clone_process(in->ns.create, cgroup_fd, ret);
		if (r == 0)
			init_main(in);
		r = r < 0 ? clone_error(r, err) : 0;
	}
	if (r < 0 || !in->wait_mapped)
		return r;
	r = idmap_write(ret->pid, &in->config->linux_, err);
	if (r < 0) {
		(void)fd_pidfd_kill(ret->pidfd, SIGKILL);
		(void)child_wait(ret->pid, &status);
		close(ret->pidfd);
	}
	return r;
}

static _Noreturn void exec_helper_main(struct init *in, int sock)
{
	struct err err = { 0 };
	pid_t pid;
	int r = 0;

	if (setns(in->container_pidfd, in->join_flags & ~CLONE_NEWNS) < 0)
		r = err_sys(&err, -errno, "join the container's namespaces");
	if (!r && (in->join_flags & CLONE_NEWUSER))
		r = namespace_become_root(&err);
	if (!r) {
		pid = clone_sibling(0);
		if (pid == 0) {
			in->join_flags &= CLONE_NEWNS;
			init_exec_main(in);
		}
		r = pid < 0 ? err_sys(&err, pid, "clone") : sync_send(sock, SYNC_CLONED, &pid, sizeof(pid), NULL, 0);
	}
	if (r < 0) {
		if (!err.code)
			err_sys(&err, r, "clone helper");
		sync_send_err(sock, &err);
	}
	_exit(r < 0);
}

int clone_exec(struct init *in, uint64_t flags, int cgroup_fd, struct clone_result *ret, struct err *err)
{
	in->join_flags = (int)flags;
	return clone_through_helper(in, exec_helper_main, cgroup_fd, ret, err);
}
