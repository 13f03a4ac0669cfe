/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of the agent in the machine.
 *
 * Every verb is one connection: dial the monitor's unix socket, "CONNECT 1024\n", one request, one answer. CREATE
 * and EXEC keep their connection as the session's control channel and dial the port that the guest names once per
 * stream. While the machine boots the monitor refuses connections or the guest resets them; agent_wait_ready()
 * is the only place that tries again. Runs in amphi (create, start, exec …), without threads.
 */
#include "vm/agent.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/proto.h"

#define TOKEN_SIZE 16u
#define EVENT_TIMEOUT_MS 2000

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Reads the monitor's answer line, byte by byte so that nothing of the stream is swallowed. */
static int read_line(int fd, char *buf, size_t size, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	size_t n = 0;

	while (n + 1 < size) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		ssize_t got;
		int r = poll(&pfd, 1, left < 0 ? 0 : (int)left);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r ? -errno : -ETIMEDOUT;
		got = read(fd, buf + n, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -ECONNRESET;
		if (buf[n] == '\n') {
			buf[n] = '\0';
			return 0;
		}
		n++;
	}
	return -EPROTO;
}

int agent_dial(const char *sock, unsigned int port, int timeout_ms, struct err *err)
{
	cleanup_fd int fd = fd_unix_connect(sock);
	char line[64];
	int r, n;

	if (fd < 0)
		return err_set(err, -ENOTCONN, "container not running: its machine does not answer");
	n = snprintf(line, sizeof(line), "CONNECT %u\n", port);
	if (send(fd, line, (size_t)n, MSG_NOSIGNAL) != n)
		return err_set(err, -ENOTCONN, "container not running: its machine does not answer");
	r = read_line(fd, line, sizeof(line), timeout_ms);
	if (r < 0)
		return r == -ETIMEDOUT ? err_set(err, r, "the machine does not answer in time") :
					 err_set(err, -ENOTCONN, "the machine's agent does not answer");
	if (strcmp(line, "OK") != 0 && !str_starts(line, "OK "))
		return err_set(err, -ENOTCONN, "the machine's agent does not answer: %s", line);
	return steal_fd(fd);
}

/* Sends the request and receives the answer; PROTO_ERROR becomes *err. */
static int transact(int fd, struct proto_writer *w, int timeout_ms, struct proto_msg *ret, struct err *err)
{
	int r = proto_send(fd, w);

	if (r == -EMSGSIZE)
		return err_set(err, r, "agent: the request is too long");
	if (r < 0)
		return err_set(err, -ENOTCONN, "the connection to the machine's agent broke");
	r = proto_recv(fd, timeout_ms, ret, err);
	if (r == 0)
		return err_set(err, -ENOTCONN, "the machine's agent closed the connection");
	if (r < 0)
		return r == -ETIMEDOUT ? err_set(err, r, "the machine's agent does not answer in time") : r;
	if (ret->type == PROTO_ERROR) {
		r = proto_get_err(ret, err);
		proto_msg_free(ret);
		return r;
	}
	return 0;
}

static int unexpected(const struct proto_msg *m, struct err *err)
{
	return err_set(err, -EPROTO, "agent: unexpected answer '%s'", proto_type_name(m->type));
}

/* Dials, asks and takes the answer of the wanted type: the connection, or -errno. *ret is the caller's to free either way. */
static int ask(const char *sock, struct proto_writer *w, enum proto_type want, struct proto_msg *ret, struct err *err)
{
	cleanup_fd int fd = agent_dial(sock, PROTO_PORT, AGENT_TIMEOUT_MS, err);
	int r;

	if (fd < 0) {
		proto_writer_free(w);
		return fd;
	}
	r = transact(fd, w, AGENT_TIMEOUT_MS, ret, err);
	if (r < 0)
		return r;
	return ret->type == want ? steal_fd(fd) : unexpected(ret, err);
}

/* One verb on a connection of its own; the answer's TEXT in *ret_text when given. */
static int simple(const char *sock, struct proto_writer *w, enum proto_type want, char **ret_text, struct err *err)
{
	cleanup_proto_msg struct proto_msg m = { 0 };
	cleanup_fd int fd = ask(sock, w, want, &m, err);

	if (fd < 0)
		return fd;
	return ret_text ? proto_get_string(&m, PROTO_F_TEXT, ret_text, err) : 0;
}

int agent_wait_ready(const char *sock, int stop_fd, int timeout_ms, char **ret_release, struct err *err)
{
	int64_t deadline = now_ms() + timeout_ms;
	int pause_ms = 1;

	for (unsigned int try = 1;; try++) {
		struct pollfd pfd = { .fd = stop_fd, .events = POLLIN };
		cleanup_proto_msg struct proto_msg m = { 0 };
		int64_t left = deadline - now_ms();
		cleanup_fd int fd = -1;

		if (left <= 0)
			return err_set(err, -ETIMEDOUT, "the machine's agent did not come up within %d s",
				       timeout_ms / 1000);
		fd = agent_dial(sock, PROTO_PORT, (int)left, NULL);
		if (fd >= 0) {
			struct proto_writer w = { 0 };

			proto_begin(&w, PROTO_HELLO);
			/* A connection made before the agent listens may be reset at any point: try again. */
			if (transact(fd, &w, left < 5000 ? (int)left : 5000, &m, err) == 0 && m.type == PROTO_DATA) {
				log_debug("agent: answers at try %u", try);
				return ret_release ? proto_get_string(&m, PROTO_F_TEXT, ret_release, err) : 0;
			}
			if (err && err->code == -EPROTO)
				return err->code;
		}
		if (poll(&pfd, stop_fd >= 0, pause_ms) > 0)
			return err_set(err, -ENOTCONN, "the machine ended while starting");
		if (pause_ms < 16)
			pause_ms *= 2;
	}
}

int agent_machine(const char *sock, const struct agent_machine *m, struct err *err)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_MACHINE);
	proto_add_string(&w, PROTO_F_NETWORK, m->network);
	proto_add_string(&w, PROTO_F_HOSTNAME, m->hostname);
	if (m->set_clock) {
		struct timespec ts;

		clock_gettime(CLOCK_REALTIME, &ts);
		proto_add_u64(&w, PROTO_F_CLOCK, (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec);
	}
	if (m->set_entropy) {
		uint8_t bytes[64];

		if (getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes))
			proto_add(&w, PROTO_F_ENTROPY, bytes, sizeof(bytes));
		explicit_bzero(bytes, sizeof(bytes));
	}
	if (m->vcpus)
		proto_add_u32(&w, PROTO_F_VCPUS, m->vcpus);
	return simple(sock, &w, PROTO_OK, NULL, err);
}

static int open_stream(const char *sock, unsigned int port, const struct proto_field *token, unsigned int which,
		       struct err *err)
{
	cleanup_fd int fd = agent_dial(sock, port, AGENT_TIMEOUT_MS, err);
	struct proto_writer w = { 0 };

	if (fd < 0)
		return fd;
	proto_begin(&w, PROTO_STREAM);
	proto_add_u32(&w, PROTO_F_STREAM, which);
	proto_add(&w, PROTO_F_TOKEN, token->data, token->len);
	if (proto_send(fd, &w) < 0)
		return err_set(err, -ENOTCONN, "the connection to the machine's agent broke");
	return steal_fd(fd);
}

void agent_session_close(struct agent_session *s)
{
	int *fds[] = { &s->control, &s->in, &s->out, &s->errout };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* CREATE and EXEC from the written request on: answer, then one connection a stream. */
static int open_session(const char *sock, struct proto_writer *w, bool terminal, struct agent_session *ret,
			struct err *err)
{
	struct agent_session s = AGENT_SESSION_NONE;
	cleanup_proto_msg struct proto_msg m = { 0 };
	const struct proto_field *token;
	uint32_t port, pid;
	int r;

	s.terminal = terminal;
	proto_add_u32(w, PROTO_F_STREAMS, terminal ? 2 : 7);
	s.control = agent_dial(sock, PROTO_PORT, AGENT_TIMEOUT_MS, err);
	if (s.control < 0) {
		proto_writer_free(w);
		return s.control;
	}
	r = transact(s.control, w, AGENT_BOOT_TIMEOUT_MS, &m, err);
	if (r < 0)
		goto fail;
	token = proto_get(&m, PROTO_F_TOKEN);
	if (m.type != PROTO_SESSION || !token || token->len != TOKEN_SIZE) {
		r = unexpected(&m, err);
		goto fail;
	}
	r = proto_get_u32(&m, PROTO_F_PORT, &port, err);
	if (r < 0)
		goto fail;
	r = proto_get_u32(&m, PROTO_F_PID, &pid, err);
	if (r < 0)
		goto fail;
	s.guest_pid = (pid_t)pid;
	for (unsigned int i = terminal ? 1 : 0; i < (terminal ? 2 : 3); i++) {
		r = open_stream(sock, port, token, i, err);
		if (r < 0)
			goto fail;
		*(i == 0 ? &s.in : i == 1 ? &s.out : &s.errout) = r;
	}
	*ret = s;
	return 0;
fail:
	agent_session_close(&s);
	return r;
}

int agent_create(const char *sock, const char *id, const char *config, size_t config_len, const char *options,
		 bool terminal, struct agent_session *ret, struct err *err)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_CREATE);
	proto_add_string(&w, PROTO_F_ID, id);
	proto_add(&w, PROTO_F_CONFIG, config, config_len);
	proto_add_string(&w, PROTO_F_OPTIONS, options);
	return open_session(sock, &w, terminal, ret, err);
}

int agent_exec(const char *sock, const char *id, const char *process, size_t process_len, const char *options,
	       bool terminal, struct agent_session *ret, struct err *err)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_EXEC);
	proto_add_string(&w, PROTO_F_ID, id);
	proto_add(&w, PROTO_F_PROCESS, process, process_len);
	proto_add_string(&w, PROTO_F_OPTIONS, options);
	return open_session(sock, &w, terminal, ret, err);
}

int agent_session_resize(const struct agent_session *s, unsigned int rows, unsigned int cols)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_RESIZE);
	proto_add_u32(&w, PROTO_F_ROWS, rows);
	proto_add_u32(&w, PROTO_F_COLS, cols);
	return proto_send(s->control, &w);
}

int agent_session_signal(const struct agent_session *s, int sig)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_SIGNAL);
	proto_add_u32(&w, PROTO_F_SIGNAL, (uint32_t)sig);
	return proto_send(s->control, &w);
}

/* A verb with nothing but the id. */
static int verb(const char *sock, enum proto_type type, const char *id, enum proto_type want, char **ret_text,
		struct err *err)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, type);
	proto_add_string(&w, PROTO_F_ID, id);
	return simple(sock, &w, want, ret_text, err);
}

int agent_start(const char *sock, const char *id, const char *state_json, unsigned int rows, unsigned int cols,
		struct err *err)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_START);
	proto_add_string(&w, PROTO_F_ID, id);
	proto_add_string(&w, PROTO_F_TEXT, state_json);
	proto_add_u32(&w, PROTO_F_ROWS, rows);
	proto_add_u32(&w, PROTO_F_COLS, cols);
	return simple(sock, &w, PROTO_OK, NULL, err);
}

int agent_kill(const char *sock, const char *id, int sig, bool all, struct err *err)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_KILL);
	proto_add_string(&w, PROTO_F_ID, id);
	proto_add_u32(&w, PROTO_F_SIGNAL, (uint32_t)sig);
	proto_add_u32(&w, PROTO_F_ALL, all);
	return simple(sock, &w, PROTO_OK, NULL, err);
}

int agent_ps(const char *sock, const char *id, char **ret_json, struct err *err)
{
	return verb(sock, PROTO_PS, id, PROTO_DATA, ret_json, err);
}

int agent_pause(const char *sock, const char *id, struct err *err)
{
	return verb(sock, PROTO_PAUSE, id, PROTO_OK, NULL, err);
}

int agent_resume(const char *sock, const char *id, struct err *err)
{
	return verb(sock, PROTO_RESUME, id, PROTO_OK, NULL, err);
}

int agent_update(const char *sock, const char *id, const char *resources, struct err *err)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_UPDATE);
	proto_add_string(&w, PROTO_F_ID, id);
	proto_add_string(&w, PROTO_F_CONFIG, resources);
	return simple(sock, &w, PROTO_OK, NULL, err);
}

int agent_delete(const char *sock, const char *id, struct err *err)
{
	return verb(sock, PROTO_DELETE, id, PROTO_OK, NULL, err);
}

int agent_stats(const char *sock, const char *id, char **ret_json, unsigned int *ret_vcpus, struct err *err)
{
	cleanup_proto_msg struct proto_msg m = { 0 };
	struct proto_writer w = { 0 };
	cleanup_fd int fd = -1;

	proto_begin(&w, PROTO_STATS);
	proto_add_string(&w, PROTO_F_ID, id);
	fd = ask(sock, &w, PROTO_DATA, &m, err);
	if (fd < 0)
		return fd;
	*ret_vcpus = proto_u32_or(&m, PROTO_F_VCPUS, 0);
	return proto_get_string(&m, PROTO_F_TEXT, ret_json, err);
}

int agent_events(const char *sock, const char *id, int *ret_fd, struct err *err)
{
	cleanup_proto_msg struct proto_msg m = { 0 };
	struct proto_writer w = { 0 };
	int fd;

	proto_begin(&w, PROTO_EVENTS);
	proto_add_string(&w, PROTO_F_ID, id);
	fd = ask(sock, &w, PROTO_OK, &m, err);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int agent_events_read(int fd)
{
	cleanup_proto_msg struct proto_msg m = { 0 };

	/* The message is one small packet: half of it is no agent's, and the reader has other things to do. */
	return proto_recv(fd, EVENT_TIMEOUT_MS, &m, NULL) > 0 && m.type == PROTO_DATA;
}

int agent_control(const char *sock, const char *line, char **ret_reply, struct err *err)
{
	cleanup_fd int fd = fd_unix_connect(sock);
	cleanup_free char *text = NULL;
	char reply[512];
	size_t len;

	if (fd < 0)
		return err_set(err, -ENOTCONN, "container not running: its machine does not answer");
	text = xasprintf("%s\n", line);
	len = strlen(text);
	if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len ||
	    read_line(fd, reply, sizeof(reply), AGENT_TIMEOUT_MS) < 0)
		return err_set(err, -ENOTCONN, "the machine's monitor does not answer");
	if (strcmp(reply, "OK") != 0 && !str_starts(reply, "OK "))
		return err_set(err, -EIO, "the machine's monitor: %s", str_starts(reply, "ERR ") ? reply + 4 : reply);
	if (ret_reply)
		*ret_reply = xstrdup(reply[2] ? reply + 3 : "");
	return 0;
}

int agent_poweroff(const char *sock, struct err *err)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_POWEROFF);
	return simple(sock, &w, PROTO_OK, NULL, err);
}
