/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fcntl and flock locks taken on the host's files.
 *
 * flock belongs to the open file: it is taken on the handle's descriptor. fcntl locks belong to an owner (a process of
 * the guest): each pair of node and owner has a descriptor of its own here and holds open-file-description locks, which
 * vanish together when the owner closes the file (FLUSH), as POSIX wants it. Locks of an open file description have that as
 * their owner; its end is no FLUSH but the RELEASE of the handle they were taken through (which changes nothing for a
 * process's locks: closing that file has given them up).
 *
 * A SETLKW that cannot be had at once becomes a waiter and its worker is free again. One thread tries the waiters: at once
 * when a lock of this machine was given up, every few milliseconds for those held by others. The answer is written into
 * the request's own reply header, kept as an iovec.
 * #syscalls fcntl flock openat close futex clock_nanosleep
 */
#include "vm/passthrough_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "vm/lockdown.h"
#include "vm/passthrough.h"

#define OWNERS 256
#define RETRY_MS_MIN 2
#define RETRY_MS_MAX 25

/* Descriptor that carries the fcntl locks of one owner on one node. */
struct owner {
	uint64_t node, id, fh; /* fh: what the guest had open when it first locked */
	int fd;
	struct owner *next;
};

struct waiter {
	uint64_t node;
	struct fuse_lk_in in;
	/* the answer */
	uint64_t unique;
	void *queue;
	uint16_t head;
	struct iovec out[sizeof(struct fuse_out_header)];
	int out_n;
	struct waiter *next;
};

struct passthrough_locks {
	struct passthrough *pt;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool running, stop, released;
	struct owner *owners[OWNERS];
	unsigned int n_owners;
	struct waiter *waiters;
	unsigned int n_waiters;
};

struct passthrough_locks *passthrough_lock_new(struct passthrough *pt, struct err *err)
{
	struct passthrough_locks *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;

	if (!l) {
		err_sys(err, -ENOMEM, "virtio-fs");
		return NULL;
	}
	l->pt = pt;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &attr);
	pthread_condattr_destroy(&attr);
	return l;
}

static struct owner **find_owner(struct passthrough_locks *l, uint64_t node, uint64_t id)
{
	struct owner **o = &l->owners[(node ^ id ^ id >> 8) % OWNERS];

	while (*o && ((*o)->node != node || (*o)->id != id))
		o = &(*o)->next;
	return o;
}

static void drop_owner(struct passthrough_locks *l, struct owner **o)
{
	struct owner *dead = *o;

	l->n_owners--;
	*o = dead->next;
	close(dead->fd);
	free(dead);
}

void passthrough_lock_reset(struct passthrough_locks *l)
{
	struct waiter *w;

	pthread_mutex_lock(&l->lock);
	while ((w = l->waiters)) {
		l->waiters = w->next;
		free(w);
	}
	l->n_waiters = 0;
	for (size_t n = 0; n < OWNERS; n++)
		while (l->owners[n])
			drop_owner(l, &l->owners[n]);
	pthread_mutex_unlock(&l->lock);
}

void passthrough_lock_free(struct passthrough_locks *l)
{
	if (!l)
		return;
	passthrough_lock_reset(l);
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
	if (l->running)
		pthread_join(l->thread, NULL);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* Somebody of this machine gave a lock up. */
static void released(struct passthrough_locks *l)
{
	l->released = true;
	pthread_cond_signal(&l->wake);
}

void passthrough_lock_close(struct passthrough *pt, uint64_t node, uint64_t owner)
{
	struct passthrough_locks *l = pt->locks;
	struct owner **o;

	pthread_mutex_lock(&l->lock);
	o = find_owner(l, node, owner);
	if (*o)
		drop_owner(l, o);
	/* A handle's flock may go with the same close. */
	released(l);
	pthread_mutex_unlock(&l->lock);
}

void passthrough_lock_release(struct passthrough *pt, uint64_t node, uint64_t fh)
{
	struct passthrough_locks *l = pt->locks;
	struct owner **o;

	pthread_mutex_lock(&l->lock);
	for (size_t n = 0; l->n_owners && n < OWNERS; n++) {
		for (o = &l->owners[n]; *o;) {
			if ((*o)->node != node || (*o)->fh != fh) {
				o = &(*o)->next;
				continue;
			}
			drop_owner(l, o);
			released(l);
		}
	}
	pthread_mutex_unlock(&l->lock);
}

void passthrough_lock_sweep(struct passthrough_locks *l, bool (*keep)(void *arg, uint64_t node), void *arg)
{
	pthread_mutex_lock(&l->lock);
	for (size_t n = 0; n < OWNERS; n++) {
		for (struct owner **o = &l->owners[n]; *o;) {
			if (keep(arg, (*o)->node))
				o = &(*o)->next;
			else
				drop_owner(l, o);
		}
	}
	released(l);
	pthread_mutex_unlock(&l->lock);
}

static int from_fuse(const struct fuse_file_lock *in, struct flock *fl)
{
	memset(fl, 0, sizeof(*fl));
	if (in->type != F_RDLCK && in->type != F_WRLCK && in->type != F_UNLCK)
		return -EINVAL;
	if (in->start > INT64_MAX || in->end < in->start)
		return -EINVAL;
	fl->l_type = (short)in->type;
	fl->l_whence = SEEK_SET;
	fl->l_start = (off_t)in->start;
	fl->l_len = in->end >= INT64_MAX ? 0 : (off_t)(in->end - in->start + 1);
	return 0;
}

/* The owner's descriptor, made when missing. fd or -errno. Under the lock. */
static int owner_fd(struct passthrough_locks *l, uint64_t node, uint64_t id, uint64_t fh)
{
	struct owner **slot = find_owner(l, node, id), *o = *slot;
	struct inode *i;
	int fd;

	if (o)
		return o->fd;
	i = inode_get(l->pt->inodes, node);
	if (!i)
		return -ESTALE;
	fd = S_ISREG(i->type) ? passthrough_reopen(l->pt, i, O_RDWR | O_NONBLOCK) : -EINVAL;
	if (fd == -EROFS || fd == -ETXTBSY)
		fd = passthrough_reopen(l->pt, i, O_RDONLY | O_NONBLOCK);
	inode_put(l->pt->inodes, i);
	if (fd < 0)
		return fd;
	o = calloc(1, sizeof(*o));
	if (!o) {
		close(fd);
		return -ENOMEM;
	}
	o->node = node;
	o->id = id;
	o->fh = fh;
	o->fd = fd;
	l->n_owners++;
	*slot = o;
	return fd;
}

/* Tries without waiting: 0, -EAGAIN or -errno. Under the lock. */
static int try_lock(struct passthrough_locks *l, uint64_t node, const struct fuse_lk_in *in)
{
	struct handle *h;
	struct flock fl;
	int fd, op, err;

	if (in->lk_flags & FUSE_LK_FLOCK) {
		op = in->lk.type == F_RDLCK ? LOCK_SH : in->lk.type == F_WRLCK ? LOCK_EX : LOCK_UN;
		h = handle_get(l->pt->handles, in->fh, node, false);
		if (!h)
			return -EBADF;
		err = flock(h->fd, op | LOCK_NB) < 0 ? -errno : 0;
		handle_put(l->pt->handles, h);
	} else {
		err = from_fuse(&in->lk, &fl);
		if (err)
			return err;
		if (fl.l_type == F_UNLCK && !*find_owner(l, node, in->owner))
			return 0;
		fd = owner_fd(l, node, in->owner, in->fh);
		if (fd < 0)
			return fd;
		err = fcntl(fd, F_OFD_SETLK, &fl) < 0 ? -errno : 0;
		if (err == -EACCES)
			err = -EAGAIN;
	}
	if (!err && in->lk.type == F_UNLCK)
		released(l);
	return err;
}

static void answer(struct passthrough_locks *l, struct waiter *w, int err)
{
	struct fuse_out_header out = { .len = sizeof(out), .error = err, .unique = w->unique };
	const char *p = (const char *)&out;

	for (int n = 0; n < w->out_n; n++) {
		memcpy(w->out[n].iov_base, p, w->out[n].iov_len);
		p += w->out[n].iov_len;
	}
	l->pt->complete(l->pt->complete_arg, w->queue, w->head, sizeof(out));
}

static void try_waiters(struct passthrough_locks *l)
{
	struct waiter **p = &l->waiters, *w;
	int err;

	while ((w = *p)) {
		err = try_lock(l, w->node, &w->in);
		if (err == -EAGAIN) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		l->n_waiters--;
		answer(l, w, err);
		free(w);
	}
}

static void *waiting_thread(void *arg)
{
	struct passthrough_locks *l = arg;
	struct timespec until;
	unsigned int ms = RETRY_MS_MIN;

	if (lockdown_thread(LOCKDOWN_FS, NULL) < 0)
		return NULL;
	pthread_mutex_lock(&l->lock);
	while (!l->stop) {
		if (!l->waiters) {
			ms = RETRY_MS_MIN;
			pthread_cond_wait(&l->wake, &l->lock);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += ms * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (!l->released)
			pthread_cond_timedwait(&l->wake, &l->lock, &until);
		ms = l->released ? RETRY_MS_MIN : ms < RETRY_MS_MAX ? ms + 1 : ms;
		l->released = false;
		try_waiters(l);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static int start_thread(struct passthrough_locks *l)
{
	sigset_t all, old;
	int err;

	if (l->running)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&l->thread, NULL, waiting_thread, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	l->running = !err;
	return -err;
}

/* Turns the request into a waiter. Under the lock. */
static int wait_for(struct passthrough_locks *l, struct fuse_req *r, const struct fuse_lk_in *in)
{
	struct waiter *w;

	if (!l->pt->complete || l->n_waiters >= PASSTHROUGH_LOCK_WAITERS_MAX || start_thread(l) < 0)
		return -ENOLCK;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->node = r->in.nodeid;
	w->in = *in;
	w->unique = r->in.unique;
	w->queue = r->queue;
	w->head = r->chain->head;
	w->out_n = virtq_iov(r->chain, true, 0, sizeof(struct fuse_out_header), w->out, ARRAY_SIZE(w->out), NULL);
	w->next = l->waiters;
	l->waiters = w;
	l->n_waiters++;
	r->later = true;
	pthread_cond_signal(&l->wake);
	return 0;
}

static int set(struct fuse_req *r, bool wait)
{
	struct passthrough_locks *l = r->pt->locks;
	struct fuse_lk_in in;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	if (!l)
		return -ENOSYS;
	pthread_mutex_lock(&l->lock);
	err = try_lock(l, r->in.nodeid, &in);
	if (err == -EAGAIN && wait)
		err = wait_for(l, r, &in);
	pthread_mutex_unlock(&l->lock);
	return err;
}

int passthrough_lock_set(struct fuse_req *r)
{
	return set(r, false);
}

int passthrough_lock_wait(struct fuse_req *r)
{
	return set(r, true);
}

int passthrough_lock_get(struct fuse_req *r)
{
	struct passthrough_locks *l = r->pt->locks;
	struct fuse_lk_in in;
	struct fuse_lk_out out = { 0 };
	struct flock fl;
	int fd, err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	if (!l)
		return -ENOSYS;
	err = from_fuse(&in.lk, &fl);
	if (err)
		return err;
	pthread_mutex_lock(&l->lock);
	fd = owner_fd(l, r->in.nodeid, in.owner, in.fh);
	if (fd < 0)
		err = fd;
	else if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
		err = -errno;
	pthread_mutex_unlock(&l->lock);
	if (err)
		return err;
	out.lk.type = (uint32_t)fl.l_type;
	if (fl.l_type != F_UNLCK) {
		out.lk.start = (uint64_t)fl.l_start;
		out.lk.end = fl.l_len ? (uint64_t)(fl.l_start + fl.l_len - 1) : INT64_MAX;
	}
	return fuse_reply(r, &out, sizeof(out));
}
