/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks into every other process of its pid namespace, again and again, until SIGTERM. A process before its execve is
 * recognised by what its /proc/PID/exe names. "peek amphi" reports each success in reading the exe link or an fd of one;
 * "peek write" each open for writing of a running or finished one's exe.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t done;

static void on_term(int sig)
{
	(void)sig;
	done = 1;
}

static int is_runtime(const char *exe)
{
	return !strcmp(exe, "/") || strstr(exe, "amphi");
}

static void look(const char *pid, int writing)
{
	char path[300], exe[4096];
	ssize_t n;
	DIR *d;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n < 0)
		return;
	exe[n] = '\0';
	if (!is_runtime(exe))
		return;
	if (!writing) {
		snprintf(path, sizeof(path), "/proc/%s/fd", pid);
		d = opendir(path);
		printf("leak: %s is %s%s\n", pid, exe, d ? ", fds can be listed" : "");
		if (d)
			closedir(d);
		return;
	}
	/* hold it by O_PATH until nobody runs it, then open for writing */
	fd = open(path, O_PATH);
	if (fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (int i = 0; i < 2000; i++) {
		int w = open(path, O_WRONLY);

		if (w >= 0) {
			printf("leak: opened the exe of %s (%s) for writing\n", pid, exe);
			close(w);
			break;
		}
	}
	close(fd);
}

int main(int argc, char **argv)
{
	int writing = argc > 1 && !strcmp(argv[1], "write");
	unsigned long rounds = 0;

	signal(SIGTERM, on_term);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (!done) {
		DIR *d = opendir("/proc");
		struct dirent *e;

		while (d && (e = readdir(d)))
			if (isdigit((unsigned char)e->d_name[0]) && atoi(e->d_name) != getpid())
				look(e->d_name, writing);
		if (d)
			closedir(d);
		rounds++;
	}
	printf("rounds %lu\n", rounds);
	return 0;
}
