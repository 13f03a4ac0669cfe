/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between parent and child. */
#include "container/sync.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tap.h"

static void test_round_trip(int a, int b)
{
	int fds[3] = { open("/dev/null", O_RDONLY), open("/", O_PATH), 0 };
	struct sync_msg m;

	is_int(sync_send(a, SYNC_SETUP, "hello", 5, fds, 2), 0);
	is_int(sync_send(a, SYNC_PARKED, NULL, 0, NULL, 0), 0);
	is_int(sync_recv(b, &m), 0);
	is_int(m.type, SYNC_SETUP);
	is_str(m.data, "hello");
	is_int(m.n_fds, 2);
	sync_msg_done(&m);
	is_int(sync_recv(b, &m), 0);
	is_int(m.type, SYNC_PARKED);
	is_int(m.len, 0);
	is_int(m.n_fds, 0);
	sync_msg_done(&m);
	close(fds[0]);
	close(fds[1]);
}

/* More than 64 kB: lengths must not be cut (CVE-2021-43784). */
static void test_large(int a, int b)
{
	size_t len = 300000;
	char *big = xmalloc(len);
	struct sync_msg m;
	int status;
	pid_t pid;

	for (size_t i = 0; i < len; i++)
		big[i] = (char)('a' + i % 23);
	pid = fork();
	if (pid == 0)
		_exit(sync_send(a, SYNC_START, big, len, NULL, 0) != 0);
	is_int(sync_recv(b, &m), 0);
	is_int(m.len, len);
	ok(m.len == len && !memcmp(m.data, big, len));
	sync_msg_done(&m);
	waitpid(pid, &status, 0);
	is_int(status, 0);
	is_int(sync_send(a, SYNC_START, big, (size_t)SYNC_PAYLOAD_MAX + 1, NULL, 0), -E2BIG);
	free(big);
}

static void test_errors(int a, int b)
{
	struct err sent = { .code = -ENOENT, .msg = "exec: \"x\": executable file not found in $PATH" }, got = { 0 };
	uint32_t nonsense[2] = { 99, 0 }, huge[2] = { SYNC_START, SYNC_PAYLOAD_MAX + 1 };
	struct sync_msg m;

	sync_send_err(a, &sent);
	is_int(sync_expect(b, SYNC_PARKED, NULL, &got), -ENOENT);
	is_str(got.msg, sent.msg);
	sync_send(a, SYNC_ACK, NULL, 0, NULL, 0);
	is_int(sync_expect(b, SYNC_PARKED, NULL, &got), -EPROTO);
	has_str(got.msg, "waiting for \"parked\": got \"ack\"");
	sync_send(a, SYNC_ERROR, "short", 5, NULL, 0);
	is_int(sync_expect(b, SYNC_PARKED, NULL, &got), -EPROTO);
	memset(&sent, 'x', sizeof(sent)); /* no end, no sign */
	sent.code = 5;
	sync_send_err(a, &sent);
	is_int(sync_expect(b, SYNC_PARKED, NULL, &got), -EIO);
	ok(memchr(got.msg, 0, sizeof(got.msg)) != NULL);
	fd_write_all(a, nonsense, sizeof(nonsense));
	is_int(sync_recv(b, &m), -EPROTO);
	fd_write_all(a, huge, sizeof(huge));
	is_int(sync_recv(b, &m), -EPROTO);
	fd_write_all(a, nonsense, 3);
	close(a);
	ok(sync_recv(b, &m) < 0);
	is_int(sync_expect(b, SYNC_PARKED, NULL, &got), -EPIPE);
	is_int(sync_send(b, SYNC_ACK, NULL, 0, NULL, 0), -EPIPE);
	close(b);
}

int main(void)
{
	int p[2];

	for (int i = 0; i < SYNC_TYPE_MAX; i++)
		if (!sync_name(i))
			ok(!"every message has a name");
	is_str(sync_name(SYNC_TYPE_MAX), "?");
	need(sync_pair(p) == 0);
	test_round_trip(p[0], p[1]);
	test_large(p[0], p[1]);
	test_errors(p[0], p[1]);
	return tap_done();
}
