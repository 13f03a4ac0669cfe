/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a parked child, from its creator or from another process.
 *
 * The child says SYNC_EXEC right before its execve(2); its end of the socket is CLOEXEC. So an end of file behind that word
 * is success, a SYNC_ERROR is the reason of a failure, and an end of file without the word is a death. A filter
 * that notifies is handed to its agent here: the child announces the number its listener will have and loads the
 * filter; we take the fd out of its table until it is there, give it away and answer. Nothing that the filter judges is
 * needed of the child meanwhile.
 */
#include "container/start.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fd.h"
#include "base/sys.h"
#include "container/seccomp.h"
#include "container/sync.h"
#include "oci/config.h"

/* A small limit kills the set-up, which is charged to it, before there is a workload. runc's words. */
static int start_killed(const struct oci_config *config, struct err *err)
{
	const struct oci_memory *m = &config->linux_.resources.memory;

	if (m->has_limit && m->limit > 0)
		return err_set(err, ESRCH,
			       "linux.resources.memory.limit: %lld: container init was OOM-killed (memory limit too "
			       "low?)",
			       (long long)m->limit);
	return err_set(err, ESRCH, "container init was killed during set-up (out of memory?)");
}

int start_died(const struct oci_config *config, pid_t pid, struct err *err)
{
	siginfo_t si = { 0 };

	/* only a child of ours tells why; it stays waitable */
	if (pid > 0 && !waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) && si.si_pid == pid) {
		if (si.si_code == CLD_EXITED)
			return err_set(err, ESRCH, "container init exited with status %d during set-up", si.si_status);
		if (si.si_status == SIGKILL)
			return start_killed(config, err);
		return err_set(err, ESRCH, "container init died of signal %d (%s) during set-up", si.si_status,
			       strsignal(si.si_status));
	}
	return err_set(err, ESRCH, "container init went away during set-up");
}

static bool is_dead(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static int fetch_listener(const struct start_watch *w, int number, struct err *err)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	int fd;

	for (;;) {
		fd = sys_pidfd_getfd(w->pidfd, number);
		if (fd >= 0)
			return fd;
		if (errno != EBADF)
			return err_sys(err, -errno, "take the seccomp listener from container init");
		if (is_dead(w->pidfd))
			return start_died(w->config, w->pid, err);
		nanosleep(&pause, NULL);
	}
}

int start_hand_over(int sock, const struct start_watch *w, const struct sync_msg *m, struct err *err)
{
	cleanup_fd int fd = -1;
	int number, r;

	if (m->len != sizeof(number) || !w->config->linux_.seccomp)
		return err_set(err, EPROTO, "container init announced a seccomp listener that it cannot have");
	memcpy(&number, m->data, sizeof(number));
	fd = fetch_listener(w, number, err);
	if (fd < 0)
		return fd;
	r = seccomp_notify_send(w->config->linux_.seccomp, w->state_json ? w->state_json : "{}", w->pid, fd, err);
	if (r < 0)
		return r;
	r = sync_send(sock, SYNC_ACK, NULL, 0, NULL, 0);
	return r < 0 && r != -EPIPE ? err_sys(err, r, "tell container init") : 0;
}

int start_follow(int sock, const struct start_watch *w, struct err *err)
{
	bool at_exec = false;

	for (;;) {
		cleanup_sync_msg struct sync_msg m = { 0 };
		int r = sync_recv(sock, &m);

		if (r == -EPIPE)
			return at_exec ? 0 : start_died(w->config, w->pid, err);
		if (r < 0)
			return err_sys(err, r, "talk to container init");
		switch (m.type) {
		case SYNC_EXEC:
			at_exec = true;
			break;
		case SYNC_LISTENER:
			r = start_hand_over(sock, w, &m, err);
			if (r < 0)
				return r;
			break;
		case SYNC_ERROR:
			return sync_take_err(&m, err);
		default:
			return err_set(err, EPROTO, "container init said \"%s\"", sync_name(m.type));
		}
	}
}

int start_run(int sock, const struct start_watch *w, struct err *err)
{
	int r = sync_send(sock, SYNC_START, w->state_json, w->state_json ? strlen(w->state_json) : 0, NULL, 0);

	if (r == -EPIPE)
		return start_died(w->config, w->pid, err);
	if (r < 0)
		return err_sys(err, r, "talk to container init");
	return start_follow(sock, w, err);
}
