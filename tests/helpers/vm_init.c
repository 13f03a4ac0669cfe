/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of the drivers' own tests, independent of amphi-init: loads the modules of /lib/modules/order, mounts the virtio-fs
 * share on /mnt, echoes on vsock port 1024 (each connection in a thread), runs /mnt/run with its output in /mnt/out, sends its
 * wait status to host port 1023, waits for end of file there and powers off. Without /mnt/run it only echoes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static void load_modules(void)
{
	FILE *f = fopen("/lib/modules/order", "re");
	char name[256], path[300];

	while (f && fgets(name, sizeof(name), f)) {
		int fd;

		name[strcspn(name, "\n")] = 0;
		snprintf(path, sizeof(path), "/lib/modules/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
			printf("vm_init: %s: %m\n", name);
		close(fd);
	}
	if (f)
		fclose(f);
}

static void *echo(void *arg)
{
	static __thread char buf[65536];
	int fd = (int)(intptr_t)arg;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0, w; at < n; at += w) {
			w = write(fd, buf + at, (size_t)(n - at));
			if (w <= 0)
				goto out;
		}
	}
out:
	close(fd);
	return NULL;
}

static void *echo_server(void *arg)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 1024 };
	int s = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	if (bind(s, (void *)&a, sizeof(a)) < 0 || listen(s, 128) < 0) {
		printf("vm_init: vsock: %m\n");
		return NULL;
	}
	for (;;) {
		int fd = accept4(s, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0 && pthread_create(&t, &attr, echo, (void *)(intptr_t)fd))
			close(fd);
	}
}

static void report(int status)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 1023 };
	int s = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int32_t word = status;
	char c;

	if (connect(s, (void *)&a, sizeof(a)) < 0 || write(s, &word, sizeof(word)) != sizeof(word))
		printf("vm_init: report: %m\n");
	else if (read(s, &c, 1) != 0)
		printf("vm_init: report: no end of file\n");
	close(s);
}

int main(void)
{
	pthread_t t;
	int status = 0, fd;
	pid_t pid;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mkdir("/mnt", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	fd = open("/dev/console", O_RDWR);
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	setvbuf(stdout, NULL, _IONBF, 0);
	load_modules();
	if (mount("amphi", "/mnt", "virtiofs", 0, NULL) < 0)
		printf("vm_init: virtiofs: %m\n");
	pthread_create(&t, NULL, echo_server, NULL);
	if (access("/mnt/run", X_OK) < 0)
		pause();
	pid = fork();
	if (pid == 0) {
		fd = open("/mnt/out", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
		dup2(fd, 1);
		dup2(fd, 2);
		setenv("PATH", "/mnt/bin:/bin:/sbin", 1);
		if (chdir("/mnt") == 0)
			execl("/mnt/run", "run", (char *)NULL);
		fprintf(stderr, "vm_init: run: %m\n");
		_exit(127);
	}
	waitpid(pid, &status, 0);
	sync();
	report(status);
	reboot(RB_POWER_OFF);
	return 1;
}
