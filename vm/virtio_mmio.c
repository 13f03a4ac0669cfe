/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory-mapped transport (virtio 1.2 §4.2.2): a register file in front of a device core.
 *
 * The status machine (§2.1, §3.1.1) is strict: features can be written until FEATURES_OK, queue registers while the
 * queue is not ready and DRIVER_OK is not set; anything else is ignored, so that nothing a running device relies on can
 * change under it. DRIVER_OK activates the core, a write of 0 resets it; both start or stop threads and are done by the
 * machine's main thread, because a vCPU's thread may not (lockdown.h).
 *
 * Kicks go by ioeventfd past this file; the QueueNotify register is only the fallback. Interrupts: set a bit in
 * InterruptStatus, pulse the line.
 */
#include "vm/virtio_mmio.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_mmio.h>

#include "base/log.h"

#define MAGIC 0x74726976
#define VENDOR 0x49504d41 /* "AMPI" */

static void raise_irq(struct virtio_mmio *t, uint32_t bit)
{
	atomic_fetch_or(&t->interrupt_status, bit);
	t->host.pulse(t->host.host, t);
}

static void on_interrupt(struct virtio_device *dev, struct virtq *q)
{
	raise_irq(dev->transport.arg, VIRTIO_MMIO_INT_VRING);
}

static void on_config_changed(struct virtio_device *dev)
{
	raise_irq(dev->transport.arg, VIRTIO_MMIO_INT_CONFIG);
}

static void on_failed(struct virtio_device *dev)
{
	struct virtio_mmio *t = dev->transport.arg;

	atomic_store(&t->needs_reset, true);
	raise_irq(t, VIRTIO_MMIO_INT_CONFIG);
}

int virtio_mmio_init(struct virtio_mmio *t, struct virtio_device *dev, const struct vm_memory *mem, uint64_t base,
		     int line, const struct virtio_mmio_host *host, struct err *err)
{
	memset(t, 0, sizeof(*t));
	for (unsigned int i = 0; i < dev->nqueues; i++) {
		struct virtq *q = &dev->vq[i];
		int r;

		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = q->kick_fd < 0 ? -errno : 0;
		if (!r && host->ioeventfd)
			r = host->ioeventfd(host->host, q->kick_fd, base + VIRTIO_MMIO_QUEUE_NOTIFY, i, true);
		if (r < 0) {
			for (unsigned int j = 0; j <= i; j++) {
				if (dev->vq[j].kick_fd >= 0)
					close(dev->vq[j].kick_fd);
				dev->vq[j].kick_fd = -1;
			}
			return err_sys(err, r, "%s: kick of queue %u", dev->ops->name, i);
		}
	}
	pthread_mutex_init(&t->lock, NULL);
	t->dev = dev;
	t->host = *host;
	t->mem = mem;
	t->base = base;
	t->line = line;
	dev->mem = mem;
	dev->transport = (struct virtio_transport){
		.interrupt = on_interrupt,
		.config_changed = on_config_changed,
		.failed = on_failed,
		.interrupt_fd = line,
		.arg = t,
	};
	return 0;
}

/*
 * Who interrupts by the line alone cannot set a bit: used buffers are claimed whenever the driver asks, and it finds out
 * by looking, as after any interrupt.
 */
static uint32_t interrupt_status(struct virtio_mmio *t)
{
	return atomic_load(&t->interrupt_status) | (atomic_load(&t->dev->interrupts_by_fd) ? VIRTIO_MMIO_INT_VRING : 0);
}

static struct virtq *selected(struct virtio_mmio *t)
{
	return t->queue_sel < t->dev->nqueues ? &t->dev->vq[t->queue_sel] : NULL;
}

static uint64_t offered(const struct virtio_mmio *t)
{
	return t->dev->features | VIRTIO_FEATURES_COMMON;
}

static int do_activate(void *arg)
{
	struct virtio_mmio *t = arg;
	struct err err = { 0 };
	int r = virtio_activate(t->dev, &err);

	if (r < 0)
		log_warn("%s", err.msg);
	return r;
}

static int do_reset(void *arg)
{
	struct virtio_mmio *t = arg;

	virtio_reset(t->dev);
	return 0;
}

static void reset(struct virtio_mmio *t)
{
	t->host.call(t->host.host, do_reset, t);
	t->status = 0;
	t->driver_features = 0;
	t->device_features_sel = t->driver_features_sel = t->queue_sel = 0;
	atomic_store(&t->interrupt_status, 0);
	atomic_store(&t->needs_reset, false);
}

static void write_status(struct virtio_mmio *t, uint32_t v)
{
	uint32_t added = v & ~t->status;

	v &= 0xff;
	if (!v) {
		reset(t);
		return;
	}
	if (t->status & ~v)
		return; /* a driver only adds bits */
	if (added & VIRTIO_CONFIG_S_FEATURES_OK) {
		bool ok = !(t->driver_features & ~offered(t)) && (t->driver_features & 1ULL << VIRTIO_F_VERSION_1);

		if (!ok)
			v &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
		else
			t->dev->acked = t->driver_features;
	}
	if (added & VIRTIO_CONFIG_S_DRIVER_OK) {
		if (!(v & VIRTIO_CONFIG_S_FEATURES_OK)) {
			v &= ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK;
		} else if (t->host.call(t->host.host, do_activate, t) < 0) {
			atomic_store(&t->needs_reset, true);
			raise_irq(t, VIRTIO_MMIO_INT_CONFIG);
		}
	}
	t->status = v;
}

static void queue_ready(struct virtio_mmio *t, struct virtq *q, uint32_t v)
{
	struct err err = { 0 };

	if (!(v & 1)) {
		/* Taking a single queue away from a running device is not offered: a driver resets first. */
		if (!(t->status & VIRTIO_CONFIG_S_DRIVER_OK))
			virtq_stop(q);
		return;
	}
	if (q->ready || (t->status & VIRTIO_CONFIG_S_DRIVER_OK) || !(t->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	q->mem = t->mem;
	if (virtq_start(q, &err) < 0)
		log_debug("%s: %s", t->dev->ops->name, err.msg);
}

static void half(gpa_t *addr, uint32_t v, bool high)
{
	*addr = high ? (*addr & 0xffffffffULL) | (uint64_t)v << 32 : (*addr & ~0xffffffffULL) | v;
}

static void write_queue(struct virtio_mmio *t, uint64_t off, uint32_t v)
{
	struct virtq *q = selected(t);

	if (!q)
		return;
	if (off == VIRTIO_MMIO_QUEUE_READY) {
		queue_ready(t, q, v);
		return;
	}
	if (q->ready || (t->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->size = v <= UINT16_MAX ? (uint16_t)v : 0;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		half(&q->desc, v, off == VIRTIO_MMIO_QUEUE_DESC_HIGH);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		half(&q->avail, v, off == VIRTIO_MMIO_QUEUE_AVAIL_HIGH);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		half(&q->used, v, off == VIRTIO_MMIO_QUEUE_USED_HIGH);
		break;
	}
}

static void reg_write(struct virtio_mmio *t, uint64_t off, uint32_t v)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		t->device_features_sel = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		t->driver_features_sel = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (!(t->status & VIRTIO_CONFIG_S_FEATURES_OK) && t->driver_features_sel < 2)
			half(&t->driver_features, v, t->driver_features_sel);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		t->queue_sel = v;
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (v < t->dev->nqueues)
			virtio_kick(&t->dev->vq[v]);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		atomic_fetch_and(&t->interrupt_status, ~v);
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(t, v);
		break;
	default:
		write_queue(t, off, v);
		break;
	}
}

static uint32_t reg_read(struct virtio_mmio *t, uint64_t off)
{
	const struct virtq *q = selected(t);

	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return 2;
	case VIRTIO_MMIO_DEVICE_ID:
		return t->dev->ops->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return t->device_features_sel < 2 ? (uint32_t)(offered(t) >> (32 * t->device_features_sel)) : 0;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? q->size_max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q ? q->ready : 0;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return interrupt_status(t);
	case VIRTIO_MMIO_STATUS:
		return t->status | (atomic_load(&t->needs_reset) ? VIRTIO_CONFIG_S_NEEDS_RESET : 0);
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return atomic_load(&t->dev->config_generation);
	case VIRTIO_MMIO_SHM_LEN_LOW: /* no shared memory regions: length and base all ones */
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX;
	default:
		return 0;
	}
}

static void config_access(struct virtio_mmio *t, size_t off, void *data, unsigned int len, bool write)
{
	struct virtio_device *dev = t->dev;
	bool inside = off < dev->config_len && len <= dev->config_len - off;

	if (write) {
		if (inside && dev->ops->config_write)
			dev->ops->config_write(dev, off, data, len);
		return;
	}
	memset(data, 0, len);
	if (inside)
		memcpy(data, (const uint8_t *)dev->config + off, len);
}

void virtio_mmio_access(void *arg, uint64_t off, void *data, unsigned int len, bool write)
{
	struct virtio_mmio *t = arg;
	uint32_t v = 0;

	/* The interrupt handler's two registers are the hot ones and need no lock. */
	if (len == 4 && off == VIRTIO_MMIO_INTERRUPT_STATUS && !write) {
		v = interrupt_status(t);
		memcpy(data, &v, 4);
		return;
	}
	pthread_mutex_lock(&t->lock);
	if (off >= VIRTIO_MMIO_CONFIG) {
		config_access(t, off - VIRTIO_MMIO_CONFIG, data, len, write);
	} else if (len != 4 || off % 4) {
		if (!write) /* registers are 32 bits wide */
			memset(data, 0, len);
	} else if (write) {
		memcpy(&v, data, 4);
		reg_write(t, off, v);
	} else {
		v = reg_read(t, off);
		memcpy(data, &v, 4);
	}
	pthread_mutex_unlock(&t->lock);
}

void virtio_mmio_stop(struct virtio_mmio *t)
{
	if (t->dev)
		virtio_reset(t->dev);
}

void virtio_mmio_free(struct virtio_mmio *t)
{
	if (!t->dev)
		return;
	for (unsigned int i = 0; i < t->dev->nqueues; i++) {
		int fd = t->dev->vq[i].kick_fd;

		if (fd < 0)
			continue;
		if (t->host.ioeventfd)
			t->host.ioeventfd(t->host.host, fd, t->base + VIRTIO_MMIO_QUEUE_NOTIFY, i, false);
	}
	virtio_reset(t->dev);
	for (unsigned int i = 0; i < t->dev->nqueues; i++) {
		if (t->dev->vq[i].kick_fd >= 0)
			close(t->dev->vq[i].kick_fd);
		t->dev->vq[i].kick_fd = -1;
	}
	virtio_free(t->dev);
	t->dev = NULL;
	if (t->line >= 0)
		close(t->line);
	t->line = -1;
}
