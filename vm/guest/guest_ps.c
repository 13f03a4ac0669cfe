/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes as JSON, from /proc/PID/{stat,status,cmdline} (proc(5)). A process that ended meanwhile is left out.
 * Command lines are the workload's own bytes: what is not printable ASCII becomes '?'.
 */
#include "vm/guest/guest_ps.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"

#define COMMAND_MAX 255u

static char *slurp(pid_t pid, const char *file, size_t max, size_t *ret_len)
{
	cleanup_free char *path = xasprintf("/proc/%d/%s", (int)pid, file);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *buf = xcalloc(1, max + 1);
	ssize_t n = fd < 0 ? -1 : fd_read_all(fd, buf, max);

	if (n < 0) {
		free(buf);
		return NULL;
	}
	*ret_len = (size_t)n;
	return buf;
}

static uint64_t boot_time_s(void)
{
	cleanup_free char *buf = NULL;
	unsigned long long t = 0;
	size_t len;
	char *p;

	if (fd_slurp_at(AT_FDCWD, "/proc/stat", 1 << 20, &buf, &len) == 0 && (p = strstr(buf, "\nbtime ")))
		(void)sscanf(p, "\nbtime %llu", &t);
	return t;
}

/* The command line with blanks between its words, or "[comm]". */
static char *command(pid_t pid, const char *comm, size_t comm_len)
{
	size_t len = 0;
	cleanup_free char *buf = slurp(pid, "cmdline", COMMAND_MAX, &len);

	while (buf && len && !buf[len - 1])
		len--;
	if (!buf || !len)
		return xasprintf("[%.*s]", (int)comm_len, comm);
	for (size_t i = 0; i < len; i++)
		buf[i] = !buf[i] ? ' ' : buf[i] < ' ' || buf[i] > '~' ? '?' : buf[i];
	return xstrndup(buf, len);
}

static void add(struct json_writer *w, pid_t pid, uint64_t boot, long hz)
{
	size_t len;
	cleanup_free char *stat_text = slurp(pid, "stat", 1023, &len), *cmd = NULL;
	unsigned long long utime, stime, start;
	const char *open_paren, *close_paren;
	struct stat st;
	char path[32], tty[32] = "?";
	int ppid, tty_nr;

	if (!stat_text || !(open_paren = strchr(stat_text, '(')) || !(close_paren = strrchr(stat_text, ')')) ||
	    sscanf(close_paren + 1, " %*c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
		   &ppid, &tty_nr, &utime, &stime, &start) != 5)
		return;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0)
		return;
	/* proc(5): minor device number in bits 31..20 and 7..0, major in 15..8; 136.. are the unix98 terminals */
	if (((tty_nr >> 8) & 0xff) >= 136 && ((tty_nr >> 8) & 0xff) <= 143)
		snprintf(tty, sizeof(tty), "pts/%d", (tty_nr & 0xff) | ((tty_nr >> 12) & 0xfff00));
	cmd = command(pid, open_paren + 1, (size_t)(close_paren - open_paren - 1));
	json_w_object(w, NULL);
	json_w_i64(w, "pid", pid);
	json_w_i64(w, "ppid", ppid);
	json_w_u64(w, "uid", st.st_uid);
	json_w_u64(w, "startTime", boot + start / (unsigned long long)hz);
	json_w_u64(w, "cpuTimeMs", (utime + stime) * 1000 / (unsigned long long)hz);
	json_w_string(w, "tty", tty);
	json_w_string(w, "command", cmd);
	json_w_object_end(w);
}

char *guest_ps_json(const pid_t *pids, size_t n)
{
	struct json_writer w = { 0 };
	uint64_t boot = boot_time_s();
	long hz = sysconf(_SC_CLK_TCK);

	json_w_array(&w, NULL);
	for (size_t i = 0; i < n; i++)
		add(&w, pids[i], boot, hz > 0 ? hz : 100);
	json_w_array_end(&w);
	return json_w_steal(&w);
}
