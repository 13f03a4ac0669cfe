/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures a path of TCP. usage: netbench serve PORT                the far end, for as long as it lives
 *                                netbench ADDRESS PORT SECONDS     one line "name value unit" each: send, receive, round trips
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buf[256 << 10];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int stream(const char *address, const char *port, struct sockaddr_in *sa)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	*sa = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	inet_pton(AF_INET, address, &sa->sin_addr);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return s;
}

/* What the first byte asks for: 's' takes all and says when it has it, 'r' sends without end, 'p' gives each byte back. */
static void answer(int s)
{
	char what;

	if (read(s, &what, 1) != 1)
		return;
	if (what == 's') {
		while (read(s, buf, sizeof(buf)) > 0)
			;
		(void)!write(s, "", 1);
	} else if (what == 'r') {
		while (write(s, buf, sizeof(buf)) > 0)
			;
	} else {
		while (read(s, buf, 1) == 1 && write(s, buf, 1) == 1)
			;
	}
}

static int serve(const char *port)
{
	struct sockaddr_in sa;
	int l = stream("0.0.0.0", port, &sa), s;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	if (bind(l, (struct sockaddr *)&sa, sizeof(sa)) || listen(l, 16)) {
		perror("netbench");
		return 1;
	}
	while ((s = accept(l, NULL, NULL)) >= 0) {
		if (fork() == 0) {
			answer(s);
			_exit(0);
		}
		close(s);
	}
	return 1;
}

static int ask(const char *address, const char *port, char what)
{
	struct sockaddr_in sa;
	int s = stream(address, port, &sa);

	for (int i = 0; connect(s, (struct sockaddr *)&sa, sizeof(sa)); i++) {
		if (i == 50) {
			perror("netbench");
			exit(1);
		}
		usleep(100000);
	}
	if (write(s, &what, 1) != 1)
		exit(1);
	return s;
}

int main(int argc, char **argv)
{
	double seconds, t, bytes = 0;
	ssize_t n;
	int s;

	if (argc == 3)
		return serve(argv[2]);
	if (argc != 4)
		return 1;
	seconds = atof(argv[3]);
	s = ask(argv[1], argv[2], 's');
	t = now();
	while (now() - t < seconds && (n = write(s, buf, sizeof(buf))) > 0)
		bytes += (double)n;
	shutdown(s, SHUT_WR);
	(void)!read(s, buf, 1);
	printf("send %.1f MB/s\n", bytes / (now() - t) / 1e6);
	close(s);

	s = ask(argv[1], argv[2], 'r');
	t = now();
	for (bytes = 0; now() - t < seconds && (n = read(s, buf, sizeof(buf))) > 0;)
		bytes += (double)n;
	printf("receive %.1f MB/s\n", bytes / (now() - t) / 1e6);
	close(s);

	s = ask(argv[1], argv[2], 'p');
	t = now();
	for (bytes = 0; now() - t < seconds && write(s, buf, 1) == 1 && read(s, buf, 1) == 1;)
		bytes++;
	printf("round-trips %.0f /s\n", bytes / (now() - t));
	close(s);
	return 0;
}
