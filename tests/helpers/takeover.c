/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could somebody do who has taken over a process? For each thread of PID this program tries, as that thread, what an
 * intruder would: it stops the thread in the system call it sleeps in, reads the seccomp filters that hold for it, and asks
 * them first, since a forbidden call ends the process. A call that the filters allow is then really made, by the thread.
 *
 * usage: takeover PID        one line for each thread and attempt: "ok NAME: VERDICT" or "not ok ..."; 1 if one succeeds
 *        takeover PID kill   the first thread that may not executes a program: the process must die of SIGSYS
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#define FILTERS_MAX 16

static pid_t target;
static struct sock_filter *filters[FILTERS_MAX];
static int filter_len[FILTERS_MAX], n_filters;
static struct user_regs_struct saved;

/* --- the filters --- */

/* Classic BPF as seccomp runs it. */
static uint32_t run_filter(const struct sock_filter *f, int len, const struct seccomp_data *d)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = { 0 };

	for (int pc = 0; pc < len; pc++) {
		uint32_t k = f[pc].k, b = BPF_SRC(f[pc].code) == BPF_X ? x : k;

		switch (BPF_CLASS(f[pc].code)) {
		case BPF_LD:
			if (BPF_MODE(f[pc].code) == BPF_ABS)
				memcpy(&a, (const char *)d + k, 4);
			else
				a = BPF_MODE(f[pc].code) == BPF_MEM     ? mem[k] :
					BPF_MODE(f[pc].code) == BPF_LEN ? sizeof(*d) :
									  k;
			break;
		case BPF_LDX:
			x = BPF_MODE(f[pc].code) == BPF_MEM ? mem[k] : k;
			break;
		case BPF_ST:
			mem[k] = a;
			break;
		case BPF_STX:
			mem[k] = x;
			break;
		case BPF_ALU:
			switch (BPF_OP(f[pc].code)) {
			case BPF_AND:
				a &= b;
				break;
			case BPF_OR:
				a |= b;
				break;
			case BPF_ADD:
				a += b;
				break;
			case BPF_SUB:
				a -= b;
				break;
			case BPF_LSH:
				a <<= b;
				break;
			case BPF_RSH:
				a >>= b;
				break;
			case BPF_XOR:
				a ^= b;
				break;
			case BPF_NEG:
				a = -a;
				break;
			}
			break;
		case BPF_JMP:
			switch (BPF_OP(f[pc].code)) {
			case BPF_JA:
				pc += (int)k;
				break;
			case BPF_JEQ:
				pc += a == b ? f[pc].jt : f[pc].jf;
				break;
			case BPF_JGT:
				pc += a > b ? f[pc].jt : f[pc].jf;
				break;
			case BPF_JGE:
				pc += a >= b ? f[pc].jt : f[pc].jf;
				break;
			case BPF_JSET:
				pc += a & b ? f[pc].jt : f[pc].jf;
				break;
			}
			break;
		case BPF_RET:
			return BPF_RVAL(f[pc].code) == BPF_A ? a : k;
		case BPF_MISC:
			if (BPF_MISCOP(f[pc].code) == BPF_TAX)
				x = a;
			else
				a = x;
			break;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

static void read_filters(pid_t tid)
{
	for (n_filters = 0; n_filters < FILTERS_MAX; n_filters++) {
		long len = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, n_filters, NULL);

		if (len <= 0)
			return;
		free(filters[n_filters]);
		filters[n_filters] = calloc((size_t)len, sizeof(struct sock_filter));
		filter_len[n_filters] = (int)len;
		ptrace(PTRACE_SECCOMP_GET_FILTER, tid, n_filters, filters[n_filters]);
	}
}

/* The strictest answer of all filters, as the kernel takes it (actions order as signed numbers). */
static uint32_t verdict(long nr, const uint64_t args[6])
{
	struct seccomp_data d = { .nr = (int)nr, .arch = AUDIT_ARCH_X86_64 };
	uint32_t strictest = SECCOMP_RET_ALLOW;

	memcpy(d.args, args, sizeof(d.args));
	for (int n = 0; n < n_filters; n++) {
		uint32_t r = run_filter(filters[n], filter_len[n], &d);

		if ((int32_t)(r & SECCOMP_RET_ACTION_FULL) < (int32_t)(strictest & SECCOMP_RET_ACTION_FULL))
			strictest = r;
	}
	return strictest;
}

/* --- the thread --- */

static int wait_stop(pid_t tid)
{
	int status;

	return waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status) ? 0 : -1;
}

static int seize(pid_t tid)
{
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 ||
	    wait_stop(tid) < 0)
		return -1;
	return (int)ptrace(PTRACE_GETREGS, tid, NULL, &saved);
}

static void let_go(pid_t tid)
{
	ptrace(PTRACE_SETREGS, tid, NULL, &saved);
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
}

/* The stopped thread makes a call at the syscall instruction it sleeps behind; the result, or -4095 - 1 when that fails. */
static long inject(pid_t tid, long nr, const uint64_t a[6])
{
	struct user_regs_struct r = saved;
	int status;

	r.rip = saved.rip - 2;
	r.rax = (unsigned long)nr;
	r.orig_rax = (unsigned long)-1;
	r.rdi = a[0];
	r.rsi = a[1];
	r.rdx = a[2];
	r.r10 = a[3];
	r.r8 = a[4];
	r.r9 = a[5];
	if (ptrace(PTRACE_SETREGS, tid, NULL, &r) < 0 || ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL) < 0)
		return -4096;
	if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
		return -4096;
	if (ptrace(PTRACE_GETREGS, tid, NULL, &r) < 0)
		return -4096;
	return (long)r.rax;
}

/* Bytes go below the red zone of its stack. */
static uint64_t place(pid_t tid, const void *data, size_t len, unsigned int slot)
{
	uint64_t at = (saved.rsp - 16384 + slot * 2048) & ~15ULL;
	struct iovec local = { (void *)data, len }, remote = { (void *)at, len };

	return process_vm_writev(tid, &local, 1, &remote, 1, 0) == (ssize_t)len ? at : 0;
}

/* --- the attempts --- */

struct attempt {
	const char *name;
	long nr;
	const char *text[2]; /* strings for arguments whose value is TEXT0 or TEXT1 */
	uint64_t args[6];
};

#define TEXT0 0x1111111111111110ULL
#define TEXT1 0x1111111111111111ULL
#define AT ((uint64_t)AT_FDCWD)

static const struct attempt attempts[] = {
	{ "open /etc/shadow", SYS_openat, { "/etc/shadow" }, { AT, TEXT0, O_RDONLY } },
	{ "open /etc/shadow through ..", SYS_openat, { "/export/../../../etc/shadow" }, { AT, TEXT0, O_RDONLY } },
	{ "open /etc/shadow by the first process",
	  SYS_openat,
	  { "/proc/1/root/../etc/shadow" },
	  { AT, TEXT0, O_RDONLY } },
	{ "open the state of another container", SYS_openat, { "/run/amphi" }, { AT, TEXT0, O_RDONLY | O_DIRECTORY } },
	{ "write the core pattern", SYS_openat, { "/proc/sys/kernel/core_pattern" }, { AT, TEXT0, O_WRONLY } },
	{ "write sysrq", SYS_openat, { "/proc/sysrq-trigger" }, { AT, TEXT0, O_WRONLY } },
	{ "write a sysctl of the network", SYS_openat, { "/proc/sys/net/ipv4/ip_forward" }, { AT, TEXT0, O_WRONLY } },
	{ "open sysfs", SYS_openat, { "/sys/kernel" }, { AT, TEXT0, O_RDONLY | O_DIRECTORY } },
	{ "open memory", SYS_openat, { "/dev/mem" }, { AT, TEXT0, O_RDWR } },
	{ "open /proc/kcore", SYS_openat, { "/proc/kcore" }, { AT, TEXT0, O_RDONLY } },
	{ "open the cgroup tree", SYS_openat, { "/sys/fs/cgroup/cgroup.procs" }, { AT, TEXT0, O_WRONLY } },
	{ "make a file in the jail's root", SYS_openat, { "/intruder" }, { AT, TEXT0, O_CREAT | O_WRONLY, 0600 } },
	{ "open by a file handle", SYS_open_by_handle_at, { "\x08" }, { 3, TEXT0, O_RDONLY } },
	{ "execute a shell", SYS_execve, { "/bin/sh" }, { TEXT0 } },
	{ "execute by descriptor", SYS_execveat, { "" }, { 3, TEXT0, 0, 0, AT_EMPTY_PATH } },
	{ "internet socket", SYS_socket, { 0 }, { AF_INET, SOCK_STREAM } },
	{ "packet socket", SYS_socket, { 0 }, { AF_PACKET, SOCK_RAW } },
	{ "netlink socket", SYS_socket, { 0 }, { AF_NETLINK, SOCK_RAW } },
	{ "vsock socket", SYS_socket, { 0 }, { AF_VSOCK, SOCK_STREAM } },
	{ "mount", SYS_mount, { "none", "/proc" }, { TEXT0, TEXT1, TEXT1, MS_BIND } },
	{ "new mount API", SYS_open_tree, { "/" }, { AT, TEXT0, 1 } },
	{ "umount", SYS_umount2, { "/proc" }, { TEXT0, MNT_DETACH } },
	{ "chroot", SYS_chroot, { "/export" }, { TEXT0 } },
	{ "pivot_root", SYS_pivot_root, { "/export", "/export" }, { TEXT0, TEXT1 } },
	{ "setns", SYS_setns, { 0 }, { 3, 0 } },
	{ "user namespace", SYS_unshare, { 0 }, { CLONE_NEWUSER } },
	{ "mount namespace", SYS_unshare, { 0 }, { CLONE_NEWNS } },
	{ "child in a user namespace", SYS_clone, { 0 }, { CLONE_NEWUSER | SIGCHLD } },
	{ "ptrace", SYS_ptrace, { 0 }, { PTRACE_ATTACH, 1 } },
	{ "read another process", SYS_process_vm_readv, { 0 }, { 1 } },
	{ "take another's descriptor", SYS_pidfd_getfd, { 0 }, { 3, 0 } },
	{ "reboot", SYS_reboot, { 0 }, { 0xfee1dead, 672274793, 0x1234567 } },
	{ "load a module", SYS_finit_module, { "" }, { 3, TEXT0 } },
	{ "kexec", SYS_kexec_load, { 0 }, { 0 } },
	{ "bpf", SYS_bpf, { 0 }, { 0 } },
	{ "perf events", SYS_perf_event_open, { 0 }, { 0 } },
	{ "io_uring", SYS_io_uring_setup, { 0 }, { 8 } },
	{ "userfaultfd", SYS_userfaultfd, { 0 }, { 0 } },
	{ "keyring", SYS_keyctl, { 0 }, { 0 } },
	{ "swap", SYS_swapon, { "/export" }, { TEXT0 } },
	{ "hostname", SYS_sethostname, { "x" }, { TEXT0, 1 } },
	{ "clock", SYS_settimeofday, { 0 }, { 0 } },
	{ "I/O ports", SYS_iopl, { 0 }, { 3 } },
	{ "capabilities of its own",
	  SYS_capset,
	  { "\x22\x05\x08\x20\0\0\0\0",
	    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
	    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" },
	  { TEXT0, TEXT1 } },
};

static int is_refusal(long r)
{
	static const int errors[] = { EPERM, EACCES, ENOENT, ESRCH, EROFS, ENOSYS, ENXIO, EAFNOSUPPORT };

	for (size_t n = 0; n < sizeof(errors) / sizeof(errors[0]); n++)
		if (r == -errors[n])
			return 1;
	return 0;
}

/* Makes the call as the thread. Its result, or INT64_MAX when the filters would kill for it. */
static long attempt_call(pid_t tid, long nr, const char *const text[2], const uint64_t given[6])
{
	static const size_t room = 64;
	uint64_t args[6];
	uint32_t v;

	memcpy(args, given, sizeof(args));
	for (unsigned int n = 0; n < 6; n++) {
		unsigned int which = args[n] == TEXT1;
		char data[64] = { 0 };

		if (args[n] != TEXT0 && args[n] != TEXT1)
			continue;
		if (text[which])
			memcpy(data, text[which],
			       which && nr == SYS_capset          ? 24 :
				       !which && nr == SYS_capset ? 8 :
								    strlen(text[which]));
		args[n] = place(tid, data, room, which);
	}
	v = verdict(nr, args);
	switch (v & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		return inject(tid, nr, args);
	case SECCOMP_RET_ERRNO:
		return -(long)(v & SECCOMP_RET_DATA);
	default:
		return INT64_MAX;
	}
}

static int report(const char *thread, const char *what, long r)
{
	int good = r == INT64_MAX || is_refusal(r);

	printf("%s %s: %s: %s\n", good ? "ok" : "not ok", thread, what,
	       r == INT64_MAX             ? "SIGSYS" :
		       r < 0 && r > -4096 ? strerrorname_np((int)-r) :
		       r < 0              ? "cannot be tried" :
					    "SUCCEEDS");
	return !good;
}

/* Another process (ours), and a disk of the host by a node in the tree that it may change. */
static int special_attempts(pid_t tid, const char *thread)
{
	static const char *const none[2] = { 0 }, *const node[2] = { "/export/rootfs/.takeover", 0 };
	int bad = report(thread, "kill a process of the host",
			 attempt_call(tid, SYS_kill, none, (const uint64_t[6]){ (uint64_t)getpid(), 9 }));
	long r;

	/* A KVM descriptor that was left open would do. */
	r = INT64_MAX;
	for (uint64_t fd = 3; fd < 48; fd++) {
		r = attempt_call(tid, SYS_ioctl, none, (const uint64_t[6]){ fd, 0xae01 /* KVM_CREATE_VM */, 0 });
		if (r >= 0)
			break;
		r = -EPERM;
	}
	bad += report(thread, "another virtual machine", r);
	r = attempt_call(tid, SYS_mknodat, node, (const uint64_t[6]){ AT, TEXT0, S_IFBLK | 0600, makedev(8, 0) });
	if (r == 0) {
		r = attempt_call(tid, SYS_openat, node, (const uint64_t[6]){ AT, TEXT0, O_RDWR });
		attempt_call(tid, SYS_unlinkat, node, (const uint64_t[6]){ AT, TEXT0, 0 });
	}
	return bad + report(thread, "open a disk of the host", r);
}

static int take_over(pid_t tid, int do_kill)
{
	unsigned char code[2];
	char path[64], thread[64] = "?", comm[32] = "?";
	struct iovec local = { code, 2 }, remote;
	int bad = 0, fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", target, tid);
	fd = open(path, O_RDONLY);
	if (fd >= 0 && read(fd, comm, sizeof(comm) - 1) > 0)
		comm[strcspn(comm, "\n")] = 0;
	close(fd);
	snprintf(thread, sizeof(thread), "%s/%d", comm, tid);
	if (seize(tid) < 0) {
		printf("not ok %s: cannot be stopped: %s\n", thread, strerror(errno));
		return 1;
	}
	remote = (struct iovec){ (void *)(saved.rip - 2), 2 };
	if (process_vm_readv(tid, &local, 1, &remote, 1, 0) != 2 || code[0] != 0x0f || code[1] != 0x05) {
		printf("# %s: does not sleep in a system call\n", thread);
		let_go(tid);
		return 0;
	}
	read_filters(tid);
	if (do_kill) {
		static const uint64_t nothing[6] = { 0 };

		if (verdict(SYS_execve, nothing) == SECCOMP_RET_ALLOW) {
			let_go(tid);
			return 0;
		}
		inject(tid, SYS_execve, nothing);
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
		return 2;
	}
	if (!n_filters) {
		let_go(tid);
		return report(thread, "no filter at all", 0);
	}
	for (size_t n = 0; n < sizeof(attempts) / sizeof(attempts[0]); n++)
		bad += report(thread, attempts[n].name,
			      attempt_call(tid, attempts[n].nr, attempts[n].text, attempts[n].args));
	bad += special_attempts(tid, thread);
	let_go(tid);
	return bad;
}

int main(int argc, char **argv)
{
	int bad = 0, threads = 0, do_kill = argc > 2 && strcmp(argv[2], "kill") == 0;
	pid_t tids[256];
	char path[64];
	struct dirent *e;
	DIR *d;

	if (argc < 2)
		return 2;
	target = atoi(argv[1]);
	snprintf(path, sizeof(path), "/proc/%d/task", target);
	d = opendir(path);
	while (d && threads < 256 && (e = readdir(d)))
		if (e->d_name[0] != '.')
			tids[threads++] = atoi(e->d_name);
	for (int n = 0; n < threads; n++) {
		int r = take_over(tids[n], do_kill);

		if (r == 2 && do_kill)
			return 0;
		bad += r;
	}
	printf("# %d threads, %d attempts succeed\n", threads, bad);
	return bad || !threads || do_kill;
}
