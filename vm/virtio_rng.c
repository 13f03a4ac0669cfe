/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy (virtio 1.2 §5.4): one queue of writable buffers, filled by getrandom(2). At most 4 KiB are written into one
 * buffer; a guest may ask again. No rate limit: getrandom costs the host no more than any other work of the vCPU.
 *
 * #syscalls getrandom
 */
#include "vm/virtio_rng.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/str.h"
#include "vm/virtio.h"

struct virtio_rng {
	struct virtio_device dev;
	struct virtio_worker worker;
	struct virtq_chain chain;
};

static uint32_t fill(struct virtio_device *dev, struct virtq *q, const struct virtq_chain *c)
{
	uint8_t buf[4096];
	size_t want = c->in_len < sizeof(buf) ? c->in_len : sizeof(buf);
	ssize_t n = want ? getrandom(buf, want, 0) : 0;

	return n <= 0 ? 0 : (uint32_t)virtq_write(c, 0, buf, (size_t)n);
}

static void kicked(struct virtio_device *dev, struct virtq *q)
{
	virtio_serve(dev, q, &((struct virtio_rng *)dev)->chain, fill);
}

static int activate(struct virtio_device *dev, struct err *err)
{
	struct virtio_rng *rng = (struct virtio_rng *)dev;

	memset(&rng->worker, 0, sizeof(rng->worker));
	rng->worker.dev = dev;
	rng->worker.kind = LOCKDOWN_DEVICE;
	rng->worker.queues = VIRTIO_WORKER_ALL;
	rng->worker.kicked = kicked;
	return virtio_worker_start(&rng->worker, err);
}

static void reset(struct virtio_device *dev)
{
	virtio_worker_stop(&((struct virtio_rng *)dev)->worker);
}

static void free_dev(struct virtio_device *dev)
{
	free(dev);
}

static const struct virtio_device_ops ops = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.queue_size = 64,
	.activate = activate,
	.reset = reset,
	.free = free_dev,
};

struct virtio_device *virtio_rng_new(struct err *err)
{
	struct virtio_rng *rng = xcalloc(1, sizeof(*rng));

	virtio_init(&rng->dev, &ops, 0, 1, NULL, 0);
	return &rng->dev;
}
