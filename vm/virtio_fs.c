/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-fs device: queues and workers (virtio 1.2 §5.11).
 *
 * All queues are served by one pool of workers that sleep in one edge-triggered epoll set: a kick wakes one of them (the
 * last to fall asleep), and the eventfd need not even be read. A worker takes a request under the queue's lock, asks for
 * the next kick before it starts on it, and handles it outside the lock: whatever arrives meanwhile wakes another worker, so a
 * slow request (fsync, a cold disk) stops nobody. Where more requests are waiting already, it wakes a helper by an eventfd in
 * the same set instead. A lone request costs no hand-over, a burst is served by as many threads as there are.
 *
 * Forgets on the high priority queue are handled like requests; they have no answer. Locks that wait are answered by
 * passthrough_lock's thread through complete(). reset() stops the workers and ends the file system session: what the
 * guest had open is closed.
 * #syscalls epoll_wait read write futex   (before lockdown: unshare fchdir prctl setgroups)
 */
#include "vm/virtio_fs.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_fs.h>

#include "base/log.h"
#include "vm/fuse.h"
#include "vm/passthrough.h"
#include "vm/virtio.h"

#define WORKERS_DEFAULT 4
#define WORKERS_MAX 64
/* High priority and requests; Linux before 6.11 uses the first request queue alone. */
#define QUEUES_MAX (1 + VIRTIO_FS_REQUEST_QUEUES_MAX)
#define QUEUE_SIZE 1024
#define HELP_TAG QUEUES_MAX
#define STOP_TAG (2 * QUEUES_MAX)

struct fs_queue {
	struct virtq *vq;
	pthread_mutex_t lock; /* of the ring and the next field */
	bool helper_called;   /* and not yet there */
	int help_fd;          /* eventfd: wakes a worker for this queue */
};

struct virtio_fs {
	struct virtio_device dev; /* first */
	struct virtio_fs_config config;
	struct passthrough *pt;
	unsigned int n_workers;
	unsigned int n_queues; /* of dev */
	/* running */
	struct fs_queue queues[QUEUES_MAX];
	pthread_t threads[WORKERS_MAX];
	unsigned int n_threads;
	int epoll_fd, stop_fd;
	_Atomic bool stop;
};

/* What a thread needs besides: big, on its heap. */
struct worker {
	struct virtio_fs *fs;
	struct passthrough_thread th;
	struct virtq_chain chain;
};

/* Starting a thread waits until it has prepared itself: its failure is activate's. */
struct worker_start {
	struct virtio_fs *fs;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool finished;
	int result;
	struct err err;
};

static void push(struct fs_queue *q, uint16_t head, uint32_t written)
{
	pthread_mutex_lock(&q->lock);
	if (q->vq->ready && !q->vq->broken) {
		virtq_push(q->vq, head, written);
		virtq_notify(q->vq);
	}
	pthread_mutex_unlock(&q->lock);
}

static void complete(void *arg, void *queue, uint16_t head, uint32_t written)
{
	push(queue, head, written);
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		log_debug("virtio-fs: eventfd: %m");
}

/*
 * Takes the next request of q. Either the ring is empty behind it and the driver kicks for what follows, or a helper is
 * on its way. 1, 0 (empty) or -EPROTO.
 */
static int take(struct virtio_fs *fs, struct fs_queue *q, struct virtq_chain *chain)
{
	bool help = false;
	int r = 0;

	pthread_mutex_lock(&q->lock);
	while (q->vq->ready && !q->vq->broken && !fs->stop) {
		r = virtq_pop(q->vq, chain);
		if (r == 0 && virtq_enable_kick(q->vq))
			continue;
		break;
	}
	if (r > 0 && fs->n_workers > 1 && (virtq_pending(q->vq) || virtq_enable_kick(q->vq)) && !q->helper_called)
		help = q->helper_called = true;
	pthread_mutex_unlock(&q->lock);
	if (help)
		signal_fd(q->help_fd);
	return r;
}

/* Works on queue n until it is empty. */
static void serve(struct worker *w, unsigned int n)
{
	struct virtio_fs *fs = w->fs;
	struct fs_queue *q = &fs->queues[n];
	int64_t written;
	int r;

	while (!fs->stop) {
		r = take(fs, q, &w->chain);
		if (r < 0)
			virtio_fail(&fs->dev, "malformed descriptor chain");
		if (r <= 0)
			return;
		written = fuse_handle(fs->pt, &w->th, q, &w->chain);
		if (written != FUSE_LATER)
			push(q, w->chain.head, (uint32_t)written);
	}
}

static void work_loop(struct worker *w)
{
	struct virtio_fs *fs = w->fs;
	struct epoll_event ev;
	unsigned int n;
	int got;

	while (!fs->stop) {
		got = epoll_wait(fs->epoll_fd, &ev, 1, -1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || ev.data.u32 == STOP_TAG)
			return;
		n = ev.data.u32 % QUEUES_MAX;
		if (ev.data.u32 >= HELP_TAG) {
			pthread_mutex_lock(&fs->queues[n].lock);
			fs->queues[n].helper_called = false;
			pthread_mutex_unlock(&fs->queues[n].lock);
		}
		serve(w, n);
	}
}

static void *worker_thread(void *arg)
{
	struct worker_start *s = arg;
	struct virtio_fs *fs = s->fs;
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w) {
		r = err_sys(&s->err, -ENOMEM, "virtio-fs");
	} else {
		w->fs = fs;
		r = passthrough_thread_init(fs->pt, &w->th, &s->err);
	}
	if (r == 0)
		r = lockdown_thread(LOCKDOWN_FS, &s->err);
	pthread_mutex_lock(&s->lock);
	s->result = r;
	s->finished = true;
	pthread_cond_signal(&s->done);
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		work_loop(w);
	free(w);
	return NULL;
}

static int start_worker(struct virtio_fs *fs, struct err *err)
{
	struct worker_start s = { .fs = fs, .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };
	int r = pthread_create(&fs->threads[fs->n_threads], NULL, worker_thread, &s);

	if (r)
		return err_sys(err, -r, "virtio-fs: thread");
	pthread_mutex_lock(&s.lock);
	while (!s.finished)
		pthread_cond_wait(&s.done, &s.lock);
	pthread_mutex_unlock(&s.lock);
	if (s.result < 0) {
		pthread_join(fs->threads[fs->n_threads], NULL);
		if (err)
			*err = s.err;
		return s.result;
	}
	fs->n_threads++;
	return 0;
}

static void stop_workers(struct virtio_fs *fs)
{
	fs->stop = true;
	signal_fd(fs->stop_fd);
	while (fs->n_threads)
		pthread_join(fs->threads[--fs->n_threads], NULL);
	for (unsigned int n = 0; n < fs->n_queues; n++) {
		if (fs->queues[n].help_fd >= 0)
			close(fs->queues[n].help_fd);
		fs->queues[n].help_fd = -1;
	}
	if (fs->epoll_fd >= 0)
		close(fs->epoll_fd);
	if (fs->stop_fd >= 0)
		close(fs->stop_fd);
	fs->epoll_fd = fs->stop_fd = -1;
}

static int watch(struct virtio_fs *fs, int fd, uint32_t events, uint32_t tag)
{
	struct epoll_event ev = { .events = events, .data.u32 = tag };

	return fd < 0 ? 0 : epoll_ctl(fs->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static int open_queue(struct virtio_fs *fs, unsigned int n)
{
	struct fs_queue *q = &fs->queues[n];

	q->vq = &fs->dev.vq[n];
	q->helper_called = false;
	if (!q->vq->ready)
		return 0;
	q->help_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->help_fd < 0)
		return -1;
	if (watch(fs, q->vq->kick_fd, EPOLLIN | EPOLLET, n) < 0)
		return -1;
	return watch(fs, q->help_fd, EPOLLIN | EPOLLET, HELP_TAG + n);
}

static int fs_activate(struct virtio_device *dev, struct err *err)
{
	struct virtio_fs *fs = (struct virtio_fs *)dev;
	sigset_t all, old;
	int r = 0;

	fs->stop = false;
	fs->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	fs->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fs->epoll_fd < 0 || fs->stop_fd < 0 || watch(fs, fs->stop_fd, EPOLLIN, STOP_TAG) < 0)
		r = err_sys(err, -errno, "epoll");
	for (unsigned int n = 0; n < fs->n_queues && !r; n++)
		if (open_queue(fs, n) < 0)
			r = err_sys(err, -errno, "queue %u", n);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (!r && fs->n_threads < fs->n_workers)
		r = start_worker(fs, err);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		stop_workers(fs);
	return r;
}

static void fs_reset(struct virtio_device *dev)
{
	struct virtio_fs *fs = (struct virtio_fs *)dev;

	stop_workers(fs);
	passthrough_reset(fs->pt);
}

static void fs_free(struct virtio_device *dev)
{
	struct virtio_fs *fs = (struct virtio_fs *)dev;

	passthrough_free(fs->pt);
	for (unsigned int n = 0; n < fs->n_queues; n++)
		pthread_mutex_destroy(&fs->queues[n].lock);
	free(fs);
}

static const struct virtio_device_ops fs_ops = {
	.name = "virtio-fs",
	.id = VIRTIO_ID_FS,
	.queue_size = QUEUE_SIZE,
	.activate = fs_activate,
	.reset = fs_reset,
	.free = fs_free,
};

void virtio_fs_params_init(struct virtio_fs_params *p)
{
	*p = (struct virtio_fs_params){ .export_fd = -1, .proc_fd = -1, .cache = VIRTIO_FS_CACHE_AUTO, .tag = "" };
}

struct virtio_device *virtio_fs_create(const struct virtio_fs_params *p, struct err *err)
{
	struct virtio_fs *fs;
	size_t len = strlen(p->tag);

	if (!len || len > sizeof(fs->config.tag)) {
		err_set(err, EINVAL, "virtio-fs: tag \"%s\" must have 1 to %zu bytes", p->tag, sizeof(fs->config.tag));
		return NULL;
	}
	fs = calloc(1, sizeof(*fs));
	if (!fs) {
		err_sys(err, -ENOMEM, "virtio-fs");
		return NULL;
	}
	fs->epoll_fd = fs->stop_fd = -1;
	fs->n_workers = !p->workers ? WORKERS_DEFAULT : p->workers < WORKERS_MAX ? p->workers : WORKERS_MAX;
	fs->n_queues = 1 +
		(!p->request_queues                                       ? 1 :
			 p->request_queues < VIRTIO_FS_REQUEST_QUEUES_MAX ? p->request_queues :
									    VIRTIO_FS_REQUEST_QUEUES_MAX);
	memcpy(fs->config.tag, p->tag, len);
	fs->config.num_request_queues = fs->n_queues - 1;
	fs->pt = passthrough_new(p, complete, fs, err);
	if (!fs->pt) {
		free(fs);
		return NULL;
	}
	for (unsigned int n = 0; n < fs->n_queues; n++) {
		pthread_mutex_init(&fs->queues[n].lock, NULL);
		fs->queues[n].help_fd = -1;
	}
	virtio_init(&fs->dev, &fs_ops, 0, fs->n_queues, &fs->config, sizeof(fs->config));
	return &fs->dev;
}

struct virtio_device *virtio_fs_new(int export_fd, const char *tag, struct err *err)
{
	struct virtio_fs_params p;

	virtio_fs_params_init(&p);
	p.export_fd = export_fd;
	p.tag = tag;
	return virtio_fs_create(&p, err);
}

int virtio_fs_release(struct virtio_device *dev, const char *path)
{
	return dev ? passthrough_release(((struct virtio_fs *)dev)->pt, path) : -ENODEV;
}

int virtio_fs_cache_parse(const char *word, enum virtio_fs_cache *ret)
{
	static const char *const words[] = { "none", "auto", "always" };

	static_assert(sizeof(words) / sizeof(words[0]) == VIRTIO_FS_CACHE_MAX, "a word for each cache policy");
	for (unsigned int n = 0; n < VIRTIO_FS_CACHE_MAX; n++) {
		if (strcmp(word, words[n]) == 0) {
			*ret = (enum virtio_fs_cache)n;
			return 0;
		}
	}
	return -EINVAL;
}
