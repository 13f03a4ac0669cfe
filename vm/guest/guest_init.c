/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of the machine.
 *
 * The order: modules → mounts → loopback → listen → the module of vsock's transport → serve. The host's calls wait until
 * that transport is there, and then find somebody who listens. Each connection of the host is served by a forked
 * process (guest_agent.c), as each command on the host is a process of its own: single threaded, blocking, and
 * what it does wrong ends with it. PID 1 itself only accepts and reaps. It never exits: a failure before the agent
 * listens is said on the console and powers the machine off, which the host reports as a machine that was lost.
 */
#include "vm/guest/guest_init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "vm/guest/guest_agent.h"
#include "vm/guest/guest_mount.h"
#include "vm/guest/guest_net.h"

#define TRANSPORT "vmw_vsock_virtio_transport.ko"

/* A line on the console: the kernel log, where a reader of the host finds it. */
static void say(const char *what, const char *text)
{
	cleanup_fd int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	cleanup_free char *line = xasprintf("<3>amphi-init: %s: %s\n", what, text);

	if (fd < 0)
		fd = open("/dev/console", O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0)
		(void)!write(fd, line, strlen(line));
}

static _Noreturn void power_off(void)
{
	sync();
	for (;;) {
		reboot(RB_POWER_OFF);
		reboot(RB_AUTOBOOT);
		pause();
	}
}

static void load_module(int fd, const char *name)
{
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		say(name, strerror(errno));
}

/*
 * Loads the modules that the host packed, in its order; the files' memory is given back. The transport's is only opened (or
 * -1: it is built in).
 */
static int load_modules(void)
{
	cleanup_fd int dirfd = open("/lib/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC), transport = -1;
	cleanup_free char *list = NULL;
	cleanup_strv char **names = NULL;
	size_t len;

	if (dirfd < 0 || fd_slurp_at(dirfd, "order", 1 << 16, &list, &len) < 0)
		return -1;
	names = strv_split(list, '\n');
	for (char **n = names; n && *n; n++) {
		cleanup_fd int fd = **n ? openat(dirfd, *n, O_RDONLY | O_CLOEXEC) : -1;

		if (!**n)
			continue;
		if (fd >= 0 && transport < 0 && !strcmp(*n, TRANSPORT))
			transport = steal_fd(fd);
		else
			load_module(fd, *n);
		(void)unlinkat(dirfd, *n, 0);
	}
	return steal_fd(transport);
}

static void raise_limits(void)
{
	struct rlimit files = { 1048576, 1048576 }, core = { 0, RLIM_INFINITY };

	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)setrlimit(RLIMIT_CORE, &core);
}

/* Accepts and reaps for ever. */
static _Noreturn void serve(int listener, int signal_fd)
{
	for (;;) {
		struct pollfd pfd[2] = { { .fd = listener, .events = POLLIN }, { .fd = signal_fd, .events = POLLIN } };
		struct signalfd_siginfo si;

		(void)poll(pfd, 2, -1);
		if (pfd[1].revents)
			(void)!read(signal_fd, &si, sizeof(si));
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (pfd[0].revents) {
			cleanup_fd int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			pid_t pid = fd < 0 ? -1 : fork();

			if (pid == 0) {
				sigset_t none;

				close(listener);
				close(signal_fd);
				sigemptyset(&none);
				sigprocmask(SIG_SETMASK, &none, NULL);
				guest_agent_serve(fd);
			}
		}
	}
}

int guest_init_main(int argc, char **argv)
{
	int listener, signal_fd, transport;
	struct err err = { 0 };
	sigset_t set;

	if (getpid() != 1) {
		fprintf(stderr, "amphi-init: runs as the first process of a machine (version %s)\n", AMPHI_VERSION);
		return 1;
	}
	child_title_init(argc, argv);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	transport = load_modules();
	if (guest_mount_root(&err) < 0) {
		say("mounts", err.msg);
		power_off();
	}
	raise_limits();
	if (guest_net_loopback(&err) < 0)
		say("network", err.msg);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	listener = guest_agent_listen(&err);
	if (listener < 0 || signal_fd < 0) {
		say("agent", err.msg);
		power_off();
	}
	if (transport >= 0) {
		load_module(transport, TRANSPORT);
		close(transport);
	}
	child_title("amphi-init");
	serve(listener, signal_fd);
}
