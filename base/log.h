/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one sink (stderr by default, a file by --log) in text or JSON as engines expect it. Libraries log at
 * debug level freely; what a person must see travels in struct err and is printed by main alone.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/cleanup.h"

enum log_level { LOG_ERROR_, LOG_WARN, LOG_INFO, LOG_DEBUG_, LOG_LEVEL_MAX };
enum log_format { LOG_TEXT, LOG_JSON };

/* Sets the threshold (messages above it are dropped) and the format; default LOG_WARN, LOG_TEXT. */
void log_set(enum log_level level, enum log_format format);
/* Is the level written? */
bool log_enabled(enum log_level level);
/* The level's word in *ret ("error", "warning" or "warn", "info", "debug"). Returns 0 or -EINVAL. */
int log_level_parse(const char *word, enum log_level *ret);
/* Sends the log to fd (appended by whole lines; not closed by the log). Default 2. */
void log_set_fd(int fd);
/*
 * Sends lines to syslog's or the journal's socket instead, under the name ident ("" or NULL: amphi). A negative errno,
 * with the sink left as it was, where nobody listens there.
 */
int log_set_syslog(const char *ident);
int log_set_journal(const char *ident);
/* The sink in use. */
int log_fd(void);
/* Writes one line; never fails visibly, keeps errno, one write(2) per line. */
void log_write(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_error(...) log_write(LOG_ERROR_, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) \
	do { \
		if (log_enabled(LOG_DEBUG_)) \
			log_write(LOG_DEBUG_, __VA_ARGS__); \
	} while (0)

#endif
