/* SPDX-License-Identifier: Apache-2.0 */
/* Processes as ps shows them. */
/*
 * Theory of operation: stat, status and cmdline of /proc are enough for the columns of ps -ef. The table is our own
 * so that it is the same for a machine, whose processes no ps of the host can see.
 */
#include "runtime/proctable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/backend.h"

static int proc_open(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void tty_name(unsigned int dev, char buf[16])
{
	unsigned int major = dev >> 8 & 0xfff, minor = (dev & 0xff) | (dev >> 12 & 0xfff00);

	if (!dev)
		snprintf(buf, 16, "?");
	else if (major >= 136 && major <= 143)
		snprintf(buf, 16, "pts/%u", minor + 256 * (major - 136));
	else if (major == 4)
		snprintf(buf, 16, "%s%u", minor < 64 ? "tty" : "ttyS", minor < 64 ? minor : minor - 64);
	else
		snprintf(buf, 16, "%u:%u", major, minor);
}

static uint64_t boot_time_s(void)
{
	struct timespec now, up;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	return (uint64_t)(now.tv_sec - up.tv_sec);
}

/* The command line with blanks for NULs; unprintable bytes as '?', so that a process cannot drive our terminal. */
static void command_line(int dir, const char *comm, size_t comm_len, char buf[256])
{
	cleanup_fd int fd = openat(dir, "cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : fd_read_all(fd, buf, 255);

	while (n > 0 && !buf[n - 1])
		n--;
	if (n <= 0) {
		snprintf(buf, 256, "[%.*s]", (int)comm_len, comm);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		if (!buf[i])
			buf[i] = ' ';
		else if ((unsigned char)buf[i] < ' ' || buf[i] == 127)
			buf[i] = '?';
	buf[n] = 0;
}

int proctable_read(pid_t pid, struct ps_entry *ret)
{
	cleanup_fd int dir = proc_open(pid);
	cleanup_free char *stat_text = NULL;
	unsigned long long start = 0;
	unsigned long utime = 0, stime = 0;
	long ticks = sysconf(_SC_CLK_TCK);
	const char *open_paren, *close_paren;
	struct ps_entry e = { .pid = pid };
	int ppid = 0, tty = 0;
	struct stat st;
	char state;

	if (dir < 0 || fstat(dir, &st) < 0 || fd_slurp_at(dir, "stat", 4096, &stat_text, NULL) < 0)
		return -ESRCH;
	open_paren = strchr(stat_text, '(');
	close_paren = strrchr(stat_text, ')');
	if (!open_paren || !close_paren)
		return -ESRCH;
	if (sscanf(close_paren + 2, "%c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu",
		   &state, &ppid, &tty, &utime, &stime, &start) != 6)
		return -ESRCH;
	e.uid = st.st_uid;
	e.ppid = ppid;
	e.start_time_s = boot_time_s() + start / (unsigned long long)ticks;
	e.cpu_time_ms = (utime + stime) * 1000ULL / (unsigned long)ticks;
	tty_name((unsigned int)tty, e.tty);
	command_line(dir, open_paren + 1, (size_t)(close_paren - open_paren - 1), e.command);
	*ret = e;
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct ps_entry *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

int proctable_all(struct ps_entry **ret, size_t *ret_n)
{
	cleanup_dir DIR *dir = opendir("/proc");
	struct ps_entry *e = NULL;
	struct dirent *d;
	size_t n = 0;
	uint32_t pid;

	if (!dir)
		return -errno;
	while ((d = readdir(dir))) {
		if (parse_u32(d->d_name, &pid) < 0)
			continue;
		e = xreallocarray(e, n + 1, sizeof(*e));
		if (proctable_read((pid_t)pid, &e[n]) == 0)
			n++;
	}
	if (n)
		qsort(e, n, sizeof(*e), by_pid);
	*ret = e;
	*ret_n = n;
	return 0;
}

static void start_text(uint64_t start_s, char *buf, size_t len)
{
	time_t start = (time_t)start_s, now = time(NULL);
	struct tm tm;

	localtime_r(&start, &tm);
	strftime(buf, len, now - start < 24 * 3600 ? "%H:%M" : "%b%d", &tm);
}

void proctable_print(const struct ps_entry *e, size_t n, struct str *out)
{
	uint64_t now = (uint64_t)time(NULL);

	str_addf(out, "%-8s %7s %7s %2s %5s %-8s %8s %s\n", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD");
	for (size_t i = 0; i < n; i++, e++) {
		uint64_t age_s = now > e->start_time_s ? now - e->start_time_s : 0;
		uint64_t cpu_s = e->cpu_time_ms / 1000;
		unsigned int percent = age_s ? (unsigned int)(e->cpu_time_ms / 10 / age_s) : 0;
		char start[16], uid[16];

		start_text(e->start_time_s, start, sizeof(start));
		if (e->uid)
			snprintf(uid, sizeof(uid), "%u", e->uid);
		else
			snprintf(uid, sizeof(uid), "root");
		str_addf(out, "%-8s %7d %7d %2u %5s %-8s %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " %s\n", uid, e->pid,
			 e->ppid, percent > 99 ? 99 : percent, start, e->tty, cpu_s / 3600, cpu_s / 60 % 60, cpu_s % 60,
			 e->command);
	}
}
