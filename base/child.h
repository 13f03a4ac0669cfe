/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes: spawn with redirected stdio, wait with time limit, exit status mapping, process titles. */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* What child_run() does with the three standard descriptors and how long it waits. */
struct child_io {
	const char *in; /* bytes for its stdin; NULL: /dev/null */
	size_t in_len;
	char *out; /* its stdout, owned by the caller, NUL-terminated; filled when want_out */
	size_t out_len;
	char *errout; /* its stderr, likewise, when want_err (else inherited) */
	int want_out, want_err;
	int out_fd, err_fd; /* > 2: files that its stdout and stderr are instead; 0: none */
	int timeout_ms;     /* 0: none; on expiry the child's process group is killed: -ETIMEDOUT */
	char *const *env;   /* NULL: ours */
	const char *cwd;    /* NULL: ours */
	const char *path;   /* the file to execute when it is not argv[0] */
};

/* Runs argv[0] (looked up in PATH when without '/') to its end. Returns its exit status (0..255, 128+signal), or -errno. */
int child_run(char *const argv[], struct child_io *io, struct err *err);
/* Waits for pid; returns wait status in *ret_status. 0 or -errno. Retries EINTR. */
int child_wait(pid_t pid, int *ret_status);
/* Shell's mapping of a wait status: exit code or 128 + signal. */
int child_exit_code(int wait_status);
struct child_stat {
	unsigned long long start_time; /* in clock ticks */
	bool ending;                   /* got SIGKILL, or exits already */
};

/* From /proc/PID/stat. 0 or -errno. */
int child_stat(pid_t pid, struct child_stat *ret);
/* Start time of a process in clock ticks (field 22 of /proc/PID/stat). 0 or -errno. */
int child_start_time(pid_t pid, unsigned long long *ret);
/* Sets the name in ps: comm, and the argument vector when child_title_init() was called by main. */
void child_title_init(int argc, char **argv);
void child_title(const char *title);

#endif
