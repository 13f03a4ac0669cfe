/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor tools: whole transfers, slurping, passing over unix sockets, ranges, pidfds, unix sockets.
 *
 * Everything that creates a descriptor sets CLOEXEC in the same call. Unix socket paths longer than sun_path
 * are reached through /proc/self/fd of their directory.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/sys.h"

ssize_t fd_read_all(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int fd_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd pfd = { .fd = fd, .events = POLLOUT };

			if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
				return -errno;
			continue;
		}
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_slurp(int fd, size_t max, char **ret_buf, size_t *ret_len)
{
	size_t cap = 4096, len = 0;
	char *buf = NULL;
	struct stat st;

	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0)
		cap = (size_t)st.st_size < max ? (size_t)st.st_size + 1 : max + 1;
	for (;;) {
		char *grown = realloc(buf, cap + 1);
		ssize_t n;

		if (!grown) {
			free(buf);
			return -ENOMEM;
		}
		buf = grown;
		n = fd_read_all(fd, buf + len, cap - len);
		if (n < 0) {
			free(buf);
			return (int)n;
		}
		len += (size_t)n;
		if (len > max) {
			free(buf);
			return -EFBIG;
		}
		if (len < cap)
			break;
		cap *= 2;
		if (cap > max + 1)
			cap = max + 1;
	}
	buf[len] = '\0';
	*ret_buf = buf;
	if (ret_len)
		*ret_len = len;
	return 0;
}

int fd_slurp_at(int dirfd, const char *path, size_t max, char **ret_buf, size_t *ret_len)
{
	cleanup_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fd_slurp(fd, max, ret_buf, ret_len);
}

int fd_write_file_at(int dirfd, const char *path, const char *text)
{
	cleanup_fd int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = write(fd, text, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

#define FD_PASS_MAX 64

int fd_send(int sock, const void *buf, size_t len, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t r;

	if (n > FD_PASS_MAX)
		return -E2BIG;
	if (n) {
		struct cmsghdr *c;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	do {
		r = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return (size_t)r < len ? fd_write_all(sock, (const char *)buf + r, len - (size_t)r) : 0;
}

ssize_t fd_recv(int sock, void *buf, size_t len, int *fds, size_t *n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)
	};
	size_t got = 0;
	ssize_t r;

	do {
		r = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (got < *n)
				fds[got++] = fd;
			else
				close(fd);
		}
	}
	*n = got;
	return r;
}

int fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	return fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

int fd_cloexec_from(int first)
{
	return sys_close_range((unsigned int)first, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

int fd_close_from(int first)
{
	return sys_close_range((unsigned int)first, ~0U, 0) < 0 ? -errno : 0;
}

unsigned int fd_inherited(unsigned int first, unsigned int n)
{
	long max = sysconf(_SC_OPEN_MAX);
	unsigned int limit = max < 0 || max > INT_MAX ? INT_MAX : (unsigned int)max;

	if (first >= limit)
		return 0;
	if (n > limit - first)
		n = limit - first;
	while (n && fcntl((int)(first + n - 1), F_GETFD) != 0)
		n--;
	return n;
}

int fd_pidfd_open(pid_t pid)
{
	int fd = sys_pidfd_open(pid, 0);

	return fd < 0 ? -errno : fd;
}

int fd_pidfd_kill(int pidfd, int sig)
{
	return sys_pidfd_send_signal(pidfd, sig) < 0 ? -errno : 0;
}

const char *fd_path(int fd, char buf[FD_PATH_MAX])
{
	snprintf(buf, FD_PATH_MAX, "/proc/self/fd/%d", fd);
	return buf;
}

/* Fills sa for path; a long path goes by way of its directory's descriptor, which stays open in *dirfd. */
static int unix_address(const char *path, struct sockaddr_un *sa, int *dirfd)
{
	const char *name = strrchr(path, '/');
	char dir[PATH_MAX];

	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*dirfd = -1;
	if (strlen(path) < sizeof(sa->sun_path)) {
		strcpy(sa->sun_path, path);
		return 0;
	}
	if (!name || (size_t)(name - path) >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, path, (size_t)(name - path));
	dir[name - path] = '\0';
	*dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dirfd < 0)
		return -errno;
	if (snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/%s", *dirfd, name + 1) >=
	    (int)sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

int fd_unix_connect(const char *path)
{
	cleanup_fd int dirfd = -1;
	cleanup_fd int fd = -1;
	struct sockaddr_un sa;
	int r = unix_address(path, &sa, &dirfd);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return steal_fd(fd);
}

int fd_unix_listen(const char *path, int backlog, int type)
{
	cleanup_fd int dirfd = -1;
	cleanup_fd int fd = -1;
	struct sockaddr_un sa;
	int r = unix_address(path, &sa, &dirfd);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	if (type != SOCK_DGRAM && listen(fd, backlog) < 0)
		return -errno;
	return steal_fd(fd);
}

int fd_memfd(const char *name, const void *buf, size_t len, bool seal)
{
	cleanup_fd int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, buf, len);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	if (seal && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return steal_fd(fd);
}
