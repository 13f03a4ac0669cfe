/* SPDX-License-Identifier: Apache-2.0 */
/* base/child, base/err, base/fd passing, base/loop. */
#include "base/child.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "tests/unit/tap.h"

static int end_with(struct loop_source *src, uint32_t events, void *arg)
{
	(void)src;
	(void)events;
	return *(int *)arg;
}

static void test_run(void)
{
	struct err err = { 0 };
	char *cat[] = { "cat", NULL }, *no[] = { "/no/such/program", NULL },
	     *exit3[] = { "sh", "-c", "echo bad >&2; exit 3", NULL };
	char *endless[] = { "yes", NULL }, *left[] = { "sh", "-c", "yes & exit 0", NULL };
	char *sleeper[] = { "sleep", "600", NULL }, *ignore[] = { "true", NULL };
	static char big[300000];
	struct child_io io = { .in = "hello", .in_len = 5, .want_out = 1 };

	is_int(child_run(cat, &io, &err), 0);
	is_str(io.out, "hello");
	free(io.out);
	memset(big, 'x', sizeof(big));
	io = (struct child_io){ .in = big, .in_len = sizeof(big), .want_out = 1 };
	is_int(child_run(cat, &io, &err), 0);
	is_int(io.out_len, sizeof(big));
	free(io.out);
	io = (struct child_io){ .in = big, .in_len = sizeof(big) };
	is_int(child_run(ignore, &io, &err), 0); /* never reads its stdin */
	io = (struct child_io){ 0 };
	is_int(child_run(no, &io, &err), -ENOENT);
	is_str(err.msg, "exec /no/such/program: no such file or directory");
	io = (struct child_io){ .want_err = 1 };
	is_int(child_run(exit3, &io, &err), 3);
	is_str(io.errout, "bad\n");
	free(io.errout);
	io = (struct child_io){ .timeout_ms = 100 };
	is_int(child_run(sleeper, &io, &err), -ETIMEDOUT);
	/* an answer without end, also of somebody it left behind */
	io = (struct child_io){ .want_out = 1, .timeout_ms = 60000 };
	is_int(child_run(endless, &io, &err), -EFBIG);
	free(io.out);
	io = (struct child_io){ .want_out = 1, .timeout_ms = 60000 };
	is_int(child_run(left, &io, &err), 0);
	free(io.out);
}

static void test_err(void)
{
	struct err err = { 0 }, got;
	int sv[2];

	is_int(err_set(&err, EINVAL, "x %d", 1), -EINVAL);
	is_int(err_wrap(&err, "here"), -EINVAL);
	is_str(err.msg, "here: x 1");
	err_wrap(&err, "\033[31m%c", 127);
	is_str(err.msg, "?[31m?: here: x 1");
	is_int(err_sys(&err, -EPERM, "mount"), -EPERM);
	is_str(err.msg, "mount: operation not permitted");
	ok(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	is_int(err_send(sv[0], &err), 0);
	is_int(err_recv(sv[1], &got), 0);
	is_str(got.msg, err.msg);
	close(sv[0]);
	is_int(err_recv(sv[1], &got), -EPIPE);
	close(sv[1]);
}

static void test_pass(void)
{
	int sv[2], p[2], got[1];
	size_t n = 1;
	char c;

	ok(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0 && pipe(p) == 0);
	is_int(fd_send(sv[0], "x", 1, p, 2), 0);
	is_int(fd_recv(sv[1], &c, 1, got, &n), 1);
	is_int(n, 1); /* the second was closed: no room for it */
	ok(got[0] >= 0);
	close(got[0]);
	for (int i = 0; i < 2; i++) {
		close(sv[i]);
		close(p[i]);
	}
}

int main(void)
{
	struct loop *l = loop_new();
	unsigned long long start = 0;
	int seven = 7, p[2], status;
	struct child_stat st;
	pid_t pid;

	test_run();
	test_err();
	test_pass();
	need(l);
	ok(loop_add_timer(l, 10, 0, end_with, &seven) != NULL);
	is_int(loop_run(l), 7);
	ok(pipe(p) == 0 && write(p[1], "x", 1) == 1);
	ok(loop_add_fd(l, p[0], EPOLLIN, end_with, &seven) != NULL);
	is_int(loop_run(l), 7);
	loop_free(l);
	is_int(child_start_time(getpid(), &start), 0);
	ok(start > 0);
	is_int(child_stat(getpid(), &st), 0);
	ok(st.start_time == start && !st.ending);
	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	kill(pid, SIGKILL);
	is_int(child_stat(pid, &st), 0);
	ok(st.ending);
	is_int(child_wait(pid, &status), 0);
	is_int(child_exit_code(0x100), 1);
	is_int(child_exit_code(9), 137);
	return tap_done();
}
