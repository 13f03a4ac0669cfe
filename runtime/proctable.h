/* SPDX-License-Identifier: Apache-2.0 */
/* Processes as ps shows them: read from /proc, printed as a table. */
#ifndef RUNTIME_PROCTABLE_H
#define RUNTIME_PROCTABLE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/str.h"

struct ps_entry;

/* Fills *ret from /proc/PID. 0, or -ESRCH when the process is gone. */
int proctable_read(pid_t pid, struct ps_entry *ret);
/* Every process of /proc in the order of ids. 0 with *ret owned, or -errno. */
int proctable_all(struct ps_entry **ret, size_t *ret_n);
/* Adds the table of ps -ef (UID PID PPID C STIME TTY TIME CMD). */
void proctable_print(const struct ps_entry *e, size_t n, struct str *out);

#endif
