/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's lock-up. A compromised monitor is a guest that got out, so it keeps nothing it does not use: no new
 * privileges, only virtio-fs's capabilities (and those only in its threads), and per kind of thread a list of the
 * system calls it makes; any other kills the process.
 *
 * The lists are the "#syscalls" notes of the sources, gathered here as text; the filters are compiled once by
 * lockdown_process(), so that a thread installs its own by a single prctl-free seccomp(2). Filters add up: a thread inherits
 * the list of the thread that started it, so the main list is the union of all others and what starting them
 * takes. ioctl is narrowed by its request for all (KVM_IRQ_LINE), vCPUs (KVM_RUN, KVM_KVMCLOCK_CTRL) and devices
 * (TUNSETQUEUE), socket by its family, clone and unshare by their flags: no thread makes a namespace.
 *
 * An error instead of death for the few calls that libraries probe for: clone3 where clone does, openat in threads that
 * have no files.
 */
#include "vm/lockdown.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

/* What every thread may do: memory, time, locks, its own descriptors and its end. */
static const char every[] =
	"read write readv writev pread64 pwrite64 close futex mmap munmap mremap mprotect madvise brk rt_sigreturn "
	"rt_sigprocmask rt_sigaction sigaltstack exit exit_group clock_gettime clock_nanosleep nanosleep gettimeofday "
	"gettid getpid tgkill sched_yield poll ppoll epoll_wait epoll_pwait epoll_ctl restart_syscall rseq "
	"set_robust_list getrandom fstat newfstatat lseek sched_getaffinity membarrier prctl capget";

static const char fs[] =
	"openat openat2 statx fchmod fchmodat fchown fchownat ftruncate utimensat fstatfs statfs preadv preadv2 "
	"pwritev "
	"pwritev2 fsync fdatasync fallocate copy_file_range syncfs sync_file_range flock fcntl dup setxattr "
	"getxattr listxattr removexattr fsetxattr fgetxattr flistxattr fremovexattr lsetxattr lgetxattr llistxattr "
	"lremovexattr readlinkat symlinkat mknodat mkdirat unlinkat renameat renameat2 linkat setfsuid setfsgid "
	"setresuid setresgid setgroups umask capget capset getdents64 faccessat faccessat2 name_to_handle_at "
	"sendmsg recvmsg eventfd2 chdir fchdir";

/* Another process: it opens files by handles that it knows for its own. */
static const char reopen[] = "sendmsg recvmsg name_to_handle_at open_by_handle_at";

static const char vsock[] =
	"socketpair connect accept accept4 shutdown sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg getsockopt "
	"setsockopt getsockname getpeername fcntl eventfd2 dup listen bind";

/* Starting threads and devices, and what the monitor's caller does around the machine's run. */
static const char main_only[] =
	"ioctl set_tid_address wait4 waitid kill pidfd_send_signal pidfd_open seccomp prlimit64 "
	"epoll_create1 timerfd_create timerfd_settime timerfd_gettime signalfd4 rt_sigtimedwait rt_sigpending pipe2 "
	"dup2 "
	"dup3 memfd_create getuid geteuid getgid getegid getppid setsid setpgid getpgid getsid getrusage sysinfo uname "
	"open stat lstat access unlink rename mkdir rmdir getcwd fadvise64 pselect6 select splice tee vmsplice "
	"sendfile "
	"sched_setaffinity sched_getparam sched_setscheduler sched_getscheduler get_robust_list arch_prctl munlock "
	"mlock close_range times setitimer getitimer alarm pause getpgrp tkill";

#define NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

static struct {
	enum lockdown_mode mode;
	bool ready;
	struct sock_fprog programs[LOCKDOWN_KIND_MAX];
} state;

const char *lockdown_kind_name(enum lockdown_kind kind)
{
	static const char *const names[] = { "main", "vcpu", "device", "fs", "vsock", "reopen" };

	_Static_assert(ARRAY_SIZE(names) == LOCKDOWN_REOPEN + 1, "a word for each kind");
	return kind < ARRAY_SIZE(names) ? names[kind] : "unknown";
}

static int allow(scmp_filter_ctx ctx, const char *list, struct err *err)
{
	cleanup_strv char **names = strv_split(list, ' ');

	for (size_t i = 0; names[i]; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]), r;

		if (nr == __NR_SCMP_ERROR) /* not known to this libseccomp: stays forbidden */
			continue;
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
		if (r < 0 && r != -EEXIST)
			return err_sys(err, r, "lockdown: %s", names[i]);
	}
	return 0;
}

/* New threads and processes, but no namespaces: clone3, whose flags cannot be looked at, does not exist. */
static int allow_threads(scmp_filter_ctx ctx)
{
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES, 0));

	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(unshare), 1, SCMP_A0(SCMP_CMP_EQ, CLONE_FS));
	return r;
}

static int allow_kind(scmp_filter_ctx ctx, enum lockdown_kind kind, struct err *err)
{
	int r = allow(ctx, every, err);

	/* Every device interrupts its guest. */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, KVM_IRQ_LINE));
	/* The C library's heap looks into /proc when it shrinks for the first time, and goes on without. */
	if (!r && kind != LOCKDOWN_MAIN && kind != LOCKDOWN_FS)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	switch (kind) {
	case LOCKDOWN_REOPEN:
		return r ? r : allow(ctx, reopen, err);
	case LOCKDOWN_VCPU:
		if (!r)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, KVM_RUN));
		if (!r)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
					     SCMP_A1(SCMP_CMP_EQ, KVM_KVMCLOCK_CTRL));
		return r;
	case LOCKDOWN_DEVICE: /* virtio-net attaches queues of its tap and detaches them */
		return r ? r :
			   seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TUNSETQUEUE));
	case LOCKDOWN_FS:
		return r ? r : allow(ctx, fs, err);
	case LOCKDOWN_MAIN:
		if (!r)
			r = allow(ctx, main_only, err);
		if (!r)
			r = allow(ctx, fs, err);
		if (!r)
			r = allow_threads(ctx);
		/* fall through */
	case LOCKDOWN_VSOCK:
		if (!r)
			r = allow(ctx, vsock, err);
		if (!r)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
		return r;
	default:
		return err_set(err, EINVAL, "lockdown: kind %d", kind);
	}
}

/* Compiles one kind's filter to BPF. */
static int compile(enum lockdown_kind kind, enum lockdown_mode mode, struct sock_fprog *ret, struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(mode == LOCKDOWN_LOG ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS);
	cleanup_fd int fd = -1;
	char *buf = NULL;
	size_t len = 0;
	int r;

	if (!ctx)
		return err_set(err, ENOMEM, "lockdown: filter of %s", lockdown_kind_name(kind));
	r = allow_kind(ctx, kind, err);
	if (!r)
		r = fd = fd_memfd("lockdown", NULL, 0, false);
	if (r >= 0)
		r = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	if (r >= 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r >= 0)
		r = fd_slurp(fd, 1 << 20, &buf, &len);
	if (r < 0)
		return err->code ? err->code : err_sys(err, r, "lockdown: filter of %s", lockdown_kind_name(kind));
	ret->len = (unsigned short)(len / sizeof(struct sock_filter));
	ret->filter = (struct sock_filter *)buf;
	return 0;
}

static int set_caps(uint64_t caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	for (unsigned int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(caps >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/* The environment of a developer goes before what is asked for. */
static enum lockdown_mode wanted(enum lockdown_mode mode)
{
	const char *env = getenv("AMPHI_VM_LOCKDOWN");

	if (env && !strcmp(env, "off"))
		return LOCKDOWN_OFF;
	return env && !strcmp(env, "log") ? LOCKDOWN_LOG : mode;
}

static int give_up(uint64_t caps, struct err *err)
{
	/* Ambient capabilities go with the inheritable ones. */
	int r = set_caps(caps);

	if (r < 0)
		return err_sys(err, r, "lockdown: capabilities");
	if (prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_sys(err, -errno, "lockdown: prctl");
	return 0;
}

int lockdown_reopen(enum lockdown_mode mode, struct err *err)
{
	struct sock_fprog program;
	struct err ignored = { 0 };
	int r;

	err = err ? err : &ignored;
	mode = wanted(mode);
	if (mode == LOCKDOWN_OFF)
		return 0;
	r = compile(LOCKDOWN_REOPEN, mode, &program, err);
	if (!r)
		r = give_up(1ULL << CAP_DAC_READ_SEARCH, err);
	if (!r && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		r = err_sys(err, -errno, "lockdown: filter of %s", lockdown_kind_name(LOCKDOWN_REOPEN));
	return r;
}

int lockdown_process(enum lockdown_mode mode, struct err *err)
{
	static const int kept[] = { CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID,
				    CAP_SETGID, CAP_SETUID,       CAP_MKNOD,           CAP_SETFCAP };
	struct err ignored = { 0 };
	uint64_t caps = 0;
	int r;

	err = err ? err : &ignored;
	mode = wanted(mode);
	if (mode == LOCKDOWN_OFF)
		return 0;
	for (enum lockdown_kind k = 0; k < LOCKDOWN_KIND_MAX && !state.ready; k++) {
		r = compile(k, mode, &state.programs[k], err);
		if (r < 0)
			return r;
	}
	state.mode = mode;
	state.ready = true;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		caps |= 1ULL << kept[i];
	return give_up(caps, err);
}

int lockdown_thread(enum lockdown_kind kind, struct err *err)
{
	int r;

	if (!state.ready)
		return 0;
	if (kind != LOCKDOWN_FS && kind != LOCKDOWN_MAIN) {
		r = set_caps(0);
		if (r < 0)
			return err_sys(err, r, "lockdown: capabilities of %s", lockdown_kind_name(kind));
	}
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &state.programs[kind]))
		return err_sys(err, -errno, "lockdown: filter of %s", lockdown_kind_name(kind));
	return 0;
}
