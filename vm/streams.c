/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relay between a process's stdio on the host and its streams in the machine.
 *
 * One thread, one poll loop, three pumps (in, out, err; a terminal uses in and out over one stream). A pump holds
 * one buffer: it is read into only when empty and written from until it is empty, so a slow reader slows the
 * writer at the other end by the vsock credit. The host's descriptors are shared with others and stay blocking;
 * writes to pipes are therefore cut to PIPE_BUF and made only after POLLOUT, which cannot block. The loop ends
 * when EXIT has come on the control connection and both output streams are at their end, or when the control
 * connection breaks without EXIT: then the machine was lost.
 */
#include "vm/streams.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/fd.h"
#include "vm/proto.h"

#define PUMP_SIZE 65536u

enum fd_kind { KIND_SOCKET, KIND_PIPE, KIND_FILE };

struct pump {
	int from, to; /* -1: at its end */
	enum fd_kind from_kind, to_kind;
	size_t off, len;
	char buf[PUMP_SIZE];
};

struct relay {
	struct streams *s;
	struct pump in, out, errout;
	struct proto_partial message; /* of the control connection: a guest may send half and stop */
	int signal_fd;
	bool exited;
	int status;
	bool raw;
	struct termios saved;
};

static enum fd_kind kind_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return KIND_FILE;
	return S_ISSOCK(st.st_mode) ? KIND_SOCKET : KIND_PIPE;
}

static void pump_init(struct pump *p, int from, int to)
{
	p->from = from;
	p->to = to;
	p->off = p->len = 0;
	if (from >= 0)
		p->from_kind = kind_of(from);
	if (to >= 0)
		p->to_kind = kind_of(to);
}

/* Fills the empty buffer. Returns false at the end of the source. */
static bool pump_read(struct pump *p)
{
	ssize_t n;

	do {
		n = p->from_kind == KIND_SOCKET ? recv(p->from, p->buf, sizeof(p->buf), MSG_DONTWAIT) :
						  read(p->from, p->buf, sizeof(p->buf));
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	p->off = 0;
	p->len = (size_t)n;
	return true;
}

/* Writes what one write takes. Returns false when the sink is gone. */
static bool pump_write(struct pump *p)
{
	size_t want = p->len;
	ssize_t n;

	if (p->to_kind == KIND_PIPE && want > PIPE_BUF)
		want = PIPE_BUF;
	do {
		n = p->to_kind == KIND_SOCKET ? send(p->to, p->buf + p->off, want, MSG_DONTWAIT | MSG_NOSIGNAL) :
						write(p->to, p->buf + p->off, want);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return true;
	if (n < 0)
		return false;
	p->off += (size_t)n;
	p->len -= (size_t)n;
	return true;
}

/* The next event a pump waits for: index of its pollfd, or -1 when it is over. */
static int pump_poll(const struct pump *p, struct pollfd *pfd)
{
	pfd->fd = -1;
	pfd->events = 0;
	pfd->revents = 0;
	if (p->len) {
		pfd->fd = p->to;
		pfd->events = POLLOUT;
	} else if (p->from >= 0) {
		pfd->fd = p->from;
		pfd->events = POLLIN;
	}
	return pfd->fd;
}

/* Host → machine. The stream is half-closed at the source's end. */
static void pump_in(struct pump *p, short revents)
{
	if (!revents)
		return;
	if (p->len) {
		if (!pump_write(p)) {
			p->from = -1;
			p->len = 0;
		}
	} else if (!pump_read(p)) {
		shutdown(p->to, SHUT_WR);
		p->from = -1;
	}
}

/* Machine → host. A host reader that is gone ends the stream, so that the guest's writer is told. */
static void pump_out(struct pump *p, short revents)
{
	if (!revents)
		return;
	if (p->len) {
		if (!pump_write(p)) {
			shutdown(p->from, SHUT_RDWR);
			p->from = -1;
			p->len = 0;
		}
	} else if (!pump_read(p)) {
		p->from = -1;
	}
}

static void send_size(struct relay *r)
{
	struct winsize ws;

	if (r->s->terminal && ioctl(r->s->in, TIOCGWINSZ, &ws) == 0)
		(void)agent_session_resize(r->s->session, ws.ws_row, ws.ws_col);
}

static void take_signal(struct relay *r)
{
	struct signalfd_siginfo si;

	if (read(r->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGWINCH)
		send_size(r);
	else if (!r->exited)
		(void)agent_session_signal(r->s->session, (int)si.ssi_signo);
}

/* A message of the guest, or a part of one. Returns 0, or negative when the session is over without EXIT. */
static int take_message(struct relay *r, struct err *err)
{
	cleanup_proto_msg struct proto_msg m = { 0 };
	uint32_t status;
	int n = proto_recv_some(r->s->session->control, &r->message, &m, err);

	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return err_set(err, -ECONNRESET, "the machine was lost");
	if (m.type == PROTO_ERROR)
		return proto_get_err(&m, err);
	if (m.type != PROTO_EXIT)
		return err_set(err, -EPROTO, "agent: unexpected message '%s'", proto_type_name(m.type));
	n = proto_get_u32(&m, PROTO_F_STATUS, &status, err);
	if (n < 0)
		return n;
	if (status > 255)
		return err_set(err, -EPROTO, "agent: exit status out of range");
	r->status = (int)status;
	r->s->oom = proto_u32_or(&m, PROTO_F_OOM, 0);
	r->exited = true;
	r->in.from = -1;
	r->in.len = 0;
	return 0;
}

static bool drained(const struct relay *r)
{
	return r->out.from < 0 && !r->out.len && r->errout.from < 0 && !r->errout.len;
}

static int relay_loop(struct relay *r, struct err *err)
{
	struct streams *s = r->s;

	while (!r->exited || !drained(r)) {
		struct pollfd pfd[6];
		int n;

		(void)pump_poll(&r->in, &pfd[0]);
		(void)pump_poll(&r->out, &pfd[1]);
		(void)pump_poll(&r->errout, &pfd[2]);
		pfd[3] = (struct pollfd){ .fd = r->exited ? -1 : s->session->control, .events = POLLIN };
		pfd[4] = (struct pollfd){ .fd = r->signal_fd, .events = POLLIN };
		pfd[5] = (struct pollfd){ .fd = r->exited ? -1 : s->lost_fd, .events = POLLIN };
		n = poll(pfd, ARRAY_SIZE(pfd), -1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, -errno, "poll");
		pump_in(&r->in, pfd[0].revents);
		pump_out(&r->out, pfd[1].revents);
		pump_out(&r->errout, pfd[2].revents);
		if (pfd[4].revents)
			take_signal(r);
		if (pfd[3].revents) {
			n = take_message(r, err);
			if (n < 0)
				return n;
		} else if (pfd[5].revents) {
			return err_set(err, -ECONNRESET, "the machine was lost");
		}
	}
	return r->status;
}

static void make_raw(struct relay *r)
{
	struct termios t;

	if (!r->s->terminal || tcgetattr(r->s->in, &r->saved) < 0)
		return;
	t = r->saved;
	cfmakeraw(&t);
	r->raw = tcsetattr(r->s->in, TCSANOW, &t) == 0;
}

int streams_run(struct streams *s, struct err *err)
{
	static const int forwarded[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT };
	struct relay *r = xcalloc(1, sizeof(*r));
	sigset_t set, old;
	int ret;

	r->s = s;
	r->signal_fd = -1;
	sigemptyset(&set);
	if (s->terminal)
		sigaddset(&set, SIGWINCH);
	for (size_t i = 0; s->signals && i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	if (s->terminal || s->signals)
		r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	pump_init(&r->in, s->in, s->terminal ? s->session->out : s->session->in);
	pump_init(&r->out, s->session->out, s->out);
	pump_init(&r->errout, s->session->errout, s->errout);
	make_raw(r);
	send_size(r);
	ret = relay_loop(r, err);
	if (r->raw)
		(void)tcsetattr(s->in, TCSADRAIN, &r->saved);
	if (r->signal_fd >= 0)
		close(r->signal_fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	proto_partial_free(&r->message);
	free(r);
	return ret;
}
