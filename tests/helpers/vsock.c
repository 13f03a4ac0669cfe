/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams between host and machine.
 *	vsock echo PORT                  in the machine: returns what comes, end of file for end of file
 *	vsock storm SOCKET PORT N BYTES  on the host: N streams open at once over the monitor's socket, BYTES through each,
 *	                                 checked; the first is not read before all others are through
 *	vsock drop SOCKET PORT N         opens N, writes to each without reading, and goes without a word
 *	vsock hold SOCKET PORT N         opens N, says "open" and ends when the other side has ended all of them
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static void *echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[16384];
	ssize_t n, w, at;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (at = 0; at < n; at += w)
			if ((w = write(fd, buf + at, (size_t)(n - at))) <= 0)
				goto out;
	shutdown(fd, SHUT_WR);
out:
	close(fd);
	return NULL;
}

static int serve(unsigned int port)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port };
	int s = socket(AF_VSOCK, SOCK_STREAM, 0), fd;
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 65536);
	if (s < 0 || bind(s, (void *)&a, sizeof(a)) < 0 || listen(s, 512) < 0) {
		perror("vsock");
		return 1;
	}
	puts("listening");
	fflush(stdout);
	for (;;) { /* a client that is gone before it was accepted is an error of accept(), not the server's end */
		fd = accept(s, NULL, NULL);
		if (fd >= 0 && pthread_create(&t, &attr, echo, (void *)(intptr_t)fd))
			close(fd);
	}
}

static int dial(const char *path, const char *port)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	char line[64] = { 0 };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (connect(s, (void *)&a, sizeof(a)) < 0 || dprintf(s, "CONNECT %s\n", port) < 0) {
		perror(path);
		exit(1);
	}
	for (size_t n = 0; n < sizeof(line) - 1 && read(s, line + n, 1) == 1 && line[n] != '\n'; n++)
		;
	if (strncmp(line, "OK", 2) != 0) {
		printf("%s", line);
		exit(1);
	}
	return s;
}

/* The byte of stream s at offset n. */
static unsigned char byte_of(int s, size_t n)
{
	return (unsigned char)(n * 31 + n / 251 + (size_t)s * 7);
}

static int storm(const char *path, const char *port, int n, size_t bytes)
{
	struct pollfd *p = calloc((size_t)n, sizeof(*p));
	size_t *out = calloc((size_t)n, sizeof(*out)), *in = calloc((size_t)n, sizeof(*in));
	int open_ = n, bad = 0;
	char buf[32768];

	for (int s = 0; s < n; s++) {
		p[s].fd = dial(path, port);
		fcntl(p[s].fd, F_SETFL, O_NONBLOCK);
	}
	printf("%d open\n", n);
	while (open_) {
		for (int s = 0; s < n; s++)
			p[s].events = (short)((out[s] < bytes ? POLLOUT : 0) | (s || open_ == 1 ? POLLIN : 0));
		if (poll(p, (nfds_t)n, 120000) <= 0) {
			printf("nothing moves, %d streams open\n", open_);
			return 1;
		}
		for (int s = 0; s < n; s++) {
			ssize_t r;

			if (p[s].fd >= 0 && (p[s].revents & POLLOUT)) {
				size_t len = bytes - out[s] < sizeof(buf) ? bytes - out[s] : sizeof(buf);

				for (size_t k = 0; k < len; k++)
					buf[k] = (char)byte_of(s, out[s] + k);
				r = send(p[s].fd, buf, len, MSG_NOSIGNAL);
				if (r > 0 && (out[s] += (size_t)r) == bytes)
					shutdown(p[s].fd, SHUT_WR);
			}
			if (p[s].fd < 0 || !(p[s].events & POLLIN) || !(p[s].revents & (POLLIN | POLLHUP | POLLERR)))
				continue;
			r = read(p[s].fd, buf, sizeof(buf));
			for (ssize_t k = 0; k < r; k++)
				bad += (unsigned char)buf[k] != byte_of(s, in[s]++);
			if (r == 0 || (r < 0 && errno != EAGAIN)) {
				bad += in[s] != bytes;
				close(p[s].fd);
				p[s].fd = -1;
				open_--;
			}
		}
	}
	printf("%d streams, %d wrong\n", n, bad);
	return bad != 0;
}

static int drop(const char *path, const char *port, int n)
{
	static char buf[65536];

	for (int s = 0; s < n; s++) {
		int fd = dial(path, port);

		for (int k = 0; k < 8; k++)
			if (send(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
				break;
	}
	return 0;
}

static int hold(const char *path, const char *port, int n)
{
	int *fds = calloc((size_t)n, sizeof(*fds)), left = 0;
	char c;

	for (int s = 0; s < n; s++)
		fds[s] = dial(path, port);
	puts("open");
	fflush(stdout);
	for (int s = 0; s < n; s++)
		left += read(fds[s], &c, 1) > 0;
	return left;
}

int main(int argc, char **argv)
{
	struct rlimit files = { 4096, 4096 };

	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		return serve((unsigned int)atoi(argv[2]));
	if (argc == 6 && strcmp(argv[1], "storm") == 0)
		return storm(argv[2], argv[3], atoi(argv[4]), (size_t)atol(argv[5]));
	if (argc == 5 && strcmp(argv[1], "drop") == 0)
		return drop(argv[2], argv[3], atoi(argv[4]));
	if (argc == 5 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2], argv[3], atoi(argv[4]));
	return 2;
}
