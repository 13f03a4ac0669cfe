/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agent messages: encoding, decoding, sending and receiving.
 *
 * Runs in amphi on the host and in amphi-init in the machine; the peer is never trusted. A header is read first
 * and checked (magic, version, type, length within PROTO_MSG_MAX) before its fields are read into a buffer of
 * exactly that length. The fields are then indexed in one pass; what does not tile the buffer exactly is refused.
 */
#include "vm/proto.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"

static const char *const type_names[] = {
	[PROTO_NONE] = "none",         [PROTO_HELLO] = "hello",     [PROTO_MACHINE] = "machine",
	[PROTO_CREATE] = "create",     [PROTO_START] = "start",     [PROTO_EXEC] = "exec",
	[PROTO_KILL] = "kill",         [PROTO_PS] = "ps",           [PROTO_PAUSE] = "pause",
	[PROTO_RESUME] = "resume",     [PROTO_UPDATE] = "update",   [PROTO_DELETE] = "delete",
	[PROTO_POWEROFF] = "poweroff", [PROTO_STREAM] = "stream",   [PROTO_RESIZE] = "resize",
	[PROTO_SIGNAL] = "signal",     [PROTO_OK] = "ok",           [PROTO_ERROR] = "error",
	[PROTO_DATA] = "data",         [PROTO_SESSION] = "session", [PROTO_EXIT] = "exit",
	[PROTO_STATS] = "stats",       [PROTO_EVENTS] = "events",
};
_Static_assert(ARRAY_SIZE(type_names) == PROTO_TYPE_MAX, "every type has a name");

const char *proto_type_name(unsigned int type)
{
	return type < PROTO_TYPE_MAX ? type_names[type] : "unknown";
}

static void put_le(uint8_t *p, uint64_t v, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *p, unsigned int bytes)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

void proto_begin(struct proto_writer *w, enum proto_type type)
{
	uint8_t header[PROTO_HEADER_SIZE];

	proto_writer_free(w);
	put_le(header, PROTO_MAGIC, 4);
	put_le(header + 4, PROTO_VERSION, 2);
	put_le(header + 6, type, 2);
	put_le(header + 8, 0, 4);
	str_addn(&w->out, header, sizeof(header));
}

void proto_add(struct proto_writer *w, enum proto_tag tag, const void *data, size_t len)
{
	uint8_t header[PROTO_FIELD_HEADER_SIZE];
	size_t used = w->out.len - PROTO_HEADER_SIZE;

	if (w->bad || w->count >= PROTO_FIELD_COUNT_MAX || len > PROTO_MSG_MAX ||
	    used + sizeof(header) + len > PROTO_MSG_MAX) {
		w->bad = 1;
		return;
	}
	put_le(header, tag, 4);
	put_le(header + 4, len, 4);
	str_addn(&w->out, header, sizeof(header));
	if (len)
		str_addn(&w->out, data, len);
	w->count++;
}

void proto_add_string(struct proto_writer *w, enum proto_tag tag, const char *s)
{
	if (s)
		proto_add(w, tag, s, strlen(s));
}

void proto_add_u32(struct proto_writer *w, enum proto_tag tag, uint32_t v)
{
	uint8_t b[4];

	put_le(b, v, sizeof(b));
	proto_add(w, tag, b, sizeof(b));
}

void proto_add_u64(struct proto_writer *w, enum proto_tag tag, uint64_t v)
{
	uint8_t b[8];

	put_le(b, v, sizeof(b));
	proto_add(w, tag, b, sizeof(b));
}

void proto_add_err(struct proto_writer *w, const struct err *err)
{
	proto_add_u32(w, PROTO_F_CODE, (uint32_t)(err->code < 0 ? -err->code : EIO));
	proto_add_string(w, PROTO_F_TEXT, err->msg[0] ? err->msg : "unknown error");
}

static bool finish(struct proto_writer *w)
{
	if (w->bad || w->out.len < PROTO_HEADER_SIZE)
		return false;
	put_le((uint8_t *)w->out.s + 8, w->out.len - PROTO_HEADER_SIZE, 4);
	return true;
}

static int send_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd pfd = { .fd = fd, .events = POLLOUT };

			(void)poll(&pfd, 1, -1);
			continue;
		}
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int proto_send(int fd, struct proto_writer *w)
{
	int r = finish(w) ? send_all(fd, w->out.s, w->out.len) : -EMSGSIZE;

	proto_writer_free(w);
	return r;
}

void proto_writer_free(struct proto_writer *w)
{
	str_free(&w->out);
	memset(w, 0, sizeof(*w));
}

uint8_t *proto_take(struct proto_writer *w, size_t *ret_len)
{
	uint8_t *p;

	if (!finish(w)) {
		proto_writer_free(w);
		return NULL;
	}
	*ret_len = w->out.len;
	p = (uint8_t *)str_steal(&w->out);
	proto_writer_free(w);
	return p;
}

int proto_send_type(int fd, enum proto_type type)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, type);
	return proto_send(fd, &w);
}

int proto_send_err(int fd, const struct err *err)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_ERROR);
	proto_add_err(&w, err);
	return proto_send(fd, &w);
}

static int check_header(const uint8_t h[PROTO_HEADER_SIZE], struct proto_msg *ret, struct err *err)
{
	uint64_t type = get_le(h + 6, 2), len = get_le(h + 8, 4);

	if (get_le(h, 4) != PROTO_MAGIC)
		return err_set(err, -EPROTO, "agent: not an agent message");
	if (get_le(h + 4, 2) != PROTO_VERSION)
		return err_set(err, -EPROTO, "agent: protocol version %u is not supported, this side speaks %u",
			       (unsigned int)get_le(h + 4, 2), PROTO_VERSION);
	if (type == PROTO_NONE || type >= PROTO_TYPE_MAX)
		return err_set(err, -EPROTO, "agent: unknown message type %u", (unsigned int)type);
	if (len > PROTO_MSG_MAX)
		return err_set(err, -EPROTO, "agent: message of %u bytes is too long", (unsigned int)len);
	ret->type = (enum proto_type)type;
	ret->len = (uint32_t)len;
	return 0;
}

static int index_fields(struct proto_msg *m, struct err *err)
{
	uint32_t off = 0;

	while (off < m->len) {
		struct proto_field *f;

		if (m->count >= PROTO_FIELD_COUNT_MAX)
			return err_set(err, -EPROTO, "agent: %s: too many fields", proto_type_name(m->type));
		if (m->len - off < PROTO_FIELD_HEADER_SIZE)
			return err_set(err, -EPROTO, "agent: %s: truncated field", proto_type_name(m->type));
		f = &m->fields[m->count];
		f->tag = (uint32_t)get_le(m->buf + off, 4);
		f->len = (uint32_t)get_le(m->buf + off + 4, 4);
		off += PROTO_FIELD_HEADER_SIZE;
		if (f->len > m->len - off)
			return err_set(err, -EPROTO, "agent: %s: field %u reaches beyond the message",
				       proto_type_name(m->type), f->tag);
		f->data = m->buf + off;
		off += f->len;
		m->count++;
	}
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Reads len bytes before the deadline (negative: none). 1, 0 at end of file before the first byte, -errno. */
static int read_exactly(int fd, uint8_t *buf, size_t len, int64_t deadline)
{
	size_t got = 0;

	while (got < len) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();
		ssize_t n;
		int r;

		if (deadline >= 0 && left < 0)
			left = 0;
		r = poll(&pfd, 1, (int)left);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		n = read(fd, buf + got, len - got);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return got ? -ECONNRESET : 0;
		got += (size_t)n;
	}
	return 1;
}

int proto_recv(int fd, int timeout_ms, struct proto_msg *ret, struct err *err)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	uint8_t header[PROTO_HEADER_SIZE];
	int r;

	r = read_exactly(fd, header, sizeof(header), deadline);
	if (r <= 0)
		return r ? err_sys(err, r, "agent: receive") : 0;
	r = check_header(header, ret, err);
	if (r < 0)
		return r;
	if (ret->len) {
		ret->buf = xmalloc(ret->len);
		r = read_exactly(fd, ret->buf, ret->len, deadline);
		if (r <= 0) {
			proto_msg_free(ret);
			return err_sys(err, r ? r : -ECONNRESET, "agent: receive");
		}
	}
	r = index_fields(ret, err);
	if (r < 0) {
		proto_msg_free(ret);
		return r;
	}
	return 1;
}

int proto_recv_some(int fd, struct proto_partial *p, struct proto_msg *ret, struct err *err)
{
	int r;

	for (;;) {
		bool head = p->got < PROTO_HEADER_SIZE;
		uint32_t end = head ? PROTO_HEADER_SIZE : PROTO_HEADER_SIZE + p->msg.len;
		ssize_t n;

		if (p->got == end)
			break;
		n = recv(fd, head ? p->header + p->got : p->msg.buf + (p->got - PROTO_HEADER_SIZE), end - p->got,
			 MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (n == 0 && !p->got)
			return 0;
		if (n <= 0)
			return err_sys(err, n ? -errno : -ECONNRESET, "agent: receive");
		p->got += (uint32_t)n;
		if (p->got != PROTO_HEADER_SIZE || !head)
			continue;
		r = check_header(p->header, &p->msg, err);
		if (r < 0)
			return r;
		p->msg.buf = p->msg.len ? xmalloc(p->msg.len) : NULL;
	}
	r = index_fields(&p->msg, err);
	if (r < 0)
		return r;
	*ret = p->msg;
	*p = (struct proto_partial){ 0 };
	return 1;
}

void proto_partial_free(struct proto_partial *p)
{
	proto_msg_free(&p->msg);
	p->got = 0;
}

int proto_parse(const void *buf, size_t len, struct proto_msg *ret, struct err *err)
{
	int r;

	if (len < PROTO_HEADER_SIZE)
		return err_set(err, -EPROTO, "agent: truncated header");
	r = check_header(buf, ret, err);
	if (r < 0)
		return r;
	if (ret->len != len - PROTO_HEADER_SIZE)
		return err_set(err, -EPROTO, "agent: length does not match the message");
	if (ret->len) {
		ret->buf = xmalloc(ret->len);
		memcpy(ret->buf, (const uint8_t *)buf + PROTO_HEADER_SIZE, ret->len);
	}
	r = index_fields(ret, err);
	if (r < 0)
		proto_msg_free(ret);
	return r;
}

void proto_msg_free(struct proto_msg *m)
{
	free(m->buf);
	m->buf = NULL;
	m->len = 0;
	m->count = 0;
}

const struct proto_field *proto_get(const struct proto_msg *m, enum proto_tag tag)
{
	for (unsigned int i = 0; i < m->count; i++)
		if (m->fields[i].tag == (uint32_t)tag)
			return &m->fields[i];
	return NULL;
}

static int missing(const struct proto_msg *m, enum proto_tag tag, struct err *err)
{
	return err_set(err, -EPROTO, "agent: %s: field %u is missing or malformed", proto_type_name(m->type),
		       (unsigned int)tag);
}

int proto_get_string(const struct proto_msg *m, enum proto_tag tag, char **ret, struct err *err)
{
	const struct proto_field *f = proto_get(m, tag);

	if (!f || memchr(f->data, 0, f->len))
		return missing(m, tag, err);
	*ret = xstrndup((const char *)f->data, f->len);
	return 0;
}

int proto_get_u32(const struct proto_msg *m, enum proto_tag tag, uint32_t *ret, struct err *err)
{
	const struct proto_field *f = proto_get(m, tag);

	if (!f || f->len != 4)
		return missing(m, tag, err);
	*ret = (uint32_t)get_le(f->data, 4);
	return 0;
}

int proto_get_u64(const struct proto_msg *m, enum proto_tag tag, uint64_t *ret, struct err *err)
{
	const struct proto_field *f = proto_get(m, tag);

	if (!f || f->len != 8)
		return missing(m, tag, err);
	*ret = get_le(f->data, 8);
	return 0;
}

uint32_t proto_u32_or(const struct proto_msg *m, enum proto_tag tag, uint32_t fallback)
{
	uint32_t v;

	return proto_get_u32(m, tag, &v, NULL) < 0 ? fallback : v;
}

int proto_get_err(const struct proto_msg *m, struct err *err)
{
	uint32_t code = proto_u32_or(m, PROTO_F_CODE, EIO);
	cleanup_free char *text = NULL;

	if (code == 0 || code > 4095)
		code = EIO;
	if (proto_get_string(m, PROTO_F_TEXT, &text, NULL) < 0 || !*text)
		return err_set(err, -(int)code, "the guest's agent failed without a reason");
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return err_set(err, -(int)code, "%s", text);
}
