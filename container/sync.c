/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parent and child talk over a stream socket.
 *
 * A message is a header {type, length} with fds attached to its first byte, then the payload. A stream and not
 * a packet socket since a state document may be larger than a packet; lengths are 32 bits and bounded, so no field
 * can overflow another (CVE-2021-43784). Both ends are our own code, yet the receiver checks: the child's end lives
 * in a process that enters the container.
 */
#include "container/sync.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"

struct sync_header {
	uint32_t type;
	uint32_t len;
};

static const char *const sync_names[] = {
	[SYNC_ERROR] = "error",     [SYNC_MAP_ME] = "map-me", [SYNC_MAPPED] = "mapped",     [SYNC_CLONED] = "cloned",
	[SYNC_JOINED] = "joined",   [SYNC_FDS] = "fds",       [SYNC_MOUNT] = "mount",       [SYNC_ENTERED] = "entered",
	[SYNC_MOUNTED] = "mounted", [SYNC_SETUP] = "setup",   [SYNC_CONSOLE] = "console",   [SYNC_LIMITS] = "limits",
	[SYNC_PARKED] = "parked",   [SYNC_START] = "start",   [SYNC_LISTENER] = "listener", [SYNC_ACK] = "ack",
	[SYNC_EXEC] = "exec",
};
static_assert(ARRAY_SIZE(sync_names) == SYNC_TYPE_MAX, "a name for each message");

const char *sync_name(enum sync_type type)
{
	return type < SYNC_TYPE_MAX ? sync_names[type] : "?";
}

int sync_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

static int send_bytes(int sock, struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int) * SYNC_FDS_MAX)];
	} control;
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = n_iov };

	if (n_fds) {
		m.msg_control = control.buf;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		memset(control.buf, 0, m.msg_controllen);
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		control.h.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(&control.h), fds, sizeof(int) * n_fds);
	}
	for (;;) {
		ssize_t n = sendmsg(sock, &m, MSG_NOSIGNAL);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		m.msg_control = NULL;
		m.msg_controllen = 0;
		while (m.msg_iovlen && (size_t)n >= m.msg_iov->iov_len) {
			n -= m.msg_iov->iov_len;
			m.msg_iov++;
			m.msg_iovlen--;
		}
		if (!m.msg_iovlen)
			return 0;
		m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + n;
		m.msg_iov->iov_len -= n;
	}
}

int sync_send(int sock, enum sync_type type, const void *data, size_t len, const int *fds, size_t n_fds)
{
	struct sync_header h = { .type = type, .len = len };
	struct iovec iov[2] = { { .iov_base = &h, .iov_len = sizeof(h) },
				{ .iov_base = (void *)data, .iov_len = len } };

	if (len > SYNC_PAYLOAD_MAX || n_fds > SYNC_FDS_MAX)
		return -E2BIG;
	return send_bytes(sock, iov, len ? 2 : 1, fds, n_fds);
}

void sync_send_err(int sock, const struct err *err)
{
	(void)sync_send(sock, SYNC_ERROR, err, sizeof(*err), NULL, 0);
}

int sync_recv(int sock, struct sync_msg *ret)
{
	struct sync_msg m = { .n_fds = SYNC_FDS_MAX };
	struct sync_header h;
	size_t none = 0;
	ssize_t n;
	int r;

	n = fd_recv(sock, &h, sizeof(h), m.fds, &m.n_fds);
	if (n < 0)
		return n == -ECONNRESET ? -EPIPE : n;
	if (n == 0)
		return -EPIPE;
	r = -EPROTO;
	while ((size_t)n < sizeof(h)) {
		ssize_t more = fd_recv(sock, (char *)&h + n, sizeof(h) - n, NULL, &none);

		if (more <= 0)
			goto fail;
		n += more;
	}
	if (h.type >= SYNC_TYPE_MAX || h.len > SYNC_PAYLOAD_MAX)
		goto fail;
	m.type = h.type;
	m.len = h.len;
	m.data = xmalloc(m.len + 1);
	m.data[m.len] = '\0';
	n = m.len ? fd_read_all(sock, m.data, m.len) : 0;
	if (n != (ssize_t)m.len) {
		r = n < 0 ? n : -EPIPE;
		goto fail;
	}
	*ret = m;
	return 0;
fail:
	sync_msg_done(&m);
	return r;
}

int sync_take_err(const struct sync_msg *m, struct err *err)
{
	struct err e;

	if (m->len != sizeof(e))
		return err_set(err, EPROTO, "container init sent a broken error");
	memcpy(&e, m->data, sizeof(e));
	e.msg[sizeof(e.msg) - 1] = '\0';
	if (e.code >= 0)
		e.code = -EIO;
	if (err)
		*err = e;
	return e.code;
}

int sync_expect(int sock, enum sync_type type, struct sync_msg *ret, struct err *err)
{
	cleanup_sync_msg struct sync_msg m = { 0 };
	int r;

	r = sync_recv(sock, &m);
	if (r == -EPIPE)
		return err_set(err, EPIPE, "waiting for \"%s\": the other side has gone away", sync_name(type));
	if (r < 0)
		return err_sys(err, r, "waiting for \"%s\"", sync_name(type));
	if (m.type == SYNC_ERROR)
		return sync_take_err(&m, err);
	if (m.type != type)
		return err_set(err, EPROTO, "waiting for \"%s\": got \"%s\"", sync_name(type), sync_name(m.type));
	if (ret) {
		*ret = m;
		m = (struct sync_msg){ 0 };
	}
	return 0;
}

void sync_msg_done(struct sync_msg *m)
{
	free(m->data);
	for (size_t i = 0; i < m->n_fds; i++)
		close(m->fds[i]);
	m->data = NULL;
	m->n_fds = 0;
}
