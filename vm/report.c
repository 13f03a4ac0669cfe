/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's last words. Each guest connection to VM_PORT_EXIT becomes a socket pair whose one end is here; four bytes on
 * it are the wait status. The agent waits for end of file before it powers the machine off, so the status cannot be
 * lost behind the power-off. Other programs of the guest may connect too: they can only lie about their own machine.
 */
#include "vm/report.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

int report_init(struct report *r, struct err *err)
{
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	for (unsigned int i = 0; i < REPORT_CONNECTIONS; i++)
		r->fds[i] = -1;
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return r->epoll_fd < 0 ? err_sys(err, -errno, "report: epoll") : 0;
}

static void drop(struct report *r, unsigned int slot)
{
	if (r->fds[slot] >= 0)
		close(r->fds[slot]);
	r->fds[slot] = -1;
	r->have[slot] = 0;
}

int report_connect(struct report *r)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int pair[2], e = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	pthread_mutex_lock(&r->lock);
	drop(r, r->next);
	if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, pair[0], &ev)) {
		e = -errno;
	} else {
		r->fds[r->next] = pair[0];
		r->next = (r->next + 1) % REPORT_CONNECTIONS;
	}
	pthread_mutex_unlock(&r->lock);
	if (e) {
		close(pair[0]);
		close(pair[1]);
		return e;
	}
	return pair[1];
}

void report_handle(struct report *r)
{
	pthread_mutex_lock(&r->lock);
	for (unsigned int i = 0; i < REPORT_CONNECTIONS; i++) {
		ssize_t n;

		if (r->fds[i] < 0)
			continue;
		n = read(r->fds[i], r->buf[i] + r->have[i], sizeof(r->buf[i]) - r->have[i]);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n > 0)
			r->have[i] += (unsigned int)n;
		if (r->have[i] == sizeof(r->buf[i])) {
			r->status = (int)(r->buf[i][0] | (uint32_t)r->buf[i][1] << 8 | (uint32_t)r->buf[i][2] << 16 |
					  (uint32_t)r->buf[i][3] << 24);
			r->has_status = true;
		} else if (n > 0) {
			continue;
		}
		drop(r, i);
	}
	pthread_mutex_unlock(&r->lock);
}

void report_free(struct report *r)
{
	for (unsigned int i = 0; i < REPORT_CONNECTIONS; i++)
		drop(r, i);
	if (r->epoll_fd >= 0)
		close(r->epoll_fd);
	r->epoll_fd = -1;
}
