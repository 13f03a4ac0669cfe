/* SPDX-License-Identifier: Apache-2.0 */
/* Shared locks: owners against each other and against the host, and one that waits without holding anybody up. */
#include "tests/unit/fuse_kit.h"

#include <pthread.h>
#include <sys/file.h>
#include <time.h>

static struct kit k;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int completed;

static void complete(void *arg, void *queue, uint16_t head, uint32_t written)
{
	pthread_mutex_lock(&lock);
	if (queue == &k && head == 7 && written == sizeof(struct fuse_out_header))
		completed++;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

/* Waits until n answers came; generous. */
static int wait_completed(int n)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&lock);
	while (completed < n && r == 0)
		r = pthread_cond_timedwait(&cond, &lock, &until);
	r = completed;
	pthread_mutex_unlock(&lock);
	return r;
}

static int lk(uint32_t op, uint64_t node, uint64_t fh, uint64_t owner, uint32_t type, uint64_t start, uint64_t end,
	      uint32_t flags)
{
	struct fuse_lk_in in = { .fh = fh, .owner = owner, .lk = { start, end, type, 1 }, .lk_flags = flags };

	return kit_call(&k, op, node, &in, sizeof(in), NULL, NULL);
}

static void test_posix(uint64_t f, uint64_t fh)
{
	struct fuse_lk_out *out = kit_reply(&k);
	struct fuse_flush_in fl = { .fh = fh, .lock_owner = 1 };
	struct flock host = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };
	int fd = openat(k.dir_fd, "f", O_RDWR | O_CLOEXEC);

	is_int(lk(FUSE_SETLK, f, fh, 1, F_WRLCK, 0, 9, 0), 0);
	is_int(lk(FUSE_SETLK, f, fh, 2, F_WRLCK, 5, 15, 0), -EAGAIN);
	is_int(lk(FUSE_SETLK, f, fh, 2, F_WRLCK, 10, INT64_MAX, 0), 0);
	is_int(lk(FUSE_GETLK, f, fh, 2, F_RDLCK, 0, 9, 0), 0);
	ok(out->lk.type == F_WRLCK && out->lk.start == 0 && out->lk.end == 9);
	is_int(lk(FUSE_GETLK, f, fh, 1, F_WRLCK, 0, 9, 0), 0);
	is_int(out->lk.type, F_UNLCK);
	/* The host sees it. */
	ok(fcntl(fd, F_OFD_SETLK, &host) < 0 && errno == EAGAIN);
	/* One owner closes: its locks go, the other's stay. */
	is_int(kit_call(&k, FUSE_FLUSH, f, &fl, sizeof(fl), NULL, NULL), 0);
	is_int(fcntl(fd, F_OFD_SETLK, &host), 0);
	is_int(lk(FUSE_SETLK, f, fh, 1, F_WRLCK, 0, 0, 0), -EAGAIN);
	host.l_start = 20;
	ok(fcntl(fd, F_OFD_SETLK, &host) < 0 && errno == EAGAIN);
	close(fd);
	is_int(lk(FUSE_SETLK, f, fh, 2, F_UNLCK, 0, INT64_MAX, 0), 0);
	is_int(lk(FUSE_SETLK, f, fh, 2, 77, 0, 1, 0), -EINVAL);
	is_int(lk(FUSE_SETLK, f, fh, 2, F_WRLCK, 10, 1, 0), -EINVAL);
	is_int(lk(FUSE_SETLK, f, fh, 2, F_WRLCK, UINT64_MAX, UINT64_MAX, 0), -EINVAL);
}

/* The lock of an open file description: no FLUSH names its owner, the end of its handle is its end. */
static void test_description(uint64_t f)
{
	struct flock host = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 10 };
	struct fuse_open_in op = { .flags = O_RDWR };
	struct fuse_flush_in fl = { .lock_owner = 77 };
	struct fuse_release_in rel = { 0 };
	int fd = openat(k.dir_fd, "f", O_RDWR | O_CLOEXEC);

	is_int(kit_call(&k, FUSE_OPEN, f, &op, sizeof(op), NULL, NULL), 0);
	rel.fh = fl.fh = ((struct fuse_open_out *)kit_reply(&k))->fh;
	is_int(lk(FUSE_SETLK, f, rel.fh, 99, F_WRLCK, 100, 109, 0), 0);
	is_int(kit_call(&k, FUSE_FLUSH, f, &fl, sizeof(fl), NULL, NULL), 0);
	ok(fcntl(fd, F_OFD_SETLK, &host) < 0 && errno == EAGAIN);
	is_int(kit_call(&k, FUSE_RELEASE, f, &rel, sizeof(rel), NULL, NULL), 0);
	is_int(fcntl(fd, F_OFD_SETLK, &host), 0);
	close(fd);
}

static void test_wait(uint64_t f, uint64_t fh)
{
	struct fuse_out_header *o = (void *)k.out;
	struct fuse_getattr_in ga = { 0 };
	static uint8_t saved[sizeof(k.out)];

	is_int(lk(FUSE_SETLK, f, fh, 1, F_WRLCK, 0, 9, 0), 0);
	is_int(lk(FUSE_SETLKW, f, fh, 2, F_WRLCK, 0, 9, 0), 1);
	is_int(k.result, FUSE_LATER);
	is_int(completed, 0);
	/* Our worker is free meanwhile; keep the waiter's answer apart from the next one. */
	memcpy(saved, k.out, sizeof(saved));
	is_int(lk(FUSE_SETLK, f, fh, 1, F_UNLCK, 0, 9, 0), 0);
	is_int(wait_completed(1), 1);
	is_int(kit_call(&k, FUSE_GETATTR, f, &ga, sizeof(ga), NULL, NULL), 0);
	/* It is owner 2's now. */
	is_int(lk(FUSE_SETLK, f, fh, 1, F_WRLCK, 0, 9, 0), -EAGAIN);
	is_int(o->error, -EAGAIN);
	is_int(lk(FUSE_SETLK, f, fh, 2, F_UNLCK, 0, 9, 0), 0);
}

static void test_flock(uint64_t f, uint64_t fh)
{
	struct fuse_open_in op = { .flags = O_RDONLY };
	struct fuse_release_in rel = { .fh = fh, .release_flags = FUSE_RELEASE_FLOCK_UNLOCK };
	uint64_t fh2;
	int fd = openat(k.dir_fd, "f", O_RDONLY | O_CLOEXEC);

	is_int(kit_call(&k, FUSE_OPEN, f, &op, sizeof(op), NULL, NULL), 0);
	fh2 = ((struct fuse_open_out *)kit_reply(&k))->fh;
	is_int(lk(FUSE_SETLK, f, fh, 1, F_WRLCK, 0, INT64_MAX, FUSE_LK_FLOCK), 0);
	is_int(lk(FUSE_SETLK, f, fh2, 2, F_RDLCK, 0, INT64_MAX, FUSE_LK_FLOCK), -EAGAIN);
	ok(flock(fd, LOCK_SH | LOCK_NB) < 0);
	/* The waiter gets it when the other file is closed. */
	is_int(lk(FUSE_SETLKW, f, fh2, 2, F_RDLCK, 0, INT64_MAX, FUSE_LK_FLOCK), 1);
	is_int(kit_call(&k, FUSE_RELEASE, f, &rel, sizeof(rel), NULL, NULL), 0);
	is_int(wait_completed(2), 2);
	is_int(flock(fd, LOCK_SH | LOCK_NB), 0);
	ok(flock(fd, LOCK_EX | LOCK_NB) < 0);
	/* A reset drops waiters without an answer and lets everything go. */
	is_int(kit_call(&k, FUSE_OPEN, f, &op, sizeof(op), NULL, NULL), 0);
	fh = ((struct fuse_open_out *)kit_reply(&k))->fh;
	is_int(lk(FUSE_SETLKW, f, fh, 3, F_WRLCK, 0, INT64_MAX, FUSE_LK_FLOCK), 1);
	passthrough_reset(k.pt);
	is_int(flock(fd, LOCK_EX | LOCK_NB), 0);
	is_int(completed, 2);
	close(fd);
}

int main(void)
{
	struct virtio_fs_params p;
	uint64_t f, fh;

	virtio_fs_params_init(&p);
	p.shared_locks = true;
	kit_open(&k, &p, complete, NULL);
	is_int(kit_init(&k), 0);
	ok(((struct fuse_init_out *)kit_reply(&k))->flags & FUSE_FLOCK_LOCKS);
	f = kit_create(&k, 1, "f", 0600, O_RDWR, &fh);
	need(f);
	test_posix(f, fh);
	test_description(f);
	test_wait(f, fh);
	test_flock(f, fh);
	kit_close(&k);
	return tap_done();
}
