/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals.
 *
 * The pair is made in the container's own devpts instance, which is looked at before it is trusted: the directory must
 * be a devpts and ptmx in it the multiplexer. The slave comes by TIOCGPTPEER from the master and not by its name,
 * which the container could have replaced (CVE-2025-52565). Its uid becomes the process's; its group stays, since
 * "tty" need not be mapped. The master travels to the engine in one message with one fd, whose bytes are the slave's
 * name.
 */
#include "container/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/sys.h"

int tty_open(int pts_dirfd, int *ret_master, int *ret_slave, char name[TTY_NAME_MAX], struct err *err)
{
	cleanup_fd int master = -1;
	unsigned int number;
	struct statfs fs;
	struct stat st;
	int unlock = 0, slave;

	if (fstatfs(pts_dirfd, &fs) < 0)
		return err_sys(err, -errno, "look at /dev/pts");
	if ((long)fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_set(err, EINVAL, "process.terminal: /dev/pts is not a devpts filesystem");
	master = openat(pts_dirfd, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	if (master < 0)
		return err_sys(err, -errno, "open /dev/pts/ptmx");
	if (fstat(master, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
		return err_set(err, EINVAL, "/dev/pts/ptmx is not a terminal multiplexer");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
		return err_sys(err, -errno, "unlock the terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_sys(err, -errno, "open the terminal's slave");
	snprintf(name, TTY_NAME_MAX, "/dev/pts/%u", number);
	*ret_master = steal_fd(master);
	*ret_slave = slave;
	return 0;
}

int tty_set_size(int fd, unsigned int rows, unsigned int columns)
{
	struct winsize ws = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	if (!rows && !columns)
		return 0;
	return ioctl(fd, TIOCSWINSZ, &ws) < 0 ? -errno : 0;
}

int tty_get_size(int fd, unsigned int *ret_rows, unsigned int *ret_columns)
{
	struct winsize ws;

	if (ioctl(fd, TIOCGWINSZ, &ws) < 0)
		return -errno;
	*ret_rows = ws.ws_row;
	*ret_columns = ws.ws_col;
	return 0;
}

void tty_copy_size(int from, int to)
{
	struct winsize ws;

	if (!ioctl(from, TIOCGWINSZ, &ws))
		(void)ioctl(to, TIOCSWINSZ, &ws);
}

int tty_of_process(pid_t pid)
{
	cleanup_fd int pidfd = fd_pidfd_open(pid), fd = -1;

	if (pidfd < 0)
		return pidfd;
	fd = sys_pidfd_getfd(pidfd, 0);
	if (fd < 0)
		return -errno;
	return isatty(fd) ? steal_fd(fd) : -ENOTTY;
}

int tty_make_controlling(int fd)
{
	if (setsid() < 0 && errno != EPERM) /* EPERM: we lead a session already */
		return -errno;
	return ioctl(fd, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

int tty_send(int console_socket, int master, const char *name)
{
	return fd_send(console_socket, name, strlen(name), &master, 1);
}

bool tty_is_relayed(int console_socket)
{
	struct sockaddr_un peer;
	socklen_t len = sizeof(peer);

	return !getpeername(console_socket, (struct sockaddr *)&peer, &len) && len <= sizeof(peer.sun_family);
}

int tty_plain_lines(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return -errno;
	t.c_oflag &= ~(tcflag_t)ONLCR;
	return tcsetattr(fd, TCSANOW, &t) < 0 ? -errno : 0;
}

int tty_recv(int console_socket)
{
	char name[256];
	int fd = -1;
	size_t n = 1;
	ssize_t len = fd_recv(console_socket, name, sizeof(name), &fd, &n);

	if (len < 0)
		return (int)len;
	return n == 1 ? fd : -EPIPE;
}

int tty_raw(int fd, struct termios *ret_saved)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return -errno;
	*ret_saved = t;
	cfmakeraw(&t);
	/* our own messages still end their lines */
	t.c_oflag |= OPOST;
	return tcsetattr(fd, TCSANOW, &t) < 0 ? -errno : 0;
}

void tty_restore(int fd, const struct termios *saved)
{
	(void)tcsetattr(fd, TCSANOW, saved);
}
