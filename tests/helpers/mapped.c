/* SPDX-License-Identifier: Apache-2.0 */
/* mapped FILE: writes a MiB of 'm' by a shared mapping and ends with status 7; nobody has asked for the pages to be written. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEN (1 << 20)

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0644) : -1;
	char *m;

	if (fd < 0 || ftruncate(fd, LEN))
		return 1;
	m = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		return 1;
	memset(m, 'm', LEN);
	_exit(7);
}
