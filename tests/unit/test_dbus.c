/* SPDX-License-Identifier: Apache-2.0 */
/* D-Bus: marshalling, damaged messages, and a conversation with a fake systemd on a socket. */
#include "container/dbus.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "tests/unit/tap.h"

/* A message of the fake's side: type, serial it answers, member or error name, signature, body. */
static void build(struct dbus_body *m, int type, uint32_t reply, const char *name, const char *signature,
		  const struct dbus_body *body)
{
	size_t mark;

	dbus_put_byte(m, 'l');
	dbus_put_byte(m, (uint8_t)type);
	dbus_put_byte(m, 1);
	dbus_put_byte(m, 1);
	dbus_put_u32(m, body ? (uint32_t)body->data.len : 0);
	dbus_put_u32(m, 77);
	mark = dbus_array_begin(m, 8);
	if (reply) {
		dbus_struct(m);
		dbus_put_byte(m, 5);
		dbus_put_signature(m, "u");
		dbus_put_u32(m, reply);
	}
	if (name) {
		dbus_struct(m);
		dbus_put_byte(m, type == DBUS_ERROR ? 4 : 3);
		dbus_put_signature(m, "s");
		dbus_put_string(m, name);
	}
	if (signature) {
		dbus_struct(m);
		dbus_put_byte(m, 8);
		dbus_put_signature(m, "g");
		dbus_put_signature(m, signature);
	}
	dbus_array_end(m, mark, 8);
	dbus_put_align(m, 8);
	if (body)
		str_addn(&m->data, body->data.s, body->data.len);
}

static void test_messages(void)
{
	struct dbus_body body = { 0 }, m = { 0 };
	struct dbus_message got;
	const char *text = NULL;
	uint32_t n = 0;

	dbus_put_byte(&body, 1);
	dbus_put_u32(&body, 42); /* padded to 4 */
	dbus_put_string(&body, "hello");
	is_int(body.data.len, 8 + 4 + 6);
	build(&m, DBUS_RETURN, 9, NULL, "yus", &body);
	is_int(dbus_message_size((unsigned char *)m.data.s), m.data.len);

	/* every shorter message is refused, as is every one with a flipped byte that lies about a length */
	int good = 1;

	for (size_t len = 0; len < m.data.len; len++) {
		char *copy = xmalloc(len + 1);

		memcpy(copy, m.data.s, len);
		good = good && dbus_message_parse(copy, len, &got) == -EBADMSG;
		free(copy);
	}
	ok(good);
	for (size_t i = 0; i < m.data.len; i++)
		for (int v = 0; v < 256; v += 5) {
			char *copy = xmalloc(m.data.len);

			memcpy(copy, m.data.s, m.data.len);
			copy[i] = (char)v;
			if (dbus_message_parse(copy, m.data.len, &got) == 0) {
				dbus_get_u32(&got, &n);
				dbus_get_string(&got, &text);
				dbus_get_variant_string(&got, &text);
			}
			free(copy);
		}
	ok(1); /* nothing crashed */

	need(dbus_message_parse(m.data.s, m.data.len, &got) == 0);
	is_int(got.reply_serial, 9);
	is_str(got.signature, "yus");
	got.pos++;
	is_int(dbus_get_u32(&got, &n), 0);
	is_int(n, 42);
	is_int(dbus_get_string(&got, &text), 0);
	is_str(text, "hello");
	is_int(dbus_get_u32(&got, &n), -EBADMSG);
	dbus_message_free(&got);
	str_free(&body.data);

	struct dbus_body array = { 0 };
	size_t mark;

	dbus_put_byte(&array, 0);
	mark = dbus_array_begin(&array, 8);
	dbus_put_u64(&array, 1);
	dbus_array_end(&array, mark, 8);
	is_int(array.data.len, 16);
	is_int(array.data.s[4], 8); /* the padding before the first element does not count */
	str_free(&array.data);
}

static int read_line(int fd, char *buf, size_t size)
{
	size_t n = 0;

	while (n < size - 1 && read(fd, buf + n, 1) == 1)
		if (buf[n++] == '\n')
			break;
	buf[n] = '\0';
	return (int)n;
}

static void receive(int fd, struct dbus_message *m)
{
	unsigned char head[16];

	if (fd_read_all(fd, head, 16) != 16)
		_exit(3);
	size_t len = dbus_message_size(head);
	char *data = xmalloc(len);

	memcpy(data, head, 16);
	if (!len || fd_read_all(fd, data + 16, len - 16) != (ssize_t)(len - 16) || dbus_message_parse(data, len, m) < 0)
		_exit(4);
}

static void answer(int fd, int type, uint32_t reply, const char *name, const char *signature,
		   const struct dbus_body *body)
{
	struct dbus_body m = { 0 };

	build(&m, type, reply, name, signature, body);
	if (fd_write_all(fd, m.data.s, m.data.len) < 0)
		_exit(5);
	str_free(&m.data);
}

/* The fake: Hello, then one call that works (with a signal in front) and one that fails. */
static void fake(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char line[128], nul;
	struct dbus_message m;
	struct dbus_body body = { 0 };

	if (fd < 0 || read(fd, &nul, 1) != 1 || nul)
		_exit(1);
	read_line(fd, line, sizeof(line));
	if (strcmp(line, "AUTH EXTERNAL\r\n"))
		_exit(2);
	read_line(fd, line, sizeof(line));
	if (strcmp(line, "DATA\r\n"))
		_exit(3);
	read_line(fd, line, sizeof(line));
	if (strcmp(line, "BEGIN\r\n") || recv(fd, &nul, 1, MSG_DONTWAIT) >= 0)
		_exit(4); /* nothing may follow before our answer */
	fd_write_all(fd, "DATA\r\nOK 1234\r\n", 15);
	receive(fd, &m);
	if (strcmp(m.member, "Hello"))
		_exit(6);
	dbus_put_string(&body, ":1.5");
	answer(fd, DBUS_RETURN, m.serial, NULL, "s", &body);
	receive(fd, &m);
	if (strcmp(m.member, "Ask") || strcmp(m.path, "/x") || strcmp(m.signature, "s"))
		_exit(7);
	answer(fd, DBUS_SIGNAL, 0, "Ping", "s", &body);
	answer(fd, DBUS_RETURN, m.serial, NULL, "s", &body);
	receive(fd, &m);
	answer(fd, DBUS_ERROR, m.serial, "org.freedesktop.systemd1.NoSuchUnit", "s", &body);
	receive(fd, &m);
	/* no answer: the caller gives up by itself */
	pause();
}

static void count(struct dbus_message *m, void *arg)
{
	if (!strcmp(m->member, "Ping"))
		++*(int *)arg;
}

static void test_conversation(void)
{
	char dir[] = "/tmp/amphi-dbus-XXXXXX";
	struct err err = { 0 };
	struct dbus_message reply;
	struct dbus_body body = { 0 };
	const char *text = NULL;
	int signals = 0;

	need(mkdtemp(dir));
	char *path = path_join(dir, "bus");
	int listener = fd_unix_listen(path, 1, SOCK_STREAM);
	pid_t pid = fork();

	if (pid == 0)
		fake(listener);
	close(listener);
	struct dbus d = { .fd = -1 };

	if (!ok(dbus_connect(path, true, 20000, &d, &err) == 0))
		printf("# %s\n", err.msg);
	dbus_put_string(&body, "question");
	is_int(dbus_call(&d, "some.service", "/x", "some.face", "Ask", "s", &body, &reply, count, &signals, &err), 0);
	is_int(dbus_get_string(&reply, &text), 0);
	is_str(text, ":1.5");
	is_int(signals, 1);
	dbus_message_free(&reply);
	is_int(dbus_call(&d, "some.service", "/x", "some.face", "Fail", "s", &body, NULL, NULL, NULL, &err), -ENOENT);
	has_str(err.msg, "NoSuchUnit: :1.5");
	d.timeout_ms = 50;
	is_int(dbus_call(&d, "some.service", "/x", "some.face", "Hang", "s", &body, NULL, NULL, NULL, &err),
	       -ETIMEDOUT);
	dbus_close(&d);
	str_free(&body.data);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(dbus_connect("/nonexistent/bus", true, 1000, &d, &err) < 0);
	path_remove_tree(AT_FDCWD, dir, false);
	free(path);
}

int main(void)
{
	test_messages();
	test_conversation();
	return tap_done();
}
