/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seccomp agent for the tests: seccomp_agent SOCKET STATEFILE ERRNO. Takes one listener from SOCKET, writes the state it came
 * with to STATEFILE and answers every notification with -ERRNO (0: lets the call continue) until the last
 * filtered process is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int receive(int conn, const char *file)
{
	char text[65536], control[CMSG_SPACE(sizeof(int) * 4)];
	struct iovec iov = { text, sizeof(text) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t n = recvmsg(conn, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	FILE *f;
	int fd;

	if (n <= 0 || !c || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	f = fopen(file, "we");
	if (!f || fwrite(text, 1, (size_t)n, f) != (size_t)n || fclose(f) != 0)
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), conn, fd;

	if (argc != 4 || strlen(argv[1]) >= sizeof(addr.sun_path))
		return 2;
	strcpy(addr.sun_path, argv[1]);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(sock, 8) < 0)
		return 3;
	conn = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
	fd = conn < 0 ? -1 : receive(conn, argv[2]);
	if (fd < 0)
		return 4;
	close(conn);
	for (;;) {
		struct seccomp_notif req = { 0 };
		struct seccomp_notif_resp resp = { 0 };
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, -1) < 0 || !(p.revents & POLLIN))
			return 0;
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0)
			continue;
		resp.id = req.id;
		resp.error = -atoi(argv[3]);
		resp.flags = resp.error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
	}
}
