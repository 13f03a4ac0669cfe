/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log sink.
 *
 * A line is put together in a local buffer and written by one write(2), so that lines of several processes
 * that share the file do not mix. JSON lines carry level, msg and time, which is what engines read back; text lines
 * carry the same as pairs, but for the one line of a failure on stderr, which is for people.
 * The level, the format and the sink are process-wide: the only mutable globals. Besides a file
 * the sink may be the socket of syslog or of the journal.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"

static enum log_level threshold = LOG_WARN;
static enum log_format sink_format = LOG_TEXT;
static int sink_fd = 2;
static enum { SINK_FILE, SINK_SYSLOG, SINK_JOURNAL } sink_kind;
static char sink_ident[64] = "amphi";

static const char *const level_names[] = {
	[LOG_ERROR_] = "error", [LOG_WARN] = "warning", [LOG_INFO] = "info", [LOG_DEBUG_] = "debug"
};
_Static_assert(ARRAY_SIZE(level_names) == LOG_LEVEL_MAX, "a name for each level");

void log_set(enum log_level level, enum log_format format)
{
	threshold = level;
	sink_format = format;
}

bool log_enabled(enum log_level level)
{
	return level <= threshold;
}

int log_level_parse(const char *word, enum log_level *ret)
{
	for (int i = 0; i < LOG_LEVEL_MAX; i++) {
		if (!strcmp(word, level_names[i])) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	if (!strcmp(word, "warn")) {
		*ret = LOG_WARN;
		return 0;
	}
	return -EINVAL;
}

void log_set_fd(int fd)
{
	sink_fd = fd;
}

/* Addresses of syslog(3) and sd_journal_send(3): one datagram a line. */
static int connect_sink(const char *path, const char *ident)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	sink_fd = steal_fd(fd);
	if (ident && *ident)
		snprintf(sink_ident, sizeof(sink_ident), "%s", ident);
	return 0;
}

int log_set_syslog(const char *ident)
{
	int r = connect_sink("/dev/log", ident);

	if (!r)
		sink_kind = SINK_SYSLOG;
	return r;
}

int log_set_journal(const char *ident)
{
	int r = connect_sink("/run/systemd/journal/socket", ident);

	if (!r)
		sink_kind = SINK_JOURNAL;
	return r;
}

int log_fd(void)
{
	return sink_fd;
}

static void now_text(char *buf, size_t len)
{
	time_t t = time(NULL);
	struct tm tm;

	gmtime_r(&t, &tm);
	/* not strftime(3): it reads /etc/localtime */
	snprintf(buf, len, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		 tm.tm_min, tm.tm_sec);
}

/* time="..." level=debug msg="...": what runc's text log looks like; quotes and control characters escaped. */
static void write_pairs(enum log_level level, const char *msg)
{
	struct str line = { 0 };
	char now[80];

	now_text(now, sizeof(now));
	str_addf(&line, "time=\"%s\" level=%s msg=\"", now, level_names[level]);
	for (; *msg; msg++) {
		if (*msg == '\n')
			str_add(&line, "\\n");
		else if (*msg == '"' || *msg == '\\')
			str_addf(&line, "\\%c", *msg);
		else
			str_addc(&line, (unsigned char)*msg < ' ' ? '?' : *msg);
	}
	str_add(&line, "\"\n");
	(void)fd_write_all(sink_fd, line.s, line.len);
	str_free(&line);
}

/* The priorities of syslog(3); a line break would begin another field. */
static void write_datagram(enum log_level level, const char *msg)
{
	static const int priority[] = { [LOG_ERROR_] = 3, [LOG_WARN] = 4, [LOG_INFO] = 6, [LOG_DEBUG_] = 7 };
	struct str line = { 0 };

	if (sink_kind == SINK_SYSLOG)
		str_addf(&line, "<%d>%s[%d]: ", 8 | priority[level], sink_ident, (int)getpid());
	else
		str_addf(&line, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE=", priority[level], sink_ident);
	for (; *msg; msg++)
		str_addc(&line, *msg == '\n' ? ' ' : *msg);
	if (sink_kind == SINK_JOURNAL)
		str_addc(&line, '\n');
	(void)send(sink_fd, line.s, line.len, MSG_NOSIGNAL);
	str_free(&line);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	char msg[4096];
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (sink_kind != SINK_FILE) {
		write_datagram(level, msg);
	} else if (sink_format == LOG_JSON) {
		struct json_writer w = { .indent = 0 };
		char now[80];

		now_text(now, sizeof(now));
		json_w_object(&w, NULL);
		json_w_string(&w, "level", level_names[level]);
		json_w_string(&w, "msg", msg);
		json_w_string(&w, "time", now);
		json_w_object_end(&w);
		str_addc(&w.out, '\n');
		(void)fd_write_all(sink_fd, w.out.s, w.out.len);
		str_free(&w.out);
	} else if (level == LOG_ERROR_ && sink_fd == 2) {
		char line[4200];
		/* "exec FILE: why" is the failure of the workload's own program: the bare line of runc's init */
		int n = snprintf(line, sizeof(line), "%s%s\n", strncmp(msg, "exec ", 5) ? "amphi: " : "", msg);

		if (n > (int)sizeof(line) - 1)
			n = (int)sizeof(line) - 1;
		(void)fd_write_all(sink_fd, line, (size_t)n);
	} else {
		write_pairs(level, msg);
	}
	errno = saved;
}
