/* SPDX-License-Identifier: Apache-2.0 */
/* Tells engines of an out-of-memory kill in a machine. */
#ifndef RUNTIME_OOMFILL_H
#define RUNTIME_OOMFILL_H

#include <stdint.h>

/*
 * Takes memory until the host's kernel kills the calling process or another of its cgroup for it. Returns when limit bytes
 * were taken in vain, or stop_fd (-1: none) became readable. Does nothing with a limit of 0, or for a process that
 * the kernel may not kill so.
 */
void oomfill(uint64_t limit, int stop_fd);

#endif
