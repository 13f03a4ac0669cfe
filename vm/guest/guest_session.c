/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session of the guest's agent.
 *
 * The process gets pipes (or a terminal), never a vsock socket: /dev/stdout can be opened again, and a reader that
 * is slow fills the pipe as it would anywhere. One thread, one poll loop; our ends are non-blocking. The host opens
 * one vsock connection a stream to our own port and proves itself by the token; until it came the pump waits. Who
 * connects there and says nothing keeps nobody waiting: connections are read as their bytes come, and the oldest of too many is dropped. When
 * the process has ended, what is left in the pipes is delivered (a background process that keeps a pipe open
 * does not hold the session), the streams are shut, dirty pages are written back, and only then EXIT is sent:
 * the host may take the machine away the moment it arrives.
 */
#include "vm/guest/guest_session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>

#include <linux/vm_sockets.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "vm/proto.h"

#define PUMP_SIZE 65536u
#define MESSAGE_MS 30000 /* for the rest of a message on the control connection */
#define NEWCOMERS_MAX 8
/* A whole STREAM message. */
#define STREAM_SIZE (PROTO_HEADER_SIZE + 2 * PROTO_FIELD_HEADER_SIZE + sizeof(uint32_t) + GUEST_SESSION_TOKEN)
#define EXIT_KILLED (128 + SIGKILL)
#define CLOSE_MS 60000 /* for a host that does not close when it was told the exit */

struct pump {
	int from, to; /* -1: not there (yet), or at its end */
	bool over;
	bool is_in; /* host → process */
	size_t off, len;
	char buf[PUMP_SIZE];
};

/* A connection that has not said yet which stream it is. */
struct newcomer {
	int fd; /* -1: none */
	size_t len;
	uint8_t buf[STREAM_SIZE];
};

struct relay {
	struct guest_session *s;
	struct pump pumps[3];
	struct newcomer newcomers[NEWCOMERS_MAX];
	unsigned int next; /* of them: the oldest, or free */
	pid_t pid;
	int pidfd;
	bool ended;
	int status;
	bool host_gone;
	int waiting; /* streams that have not arrived */
};

int guest_session_open(struct guest_session *s, int control, bool terminal, struct err *err)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = VMADDR_PORT_ANY };
	socklen_t len = sizeof(a);

	*s = (struct guest_session){ .control = control,
				     .listener = -1,
				     .terminal = terminal,
				     .child = { -1, -1, -1 },
				     .ours = { -1, -1, -1 } };
	if (getrandom(s->token, sizeof(s->token), 0) != (ssize_t)sizeof(s->token))
		return err_sys(err, -errno, "agent: getrandom");
	s->listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s->listener, 8) < 0 ||
	    getsockname(s->listener, (struct sockaddr *)&a, &len) < 0)
		return err_sys(err, -errno, "agent: vsock port of the session");
	s->port = a.svm_port;
	for (int i = 0; i < 3 && !terminal; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC) < 0)
			return err_sys(err, -errno, "agent: pipe");
		s->child[i] = i == 0 ? p[0] : p[1];
		s->ours[i] = i == 0 ? p[1] : p[0];
		(void)fd_set_nonblock(s->ours[i], true);
	}
	return 0;
}

void guest_session_close_child(struct guest_session *s)
{
	for (int i = 0; i < 3; i++) {
		if (s->child[i] >= 0)
			close(s->child[i]);
		s->child[i] = -1;
	}
}

void guest_session_close(struct guest_session *s)
{
	guest_session_close_child(s);
	for (int i = 0; i < 3; i++) {
		if (s->ours[i] >= 0)
			close(s->ours[i]);
		s->ours[i] = -1;
	}
	if (s->listener >= 0)
		close(s->listener);
	s->listener = -1;
}

int guest_session_announce(const struct guest_session *s, pid_t pid)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_SESSION);
	proto_add_u32(&w, PROTO_F_PID, (uint32_t)pid);
	proto_add_u32(&w, PROTO_F_PORT, s->port);
	proto_add(&w, PROTO_F_TOKEN, s->token, sizeof(s->token));
	return proto_send(s->control, &w);
}

static void take_newcomer(struct relay *r)
{
	struct newcomer *c = &r->newcomers[r->next];
	int fd = accept4(r->s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = fd;
	c->len = 0;
	r->next = (r->next + 1) % NEWCOMERS_MAX;
}

/* A whole message of a newcomer: checks the token and gives the connection to its pump, or leaves it. */
static void take_stream(struct relay *r, struct newcomer *c)
{
	cleanup_proto_msg struct proto_msg m = { 0 };
	const struct proto_field *token;
	uint32_t which;

	if (proto_parse(c->buf, c->len, &m, NULL) < 0 || m.type != PROTO_STREAM)
		return;
	token = proto_get(&m, PROTO_F_TOKEN);
	if (!token || token->len != GUEST_SESSION_TOKEN || memcmp(token->data, r->s->token, token->len) != 0 ||
	    proto_get_u32(&m, PROTO_F_STREAM, &which, NULL) < 0 || which > 2)
		return;
	if (r->s->terminal && which == 1 && r->pumps[0].from < 0 && r->pumps[1].to < 0) {
		int again = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);

		if (again < 0)
			return;
		r->pumps[0].from = again;
		r->pumps[1].to = steal_fd(c->fd);
	} else if (!r->s->terminal && which == 0 && r->pumps[0].from < 0) {
		r->pumps[0].from = steal_fd(c->fd);
	} else if (!r->s->terminal && which && r->pumps[which].to < 0) {
		r->pumps[which].to = steal_fd(c->fd);
	} else {
		return;
	}
	r->waiting--;
}

static void read_newcomer(struct relay *r, struct newcomer *c)
{
	ssize_t n = read(c->fd, c->buf + c->len, sizeof(c->buf) - c->len);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0) {
		c->len += (size_t)n;
		if (c->len < sizeof(c->buf))
			return;
		take_stream(r, c);
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* The pump is over: whoever still holds the other end is told. */
static void finish(struct relay *r, struct pump *p)
{
	if (p->over)
		return;
	p->over = true;
	p->len = 0;
	if (!p->is_in && p->to >= 0)
		shutdown(p->to, SHUT_WR);
	if (r->s->terminal && !p->is_in)
		return; /* the master stays for the window size until the end */
	if (r->s->terminal && r->ended)
		return;
	/* Pipe ends: end of file for the reader, SIGPIPE for the writer. A terminal hangs up. */
	if (p->is_in) {
		close(p->to);
		p->to = -1;
		if (r->s->terminal) {
			r->s->ours[1] = -1;
			r->pumps[1].from = -1;
		} else {
			r->s->ours[0] = -1;
		}
	} else {
		for (int i = 0; i < 3; i++)
			if (r->s->ours[i] == p->from)
				r->s->ours[i] = -1;
		close(p->from);
		p->from = -1;
	}
}

static void pump_run(struct relay *r, struct pump *p)
{
	ssize_t n;

	if (p->over)
		return;
	if (!p->len) {
		n = read(p->from, p->buf, sizeof(p->buf));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (n <= 0) { /* EIO: the terminal's last user is gone */
			finish(r, p);
			return;
		}
		p->off = 0;
		p->len = (size_t)n;
	}
	n = p->is_in ? write(p->to, p->buf + p->off, p->len) : send(p->to, p->buf + p->off, p->len, MSG_NOSIGNAL);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		/* the reader is gone: the host's writer learns it by its connection */
		if (p->is_in && p->from >= 0)
			shutdown(p->from, SHUT_RDWR);
		finish(r, p);
		return;
	}
	p->off += (size_t)n;
	p->len -= (size_t)n;
}

static void pump_poll(const struct pump *p, struct pollfd *pfd)
{
	*pfd = (struct pollfd){ .fd = -1 };
	if (p->over || p->from < 0 || p->to < 0)
		return;
	pfd->fd = p->len ? p->to : p->from;
	pfd->events = p->len ? POLLOUT : POLLIN;
}

static void take_message(struct relay *r)
{
	cleanup_proto_msg struct proto_msg m = { 0 };
	struct winsize ws = { 0 };
	uint32_t sig;

	if (proto_recv(r->s->control, MESSAGE_MS, &m, NULL) <= 0) {
		r->host_gone = true;
		if (!r->ended)
			(void)fd_pidfd_kill(r->pidfd, SIGKILL);
		return;
	}
	if (m.type == PROTO_RESIZE && r->s->terminal && r->s->ours[1] >= 0) {
		ws.ws_row = (unsigned short)proto_u32_or(&m, PROTO_F_ROWS, 0);
		ws.ws_col = (unsigned short)proto_u32_or(&m, PROTO_F_COLS, 0);
		if (ws.ws_row && ws.ws_col)
			(void)ioctl(r->s->ours[1], TIOCSWINSZ, &ws);
	} else if (m.type == PROTO_SIGNAL && !r->ended && proto_get_u32(&m, PROTO_F_SIGNAL, &sig, NULL) == 0 &&
		   sig > 0 && sig <= 64) {
		(void)fd_pidfd_kill(r->pidfd, (int)sig);
	}
}

static void take_exit(struct relay *r)
{
	int status;

	if (child_wait(r->pid, &status) < 0)
		r->status = 255;
	else
		r->status = child_exit_code(status);
	r->ended = true;
}

/* After the end: what the pipes hold now goes out, nothing is waited for but the host's reading. */
static bool delivered(struct relay *r)
{
	for (int i = 1; i < 3; i++) {
		struct pump *p = &r->pumps[i];
		struct pollfd pfd;

		if (p->over || (r->s->terminal && i == 2))
			continue;
		if (p->to < 0) {
			if (!r->host_gone && r->waiting > 0)
				return false;
			finish(r, p);
			continue;
		}
		if (p->len)
			return false;
		pfd = (struct pollfd){ .fd = p->from, .events = POLLIN };
		if (poll(&pfd, 1, 0) > 0)
			return false;
		finish(r, p);
	}
	return true;
}

static void relay_loop(struct relay *r)
{
	enum { CONTROL = 3, LISTENER, PROCESS, NEWCOMERS, N = NEWCOMERS + NEWCOMERS_MAX };

	while (!r->ended || (!r->host_gone && !delivered(r))) {
		struct pollfd pfd[N];

		for (int i = 0; i < 3; i++)
			pump_poll(&r->pumps[i], &pfd[i]);
		pfd[CONTROL] = (struct pollfd){ .fd = r->host_gone ? -1 : r->s->control, .events = POLLIN };
		pfd[LISTENER] = (struct pollfd){ .fd = r->waiting > 0 ? r->s->listener : -1, .events = POLLIN };
		pfd[PROCESS] = (struct pollfd){ .fd = r->ended ? -1 : r->pidfd, .events = POLLIN };
		for (int i = 0; i < NEWCOMERS_MAX; i++)
			pfd[NEWCOMERS + i] = (struct pollfd){ .fd = r->newcomers[i].fd, .events = POLLIN };
		/* also when it ended: what it wrote waits for its reader as long as in a pipe */
		if (poll(pfd, N, -1) < 0 && errno != EINTR)
			break;
		for (int i = 0; i < 3; i++)
			if (pfd[i].revents)
				pump_run(r, &r->pumps[i]);
		if (pfd[CONTROL].revents)
			take_message(r);
		for (int i = 0; i < NEWCOMERS_MAX; i++)
			if (pfd[NEWCOMERS + i].revents)
				read_newcomer(r, &r->newcomers[i]);
		if (pfd[LISTENER].revents)
			take_newcomer(r);
		if (pfd[PROCESS].revents)
			take_exit(r);
	}
}

int guest_session_run(struct guest_session *s, pid_t pid, int pidfd, bool (*ended)(void *arg), void *arg)
{
	struct relay *r = xcalloc(1, sizeof(*r));
	struct proto_writer w = { 0 };
	bool oom = false;
	int status;

	(void)signal(SIGPIPE, SIG_IGN);
	r->s = s;
	r->pid = pid;
	r->pidfd = pidfd;
	r->waiting = s->terminal ? 1 : 3;
	for (int i = 0; i < NEWCOMERS_MAX; i++)
		r->newcomers[i].fd = -1;
	for (int i = 0; i < 3; i++)
		r->pumps[i] = (struct pump){ .from = -1, .to = -1, .is_in = i == 0 };
	if (s->terminal) {
		(void)fd_set_nonblock(s->ours[1], true);
		r->pumps[0].to = s->ours[1];
		r->pumps[1].from = s->ours[1];
		r->pumps[2].over = true;
	} else {
		r->pumps[0].to = s->ours[0];
		r->pumps[1].from = s->ours[1];
		r->pumps[2].from = s->ours[2];
	}
	relay_loop(r);
	if (ended)
		oom = ended(arg) && r->status == EXIT_KILLED;
	for (int i = 1; i < 3; i++)
		if (r->pumps[i].to >= 0)
			shutdown(r->pumps[i].to, SHUT_RDWR);
	sync();
	status = r->status;
	proto_begin(&w, PROTO_EXIT);
	proto_add_u32(&w, PROTO_F_STATUS, (uint32_t)status);
	if (oom)
		proto_add_u32(&w, PROTO_F_OOM, 1);
	if (proto_send(s->control, &w) == 0 && !r->host_gone) {
		/* The host closes when it has read it: nothing may be lost by our going first. */
		struct pollfd pfd = { .fd = s->control, .events = POLLIN };

		(void)poll(&pfd, 1, CLOSE_MS);
	}
	free(r);
	return status;
}
