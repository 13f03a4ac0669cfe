/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the child turns into the workload. Shared by the first process (init.c) and exec'd ones.
 *
 * Order, with reasons: fds and signals first, since nothing of the caller may be seen inside. Attributes that
 * need privilege, then limits (asked of the parent where a user namespace takes the right to raise them), then bounding
 * set and user, then what is left of the capabilities. The executable is looked up as the user, so that its absence
 * is found before anybody is told "created". A filter is loaded last of all, so that it judges as few calls of ours
 * as possible: without no_new_privs that takes CAP_SYS_ADMIN, which is kept until then and given up by the one call behind
 * it. dumpable is off all the way: nobody in the container may trace us or read our fds (CVE-2016-9962).
 */
#include "container/become.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"
#include "container/attr.h"
#include "container/init.h"
#include "container/lsm.h"
#include "container/process.h"
#include "container/rlimit.h"
#include "container/sync.h"
#include "container/tty.h"
#include "oci/config.h"

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void reset_signals(void)
{
	/*
	 * The kernel's struct sigaction, all zero: SIG_DFL. By the system call itself, since the C library's function
	 * leaves 32 and 33 alone, which posix_spawn(3) of a caller may have ignored.
	 */
	static const unsigned long dfl[4];
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)syscall(SYS_rt_sigaction, sig, dfl, NULL, sizeof(unsigned long));
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int become_clean(const struct init *in, struct err *err)
{
	unsigned int passed = in->listen_fds + in->preserve_fds;
	const int own[] = { in->sync,     in->listener, in->console_socket, in->container_pidfd,
			    in->root_dir, in->stdio[0], in->stdio[1],       in->stdio[2],
			    log_fd() };
	size_t max = ARRAY_SIZE(own) + OCI_NS_MAX + in->n_keep_fds, n = 0;
	cleanup_free int *keep = xcalloc(max, sizeof(*keep));
	unsigned int next = 3 + passed;

	reset_signals();
	for (int i = 0; i < 3; i++)
		if (in->stdio[i] >= 0 && in->stdio[i] != i && dup2(in->stdio[i], i) < 0)
			return err_sys(err, -errno, "stdio: dup fd %d to %d", in->stdio[i], i);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		keep[n++] = own[i];
	for (int i = 0; i < OCI_NS_MAX; i++)
		keep[n++] = in->joined ? -1 : in->ns.fd[i];
	for (size_t i = 0; i < in->n_keep_fds; i++)
		keep[n++] = in->keep_fds[i];
	qsort(keep, n, sizeof(*keep), by_number);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < (int)next)
			continue;
		if ((unsigned int)keep[i] > next && sys_close_range(next, (unsigned int)keep[i] - 1, 0) < 0)
			return err_sys(err, -errno, "close_range");
		next = (unsigned int)keep[i] + 1;
	}
	if (sys_close_range(next, ~0U, 0) < 0)
		return err_sys(err, -errno, "close_range");
	/* ours end at execve whatever they were before; the passed ones live on */
	if (!in->entry && sys_close_range(3 + passed, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return err_sys(err, -errno, "close_range");
	/* in a gap of the caller's there may be one of ours, which are CLOEXEC from birth */
	for (int fd = 3; fd < (int)(3 + passed); fd++)
		if (fcntl(fd, F_GETFD) == FD_CLOEXEC && !bsearch(&fd, keep, n, sizeof(*keep), by_number))
			close(fd);
	return 0;
}

int become_terminal(struct init *in, int pts_dir, int *ret_slave, struct err *err)
{
	const struct oci_process *p = in->process;
	cleanup_fd int master = -1;
	cleanup_fd int slave = -1;
	char name[TTY_NAME_MAX];
	int r;

	r = tty_open(pts_dir, &master, &slave, name, err);
	if (r < 0)
		return r;
	if (p->has_console_size) {
		r = tty_set_size(master, p->console_height, p->console_width);
		if (r < 0)
			return err_sys(err, r, "process.consoleSize");
	}
	if (in->console_socket >= 0 && tty_is_relayed(in->console_socket))
		(void)tty_plain_lines(master);
	/* only the owner: the terminal's group need not be mapped */
	if (fchown(slave, p->user.uid, (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL && errno != EROFS)
		return err_sys(err, -errno, "give the terminal to uid %u", p->user.uid);
	r = in->console_socket >= 0 ? tty_send(in->console_socket, master, name) :
				      sync_send(in->sync, SYNC_CONSOLE, name, strlen(name), &master, 1);
	if (r < 0)
		return err_sys(err, r, "send the terminal to the console socket");
	if (in->console_socket >= 0)
		close(in->console_socket);
	in->console_socket = -1;
	r = tty_make_controlling(slave);
	if (r < 0)
		return err_sys(err, r, "make the terminal the controlling one");
	for (int i = 0; i < 3; i++)
		if (dup2(slave, i) < 0)
			return err_sys(err, -errno, "dup the terminal");
	*ret_slave = steal_fd(slave);
	return 0;
}

static int limits(struct init *in, struct err *err)
{
	int r = rlimit_apply(0, in->process, err);

	if (r != -EPERM)
		return r;
	r = sync_send(in->sync, SYNC_LIMITS, NULL, 0, NULL, 0);
	return r < 0 ? err_sys(err, r, "ask for resource limits") : sync_expect(in->sync, SYNC_ACK, NULL, err);
}

static void make_env(struct init *in)
{
	cleanup_strv char **also = NULL;

	if (in->listen_fds) {
		strv_add_take(&also, xasprintf("LISTEN_FDS=%u", in->listen_fds));
		strv_add(&also, "LISTEN_PID=1");
	}
	if (in->notify_dir)
		strv_add(&also, "NOTIFY_SOCKET=/run/notify/notify.sock");
	in->env = process_env(in->process, in->rootfd, also);
}

static int working_directory(const struct oci_process *p, bool *done, struct err *err)
{
	int r = process_chdir(p, err);

	*done = r >= 0;
	if (r == -EACCES || r == -EPERM) {
		/* a directory that only the user may enter (a network filesystem): again as the user */
		err->code = 0;
		return 0;
	}
	return r;
}

int become_user(struct init *in, struct err *err)
{
	const struct oci_process *p = in->process;
	bool admin = in->filter && !p->no_new_privileges, in_cwd = false;
	int r;

	r = lsm_apply_exec(in->procfd, p->apparmor_profile, p->selinux_label, err);
	if (r < 0)
		return r;
	r = attr_scheduling(p, err);
	/* sched_setattr(2): the affinity of a deadline task has to be all of the system's CPUs */
	if (r == -EPERM && p->has_scheduler && !str_empty(in->config->linux_.resources.cpu.cpus))
		return err_set(err, EPERM,
			       "process.scheduler: process scheduler can't be used together with AllowedCPUs "
			       "(linux.resources.cpu.cpus)");
	if (!r)
		r = attr_memory_and_personality(in->config, err);
	if (r < 0)
		return r;
	make_env(in);
	if (!in->entry)
		process_own_null(in->rootfd);
	/* no directory fd of ours may serve as a working directory (CVE-2024-21626) */
	close(steal_fd(in->procfd));
	close(steal_fd(in->rootfd));
	r = limits(in, err);
	if (r < 0)
		return r;
	if (!p->terminal && !in->entry)
		process_own_stdio(p->user.uid);
	r = caps_plan(p, &in->caps, err);
	if (!r)
		r = working_directory(p, &in_cwd, err);
	if (!r)
		r = caps_before_setuid(&in->caps, err);
	if (!r)
		r = process_user(p, in->config->keep_groups, err);
	if (!r)
		r = caps_after_setuid(&in->caps, admin ? CAPS_BIT(CAP_SYS_ADMIN) : 0, err);
	if (r < 0)
		return r;
	/* the change of user may have switched it on again */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, -errno, "set dumpable");
	if (!in_cwd)
		r = process_chdir(p, err);
	if (r < 0 || in->entry)
		return r;
	return process_find(p->args[0], in->env, &in->path, err);
}

/*
 * The listener's number is the lowest free one: told before the filter is loaded, since the filter may trap the call that
 * would tell it afterwards. The starter takes it out of our table (pidfd_getfd) and answers; when even reading the answer is
 * denied to us, time must do.
 */
static int announce_listener(int sock)
{
	int next = fcntl(sock, F_DUPFD_CLOEXEC, 3);

	if (next < 0)
		return -errno;
	close(next);
	return sync_send(sock, SYNC_LISTENER, &next, sizeof(next), NULL, 0);
}

static void wait_for_hand_over(int sock)
{
	struct sync_msg m = { 0 };
	struct timespec start, now;

	if (!sync_recv(sock, &m)) {
		sync_msg_done(&m);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (now.tv_sec - start.tv_sec < 2);
}

static int no_new_privileges(const struct oci_process *p, struct err *err)
{
	if (p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, -errno, "process.noNewPrivileges");
	return 0;
}

/* Loads the filter; without no_new_privs the capability that allowed it goes now. */
static int filter(struct init *in, int sock, struct err *err)
{
	int r;

	if (!in->filter)
		return 0;
	r = seccomp_install(in->filter, err);
	if (r < 0)
		return r;
	if (in->filter->notify)
		wait_for_hand_over(sock);
	return in->process->no_new_privileges ? 0 : caps_final(&in->caps, err);
}

int become_confined(struct init *in, struct err *err)
{
	int r;

	if (!in->filter || in->filter->notify)
		return 0;
	r = no_new_privileges(in->process, err);
	if (!r)
		r = filter(in, -1, err);
	in->filter = NULL;
	return r;
}

int become_workload(struct init *in, int sock, struct err *err)
{
	const struct oci_process *p = in->process;
	int r = no_new_privileges(p, err);

	if (r < 0)
		return r;
	if (in->filter && in->filter->notify) {
		/* the starter must be allowed to take the listener out of our table; it is privileged or our owner */
		(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		r = announce_listener(sock);
		if (r < 0)
			return err_sys(err, r, "announce the seccomp listener");
	}
	r = sync_send(sock, SYNC_EXEC, NULL, 0, NULL, 0);
	if (r < 0)
		return err_sys(err, r, "tell the starter");
	r = filter(in, sock, err);
	if (r < 0)
		return r;
	execve(in->path, p->args, in->env);
	r = -errno;
	return err_sys(err, r, "exec %s", in->path);
}
