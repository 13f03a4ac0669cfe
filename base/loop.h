/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoll loop: sources call back until one of them ends the loop. One thread. A callback may remove any
 * source, itself included.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <signal.h>
#include <stdint.h>

#include "base/err.h"

struct loop;
struct loop_source;

/* fd: events as EPOLL*; timer: events is 0; signal: events is the signal number. Returning non-zero ends the loop with it. */
typedef int loop_fn(struct loop_source *src, uint32_t events, void *arg);

struct loop *loop_new(void);    /* NULL with errno */
void loop_free(struct loop *l); /* frees its sources; does not close callers' fds */
struct loop_source *loop_add_fd(struct loop *l, int fd, uint32_t events, loop_fn *fn, void *arg);
int loop_mod_fd(struct loop_source *s, uint32_t events);
/* Fires after ms and then every interval_ms (0: once). */
struct loop_source *loop_add_timer(struct loop *l, uint64_t ms, uint64_t interval_ms, loop_fn *fn, void *arg);
/* Blocks the set in this thread and reads it by signalfd. */
struct loop_source *loop_add_signals(struct loop *l, const sigset_t *set, loop_fn *fn, void *arg);
void loop_remove(struct loop_source *s); /* NULL allowed */
int loop_source_fd(const struct loop_source *s);
/* Runs until a callback returns non-zero (returned) or an error (-errno). */
int loop_run(struct loop *l);

#endif
