/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device from both sides: a driver in plain memory and clients on the unix socket. */
#include "tests/unit/ring_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include <linux/virtio_vsock.h>

#include "base/fd.h"
#include "vm/virtio_vsock.h"
#include "vm/vsock_stream.h"

#define CID 3
enum { RX, TX };

static struct ring_kit k;
static char sock[64];
static int peer = -1; /* our end of what the guest last connected to */
static uint32_t asked_port;

static int guest_connect(void *arg, uint32_t port)
{
	int fds[2];

	asked_port = port;
	if (port != 1023)
		return -ECONNREFUSED;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	peer = fds[0];
	return fds[1];
}

static void control(void *arg, const char *line, char *reply, size_t reply_len)
{
	snprintf(reply, reply_len, "OK you said %s\n", line);
}

static void start(void)
{
	struct virtio_vsock_params p = {
		.guest_cid = CID,
		.guest_connect = guest_connect,
		.control = control,
	};
	struct virtio_device *dev;
	struct err err = { 0 };

	snprintf(sock, sizeof(sock), "/tmp/amphi-vsock-%d", (int)getpid());
	unlink(sock);
	p.listen_fd = fd_unix_listen(sock, 64, SOCK_STREAM);
	must(p.listen_fd >= 0);
	dev = virtio_vsock_new(&p, &err);
	must(dev);
	ring_start(&k, dev, 3);
	while (ring_add(&k, RX, NULL, 0, RING_BUF))
		;
}

/* The guest sends a packet; waits while the queue is full. */
/* Gives the device a packet, waiting for room in the queue. */
static void put_tx(const void *data, uint32_t len)
{
	uint32_t used;

	while (ring_used(&k, TX, &used))
		;
	while (!ring_add(&k, TX, data, len, 0)) {
		must(ring_wait(&k));
		while (ring_used(&k, TX, &used))
			;
	}
}

static void send_packet(uint32_t src, uint32_t dst, unsigned int op, uint32_t flags, const void *data, uint32_t len,
			uint32_t fwd)
{
	uint8_t buf[RING_BUF];
	struct virtio_vsock_hdr h = {
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = src,
		.dst_port = dst,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.flags = flags,
		.len = len,
		.buf_alloc = 100000,
		.fwd_cnt = fwd,
	};

	memcpy(buf, &h, sizeof(h));
	if (len)
		memcpy(buf + sizeof(h), data, len);
	put_tx(buf, (uint32_t)sizeof(h) + len);
}

/* The next packet for the guest in *h, its data in data. */
static void get_packet(struct virtio_vsock_hdr *h, uint8_t *data)
{
	uint8_t *p;
	uint32_t len;

	while (!(p = ring_used(&k, RX, &len)))
		must(ring_wait(&k));
	memcpy(h, p, sizeof(*h));
	if (data)
		memcpy(data, p + sizeof(*h), h->len);
	must(len == sizeof(*h) + h->len);
	ring_add(&k, RX, NULL, 0, RING_BUF);
}

static void put_line(int fd, const char *line)
{
	must(fd_write_all(fd, line, strlen(line)) == 0);
}

static const char *get_line(int fd)
{
	static char line[256];
	size_t n = 0;

	while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	return line;
}

/* A client connected to guest port 1024; the ports in *h as the guest sees them. */
static int connected(struct virtio_vsock_hdr *h)
{
	int fd = fd_unix_connect(sock);

	must(fd >= 0);
	put_line(fd, "CONNECT 1024\n");
	do /* what an ended stream still had to say may come first */
		get_packet(h, NULL);
	while (h->op != VIRTIO_VSOCK_OP_REQUEST);
	must(h->dst_port == 1024 && h->dst_cid == CID && h->src_cid == 2);
	send_packet(1024, h->src_port, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0, 0);
	must(strcmp(get_line(fd), "OK") == 0);
	return fd;
}

static void test_host_to_guest(void)
{
	struct virtio_vsock_hdr h, r;
	uint8_t data[RING_BUF], buf[64];
	int fd = connected(&h);

	put_line(fd, "hello guest");
	get_packet(&r, data);
	ok(r.op == VIRTIO_VSOCK_OP_RW && r.len == 11 && memcmp(data, "hello guest", 11) == 0);
	is_int(r.src_port, h.src_port);
	is_int(r.buf_alloc, VIRTIO_VSOCK_BUF);
	send_packet(1024, h.src_port, VIRTIO_VSOCK_OP_RW, 0, "hello host", 10, 11);
	is_int(fd_read_all(fd, buf, 10), 10);
	ok(memcmp(buf, "hello host", 10) == 0);
	/* The client has sent everything but still listens. */
	shutdown(fd, SHUT_WR);
	get_packet(&r, NULL);
	ok(r.op == VIRTIO_VSOCK_OP_SHUTDOWN && r.flags == VIRTIO_VSOCK_SHUTDOWN_SEND);
	send_packet(1024, h.src_port, VIRTIO_VSOCK_OP_RW, 0, "last", 4, 11);
	send_packet(1024, h.src_port, VIRTIO_VSOCK_OP_SHUTDOWN, 3, NULL, 0, 11);
	is_int(fd_read_all(fd, buf, sizeof(buf)), 4);
	ok(memcmp(buf, "last", 4) == 0);
	do /* "the host reads no more" may come before it */
		get_packet(&r, NULL);
	while (r.op == VIRTIO_VSOCK_OP_SHUTDOWN);
	is_int(r.op, VIRTIO_VSOCK_OP_RST);
	close(fd);
}

static void test_refused(void)
{
	struct virtio_vsock_hdr h;
	char data[VIRTIO_VSOCK_LINE_MAX];
	int fd = fd_unix_connect(sock);

	put_line(fd, "CONNECT 99\n");
	get_packet(&h, NULL);
	send_packet(99, h.src_port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0, 0);
	has_str(get_line(fd), "ERR connection refused");
	is_int(read(fd, &h, 1), 0);
	close(fd);
	/* Lines that are none, before a good one. */
	fd = fd_unix_connect(sock);
	put_line(fd, "PING\n");
	is_str(get_line(fd), "OK you said PING");
	put_line(fd, "CONNECT 70000000000\nCONNECT x\n");
	has_str(get_line(fd), "ERR");
	has_str(get_line(fd), "ERR");
	memset(data, 'x', sizeof(data));
	must(fd_write_all(fd, data, sizeof(data)) == 0);
	is_str(get_line(fd), ""); /* too long: closed */
	close(fd);
	{
		struct err err = { 0 };
		int fds[2];

		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
		put_line(fds[1], "ERR no\n");
		is_int(virtio_vsock_client(fds[0], 1, &err), -ECONNREFUSED);
		put_line(fds[1], "OK\nbehind");
		is_int(virtio_vsock_client(fds[0], 1, &err), 0);
		is_int(read(fds[0], data, 6), 6); /* left for the stream */
		shutdown(fds[1], SHUT_WR);
		is_int(virtio_vsock_client(fds[0], 1, &err), -EPIPE);
		close(fds[0]);
		close(fds[1]);
	}
}

static void test_guest_to_host(void)
{
	struct virtio_vsock_hdr r;
	uint8_t data[RING_BUF];
	char buf[16];

	send_packet(5000, 1023, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0, 0);
	get_packet(&r, NULL);
	ok(r.op == VIRTIO_VSOCK_OP_RESPONSE && r.src_port == 1023 && r.dst_port == 5000);
	send_packet(5000, 1023, VIRTIO_VSOCK_OP_RW, 0, "\1\2\3\4", 4, 0);
	is_int(fd_read_all(peer, buf, 4), 4);
	put_line(peer, "x");
	get_packet(&r, data);
	ok(r.op == VIRTIO_VSOCK_OP_RW && data[0] == 'x');
	/* The same ports again, data for nobody, a refused port, other types and CIDs. */
	send_packet(5000, 1023, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0, 0);
	get_packet(&r, NULL);
	is_int(r.op, VIRTIO_VSOCK_OP_RST);
	is_int(read(peer, buf, 1), 0);
	close(peer);
	send_packet(5000, 1023, VIRTIO_VSOCK_OP_RW, 0, "late", 4, 0);
	get_packet(&r, NULL);
	ok(r.op == VIRTIO_VSOCK_OP_RST && r.dst_port == 5000);
	send_packet(5001, 22, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0, 0);
	get_packet(&r, NULL);
	ok(r.op == VIRTIO_VSOCK_OP_RST && r.dst_port == 5001);
	is_int(asked_port, 22);
}

/* The host reads nothing: the guest may send what it has credit for, and not a byte more. */
static void test_credit_of_host(void)
{
	static uint8_t block[4000], got[VIRTIO_VSOCK_BUF];
	struct virtio_vsock_hdr h, r;
	uint32_t sent = 0, limit = VIRTIO_VSOCK_BUF, fwd = 0;
	int fd = connected(&h);

	for (size_t n = 0; n < sizeof(block); n++)
		block[n] = (uint8_t)n;
	/* Up to the credit, counting what the socket itself took. */
	for (;;) {
		uint32_t len = sizeof(block);

		while (limit - (sent - fwd) < len) {
			get_packet(&r, NULL);
			must(r.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			if (r.fwd_cnt == fwd)
				break;
			fwd = r.fwd_cnt;
		}
		send_packet(1024, h.src_port, VIRTIO_VSOCK_OP_RW, 0, block, len, 0);
		sent += len;
		/* Ask how far it got; the answer says when the buffer is what is left. */
		send_packet(1024, h.src_port, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0, 0);
		do
			get_packet(&r, NULL);
		while (r.op != VIRTIO_VSOCK_OP_CREDIT_UPDATE);
		fwd = r.fwd_cnt;
		if (limit - (sent - fwd) < len)
			break;
	}
	ok(sent - fwd <= VIRTIO_VSOCK_BUF);
	/* Everything arrives, in order. */
	{
		uint32_t left = sent, bad = 0, at = 0;

		while (left) {
			ssize_t n = read(fd, got, left < sizeof(got) ? left : sizeof(got));

			must(n > 0);
			for (ssize_t i = 0; i < n; i++, at++)
				bad += got[i] != (uint8_t)(at % sizeof(block));
			left -= (uint32_t)n;
		}
		is_int(bad, 0);
	}
	/* More than there is credit for: the stream is reset. */
	for (int n = 0; n < 400; n++)
		send_packet(1024, h.src_port, VIRTIO_VSOCK_OP_RW, 0, block, sizeof(block), 0);
	do
		get_packet(&r, NULL);
	while (r.op != VIRTIO_VSOCK_OP_RST);
	is_int(r.dst_port, 1024);
	close(fd);
	/* Resets for the rest of them: wait until the device has nothing more to say. */
	send_packet(6000, 1023, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0, 0);
	do
		get_packet(&r, NULL);
	while (r.op != VIRTIO_VSOCK_OP_RESPONSE);
	send_packet(6000, 1023, VIRTIO_VSOCK_OP_RST, 0, NULL, 0, 0);
	is_int(read(peer, got, 1), 0);
	close(peer);
}

/* The guest reads nothing: it gets buf_alloc bytes, is asked once for credit, and goes on when it gives some. */
static void test_credit_of_guest(void)
{
	static uint8_t block[200000], data[RING_BUF];
	struct virtio_vsock_hdr h, r;
	uint32_t got = 0, asked = 0;
	int fd = connected(&h);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	must(write(fd, block, sizeof(block)) > 100000);
	while (got < 100000) {
		get_packet(&r, data);
		if (r.op == VIRTIO_VSOCK_OP_RW)
			got += r.len;
		asked += r.op == VIRTIO_VSOCK_OP_CREDIT_REQUEST;
	}
	is_int(got, 100000);
	if (!asked) {
		get_packet(&r, NULL);
		is_int(r.op, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	}
	send_packet(1024, h.src_port, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0, 5000);
	get_packet(&r, data);
	is_int(r.op, VIRTIO_VSOCK_OP_RW);
	/* Nonsense counts give no more than nothing or the buffer. */
	send_packet(1024, h.src_port, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0, 0xfffffff0);
	send_packet(1024, h.src_port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0, 0);
	fcntl(fd, F_SETFL, 0);
	while (read(fd, data, sizeof(data)) > 0)
		;
	close(fd);
}

static void test_many(void)
{
	enum { N = 200 };
	struct virtio_vsock_hdr h[N], r;
	static int fds[N];
	uint8_t data[RING_BUF];
	int good = 0;

	for (int n = 0; n < N; n++)
		fds[n] = connected(&h[n]);
	for (int n = 0; n < N; n++)
		put_line(fds[n], "ping");
	for (int n = 0; n < N; n++) {
		get_packet(&r, data);
		send_packet(1024, r.src_port, VIRTIO_VSOCK_OP_RW, 0, "pong", 4, 4);
		good += r.op == VIRTIO_VSOCK_OP_RW && r.len == 4;
	}
	is_int(good, N);
	for (int n = 0; n < N; n++)
		good -= fd_read_all(fds[n], data, 4) == 4 && memcmp(data, "pong", 4) == 0;
	is_int(good, 0);
	for (int n = 0; n < N; n++)
		close(fds[n]);
	for (int n = 0; n < N; n++) {
		get_packet(&r, NULL);
		good += r.op == VIRTIO_VSOCK_OP_SHUTDOWN;
		if (r.flags == 3)
			send_packet(1024, r.src_port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0, 4);
		else
			n--, good--;
	}
	is_int(good, N);
}

static void test_malformed(void)
{
	uint8_t short_packet[20] = { 0 };

	put_tx(short_packet, sizeof(short_packet));
	while (!__atomic_load_n(&k.failures, __ATOMIC_SEQ_CST))
		must(ring_wait(&k));
	is_int(k.failures, 1);
}

static void test_stream(void)
{
	struct vsock_stream *s;
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	s = vsock_stream_new(fds[0], VSOCK_STREAM_OPEN);
	s->peer_alloc = 1000;
	is_int(vsock_stream_credit(s), 1000);
	s->sent = 400;
	is_int(vsock_stream_credit(s), 600);
	s->peer_fwd = 400;
	is_int(vsock_stream_credit(s), 1000);
	s->peer_fwd = 401; /* more than we sent */
	is_int(vsock_stream_credit(s), 0);
	s->sent = 10;
	s->peer_fwd = 0xfffffff0; /* around the corner */
	is_int(vsock_stream_credit(s), 1000 - 26);
	close(fds[1]);
	/* Nobody reads: bytes vanish, the guest is told. */
	{
		char byte = 0;
		struct iovec iov = { &byte, 1 };

		is_int(vsock_stream_write(s, &iov, 1, 1), 0);
		is_int(s->shut_want, VIRTIO_VSOCK_SHUTDOWN_RCV);
		is_int(s->fwd, 1);
	}
	vsock_stream_free(s);
}

int main(void)
{
	struct virtio_vsock_params p = { .listen_fd = -1, .guest_cid = 2 };
	struct err err = { 0 };

	signal(SIGPIPE, SIG_IGN);
	ok(!virtio_vsock_new(&p, &err));
	has_str(err.msg, "CID");
	test_stream();
	start();
	test_host_to_guest();
	test_refused();
	test_guest_to_host();
	test_credit_of_host();
	test_credit_of_guest();
	test_many();
	test_malformed();
	ring_stop(&k);
	unlink(sock);
	return tap_done();
}
