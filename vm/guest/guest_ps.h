/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of a container in the guest, as JSON. */
#ifndef VM_GUEST_GUEST_PS_H
#define VM_GUEST_GUEST_PS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * [{"pid","ppid","uid","startTime" (seconds since the epoch),"cpuTimeMs","tty","command"}…] of the pids that still
 * live. Owned text.
 */
char *guest_ps_json(const pid_t *pids, size_t n);

#endif
