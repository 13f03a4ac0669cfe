/* SPDX-License-Identifier: Apache-2.0 */
/* Terminal pairs and their way over a socket. */
#include "container/tty.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap.h"

int main(void)
{
	int dir = open("/dev/pts", O_PATH | O_DIRECTORY), tmp = open("/tmp", O_PATH | O_DIRECTORY);
	int master, slave, pair[2], got;
	unsigned int rows = 0, columns = 0;
	char name[TTY_NAME_MAX], buf[16];
	struct termios saved;
	struct err err = { 0 };

	is_int(tty_open(tmp, &master, &slave, name, &err), -EINVAL);
	has_str(err.msg, "not a devpts");
	if (dir < 0 || tty_open(dir, &master, &slave, name, &err) < 0) {
		skip("needs a devpts with ptmx at /dev/pts");
		return tap_done();
	}
	ok(!strncmp(name, "/dev/pts/", 9));
	ok(isatty(slave));
	is_int(tty_set_size(master, 33, 111), 0);
	is_int(tty_get_size(slave, &rows, &columns), 0);
	ok(rows == 33 && columns == 111);
	is_int(tty_set_size(master, 0, 0), 0);
	is_int(tty_raw(slave, &saved), 0);
	tty_restore(slave, &saved);
	is_int(tty_raw(tmp, &saved) < 0, 1);
	need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	is_int(tty_send(pair[0], master, name), 0);
	got = tty_recv(pair[1]);
	ok(got >= 0 && got != master);
	need(write(got, "x\n", 2) == 2);
	ok(read(slave, buf, sizeof(buf)) == 2);
	ok(tty_is_relayed(pair[0]));
	ok(!tty_is_relayed(master));
	ok(read(got, buf, sizeof(buf)) == 3); /* its echo */
	is_int(tty_plain_lines(got), 0);
	need(write(slave, "y\n", 2) == 2);
	ok(read(got, buf, sizeof(buf)) == 2);
	close(pair[0]);
	ok(tty_recv(pair[1]) < 0);
	return tap_done();
}
