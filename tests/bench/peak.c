/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the peak memory of a command in KiB. usage: peak COMMAND...
 *
 * A program of its own since the peak of a process includes what it was before execve(2): forked from an interpreter
 * it would be the interpreter's.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct rusage use = { 0 };
	int status, null;
	pid_t pid;

	if (argc < 2)
		return 2;
	pid = fork();
	if (pid == 0) {
		null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd <= 2; fd++)
			dup2(null, fd);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &use) != pid || status)
		return 1;
	printf("%ld\n", use.ru_maxrss);
	return 0;
}
