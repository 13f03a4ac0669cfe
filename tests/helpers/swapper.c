/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges two names for ever: a directory and a link, while somebody else walks over them. */
#include <fcntl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	for (;;)
		if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) < 0)
			perror("renameat2");
}
