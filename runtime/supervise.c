/* SPDX-License-Identifier: Apache-2.0 */
/* The foreground: signals forwarded, terminal relayed, exit code brought home. */
/*
 * Theory of operation: without a terminal the workload has our descriptors 0, 1 and 2 themselves and nothing is
 * relayed: sigwaitinfo(2) sleeps until a signal comes, which is forwarded, or SIGCHLD, after which the children are
 * reaped. With a terminal one poll(2) loop watches signals (signalfd), our stdin, our stdout and the master. Each
 * direction has one small buffer and reads only when it is empty, so a side that does not read holds back the other.
 * Signals are blocked from supervise_begin() on, which comes before create: one that arrives halfway reaches the
 * workload later instead of leaving half a container. Not forwarded: CHLD, URG, PIPE and what a fault of ours raises.
 */
#include "runtime/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "container/tty.h"

#define RELAY_SIZE 4096 /* PIPE_BUF: after POLLOUT a write of this size does not block on a pipe */

struct relay {
	char buf[RELAY_SIZE];
	size_t at, end;
	int from, to; /* from -1: ended */
};

static void supervise_signals(sigset_t *set)
{
	static const int ours[] = {
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGKILL, SIGSTOP, SIGURG, SIGPIPE
	};

	sigfillset(set);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		sigdelset(set, ours[i]);
}

void supervise_begin(struct supervise *s, bool subreaper)
{
	sigset_t set;

	supervise_signals(&set);
	sigprocmask(SIG_BLOCK, &set, &s->old_mask);
	s->begun = true;
	if (subreaper)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

int supervise_console(struct supervise *s, int peer, bool keep_size, struct err *err)
{
	if (peer < 0)
		return 0;
	s->master = tty_recv(peer);
	if (s->master < 0)
		return err_sys(err, s->master, "terminal");
	(void)fd_set_nonblock(s->master, true);
	if (!keep_size)
		tty_copy_size(STDIN_FILENO, s->master);
	s->raw = tty_raw(STDIN_FILENO, &s->saved) == 0;
	return 0;
}

/* 1: pid ended, its code in *code. */
static int supervise_reap(pid_t pid, int *code)
{
	int status, done = 0;
	pid_t p;

	while ((p = waitpid(-1, &status, WNOHANG)) > 0)
		if (p == pid) {
			*code = child_exit_code(status);
			done = 1;
		}
	if (p < 0 && errno == ECHILD && !done) {
		/* somebody else reaped it; there is nothing to wait for */
		*code = 0;
		done = 1;
	}
	return done;
}

/* 1: pid ended. */
static int supervise_signal(struct supervise *s, pid_t pid, int sig, int *code)
{
	if (sig == SIGCHLD)
		return supervise_reap(pid, code);
	if (sig == SIGWINCH) {
		if (s->master >= 0)
			tty_copy_size(STDIN_FILENO, s->master);
		return 0;
	}
	log_debug("forward signal %d", sig);
	(void)kill(pid, sig);
	return 0;
}

static int supervise_wait_plain(struct supervise *s, pid_t pid, struct err *err)
{
	sigset_t set;
	int code = 0;

	supervise_signals(&set);
	if (supervise_reap(pid, &code))
		return code;
	for (;;) {
		int sig = sigwaitinfo(&set, NULL);

		if (sig < 0 && errno == EINTR)
			continue;
		if (sig < 0)
			return err_sys(err, errno, "sigwaitinfo");
		if (supervise_signal(s, pid, sig, &code))
			return code;
	}
}

static bool relay_empty(const struct relay *r)
{
	return r->at == r->end;
}

static void relay_read(struct relay *r, bool eof_char)
{
	ssize_t n = read(r->from, r->buf, sizeof(r->buf));

	r->at = r->end = 0;
	if (n > 0) {
		r->end = (size_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		r->from = -1;
		/* what a person would type at the end of the input */
		if (eof_char) {
			r->buf[0] = 4;
			r->end = 1;
		}
	}
}

static void relay_write(struct relay *r)
{
	ssize_t n = write(r->to, r->buf + r->at, r->end - r->at);

	if (n > 0)
		r->at += (size_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		r->at = r->end; /* nobody listens any more */
}

/* What the workload wrote before it ended. */
static void relay_drain(struct relay *r)
{
	for (;;) {
		while (!relay_empty(r)) {
			struct pollfd p = { .fd = r->to, .events = POLLOUT };

			if (poll(&p, 1, -1) < 0 && errno != EINTR)
				return;
			relay_write(r);
		}
		if (r->from < 0)
			return;
		relay_read(r, false);
		if (relay_empty(r))
			return;
	}
}

static void relay_poll(struct relay *r, struct pollfd *in, struct pollfd *out)
{
	*in = (struct pollfd){ .fd = relay_empty(r) ? r->from : -1, .events = POLLIN };
	*out = (struct pollfd){ .fd = relay_empty(r) ? -1 : r->to, .events = POLLOUT };
}

static int supervise_wait_tty(struct supervise *s, pid_t pid, struct err *err)
{
	struct relay in = { .from = STDIN_FILENO, .to = s->master };
	struct relay out = { .from = s->master, .to = STDOUT_FILENO };
	cleanup_fd int sigfd = -1;
	sigset_t set;
	int code = 0;

	supervise_signals(&set);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0)
		return err_sys(err, errno, "signalfd");
	if (supervise_reap(pid, &code))
		goto ended;
	for (;;) {
		struct pollfd p[5] = { { .fd = sigfd, .events = POLLIN } };
		struct signalfd_siginfo si;

		relay_poll(&in, &p[1], &p[2]);
		relay_poll(&out, &p[3], &p[4]);
		if (poll(p, ARRAY_SIZE(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(err, errno, "poll");
		}
		while (read(sigfd, &si, sizeof(si)) == sizeof(si))
			if (supervise_signal(s, pid, (int)si.ssi_signo, &code))
				goto ended;
		if (p[1].revents)
			relay_read(&in, !s->raw);
		if (p[2].revents)
			relay_write(&in);
		if (p[3].revents)
			relay_read(&out, false);
		if (p[4].revents)
			relay_write(&out);
	}
ended:
	relay_drain(&out);
	return code;
}

int supervise_wait(struct supervise *s, pid_t pid, struct err *err)
{
	return s->master >= 0 ? supervise_wait_tty(s, pid, err) : supervise_wait_plain(s, pid, err);
}

void supervise_end(struct supervise *s)
{
	if (s->raw)
		tty_restore(STDIN_FILENO, &s->saved);
	if (s->master >= 0)
		close(s->master);
	if (s->begun)
		sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	s->raw = s->begun = false;
	s->master = -1;
}
