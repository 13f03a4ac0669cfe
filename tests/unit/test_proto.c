/* SPDX-License-Identifier: Apache-2.0 */
/* vm/proto: round trips over memory and a socket pair, and what must be refused. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "tests/unit/tap.h"
#include "vm/proto.h"

static uint8_t *sample(size_t *len)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_CREATE);
	proto_add_string(&w, PROTO_F_ID, "c1");
	proto_add_u32(&w, PROTO_F_SIGNAL, 0x01020304);
	proto_add_u64(&w, PROTO_F_CLOCK, 0x0102030405060708);
	proto_add(&w, PROTO_F_CONFIG, "{}", 2);
	return proto_take(&w, len);
}

static void round_trip(void)
{
	struct proto_msg m = { 0 };
	struct err err = { 0 };
	size_t len;
	uint8_t *buf = sample(&len);
	char *id = NULL;
	uint32_t u32 = 0;
	uint64_t u64 = 0;

	is_int(proto_parse(buf, len, &m, &err), 0);
	is_int(m.type, PROTO_CREATE);
	is_int(m.count, 4);
	is_int(proto_get_string(&m, PROTO_F_ID, &id, &err), 0);
	is_str(id, "c1");
	is_int(proto_get_u32(&m, PROTO_F_SIGNAL, &u32, &err), 0);
	is_int(u32, 0x01020304);
	is_int(proto_get_u64(&m, PROTO_F_CLOCK, &u64, &err), 0);
	ok(u64 == 0x0102030405060708);
	ok(proto_get(&m, PROTO_F_CONFIG) && proto_get(&m, PROTO_F_CONFIG)->len == 2);
	is_int(proto_get_u32(&m, PROTO_F_ROWS, &u32, &err), -EPROTO);
	is_int(proto_get_u32(&m, PROTO_F_ID, &u32, &err), -EPROTO);
	is_int(proto_u32_or(&m, PROTO_F_ROWS, 7), 7);
	free(id);
	proto_msg_free(&m);
	free(buf);
}

static void refused(void)
{
	struct err err = { 0 };
	size_t len;
	uint8_t *buf = sample(&len);

	for (size_t cut = 0; cut < len; cut++) {
		struct proto_msg m = { 0 };

		if (proto_parse(buf, cut, &m, &err) != -EPROTO)
			ok(!"a truncated message is refused");
		proto_msg_free(&m);
	}
	for (size_t i = 0; i < PROTO_HEADER_SIZE; i++) {
		struct proto_msg m = { 0 };

		buf[i] ^= 0x80;
		if (proto_parse(buf, len, &m, &err) != -EPROTO)
			ok(!"a damaged header is refused");
		buf[i] ^= 0x80;
		proto_msg_free(&m);
	}
	buf[4] = PROTO_VERSION + 1;
	{
		struct proto_msg m = { 0 };

		is_int(proto_parse(buf, len, &m, &err), -EPROTO);
		has_str(err.msg, "protocol version 2");
	}
	free(buf);
}

static void bounds(void)
{
	struct proto_writer w = { 0 };
	size_t len;

	proto_begin(&w, PROTO_CREATE);
	for (unsigned int i = 0; i <= PROTO_FIELD_COUNT_MAX; i++)
		proto_add_u32(&w, PROTO_F_PID, i);
	ok(proto_take(&w, &len) == NULL);
	proto_begin(&w, PROTO_CREATE);
	proto_add(&w, PROTO_F_CONFIG, "", PROTO_MSG_MAX);
	ok(proto_take(&w, &len) == NULL);
}

static void over_socket(void)
{
	struct proto_msg m = { 0 };
	struct err err = { 0 }, got = { 0 };
	int sv[2];

	is_int(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	err_set(&err, -ENOENT, "exec: \"foo\": executable file not found in $PATH");
	is_int(proto_send_err(sv[0], &err), 0);
	is_int(proto_recv(sv[1], 1000, &m, &got), 1);
	is_int(m.type, PROTO_ERROR);
	is_int(proto_get_err(&m, &got), -ENOENT);
	is_str(got.msg, err.msg);
	proto_msg_free(&m);
	is_int(proto_recv(sv[1], 10, &m, &got), -ETIMEDOUT);
	is_int((int)write(sv[0], "AMPI", 4), 4);
	close(sv[0]);
	ok(proto_recv(sv[1], 1000, &m, &got) < 0);
	close(sv[1]);
	is_int(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	close(sv[0]);
	is_int(proto_recv(sv[1], 1000, &m, &got), 0);
	close(sv[1]);
}

/* Byte by byte, without waiting: whole only at the last one, and two in a row do not mix. */
static void in_parts(void)
{
	struct proto_partial p = { 0 };
	struct proto_msg m = { 0 };
	struct err err = { 0 };
	uint8_t *bytes;
	uint32_t v = 0;
	size_t len;
	int sv[2];

	is_int(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	for (unsigned int i = 1; i <= 2; i++) {
		struct proto_writer w = { 0 };
		int early = 0;

		proto_begin(&w, PROTO_EXIT);
		proto_add_u32(&w, PROTO_F_STATUS, 40 + i);
		bytes = proto_take(&w, &len);
		for (size_t n = 0; n + 1 < len; n++)
			early += write(sv[0], bytes + n, 1) != 1 || proto_recv_some(sv[1], &p, &m, &err) != -EAGAIN;
		is_int(early, 0);
		is_int((int)write(sv[0], bytes + len - 1, 1), 1);
		is_int(proto_recv_some(sv[1], &p, &m, &err), 1);
		is_int(proto_get_u32(&m, PROTO_F_STATUS, &v, &err), 0);
		is_int(v, 40 + i);
		proto_msg_free(&m);
		free(bytes);
	}
	is_int(proto_send_type(sv[0], PROTO_OK), 0);
	is_int(proto_recv_some(sv[1], &p, &m, &err), 1);
	is_int(m.type, PROTO_OK);
	proto_msg_free(&m);
	is_int((int)write(sv[0], "no message!!", 12), 12);
	is_int(proto_recv_some(sv[1], &p, &m, &err), -EPROTO);
	proto_partial_free(&p);
	is_int((int)write(sv[0], "AMPI", 4), 4);
	close(sv[0]);
	is_int(proto_recv_some(sv[1], &p, &m, &err), -ECONNRESET);
	proto_partial_free(&p);
	is_int(proto_recv_some(sv[1], &p, &m, &err), 0);
	close(sv[1]);
}

int main(void)
{
	round_trip();
	refused();
	bounds();
	over_socket();
	in_parts();
	return tap_done();
}
