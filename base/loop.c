/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoll loop.
 *
 * Sources are a list; a removed one is only marked while its loop dispatches and freed after the round, so that
 * events already fetched for it are dropped instead of reaching freed memory. Timers are timerfds and signals a
 * signalfd: both are drained before the callback.
 */
#include "base/loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/str.h"

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNAL };

struct loop_source {
	struct loop *loop;
	struct loop_source *next;
	enum source_kind kind;
	int fd; /* the caller's for SOURCE_FD, ours otherwise */
	bool dead;
	loop_fn *fn;
	void *arg;
};

struct loop {
	int epoll_fd;
	bool dispatching;
	struct loop_source *sources;
};

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

static void sweep(struct loop *l, bool all)
{
	struct loop_source **p = &l->sources;

	while (*p) {
		struct loop_source *s = *p;

		if (!s->dead && !all) {
			p = &s->next;
			continue;
		}
		*p = s->next;
		if (s->kind != SOURCE_FD)
			close(s->fd);
		free(s);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	sweep(l, true);
	close(l->epoll_fd);
	free(l);
}

static struct loop_source *add(struct loop *l, enum source_kind kind, int fd, uint32_t events, loop_fn *fn, void *arg)
{
	struct loop_source *s = xcalloc(1, sizeof(*s));
	struct epoll_event ev = { .events = events, .data.ptr = s };

	*s = (struct loop_source){ .loop = l, .kind = kind, .fd = fd, .fn = fn, .arg = arg };
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(s);
		return NULL;
	}
	s->next = l->sources;
	l->sources = s;
	return s;
}

struct loop_source *loop_add_fd(struct loop *l, int fd, uint32_t events, loop_fn *fn, void *arg)
{
	return add(l, SOURCE_FD, fd, events, fn, arg);
}

int loop_mod_fd(struct loop_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	return epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

static struct loop_source *add_own(struct loop *l, enum source_kind kind, int fd, loop_fn *fn, void *arg)
{
	struct loop_source *s = fd < 0 ? NULL : add(l, kind, fd, EPOLLIN, fn, arg);

	if (!s && fd >= 0)
		close(fd);
	return s;
}

struct loop_source *loop_add_timer(struct loop *l, uint64_t ms, uint64_t interval_ms, loop_fn *fn, void *arg)
{
	struct itimerspec its = {
		.it_value = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 + (ms ? 0 : 1) },
		.it_interval = { (time_t)(interval_ms / 1000), (long)(interval_ms % 1000) * 1000000 },
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		timerfd_settime(fd, 0, &its, NULL);
	return add_own(l, SOURCE_TIMER, fd, fn, arg);
}

struct loop_source *loop_add_signals(struct loop *l, const sigset_t *set, loop_fn *fn, void *arg)
{
	sigprocmask(SIG_BLOCK, set, NULL);
	return add_own(l, SOURCE_SIGNAL, signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK), fn, arg);
}

void loop_remove(struct loop_source *s)
{
	if (!s || s->dead)
		return;
	s->dead = true;
	epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	if (!s->loop->dispatching)
		sweep(s->loop, false);
}

int loop_source_fd(const struct loop_source *s)
{
	return s->fd;
}

static int dispatch(struct loop_source *s, uint32_t events)
{
	struct signalfd_siginfo info;
	uint64_t ticks;
	int r = 0;

	switch (s->kind) {
	case SOURCE_FD:
		return s->fn(s, events, s->arg);
	case SOURCE_TIMER:
		if (read(s->fd, &ticks, sizeof(ticks)) < 0)
			return 0;
		return s->fn(s, 0, s->arg);
	case SOURCE_SIGNAL:
		while (!r && !s->dead && read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
			r = s->fn(s, info.ssi_signo, s->arg);
		return r;
	}
	return 0;
}

int loop_run(struct loop *l)
{
	struct epoll_event ev[32];

	for (;;) {
		int n = epoll_wait(l->epoll_fd, ev, (int)ARRAY_SIZE(ev), -1), r = 0;

		if (n < 0 && errno != EINTR)
			return -errno;
		l->dispatching = true;
		for (int i = 0; i < n && !r; i++) {
			struct loop_source *s = ev[i].data.ptr;

			if (!s->dead)
				r = dispatch(s, ev[i].events);
		}
		l->dispatching = false;
		sweep(l, false);
		if (r)
			return r;
	}
}
