/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify(3) for a workload: sdnotify TEXT sends one datagram to $NOTIFY_SOCKET. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (argc != 2 || !path || sock < 0)
		return 2;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0 || send(sock, argv[1], strlen(argv[1]), 0) < 0) {
		perror(path);
		return 1;
	}
	return 0;
}
