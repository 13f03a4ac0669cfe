/* SPDX-License-Identifier: Apache-2.0 */
/* A process of ours that stands for one in a machine. */
/*
 * Theory of operation: engines want a pid whose stdio they know and whose wait status is the command's. The proxy is
 * forked when the command already runs in the guest; it makes a terminal of its own where one is wanted (the master goes to
 * the engine, the slave is relayed raw), forwards signals, and exits with the command's status. A proxy that is killed
 * closes the session, and the guest kills the command.
 */
#include "runtime/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "container/tty.h"
#include "oci/config.h"
#include "vm/streams.h"

#define EXIT_LOST 255
#define FIRST_FD 3

int proxy_open_terminal(const struct oci_process *p, int console_socket, int *ret_slave, struct err *err)
{
	cleanup_fd int pts = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC), master = -1, slave = -1;
	char name[TTY_NAME_MAX];
	int r;

	if (pts < 0)
		return err_sys(err, -errno, "/dev/pts");
	r = tty_open(pts, &master, &slave, name, err);
	if (r < 0)
		return r;
	if (p->has_console_size)
		(void)tty_set_size(master, p->console_height, p->console_width);
	r = tty_send(console_socket, master, name);
	if (r < 0)
		return err_sys(err, r, "send the terminal to the console socket");
	*ret_slave = steal_fd(slave);
	return 0;
}

/* Keeps 0, 1, 2 and the session alone: locks, sockets and pipes of the command must not live on in us. */
static void keep_only(struct agent_session *s)
{
	int *fds[] = { &s->control, &s->in, &s->out, &s->errout };
	int next = FIRST_FD;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		int high;

		if (*fds[i] < 0)
			continue;
		high = fcntl(*fds[i], F_DUPFD_CLOEXEC, 64);
		if (high >= 0)
			*fds[i] = high;
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (*fds[i] >= 0)
			*fds[i] = dup3(*fds[i], next++, O_CLOEXEC);
	(void)sys_close_range((unsigned int)next, ~0U, 0);
}

static _Noreturn void proxy_main(const struct proxy_request *req, int slave)
{
	struct agent_session s = *req->session;
	struct streams st = { .session = &s,
			      .in = 0,
			      .out = 1,
			      .errout = s.terminal ? -1 : 2,
			      .terminal = s.terminal,
			      .signals = true,
			      .lost_fd = -1 };
	struct err err = { 0 };
	sigset_t none;
	int r;

	(void)setsid();
	for (int i = 0; i < 3; i++) {
		int from = s.terminal ? slave : req->stdio[i];

		if (from >= 0 && from != i && dup2(from, i) < 0)
			_exit(EXIT_LOST);
	}
	keep_only(&s);
	if (s.terminal)
		(void)tty_make_controlling(0);
	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < 6; i++)
		(void)signal(((const int[]){ SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 })[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	child_title("amphi:[exec]");
	r = streams_run(&st, &err);
	_exit(r < 0 ? EXIT_LOST : r);
}

int proxy_start(const struct proxy_request *req, struct err *err)
{
	cleanup_fd int slave = -1;
	pid_t pid;
	int r;

	if (req->process->terminal) {
		r = proxy_open_terminal(req->process, req->console_socket, &slave, err);
		if (r < 0)
			return r;
	}
	pid = fork();
	if (pid < 0)
		return err_sys(err, -errno, "fork");
	if (pid == 0)
		proxy_main(req, slave);
	return pid;
}
