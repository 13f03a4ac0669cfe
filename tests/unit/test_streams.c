/* SPDX-License-Identifier: Apache-2.0 */
/* vm/streams against a guest played by this test: relay, half-close, exit status, a guest that sends half a message, a machine that is lost. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/tap.h"
#include "vm/proto.h"
#include "vm/streams.h"

#define BULK (3u << 20)

struct guest {
	int control, in, out, errout;
	bool lose, halves; /* goes away; sends half a message before anything else */
	size_t got;
};

#define HALF 15u

/* EXIT's bytes from..to; to 0: up to the end */
static void send_exit(int fd, unsigned int status, size_t from, size_t to)
{
	struct proto_writer w = { 0 };
	uint8_t *bytes;
	size_t len;

	proto_begin(&w, PROTO_EXIT);
	proto_add_u32(&w, PROTO_F_STATUS, status);
	bytes = proto_take(&w, &len);
	(void)fd_write_all(fd, bytes + from, (to ? to : len) - from);
	free(bytes);
}

/* Echoes its stdin to stdout until the end, then reports 42; or goes away. */
static void *guest_main(void *arg)
{
	struct guest *g = arg;
	char buf[8192];
	ssize_t n;

	if (g->lose) {
		close(g->control);
		close(g->in);
		close(g->out);
		close(g->errout);
		return NULL;
	}
	if (g->halves)
		send_exit(g->control, 42, 0, HALF);
	while ((n = read(g->in, buf, sizeof(buf))) > 0) {
		g->got += (size_t)n;
		if (fd_write_all(g->out, buf, (size_t)n) < 0)
			break;
	}
	(void)fd_write_all(g->errout, "done\n", 5);
	shutdown(g->out, SHUT_WR);
	shutdown(g->errout, SHUT_WR);
	send_exit(g->control, 42, g->halves ? HALF : 0, 0);
	return NULL;
}

static void pair(int *a, int *b)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		exit(1);
	*a = sv[0];
	*b = sv[1];
}

/* Feeds the host's stdin. */
static void *writer_main(void *arg)
{
	char block[4096];

	memset(block, 'x', sizeof(block));
	for (size_t done = 0; done < BULK; done += sizeof(block))
		(void)fd_write_all(*(int *)arg, block, sizeof(block));
	close(*(int *)arg);
	return NULL;
}

static void *reader_main(void *arg)
{
	static size_t total;
	char block[4096];
	ssize_t n;

	total = 0;
	while ((n = read(*(int *)arg, block, sizeof(block))) > 0)
		total += (size_t)n;
	return &total;
}

static int run(bool lose, bool halves, bool feed, size_t *ret_read, char *errtext, size_t errtext_len, struct guest *g,
	       struct err *err)
{
	struct agent_session s = AGENT_SESSION_NONE;
	struct streams st = { .session = &s, .lost_fd = -1 };
	pthread_t guest, writer, reader;
	int in[2], out[2], errp[2], r;
	void *total;
	ssize_t n;

	*g = (struct guest){ .lose = lose, .halves = halves };
	pair(&s.control, &g->control);
	pair(&s.in, &g->in);
	pair(&s.out, &g->out);
	pair(&s.errout, &g->errout);
	if (pipe(in) < 0 || pipe(out) < 0 || pipe(errp) < 0)
		exit(1);
	st.in = in[0];
	st.out = out[1];
	st.errout = errp[1];
	pthread_create(&guest, NULL, guest_main, g);
	pthread_create(&reader, NULL, reader_main, &out[0]);
	if (feed)
		pthread_create(&writer, NULL, writer_main, &in[1]);
	r = streams_run(&st, err);
	close(out[1]);
	close(errp[1]);
	pthread_join(guest, NULL);
	if (feed)
		pthread_join(writer, NULL);
	else
		close(in[1]);
	pthread_join(reader, &total);
	*ret_read = *(size_t *)total;
	n = read(errp[0], errtext, errtext_len - 1);
	errtext[n > 0 ? n : 0] = '\0';
	agent_session_close(&s);
	close(in[0]);
	close(out[0]);
	close(errp[0]);
	return r;
}

int main(void)
{
	struct err err = { 0 };
	struct guest g;
	char text[64];
	size_t n = 0;

	is_int(run(false, false, true, &n, text, sizeof(text), &g, &err), 42);
	is_int(n, BULK);
	is_int(g.got, BULK);
	is_str(text, "done\n");
	/* The streams go on while the rest of the message is out. */
	is_int(run(false, true, true, &n, text, sizeof(text), &g, &err), 42);
	is_int(n, BULK);
	is_str(text, "done\n");
	is_int(run(true, false, false, &n, text, sizeof(text), &g, &err), -ECONNRESET);
	has_str(err.msg, "machine was lost");
	return tap_done();
}
