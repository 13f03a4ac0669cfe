/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's last words: whole, in pieces, cut short, too many connections. */
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vm/report.h"

#include "tests/unit/tap.h"

int main(void)
{
	struct err err = { 0 };
	struct report r;
	int a, b, many[REPORT_CONNECTIONS + 1];
	char c;

	need(report_init(&r, &err) == 0);
	a = report_connect(&r);
	b = report_connect(&r);
	need(a >= 0 && b >= 0);
	report_handle(&r);
	ok(!r.has_status);
	is_int(write(a, "\x00\x2a", 2), 2);
	report_handle(&r);
	ok(!r.has_status);
	is_int(poll(&(struct pollfd){ .fd = r.epoll_fd, .events = POLLIN }, 1, 0), 0);
	is_int(write(a, "\x00\x00", 2), 2);
	is_int(poll(&(struct pollfd){ .fd = r.epoll_fd, .events = POLLIN }, 1, 0), 1);
	report_handle(&r);
	ok(r.has_status);
	is_int(r.status, 42 << 8);
	is_int(read(a, &c, 1), 0); /* end of file: it arrived */
	is_int(write(b, "abc", 3), 3);
	shutdown(b, SHUT_WR);
	report_handle(&r);
	report_handle(&r);
	is_int(r.status, 42 << 8);
	for (int i = 0; i <= REPORT_CONNECTIONS; i++)
		many[i] = report_connect(&r);
	ok(many[REPORT_CONNECTIONS] >= 0);
	is_int(read(many[0], &c, 1), 0); /* the oldest was dropped */
	report_free(&r);
	return tap_done();
}
