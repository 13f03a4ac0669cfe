/* SPDX-License-Identifier: Apache-2.0 */
/* base/loop: a callback removes sources, its own and one that is ready too; signals; intervals. */
#include "base/loop.h"

#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/tap.h"

static struct loop_source *first, *second;
static int calls, ticks;

/* Both are ready at once: whichever runs removes both, so the other must not run. */
static int remove_both(struct loop_source *src, uint32_t events, void *arg)
{
	(void)src;
	(void)events;
	(void)arg;
	calls++;
	loop_remove(first);
	loop_remove(second);
	return 0;
}

static int tick(struct loop_source *src, uint32_t events, void *arg)
{
	(void)src;
	(void)events;
	(void)arg;
	return ++ticks == 3;
}

static int on_signal(struct loop_source *src, uint32_t sig, void *arg)
{
	(void)src;
	*(int *)arg = (int)sig;
	return 2;
}

int main(void)
{
	struct loop *l = loop_new();
	struct loop_source *timer;
	int p[2], q[2], got = 0;
	sigset_t set;

	need(l);
	ok(pipe(p) == 0 && pipe(q) == 0);
	ok(write(p[1], "x", 1) == 1 && write(q[1], "x", 1) == 1);
	first = loop_add_fd(l, p[0], EPOLLIN, remove_both, NULL);
	second = loop_add_fd(l, q[0], EPOLLIN, remove_both, NULL);
	timer = loop_add_timer(l, 1, 1, tick, NULL);
	ok(first && second && timer);
	is_int(loop_run(l), 1);
	is_int(calls, 1);
	is_int(ticks, 3);
	loop_remove(timer);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ok(loop_add_signals(l, &set, on_signal, &got) != NULL);
	kill(getpid(), SIGUSR1);
	is_int(loop_run(l), 2);
	is_int(got, SIGUSR1);
	loop_free(l);
	return tap_done();
}
