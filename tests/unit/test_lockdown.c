/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's seccomp lists: each kind may do its work, and dies of what is not on its list. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/lockdown.h"

#include "tests/unit/tap.h"

static enum lockdown_kind kind_now;
static void (*work_now)(void);

static void *thread_main(void *arg)
{
	if (lockdown_thread(kind_now, NULL) < 0)
		_exit(90);
	work_now();
	return NULL;
}

/* Runs work in a thread of the kind (started by a locked main thread) of a child. Its wait status. */
static int child(enum lockdown_mode mode, enum lockdown_kind kind, void (*work)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct rlimit none = { 0 };
		pthread_t t;

		setrlimit(RLIMIT_CORE, &none);
		if (lockdown_process(mode, NULL) < 0 || lockdown_thread(LOCKDOWN_MAIN, NULL) < 0)
			_exit(91);
		kind_now = kind;
		work_now = work;
		if (pthread_create(&t, NULL, thread_main, NULL))
			_exit(92);
		pthread_join(t, NULL);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	return status;
}

static void do_nothing(void)
{
	char c = 0;
	int r = (int)write(-1, &c, 1);

	free(malloc(100000 + (size_t)(r & 1)));
}

/* Refused, and lived through: the C library asks for a file now and then. */
static void do_refused(void)
{
	if (open("/", O_RDONLY | O_DIRECTORY) >= 0 || errno != EACCES)
		_exit(9);
}

static void do_open(void)
{
	close(open("/", O_RDONLY | O_DIRECTORY));
}

static void do_unix(void)
{
	close(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void do_inet(void)
{
	close(socket(AF_INET, SOCK_STREAM, 0));
}

static void do_exec(void)
{
	char *argv[] = { (char *)"true", NULL };

	execv("/nonexistent", argv);
}

static void do_run(void)
{
	ioctl(-1, KVM_RUN, 0);
}

static void do_interrupt(void)
{
	struct kvm_irq_level line = { .irq = 5 };

	ioctl(-1, KVM_IRQ_LINE, &line);
}

static void do_ioctl(void)
{
	ioctl(-1, KVM_SET_USER_MEMORY_REGION, 0);
}

static void do_ptrace(void)
{
	syscall(SYS_ptrace, 0, 0, 0, 0);
}

static void has_no_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &head, data);
	if (data[0].permitted || data[1].permitted || data[0].effective)
		_exit(93);
}

static void has_no_new_privs(void)
{
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
		_exit(94);
}

static void keeps_few_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &head, data);
	if (data[0].permitted & (1u << CAP_SYS_ADMIN | 1u << CAP_NET_ADMIN | 1u << CAP_SYS_PTRACE))
		_exit(95);
}

#define lives(kind, work) is_int(child(LOCKDOWN_KILL, kind, work), 0)
#define dies(kind, work) is_int(WTERMSIG(child(LOCKDOWN_KILL, kind, work)), SIGSYS)

int main(void)
{
	unsetenv("AMPHI_VM_LOCKDOWN");
	for (enum lockdown_kind k = 0; k < LOCKDOWN_KIND_MAX; k++) {
		lives(k, do_nothing);
		lives(k, do_interrupt);
		dies(k, do_exec);
		dies(k, do_ptrace);
		dies(k, do_inet);
		lives(k, has_no_new_privs);
		lives(k, keeps_few_caps);
	}
	lives(LOCKDOWN_FS, do_open);
	lives(LOCKDOWN_VSOCK, do_unix);
	lives(LOCKDOWN_DEVICE, do_refused);
	dies(LOCKDOWN_DEVICE, do_unix);
	lives(LOCKDOWN_VCPU, do_refused);
	lives(LOCKDOWN_VSOCK, do_refused);
	dies(LOCKDOWN_FS, do_unix);
	lives(LOCKDOWN_VCPU, do_run);
	dies(LOCKDOWN_VCPU, do_ioctl);
	lives(LOCKDOWN_VCPU, has_no_caps);
	lives(LOCKDOWN_DEVICE, has_no_caps);
	lives(LOCKDOWN_VSOCK, has_no_caps);
	is_int(child(LOCKDOWN_OFF, LOCKDOWN_VCPU, do_open), 0);
	is_str(lockdown_kind_name(LOCKDOWN_VSOCK), "vsock");
	return tap_done();
}
