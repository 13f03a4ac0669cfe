/* SPDX-License-Identifier: Apache-2.0 */
/* Tries a lock on a file and says "got" or the error. usage: lock flock|fcntl|ofd FILE [SECONDS: keeps it] */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10 };
	int fd = argc > 2 ? open(argv[2], O_RDWR | O_CREAT, 0600) : -1, r;

	if (fd < 0) {
		perror("lock");
		return 1;
	}
	if (strcmp(argv[1], "flock") == 0)
		r = flock(fd, LOCK_EX | LOCK_NB);
	else
		r = fcntl(fd, strcmp(argv[1], "ofd") == 0 ? F_OFD_SETLK : F_SETLK, &l);
	puts(r < 0 ? strerrorname_np(errno) : "got");
	fflush(stdout);
	if (r == 0 && argc > 3)
		sleep((unsigned int)atoi(argv[3]));
	return 0;
}
