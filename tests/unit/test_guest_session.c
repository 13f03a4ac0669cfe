/* SPDX-License-Identifier: Apache-2.0 */
/* vm/guest/guest_session against a host played by this test: streams, and connections that are none. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/tap.h"
#include "vm/guest/guest_session.h"
#include "vm/proto.h"

static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static struct guest_session session;

static void *session_main(void *arg)
{
	pid_t pid = *(pid_t *)arg;
	static int status;
	int pidfd = fd_pidfd_open(pid);

	status = guest_session_run(&session, pid, pidfd, NULL, NULL);
	close(pidfd);
	return &status;
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	need(fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	return fd;
}

/* Sends the STREAM message without its last bytes; lie: with a token that is none. */
static int stream(unsigned int which, bool lie, size_t without)
{
	unsigned char token[GUEST_SESSION_TOKEN];
	struct proto_writer w = { 0 };
	int fd = dial();
	uint8_t *msg;
	size_t len;

	memcpy(token, session.token, sizeof(token));
	token[0] ^= lie;
	proto_begin(&w, PROTO_STREAM);
	proto_add_u32(&w, PROTO_F_STREAM, which);
	proto_add(&w, PROTO_F_TOKEN, token, sizeof(token));
	msg = proto_take(&w, &len);
	need(msg && fd_write_all(fd, msg, len - without) >= 0);
	free(msg);
	return fd;
}

/* A process that copies its input to its output and ends with 7. */
static pid_t start(void)
{
	pid_t pid;

	for (int i = 0; i < 3; i++) {
		int p[2];

		need(pipe2(p, O_CLOEXEC) == 0);
		session.child[i] = p[i != 0];
		session.ours[i] = p[i == 0];
		need(fd_set_nonblock(session.ours[i], true) == 0);
	}
	pid = fork();
	if (pid == 0) {
		char buf[64];
		ssize_t n;

		for (int i = 0; i < 3; i++)
			dup2(session.child[i], i);
		fd_cloexec_from(3);
		for (int i = 3; i < 64; i++)
			close(i);
		while ((n = read(0, buf, sizeof(buf))) > 0)
			(void)!write(1, buf, (size_t)n);
		_exit(7);
	}
	guest_session_close_child(&session);
	return pid;
}

int main(void)
{
	struct guest_session none = { .listener = -1, .child = { -1, -1, -1 }, .ours = { -1, -1, -1 } };
	struct proto_msg m = { 0 };
	int control[2], silent, half, liar, in, out, errout;
	char buf[16] = "";
	pthread_t thread;
	uint32_t code;
	void *status;
	pid_t pid;

	alarm(20); /* what waits for the silent ones waits longer */
	session = none;
	memset(session.token, 0x55, sizeof(session.token));
	snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "amphi-test-session-%d", (int)getpid());
	session.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(bind(session.listener, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(session.listener, 32) == 0);
	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) == 0);
	session.control = control[1];
	pid = start();
	pthread_create(&thread, NULL, session_main, &pid);

	/* none of these keeps the others waiting */
	silent = dial();
	half = stream(1, false, 5);
	liar = stream(1, true, 0);
	out = stream(1, false, 0);
	errout = stream(2, false, 0);
	in = stream(0, false, 0);
	ok(fd_write_all(in, "hello", 5) >= 0);
	is_int(fd_read_all(out, buf, 5), 5);
	is_str(buf, "hello");
	is_int(read(liar, buf, 1), 0);

	/* more of the silent kind than a session remembers: the oldest go */
	close(half);
	for (int i = 0; i < 12; i++)
		(void)dial();
	shutdown(in, SHUT_WR);
	is_int(fd_read_all(out, buf, 1), 0);
	is_int(fd_read_all(errout, buf, 1), 0);
	need(proto_recv(control[0], 10000, &m, NULL) == 1);
	is_int(m.type, PROTO_EXIT);
	is_int(proto_get_u32(&m, PROTO_F_STATUS, &code, NULL), 0);
	is_int(code, 7);
	close(control[0]);
	pthread_join(thread, &status);
	is_int(*(int *)status, 7);
	proto_msg_free(&m);
	guest_session_close(&session);
	close(silent);
	return tap_done();
}
