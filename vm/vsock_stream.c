/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream of the vsock device.
 *
 * Towards the host: bytes go straight from guest memory to the fd; what it does not take waits in a ring of
 * VIRTIO_VSOCK_BUF bytes. That size is the credit the guest gets, so a guest that keeps the rules cannot overflow it, and
 * one that does not is reset. Bytes count as forwarded when the fd has taken them (or nobody will ever read them), and the
 * guest hears of it when a quarter of the credit is at stake.
 *
 * Towards the guest: credit is what the guest says it can hold minus what is on its way.
 *
 * Ends are separate: the guest's SHUTDOWN flags become shutdown(2) of the fd after the buffered bytes; end of file on the
 * fd becomes shut_want. The fd failing means that its reader is gone.
 * #syscalls recvmsg sendmsg readv writev shutdown close fcntl fstat
 */
#include "vm/vsock_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/virtio_vsock.h>

#include "base/fd.h"

#define SHUT_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

struct vsock_stream *vsock_stream_new(int fd, enum vsock_stream_state state)
{
	struct vsock_stream *s = calloc(1, sizeof(*s));
	struct stat st;

	if (!s) {
		close(fd);
		return NULL;
	}
	s->fd = fd;
	s->state = state;
	s->socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	if (!s->socket)
		fd_set_nonblock(fd, true);
	return s;
}

void vsock_stream_free(struct vsock_stream *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s->buf);
	free(s);
}

uint32_t vsock_stream_credit(const struct vsock_stream *s)
{
	uint32_t away = s->sent - s->peer_fwd;

	return away < s->peer_alloc ? s->peer_alloc - away : 0;
}

ssize_t vsock_stream_read(struct vsock_stream *s, struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	ssize_t got;

	do {
		got = s->socket ? recvmsg(s->fd, &msg, MSG_DONTWAIT) : readv(s->fd, iov, n);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/* Bytes taken; 0 when it takes none now; -errno when it never will again. */
static ssize_t write_fd(struct vsock_stream *s, struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	ssize_t got;

	do {
		got = s->socket ? sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) : writev(s->fd, iov, n);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
	return got;
}

static void forwarded(struct vsock_stream *s, size_t n)
{
	s->fwd += (uint32_t)n;
	if (s->fwd - s->fwd_told >= VIRTIO_VSOCK_BUF / 4)
		s->send |= VSOCK_STREAM_SEND_CREDIT;
}

/* Nobody reads fd any more: bytes for it vanish, the guest is told to stop. */
static void reader_gone(struct vsock_stream *s)
{
	s->shut_want |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	forwarded(s, s->len);
	s->len = 0;
}

int vsock_stream_write(struct vsock_stream *s, struct iovec *iov, int n, size_t len)
{
	ssize_t took = 0;
	size_t skip, at;

	if (len > VIRTIO_VSOCK_BUF - s->len)
		return -ENOBUFS;
	if (s->shut_want & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		forwarded(s, len);
		return 0;
	}
	if (!s->len)
		took = write_fd(s, iov, n);
	if (took < 0) {
		reader_gone(s);
		forwarded(s, len);
		return 0;
	}
	forwarded(s, (size_t)took);
	if ((size_t)took == len)
		return 0;
	if (!s->buf && !(s->buf = malloc(VIRTIO_VSOCK_BUF)))
		return -ENOBUFS;
	skip = (size_t)took;
	for (int k = 0; k < n; k++) {
		const char *p = iov[k].iov_base;
		size_t left = iov[k].iov_len;

		if (skip >= left) {
			skip -= left;
			continue;
		}
		p += skip;
		left -= skip;
		skip = 0;
		while (left) {
			size_t part;

			at = (s->head + s->len) % VIRTIO_VSOCK_BUF;
			part = left < VIRTIO_VSOCK_BUF - at ? left : VIRTIO_VSOCK_BUF - at;
			memcpy(s->buf + at, p, part);
			p += part;
			left -= part;
			s->len += part;
		}
	}
	return 0;
}

void vsock_stream_flush(struct vsock_stream *s)
{
	while (s->len) {
		size_t first = s->len < VIRTIO_VSOCK_BUF - s->head ? s->len : VIRTIO_VSOCK_BUF - s->head;
		struct iovec iov[2] = { { s->buf + s->head, first }, { s->buf, s->len - first } };
		ssize_t took = write_fd(s, iov, s->len > first ? 2 : 1);

		if (took < 0)
			reader_gone(s);
		if (took <= 0)
			return;
		s->head = (s->head + (size_t)took) % VIRTIO_VSOCK_BUF;
		s->len -= (size_t)took;
		forwarded(s, (size_t)took);
	}
	free(s->buf);
	s->buf = NULL;
	s->head = 0;
}

bool vsock_stream_settle(struct vsock_stream *s)
{
	if (s->state == VSOCK_STREAM_LINE || s->state == VSOCK_STREAM_CONNECTING)
		return false;
	if ((s->shut_guest & VIRTIO_VSOCK_SHUTDOWN_RCV) && !s->shut_rd_done) {
		shutdown(s->fd, SHUT_RD);
		s->shut_rd_done = true;
	}
	if (s->len)
		return false;
	if ((s->shut_guest & VIRTIO_VSOCK_SHUTDOWN_SEND) && !s->shut_wr_done) {
		shutdown(s->fd, SHUT_WR);
		s->shut_wr_done = true;
	}
	if (s->state == VSOCK_STREAM_DEAD)
		return true;
	if (s->shut_guest == SHUT_BOTH)
		s->send |= VSOCK_STREAM_SEND_RST;
	return false;
}

void vsock_stream_say(struct vsock_stream *s, const char *text)
{
	/* The client's socket is empty towards it: a short line fits, and a client that is gone does not matter. */
	(void)!send(s->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}
