/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes for helpers (hooks, nft, CNI plugins), and process titles.
 *
 * child_run() forks, wires stdin, stdout and stderr, feeds and drains them with poll until the child ends or
 * the time is up. A child that never reads its stdin does not fail the call. A failed execve comes back through
 * a CLOEXEC pipe, so that "no such program" is an error of child_run() and not an exit status. The child gets
 * the default signal set and leads a process group of its own, which a timeout or too much output kills.
 */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fd.h"
#include "base/str.h"

/* /proc/PID/stat: fields of it, and the kernel's flags of a task that ends. */
#define FIELD_FLAGS 9
#define FIELD_START_TIME 22
#define FIELD_PENDING 31
#define PF_EXITING 0x4
#define PF_SIGNALED 0x400

int child_wait(pid_t pid, int *ret_status)
{
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int child_exit_code(int wait_status)
{
	if (WIFEXITED(wait_status))
		return WEXITSTATUS(wait_status);
	return 128 + WTERMSIG(wait_status);
}

int child_stat(pid_t pid, struct child_stat *ret)
{
	unsigned long long flags = 0, pending = 0;
	char path[64], buf[1024], *p;
	cleanup_fd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = fd_read_all(fd, buf, sizeof(buf) - 1);
	if (n < 0)
		return (int)n;
	buf[n] = '\0';
	p = strrchr(buf, ')');
	/* behind the name, field 2, come the state and so on */
	for (int field = 3; p && field <= FIELD_PENDING; field++) {
		p = strchr(p, ' ');
		p += !!p;
		if (p && field == FIELD_FLAGS)
			flags = strtoull(p, NULL, 10);
		else if (p && field == FIELD_START_TIME)
			ret->start_time = strtoull(p, NULL, 10);
		else if (p && field == FIELD_PENDING)
			pending = strtoull(p, NULL, 10);
	}
	ret->ending = (flags & (PF_EXITING | PF_SIGNALED)) || (pending & 1ULL << (SIGKILL - 1));
	return p ? 0 : -EINVAL;
}

int child_start_time(pid_t pid, unsigned long long *ret)
{
	struct child_stat st;
	int r = child_stat(pid, &st);

	if (r == 0)
		*ret = st.start_time;
	return r;
}

struct pipes {
	int in[2], out[2], err[2], report[2];
};

static void close_pipes(struct pipes *p)
{
	int *all[] = { p->in, p->out, p->err, p->report };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (int k = 0; k < 2; k++)
			if (all[i][k] >= 0) {
				close(all[i][k]);
				all[i][k] = -1;
			}
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static _Noreturn void run_child(char *const argv[], const struct child_io *io, struct pipes *p)
{
	sigset_t none;
	int null, r;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setpgid(0, 0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(p->in[0] >= 0 ? p->in[0] : null, 0);
	if (p->out[1] >= 0 || io->out_fd > 2)
		dup2(io->out_fd > 2 ? io->out_fd : p->out[1], 1);
	if (p->err[1] >= 0 || io->err_fd > 2)
		dup2(io->err_fd > 2 ? io->err_fd : p->err[1], 2);
	if (!io->cwd || chdir(io->cwd) == 0)
		execvpe(io->path ? io->path : argv[0], argv, io->env ? io->env : environ);
	r = errno;
	(void)!write(p->report[1], &r, sizeof(r));
	_exit(127);
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* More than this is not an answer but a fault, or meant to take our memory. */
#define OUTPUT_MAX (64UL << 20)

static void drain(int *fd, struct str *into)
{
	char buf[4096];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n > 0)
		str_addn(into, buf, (size_t)n);
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		close_end(fd);
}

static void feed(int *fd, const char *data, size_t len, size_t *done)
{
	ssize_t n = write(*fd, data + *done, len - *done);

	if (n > 0)
		*done += (size_t)n;
	else if (n < 0 && errno != EINTR && errno != EAGAIN)
		*done = len; /* it does not read its stdin: its right */
	if (*done == len)
		close_end(fd);
}

/* Moves bytes until all ends are closed and the child has ended; kills its group when the time is up. */
static int converse(pid_t pid, int pidfd, struct pipes *p, struct child_io *io, struct str *out, struct str *errout)
{
	long long deadline = io->timeout_ms ? now_ms() + io->timeout_ms : -1;
	bool alive = true;
	size_t fed = 0;

	while (alive) {
		struct pollfd pfd[] = {
			{ .fd = p->in[1], .events = POLLOUT },
			{ .fd = p->out[0], .events = POLLIN },
			{ .fd = p->err[0], .events = POLLIN },
			{ .fd = pidfd, .events = POLLIN },
		};
		long long left = deadline < 0 ? -1 : deadline - now_ms();

		if (deadline >= 0 && left <= 0) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			return -ETIMEDOUT;
		}
		if (out->len + errout->len > OUTPUT_MAX) {
			kill(-pid, SIGKILL);
			return -EFBIG;
		}
		if (poll(pfd, ARRAY_SIZE(pfd), (int)left) < 0 && errno != EINTR)
			return -errno;
		if (pfd[0].revents)
			feed(&p->in[1], io->in, io->in_len, &fed);
		if (pfd[1].revents)
			drain(&p->out[0], out);
		if (pfd[2].revents)
			drain(&p->err[0], errout);
		alive = !(pfd[3].revents & POLLIN);
	}
	/* What it wrote before it ended is in the pipes; a grandchild that keeps them open is not waited for. */
	while ((p->out[0] >= 0 || p->err[0] >= 0) && out->len + errout->len <= OUTPUT_MAX) {
		struct pollfd pfd[] = {
			{ .fd = p->out[0], .events = POLLIN },
			{ .fd = p->err[0], .events = POLLIN },
		};

		if (poll(pfd, 2, 0) <= 0)
			break;
		if (pfd[0].revents)
			drain(&p->out[0], out);
		if (pfd[1].revents)
			drain(&p->err[0], errout);
	}
	return 0;
}

int child_run(char *const argv[], struct child_io *io, struct err *err)
{
	struct pipes p = { { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct str out = { 0 }, errout = { 0 };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	cleanup_fd int pidfd = -1;
	int r = 0, status = 0, exec_errno = 0;
	pid_t pid;

	if ((io->in && pipe2(p.in, O_CLOEXEC) < 0) || (io->want_out && pipe2(p.out, O_CLOEXEC) < 0) ||
	    (io->want_err && pipe2(p.err, O_CLOEXEC) < 0) || pipe2(p.report, O_CLOEXEC) < 0) {
		r = err_sys(err, errno, "%s: pipe", argv[0]);
		close_pipes(&p);
		return r;
	}
	pid = fork();
	if (pid < 0) {
		r = err_sys(err, errno, "%s: fork", argv[0]);
		close_pipes(&p);
		return r;
	}
	if (pid == 0)
		run_child(argv, io, &p);
	setpgid(pid, pid);
	close_end(&p.in[0]);
	close_end(&p.out[1]);
	close_end(&p.err[1]);
	close_end(&p.report[1]);
	if (p.in[1] >= 0)
		fd_set_nonblock(p.in[1], true);
	sigaction(SIGPIPE, &ignore, &before);
	if (fd_read_all(p.report[0], &exec_errno, sizeof(exec_errno)) == (ssize_t)sizeof(exec_errno)) {
		r = err_sys(err, exec_errno, "exec %s", io->path ? io->path : argv[0]);
	} else {
		pidfd = fd_pidfd_open(pid);
		r = pidfd < 0 ? pidfd : converse(pid, pidfd, &p, io, &out, &errout);
		if (r < 0)
			err_sys(err, r, "%s", argv[0]);
	}
	if (r < 0)
		kill(pid, SIGKILL);
	child_wait(pid, &status);
	sigaction(SIGPIPE, &before, NULL);
	close_pipes(&p);
	if (io->want_out) {
		io->out_len = out.len;
		io->out = str_steal(&out);
	}
	if (io->want_err)
		io->errout = str_steal(&errout);
	return r < 0 ? r : child_exit_code(status);
}

static char *title_start;
static size_t title_room;

void child_title_init(int argc, char **argv)
{
	char *end = argv[0];

	/* The arguments lie one behind the other: their room is the title's. Callers copy what they need first. */
	for (int i = 0; i < argc && argv[i] == end; i++)
		end += strlen(argv[i]) + 1;
	title_start = argv[0];
	title_room = (size_t)(end - argv[0]);
}

void child_title(const char *title)
{
	prctl(PR_SET_NAME, title, 0, 0, 0);
	if (!title_start || !title_room)
		return;
	memset(title_start, 0, title_room);
	snprintf(title_start, title_room, "%s", title);
}
