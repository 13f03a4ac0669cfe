/* SPDX-License-Identifier: Apache-2.0 */
/* A small D-Bus client.
 *
 * Theory: a message is a 16 byte head, an array of header fields, and a body; every value is aligned to its size
 * from the message's start. Bodies start at a multiple of 8, so a body may be built alone. The peer (systemd or a
 * message bus) is trusted with our life, but its bytes are still parsed with every length checked, because one day
 * it is something else that listens. The connection authenticates by EXTERNAL (the socket's credentials). One
 * request is under way at a time; what else arrives are signals. Runs in the runtime's process before or after the
 * container does, never inside.
 */
#include "container/dbus.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define HEAD_LEN 16
#define NATIVE (__BYTE_ORDER == __LITTLE_ENDIAN ? 'l' : 'B')

void dbus_put_align(struct dbus_body *b, size_t alignment)
{
	while (b->data.len % alignment)
		str_addc(&b->data, '\0');
}

void dbus_put_byte(struct dbus_body *b, uint8_t v)
{
	str_addn(&b->data, &v, 1);
}

void dbus_put_u32(struct dbus_body *b, uint32_t n)
{
	dbus_put_align(b, 4);
	str_addn(&b->data, &n, sizeof(n));
}

void dbus_put_u64(struct dbus_body *b, uint64_t n)
{
	dbus_put_align(b, 8);
	str_addn(&b->data, &n, sizeof(n));
}

void dbus_put_bool(struct dbus_body *b, bool v)
{
	dbus_put_u32(b, v);
}

void dbus_put_string(struct dbus_body *b, const char *s)
{
	dbus_put_u32(b, (uint32_t)strlen(s));
	str_addn(&b->data, s, strlen(s) + 1);
}

void dbus_put_signature(struct dbus_body *b, const char *s)
{
	dbus_put_byte(b, (uint8_t)strlen(s));
	str_addn(&b->data, s, strlen(s) + 1);
}

size_t dbus_array_begin(struct dbus_body *b, size_t alignment)
{
	size_t mark;

	dbus_put_u32(b, 0);
	mark = b->data.len - 4;
	dbus_put_align(b, alignment);
	return mark;
}

void dbus_array_end(struct dbus_body *b, size_t mark, size_t alignment)
{
	/* the length counts from the first element, behind its padding */
	size_t start = (mark + 4 + alignment - 1) / alignment * alignment;
	uint32_t len = (uint32_t)(b->data.len - start);

	memcpy(b->data.s + mark, &len, sizeof(len));
}

void dbus_struct(struct dbus_body *b)
{
	dbus_put_align(b, 8);
}

static uint32_t order(bool swap, uint32_t n)
{
	return swap ? __builtin_bswap32(n) : n;
}

size_t dbus_message_size(const unsigned char head[HEAD_LEN])
{
	uint32_t body, fields;
	bool swap = head[0] != NATIVE;

	if ((head[0] != 'l' && head[0] != 'B') || head[3] != 1)
		return 0;
	memcpy(&body, head + 4, 4);
	memcpy(&fields, head + 12, 4);
	body = order(swap, body);
	fields = order(swap, fields);
	if (body > DBUS_MESSAGE_MAX || fields > DBUS_MESSAGE_MAX)
		return 0;
	return HEAD_LEN + ((size_t)fields + 7) / 8 * 8 + body;
}

static int align_pos(struct dbus_message *m, size_t alignment)
{
	size_t pos = (m->pos + alignment - 1) / alignment * alignment;

	if (pos > m->len)
		return -EBADMSG;
	m->pos = pos;
	return 0;
}

int dbus_get_u32(struct dbus_message *m, uint32_t *ret)
{
	if (align_pos(m, 4) < 0 || m->len - m->pos < 4)
		return -EBADMSG;
	memcpy(ret, m->data + m->pos, 4);
	*ret = order(m->swap, *ret);
	m->pos += 4;
	return 0;
}

/* n bytes and their NUL. */
static int get_text(struct dbus_message *m, size_t n, const char **ret)
{
	if (m->len - m->pos < 1 || n > m->len - m->pos - 1 || m->data[m->pos + n] != '\0')
		return -EBADMSG;
	*ret = m->data + m->pos;
	m->pos += n + 1;
	return 0;
}

int dbus_get_string(struct dbus_message *m, const char **ret)
{
	uint32_t n;
	int r = dbus_get_u32(m, &n);

	return r < 0 ? r : get_text(m, n, ret);
}

int dbus_get_signature(struct dbus_message *m, const char **ret)
{
	if (m->pos >= m->len)
		return -EBADMSG;
	size_t n = (unsigned char)m->data[m->pos++];

	return get_text(m, n, ret);
}

int dbus_get_variant_string(struct dbus_message *m, const char **ret)
{
	const char *signature;
	int r = dbus_get_signature(m, &signature);

	if (r < 0)
		return r;
	return !strcmp(signature, "s") || !strcmp(signature, "o") ? dbus_get_string(m, ret) : -EBADMSG;
}

/* One header field: a code and a variant. Unknown codes have only the types below in practice. */
static int parse_field(struct dbus_message *m)
{
	const char *signature, *text = NULL;
	uint32_t n = 0;
	uint8_t code;
	int r;

	if (align_pos(m, 8) < 0 || m->pos >= m->len)
		return -EBADMSG;
	code = (uint8_t)m->data[m->pos++];
	r = dbus_get_signature(m, &signature);
	if (r < 0)
		return r;
	if (!strcmp(signature, "s") || !strcmp(signature, "o"))
		r = dbus_get_string(m, &text);
	else if (!strcmp(signature, "g"))
		r = dbus_get_signature(m, &text);
	else if (!strcmp(signature, "u"))
		r = dbus_get_u32(m, &n);
	else
		return -EBADMSG;
	if (r < 0)
		return r;
	switch (code) {
	case 1:
		m->path = text;
		break;
	case 2:
		m->interface = text;
		break;
	case 3:
		m->member = text;
		break;
	case 4:
		m->error_name = text;
		break;
	case 5:
		m->reply_serial = n;
		break;
	case 8:
		m->signature = text;
		break;
	default:
		break;
	}
	return 0;
}

int dbus_message_parse(char *data, size_t len, struct dbus_message *ret)
{
	struct dbus_message m = { .data = data, .len = len };
	uint32_t fields;
	size_t end;

	if (len < HEAD_LEN || dbus_message_size((const unsigned char *)data) != len)
		return -EBADMSG;
	m.swap = data[0] != NATIVE;
	m.type = (enum dbus_type)(unsigned char)data[1];
	m.pos = 8;
	dbus_get_u32(&m, &m.serial);
	dbus_get_u32(&m, &fields);
	end = HEAD_LEN + fields;
	m.body = (end + 7) / 8 * 8;
	if (m.body > len)
		return -EBADMSG;
	/* fields may not reach into the body */
	m.len = end;
	while (m.pos < end)
		if (parse_field(&m) < 0)
			return -EBADMSG;
	m.len = len;
	m.pos = m.body;
	*ret = m;
	return 0;
}

void dbus_message_free(struct dbus_message *m)
{
	free(m->data);
	*m = (struct dbus_message){ 0 };
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Exactly n bytes before end. */
static int read_until(int fd, void *buf, size_t n, long long end)
{
	size_t got = 0;

	while (got < n) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		long long left = end - now_ms();
		int r = left <= 0 ? 0 : poll(&p, 1, (int)left);

		if (r == 0)
			return -ETIMEDOUT;
		ssize_t k = r < 0 ? -1 : recv(fd, (char *)buf + got, n - got, 0);

		if (k == 0)
			return -ECONNRESET;
		if (k < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		got += k > 0 ? (size_t)k : 0;
	}
	return 0;
}

int dbus_receive(struct dbus *d, struct dbus_message *ret, struct err *err)
{
	long long end = now_ms() + d->timeout_ms;
	unsigned char head[HEAD_LEN];
	cleanup_free char *data = NULL;
	int r = read_until(d->fd, head, sizeof(head), end);
	size_t len = r < 0 ? 0 : dbus_message_size(head);

	if (r == 0 && !len)
		r = -EBADMSG;
	if (r == 0) {
		data = xmalloc(len);
		memcpy(data, head, sizeof(head));
		r = read_until(d->fd, data + sizeof(head), len - sizeof(head), end);
	}
	r = r < 0 ? r : dbus_message_parse(data, len, ret);
	if (r < 0)
		return err_sys(err, r, "D-Bus: receive");
	steal_ptr(data);
	return 0;
}

/* One line of the authentication dialogue, without its end; what follows it stays in the socket. */
static int auth_line(struct dbus *d, char *buf, size_t size)
{
	long long end = now_ms() + d->timeout_ms;
	size_t n = 0;

	while (n < size - 1) {
		/* a first byte is waited for, then as much is looked at as there is */
		int r = read_until(d->fd, buf + n, 1, end);
		ssize_t more =
			r < 0 || buf[n] == '\n' ? 0 : recv(d->fd, buf + n + 1, size - n - 2, MSG_PEEK | MSG_DONTWAIT);

		if (r < 0)
			return r;
		n++;
		for (ssize_t i = 0; i < more; i++)
			if (buf[n + (size_t)i] == '\n')
				more = i + 1;
		if (more > 0) {
			r = read_until(d->fd, buf + n, (size_t)more, end);
			if (r < 0)
				return r;
			n += (size_t)more;
		}
		if (n >= 2 && buf[n - 2] == '\r' && buf[n - 1] == '\n') {
			buf[n - 2] = '\0';
			return 0;
		}
	}
	return -EBADMSG;
}

/*
 * The whole dialogue in one piece, as sd-bus has it. Without a user's number the peer takes that of the socket's
 * credentials: ours may be another one to it, because we may be in a user namespace. BEGIN must have been read before
 * the first message comes: systemd leaves one that follows in the same read lying until something else arrives.
 */
static int authenticate(struct dbus *d, struct err *err)
{
	static const char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
	char line[512];
	bool agreed = false;
	int r = fd_write_all(d->fd, hello, sizeof(hello) - 1);

	for (int i = 0; r == 0 && i < 2; i++) {
		r = auth_line(d, line, sizeof(line));
		agreed = agreed || (r == 0 && str_starts(line, "OK "));
	}
	if (r == 0 && !agreed)
		return err_set(err, -EACCES, "D-Bus: authentication refused: %s", line);
	return r < 0 ? err_sys(err, r, "D-Bus: authentication") : 0;
}

int dbus_connect(const char *address, bool bus, int timeout_ms, struct dbus *ret, struct err *err)
{
	struct dbus d = { .fd = fd_unix_connect(address), .bus = bus, .timeout_ms = timeout_ms };
	int r;

	if (d.fd < 0)
		return err_sys(err, d.fd, "D-Bus: connect to %s", address);
	r = authenticate(&d, err);
	if (r == 0 && bus)
		r = dbus_call(&d, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello",
			      NULL, NULL, NULL, NULL, NULL, err);
	if (r < 0) {
		dbus_close(&d);
		return r;
	}
	*ret = d;
	return 0;
}

void dbus_close(struct dbus *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

static void put_field(struct dbus_body *b, uint8_t code, const char *type, const char *text)
{
	if (!text)
		return;
	dbus_struct(b);
	dbus_put_byte(b, code);
	dbus_put_signature(b, type);
	if (*type == 'g')
		dbus_put_signature(b, text);
	else
		dbus_put_string(b, text);
}

static int send_call(struct dbus *d, const char *destination, const char *path, const char *interface,
		     const char *member, const char *signature, const struct dbus_body *body)
{
	struct dbus_body m = { 0 };
	size_t fields;
	int r;

	dbus_put_byte(&m, NATIVE);
	dbus_put_byte(&m, DBUS_CALL);
	dbus_put_byte(&m, 0);
	dbus_put_byte(&m, 1);
	dbus_put_u32(&m, body ? (uint32_t)body->data.len : 0);
	dbus_put_u32(&m, ++d->serial);
	fields = dbus_array_begin(&m, 8);
	put_field(&m, 1, "o", path);
	put_field(&m, 2, "s", interface);
	put_field(&m, 3, "s", member);
	put_field(&m, 6, "s", d->bus ? destination : NULL);
	put_field(&m, 8, "g", signature);
	dbus_array_end(&m, fields, 8);
	dbus_put_align(&m, 8);
	if (body)
		str_addn(&m.data, body->data.s, body->data.len);
	r = fd_write_all(d->fd, m.data.s, m.data.len);
	str_free(&m.data);
	return r;
}

static int error_code(const char *name)
{
	if (!name)
		return -EIO;
	if (str_ends(name, ".NoSuchUnit") || str_ends(name, ".FileNotFound"))
		return -ENOENT;
	if (str_ends(name, ".UnitExists"))
		return -EEXIST;
	if (str_ends(name, ".AccessDenied") || str_ends(name, ".InteractiveAuthorizationRequired"))
		return -EACCES;
	if (str_ends(name, ".PropertyReadOnly") || str_ends(name, ".UnknownProperty"))
		return -EOPNOTSUPP;
	return -EIO;
}

int dbus_call(struct dbus *d, const char *destination, const char *path, const char *interface, const char *member,
	      const char *signature, const struct dbus_body *body, struct dbus_message *reply,
	      dbus_signal_fn *on_signal, void *arg, struct err *err)
{
	int r = send_call(d, destination, path, interface, member, signature, body);
	uint32_t serial = d->serial;

	if (r < 0)
		return err_sys(err, r, "D-Bus: %s", member);
	for (;;) {
		cleanup_dbus_message struct dbus_message m = { 0 };
		const char *text = "";

		r = dbus_receive(d, &m, err);
		if (r < 0)
			return err_wrap(err, "%s", member);
		if (m.type == DBUS_SIGNAL && on_signal)
			on_signal(&m, arg);
		if (m.reply_serial != serial || (m.type != DBUS_RETURN && m.type != DBUS_ERROR))
			continue;
		if (m.type == DBUS_ERROR) {
			if (m.signature && m.signature[0] == 's')
				dbus_get_string(&m, &text);
			return err_set(err, error_code(m.error_name), "D-Bus: %s: %s: %s", member,
				       m.error_name ? m.error_name : "error", text);
		}
		if (reply) {
			*reply = m;
			m = (struct dbus_message){ 0 };
		}
		return 0;
	}
}
