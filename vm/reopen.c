/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a child, made while the monitor is one thread and has its capabilities, that answers two questions
 * over a SOCK_SEQPACKET pair. "Seal this descriptor": it asks the kernel for the file's handle and signs handle and mount by
 * a keyed hash whose key only it has. "Open this ticket": it looks at the signature and opens. It keeps no state,
 * so a million closed files cost it nothing, and whoever takes over the asking thread gets by it no file that thread could
 * not open anyway. It has no file of its own, one capability and a list of seven system calls.
 *
 * The keyed hash is SipHash-2-4 (Aumasson, Bernstein: SipHash, a fast short-input PRF), made for exactly this: short
 * input, a secret key, answers that cannot be forged.
 */
#include "vm/reopen.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"

struct reopen {
	pthread_mutex_t lock; /* one question at a time */
	int sock;
	pid_t pid;
	bool gone; /* it was said that the process is */
};

/* A question, with one descriptor: of the file to seal, or of the mount to open in. */
struct question {
	uint64_t open; /* boolean, of any value */
	struct reopen_ticket ticket;
};

struct answer {
	int64_t result; /* 0 or -errno; the opened file comes with it */
	struct reopen_ticket ticket;
};

_Static_assert(sizeof(struct reopen_ticket) == 8 + 4 * sizeof(uint32_t) + MAX_HANDLE_SZ, "no padding in a ticket");

static uint64_t rotate(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

uint64_t reopen_siphash(const uint64_t key[2], const void *data, size_t len)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
			  key[1] ^ 0x7465646279746573 };
	const uint8_t *p = data;

	for (size_t at = 0; at <= len; at += 8) {
		size_t n = len - at < 8 ? len - at : 8;
		uint64_t m = 0;

		for (size_t i = 0; i < n; i++)
			m |= (uint64_t)p[at + i] << (8 * i);
		if (n < 8)
			m |= (uint64_t)len << 56;
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static int make_handle(int fd, struct reopen_ticket *t)
{
	union {
		struct file_handle h;
		uint8_t space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u;
	int mount_id;

	u.h.handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(fd, "", &u.h, &mount_id, AT_EMPTY_PATH) < 0)
		return -errno;
	*t = (struct reopen_ticket){ .mount_id = mount_id, .type = u.h.handle_type, .len = u.h.handle_bytes };
	memcpy(t->handle, u.h.f_handle, t->len);
	return 0;
}

bool reopen_same(const struct reopen_ticket *t, int fd)
{
	struct reopen_ticket other;

	return make_handle(fd, &other) == 0 && other.type == t->type && other.len == t->len &&
		!memcmp(other.handle, t->handle, t->len);
}

/* --- the process --- */

static uint64_t seal(const uint64_t key[2], const struct reopen_ticket *t)
{
	return reopen_siphash(key, &t->mount_id, sizeof(*t) - offsetof(struct reopen_ticket, mount_id));
}

static int open_ticket(const uint64_t key[2], int mount_fd, const struct reopen_ticket *t)
{
	union {
		struct file_handle h;
		uint8_t space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u;
	struct reopen_ticket mount;
	int fd;

	if (t->len > MAX_HANDLE_SZ || t->seal != seal(key, t))
		return -EPERM;
	if (make_handle(mount_fd, &mount) < 0 || mount.mount_id != t->mount_id)
		return -EPERM;
	u.h.handle_bytes = t->len;
	u.h.handle_type = t->type;
	memcpy(u.h.f_handle, t->handle, t->len);
	fd = open_by_handle_at(mount_fd, &u.h, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void serve(int sock, const uint64_t key[2])
{
	for (;;) {
		struct question q;
		struct answer a = { 0 };
		int fd = -1, opened = -1;
		size_t n = 1;
		ssize_t len = fd_recv(sock, &q, sizeof(q), &fd, &n);

		if (len <= 0)
			_exit(0);
		if (len != sizeof(q) || n != 1) {
			a.result = -EPROTO;
		} else if (q.open) {
			opened = open_ticket(key, fd, &q.ticket);
			a.result = opened < 0 ? opened : 0;
		} else {
			a.result = make_handle(fd, &a.ticket);
			if (!a.result)
				a.ticket.seal = seal(key, &a.ticket);
		}
		if (fd >= 0)
			close(fd);
		if (fd_send(sock, &a, sizeof(a), &opened, opened >= 0) < 0)
			_exit(0);
		if (opened >= 0)
			close(opened);
	}
}

static _Noreturn void child_main(int sock, enum lockdown_mode mode, pid_t parent)
{
	uint64_t key[2];

	/* the thread that started us is the monitor's first: it ends with the process */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	child_title("amphi:[reopen]");
	if (getrandom(key, sizeof(key), 0) != sizeof(key) ||
	    (sock > 0 && sys_close_range(0, (unsigned int)sock - 1, 0) < 0) ||
	    sys_close_range((unsigned int)sock + 1, ~0U, 0) < 0 || lockdown_reopen(mode, NULL) < 0)
		_exit(1);
	serve(sock, key);
	_exit(0);
}

/* --- the monitor's side --- */

struct reopen *reopen_start(enum lockdown_mode mode, struct err *err)
{
	struct reopen *r = calloc(1, sizeof(*r));
	pid_t parent = getpid();
	int sv[2];

	if (!r || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
		err_sys(err, r ? -errno : -ENOMEM, "virtio-fs: process for file handles");
		free(r);
		return NULL;
	}
	r->pid = fork();
	if (!r->pid)
		child_main(sv[1], mode, parent);
	if (r->pid < 0)
		err_sys(err, -errno, "virtio-fs: process for file handles");
	close(sv[1]);
	r->sock = sv[0];
	pthread_mutex_init(&r->lock, NULL);
	if (r->pid < 0) {
		reopen_stop(r);
		return NULL;
	}
	return r;
}

void reopen_stop(struct reopen *r)
{
	int status;

	if (!r)
		return;
	close(r->sock);
	if (r->pid > 0)
		(void)child_wait(r->pid, &status);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* Asks, and waits for the answer. A process that is gone: -EIO. */
static int ask(struct reopen *r, const struct question *q, int fd, struct answer *a, int *ret_fd)
{
	size_t n = 1;
	ssize_t len;
	int res;

	*ret_fd = -1;
	pthread_mutex_lock(&r->lock);
	res = fd_send(r->sock, q, sizeof(*q), &fd, 1);
	len = res < 0 ? res : fd_recv(r->sock, a, sizeof(*a), ret_fd, &n);
	if (len != sizeof(*a) && !r->gone) {
		log_warn("virtio-fs: the process that opens files again is gone: files whose descriptor was closed are "
			 "lost");
		r->gone = true;
	}
	pthread_mutex_unlock(&r->lock);
	return len == sizeof(*a) ? (int)a->result : -EIO;
}

int reopen_seal(struct reopen *r, int fd, struct reopen_ticket *ret)
{
	struct question q = { 0 };
	struct answer a;
	int none, res = ask(r, &q, fd, &a, &none);

	if (!res)
		*ret = a.ticket;
	return res;
}

int reopen_open(struct reopen *r, int mount_fd, const struct reopen_ticket *t)
{
	struct question q = { .open = true, .ticket = *t };
	struct answer a;
	int fd, res = ask(r, &q, mount_fd, &a, &fd);

	return res < 0 ? res : fd < 0 ? -EIO : fd;
}
