/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: only the kernel calls that the default configuration implies, and nothing else.
 *
 * usage: floor ROOTFS CGROUP COMMAND...   It makes the cgroup, clones into new pid, network, ipc, uts, mount and cgroup
 * namespaces, mounts what `amphi spec` lists, makes the devices, masks the paths, pivots, drops capabilities and
 * runs the command; then waits and removes the cgroup. No JSON, no state, no errors handled: a runtime cannot be
 * faster than this on the same kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int r, const char *what)
{
	if (r < 0) {
		perror(what);
		_exit(125);
	}
}

static void child(const char *rootfs, char **argv)
{
	static const struct {
		const char *name;
		int major, minor;
	} dev[] = { { "null", 1, 3 },   { "zero", 1, 5 },    { "full", 1, 7 },
		    { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 } };
	static const char *const masked_files[] = { "proc/kcore", "proc/keys", "proc/timer_list", "proc/latency_stats",
						    "proc/sched_debug" };
	static const char *const masked_dirs[] = { "proc/acpi", "proc/scsi", "sys/firmware" };
	static const char *const readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };
	struct rlimit nofile = { 1024, 1024 };
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { { 0 } };

	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
	must(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), "bind");
	must(chdir(rootfs), "chdir");
	must(mount("proc", "proc", "proc", 0, NULL), "proc");
	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "dev");
	must(mkdir("dev/pts", 0755), "mkdir");
	must(mkdir("dev/shm", 0755), "mkdir");
	must(mkdir("dev/mqueue", 0755), "mkdir");
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"),
	     "pts");
	must(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"), "shm");
	must(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL), "mqueue");
	must(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL), "sysfs");
	(void)mount("cgroup", "sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL);
	for (size_t i = 0; i < sizeof(dev) / sizeof(dev[0]); i++) {
		char path[64];

		snprintf(path, sizeof(path), "dev/%s", dev[i].name);
		must(mknod(path, S_IFCHR | 0666, makedev((unsigned int)dev[i].major, (unsigned int)dev[i].minor)),
		     path);
	}
	(void)!symlink("/proc/self/fd", "dev/fd");
	(void)!symlink("/proc/self/fd/0", "dev/stdin");
	(void)!symlink("/proc/self/fd/1", "dev/stdout");
	(void)!symlink("/proc/self/fd/2", "dev/stderr");
	(void)!symlink("pts/ptmx", "dev/ptmx");
	for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++)
		if (!mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL))
			(void)mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
	for (size_t i = 0; i < sizeof(masked_files) / sizeof(masked_files[0]); i++)
		(void)mount("dev/null", masked_files[i], NULL, MS_BIND, NULL);
	for (size_t i = 0; i < sizeof(masked_dirs) / sizeof(masked_dirs[0]); i++)
		(void)mount("tmpfs", masked_dirs[i], "tmpfs", MS_RDONLY, "size=0k");
	must((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "umount");
	must(chdir("/"), "chdir");
	must(sethostname("floor", 5), "hostname");
	must(setrlimit(RLIMIT_NOFILE, &nofile), "rlimit");
	for (unsigned long cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap != CAP_KILL && cap != CAP_NET_BIND_SERVICE && cap != CAP_AUDIT_WRITE)
			must(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "bounding set");
	must((int)syscall(SYS_capset, &h, d), "capset");
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "nnp");
	execv(argv[0], argv);
	_exit(127);
}

int main(int argc, char **argv)
{
	struct clone_args ca = { .flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS |
					 CLONE_NEWCGROUP,
				 .exit_signal = SIGCHLD };
	int status = 0, fd = -1;
	pid_t pid;

	if (argc < 4)
		return 2;
	if (strcmp(argv[2], "-")) {
		must(mkdir(argv[2], 0755), argv[2]);
		fd = open(argv[2], O_PATH | O_CLOEXEC);
		ca.flags |= CLONE_INTO_CGROUP;
		ca.cgroup = (uint64_t)(unsigned int)fd;
	}
	pid = (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));
	must((int)pid, "clone3");
	if (pid == 0)
		child(argv[1], argv + 3);
	waitpid(pid, &status, 0);
	if (fd >= 0)
		(void)rmdir(argv[2]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
