/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Balloon (virtio 1.2 §5.5). Queues in order of the features offered: inflate (0), deflate (1), and free page reporting
 * behind them. The statistics queue is not offered; Linux then numbers the reporting queue 2.
 *
 * Inflate: arrays of 32-bit page frame numbers; each page is discarded on the host. Deflate needs nothing: a touched page
 * comes back as zeroes. Reporting: each writable slice is a free block of the guest's, discarded before it is returned. The
 * balloon is advice; the cgroup's limit on the monitor is the law. Deflate on out-of-memory keeps a guest alive that
 * needs what it gave.
 *
 * #syscalls madvise
 */
#include "vm/virtio_balloon.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_balloon.h>

#include "base/str.h"
#include "vm/virtio.h"

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_REPORT, QUEUES };

struct virtio_balloon {
	struct virtio_device dev;
	struct virtio_worker worker;
	struct virtq_chain chain;
	struct virtio_balloon_config config; /* actual is guest-written */
};

/* The guest's frame numbers are in units of 4 KiB whatever its page size. */
static void inflate(struct virtio_device *dev, const struct virtq_chain *c)
{
	uint32_t pfns[256];
	size_t off = 0, n;
	gpa_t run = 0;
	uint64_t run_len = 0;

	/* Each frame can cost a system call: no more of them at a time than there are, or the same are named again. */
	if (c->out_len / sizeof(pfns[0]) > memory_total(dev->mem) / 4096) {
		virtio_fail(dev, "more frames than the memory has");
		return;
	}
	while ((n = virtq_read(c, off, pfns, sizeof(pfns)) / sizeof(pfns[0])) > 0) {
		off += n * sizeof(pfns[0]);
		for (size_t i = 0; i < n; i++) {
			gpa_t gpa = (gpa_t)pfns[i] << VIRTIO_BALLOON_PFN_SHIFT;

			if (run_len && gpa == run + run_len) {
				run_len += 4096;
				continue;
			}
			/* frames outside memory are the guest's mistake and nobody's loss */
			if (run_len)
				memory_discard(dev->mem, run, run_len);
			run = gpa;
			run_len = 4096;
		}
	}
	if (run_len)
		memory_discard(dev->mem, run, run_len);
}

static void report(const struct virtq_chain *c)
{
	for (unsigned int i = c->out_n; i < (unsigned int)c->out_n + c->in_n; i++)
		memory_discard_slice(c->iov[i].iov_base, c->iov[i].iov_len);
}

static uint32_t handle(struct virtio_device *dev, struct virtq *q, const struct virtq_chain *c)
{
	if (q->index == QUEUE_INFLATE)
		inflate(dev, c);
	else if (q->index == QUEUE_REPORT)
		report(c);
	return 0;
}

static void kicked(struct virtio_device *dev, struct virtq *q)
{
	virtio_serve(dev, q, &((struct virtio_balloon *)dev)->chain, handle);
}

static int activate(struct virtio_device *dev, struct err *err)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;

	memset(&b->worker, 0, sizeof(b->worker));
	b->worker.dev = dev;
	b->worker.kind = LOCKDOWN_DEVICE;
	b->worker.queues = VIRTIO_WORKER_ALL;
	b->worker.kicked = kicked;
	return virtio_worker_start(&b->worker, err);
}

static void reset(struct virtio_device *dev)
{
	virtio_worker_stop(&((struct virtio_balloon *)dev)->worker);
}

static void free_dev(struct virtio_device *dev)
{
	free(dev);
}

static void config_write(struct virtio_device *dev, size_t off, const void *buf, size_t len)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;
	uint32_t v;

	if (off != offsetof(struct virtio_balloon_config, actual) || len != sizeof(v))
		return;
	memcpy(&v, buf, sizeof(v));
	__atomic_store_n(&b->config.actual, v, __ATOMIC_RELAXED);
}

static const struct virtio_device_ops ops = {
	.name = "virtio-balloon",
	.id = VIRTIO_ID_BALLOON,
	.queue_size = 128,
	.activate = activate,
	.reset = reset,
	.free = free_dev,
	.config_write = config_write,
};

struct virtio_device *virtio_balloon_new(struct err *err)
{
	struct virtio_balloon *b = xcalloc(1, sizeof(*b));

	virtio_init(&b->dev, &ops,
		    1ULL << VIRTIO_BALLOON_F_DEFLATE_ON_OOM | 1ULL << VIRTIO_BALLOON_F_REPORTING |
			    1ULL << VIRTIO_BALLOON_F_MUST_TELL_HOST,
		    QUEUES, &b->config, offsetof(struct virtio_balloon_config, free_page_hint_cmd_id));
	return &b->dev;
}

void virtio_balloon_set(struct virtio_device *dev, uint64_t bytes)
{
	struct virtio_balloon *b = (struct virtio_balloon *)dev;

	__atomic_store_n(&b->config.num_pages, (uint32_t)(bytes >> VIRTIO_BALLOON_PFN_SHIFT), __ATOMIC_RELAXED);
	virtio_config_changed(dev);
}

uint64_t virtio_balloon_get(const struct virtio_device *dev)
{
	const struct virtio_balloon *b = (const struct virtio_balloon *)dev;

	return (uint64_t)__atomic_load_n(&b->config.actual, __ATOMIC_RELAXED) << VIRTIO_BALLOON_PFN_SHIFT;
}
