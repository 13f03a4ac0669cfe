/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness on its way from the container to systemd. */
/*
 * Theory of operation: create makes STATEDIR/notify, which the container has as /run/notify; the socket in it is bound
 * by the process that starts the workload, so that somebody reads it. One datagram matters, the one with a line
 * READY=…; only that line goes on, for everything else of the protocol (descriptor store, watchdog, MAINPID) is about
 * processes as the container numbers them. When start or a detached run is the one that waits, it ends afterwards:
 * systemd is told the container's pid first, and a barrier (a pipe that systemd closes once it has read it) keeps our
 * end from overtaking the message.
 */
#include "runtime/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "runtime/sandbox.h"

#define NOTIFY_DIR "notify"
#define NOTIFY_SOCKET_NAME "notify.sock"
#define NOTIFY_MESSAGE_MAX 4096
#define NOTIFY_BARRIER_MS 30000

static const char *host_socket(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path && (*path == '/' || *path == '@') && path[1] ? path : NULL;
}

bool notify_wanted(void)
{
	return host_socket() != NULL;
}

int notify_prepare(struct sandbox *sb, char **ret, struct err *err)
{
	*ret = NULL;
	if (!notify_wanted())
		return 0;
	if (mkdirat(sb->dir.fd, NOTIFY_DIR, 0755) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "%s/" NOTIFY_DIR, sb->dir.path);
	*ret = path_join(sb->dir.path, NOTIFY_DIR);
	return 0;
}

char *notify_dir(const struct sandbox *sb)
{
	return faccessat(sb->dir.fd, NOTIFY_DIR, F_OK, 0) == 0 ? path_join(sb->dir.path, NOTIFY_DIR) : NULL;
}

int notify_listen(struct sandbox *sb, int *ret_sock, struct err *err)
{
	cleanup_fd int dir = -1, sock = -1;
	char path[64];

	*ret_sock = -1;
	if (!notify_wanted())
		return 0;
	dir = openat(sb->dir.fd, NOTIFY_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "%s/" NOTIFY_DIR, sb->dir.path);
	(void)unlinkat(dir, NOTIFY_SOCKET_NAME, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/" NOTIFY_SOCKET_NAME, dir);
	sock = fd_unix_listen(path, 0, SOCK_DGRAM);
	if (sock < 0)
		return err_sys(err, sock, "%s/" NOTIFY_DIR "/" NOTIFY_SOCKET_NAME, sb->dir.path);
	/* the workload may be anybody */
	if (fchmodat(dir, NOTIFY_SOCKET_NAME, 0777, 0) < 0)
		return err_sys(err, -errno, "%s/" NOTIFY_DIR "/" NOTIFY_SOCKET_NAME, sb->dir.path);
	*ret_sock = steal_fd(sock);
	return 0;
}

static int connect_host(void)
{
	const char *path = host_socket();
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int sock;

	if (len >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, len);
	if (*path == '@')
		sa.sun_path[0] = '\0';
	else
		len++;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&sa, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		int r = -errno;

		close(sock);
		return r;
	}
	return sock;
}

/* Returns once systemd has read everything before it; one that does not know barriers costs time, no more. */
static void barrier(int host)
{
	struct pollfd p = { .events = 0 };
	int pair[2], r;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return;
	r = fd_send(host, "BARRIER=1", strlen("BARRIER=1"), &pair[1], 1);
	close(pair[1]);
	p.fd = pair[0];
	if (r < 0 || poll(&p, 1, NOTIFY_BARRIER_MS) != 1)
		log_debug("notify: no answer to the barrier");
	close(pair[0]);
}

static int tell_host(const char *ready, pid_t main_pid)
{
	cleanup_fd int host = connect_host();
	char line[32];
	int r = host < 0 ? host : fd_send(host, ready, strlen(ready), NULL, 0);

	if (r < 0 || main_pid <= 0)
		return r;
	snprintf(line, sizeof(line), "MAINPID=%d\n", (int)main_pid);
	r = fd_send(host, line, strlen(line), NULL, 0);
	if (!r)
		barrier(host);
	return r;
}

/* "READY=…\n" of a message, owned; NULL: none in it. */
static char *ready_line(const char *text)
{
	for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (str_starts(p, "READY="))
			return xasprintf("%.*s\n", (int)strcspn(p, "\n"), p);
	return NULL;
}

static int wait_ready(int sock, pid_t pid, pid_t main_pid)
{
	cleanup_fd int pidfd = fd_pidfd_open(pid);
	struct pollfd p[2] = { { .fd = sock, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };

	while (pidfd >= 0) {
		char text[NOTIFY_MESSAGE_MAX + 1];
		cleanup_free char *ready = NULL;
		ssize_t n;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		n = recv(sock, text, NOTIFY_MESSAGE_MAX, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && p[1].revents)
			return 0;
		if (n <= 0)
			continue;
		text[n] = '\0';
		ready = ready_line(text);
		if (ready)
			return tell_host(ready, main_pid);
	}
	return 0;
}

int notify_wait(int sock, pid_t pid, struct err *err)
{
	int r = wait_ready(sock, pid, pid);

	return r < 0 ? err_sys(err, r, "NOTIFY_SOCKET: %s", host_socket()) : 0;
}

int notify_forward(int sock, pid_t pid, struct err *err)
{
	pid_t self = getpid(), child = fork();
	sigset_t none;
	int r;

	if (child < 0)
		return err_sys(err, -errno, "fork");
	if (child)
		return 0;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != self)
		_exit(0);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	child_title("amphi:[notify]");
	r = wait_ready(sock, pid, 0);
	if (r < 0)
		log_warn("NOTIFY_SOCKET: %s: %s", host_socket(), strerrordesc_np(-r));
	_exit(0);
}
