/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of the guests of tests/unit/test_vm.c: says what it finds on the console and powers the machine off. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char line[512] = "";
	FILE *f;
	int fd = open("/dev/console", O_RDWR);

	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	printf("guest: hello from pid %d, %ld of %ld processors\n", (int)getpid(), sysconf(_SC_NPROCESSORS_ONLN),
	       sysconf(_SC_NPROCESSORS_CONF));
	f = fopen("/proc/meminfo", "r");
	if (f && fgets(line, sizeof(line), f))
		printf("guest: %s", line);
	f = fopen("/proc/cmdline", "r");
	if (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, "test.crash")) {
			printf("guest: going to panic\n");
			fflush(stdout);
			exit(1);
		}
		if (strstr(line, "test.loop")) {
			printf("guest: looping\n");
			fflush(stdout);
			for (;;)
				;
		}
		if (strstr(line, "test.reboot"))
			reboot(RB_AUTOBOOT);
	}
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 1;
}
