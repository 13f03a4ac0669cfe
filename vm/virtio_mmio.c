/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory-mapped transport (virtio 1.2 §4.2.2): a register file in front of a device core.
 *
 * The status machine (§2.1, §3.1.1) is strict: features can be written until FEATURES_OK, queue registers while the
 * queue is not ready and DRIVER_OK is not set; anything else is ignored, so that nothing a running device relies on can
 * change under it. DRIVER_OK activates the core, a write of 0 resets it; both start or stop threads and are done by the
 * machine's main thread, because a vCPU's thread may not (lockdown.h).
 *
 * What the guest reads is always there in a page, brought up to date by whatever changes it. Where the machine shows the
 * page to the guest (read-only memory), reading a register is no exit, and of an interrupt's two only the acknowledgement is
 * left. Used buffers are claimed in InterruptStatus whether there are any or not: the driver finds out by looking, as after
 * any interrupt, and its acknowledgement of them has nobody to hear it: an eventfd that nobody reads takes it in, within the kernel.
 * The bit of a changed configuration is set before the pulse and cleared by its acknowledgement.
 *
 * Kicks go by ioeventfd past this file; the QueueNotify register is only the fallback.
 * #syscalls eventfd2 mmap munmap
 */
#include "vm/virtio_mmio.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_mmio.h>

#include "base/log.h"
#include "vm/layout.h"

#define MAGIC 0x74726976
#define VENDOR 0x49504d41 /* "AMPI" */

static uint32_t *word(const struct virtio_mmio *t, uint64_t off)
{
	return &t->page[off / sizeof(*t->page)];
}

static void show(struct virtio_mmio *t, uint64_t off, uint32_t v)
{
	__atomic_store_n(word(t, off), v, __ATOMIC_RELEASE);
}

static void config_interrupt(struct virtio_mmio *t)
{
	__atomic_fetch_or(word(t, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG, __ATOMIC_SEQ_CST);
	t->host.pulse(t->host.host, t);
}

static void on_interrupt(struct virtio_device *dev, struct virtq *q)
{
	struct virtio_mmio *t = dev->transport.arg;

	t->host.pulse(t->host.host, t);
}

static void show_config(struct virtio_mmio *t)
{
	pthread_mutex_lock(&t->config_lock);
	if (t->dev->config_len)
		memcpy(word(t, VIRTIO_MMIO_CONFIG), t->dev->config, t->dev->config_len);
	show(t, VIRTIO_MMIO_CONFIG_GENERATION, atomic_load(&t->dev->config_generation));
	pthread_mutex_unlock(&t->config_lock);
}

static void on_config_changed(struct virtio_device *dev)
{
	show_config(dev->transport.arg);
	config_interrupt(dev->transport.arg);
}

/* The device's threads may set needs_reset at any time: what they set meanwhile stays. */
static void show_status(struct virtio_mmio *t)
{
	show(t, VIRTIO_MMIO_STATUS, t->status);
	if (atomic_load(&t->needs_reset))
		__atomic_fetch_or(word(t, VIRTIO_MMIO_STATUS), VIRTIO_CONFIG_S_NEEDS_RESET, __ATOMIC_SEQ_CST);
}

static void on_failed(struct virtio_device *dev)
{
	struct virtio_mmio *t = dev->transport.arg;

	atomic_store(&t->needs_reset, true);
	__atomic_fetch_or(word(t, VIRTIO_MMIO_STATUS), VIRTIO_CONFIG_S_NEEDS_RESET, __ATOMIC_SEQ_CST);
	config_interrupt(t);
}

static struct virtq *selected(const struct virtio_mmio *t)
{
	return t->queue_sel < t->dev->nqueues ? &t->dev->vq[t->queue_sel] : NULL;
}

static uint64_t offered(const struct virtio_mmio *t)
{
	return t->dev->features | VIRTIO_FEATURES_COMMON;
}

/* The registers that depend on what was written. */
static void show_selected(struct virtio_mmio *t)
{
	const struct virtq *q = selected(t);

	show(t, VIRTIO_MMIO_DEVICE_FEATURES,
	     t->device_features_sel < 2 ? (uint32_t)(offered(t) >> (32 * t->device_features_sel)) : 0);
	show(t, VIRTIO_MMIO_QUEUE_NUM_MAX, q ? q->size_max : 0);
	show(t, VIRTIO_MMIO_QUEUE_READY, q ? q->ready : 0);
}

static void show_all(struct virtio_mmio *t)
{
	show(t, VIRTIO_MMIO_MAGIC_VALUE, MAGIC);
	show(t, VIRTIO_MMIO_VERSION, 2);
	show(t, VIRTIO_MMIO_DEVICE_ID, t->dev->ops->id);
	show(t, VIRTIO_MMIO_VENDOR_ID, VENDOR);
	show(t, VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_INT_VRING);
	/* no shared memory regions: length and base all ones */
	for (uint64_t off = VIRTIO_MMIO_SHM_LEN_LOW; off <= VIRTIO_MMIO_SHM_BASE_HIGH; off += 4)
		show(t, off, UINT32_MAX);
	show_selected(t);
	show_status(t);
	show_config(t);
}

/* The eventfds of kicks and acknowledgements. */
static int open_events(struct virtio_mmio *t, struct err *err)
{
	struct virtio_device *dev = t->dev;

	for (unsigned int i = 0; i < dev->nqueues; i++) {
		struct virtq *q = &dev->vq[i];
		int r;

		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = q->kick_fd < 0 ? -errno : 0;
		if (!r && t->host.ioeventfd)
			r = t->host.ioeventfd(t->host.host, q->kick_fd, t->base + VIRTIO_MMIO_QUEUE_NOTIFY, i, true);
		if (r < 0)
			return err_sys(err, r, "%s: kick of queue %u", dev->ops->name, i);
	}
	t->ack_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->ack_fd < 0)
		return err_sys(err, -errno, "%s: eventfd", dev->ops->name);
	/* without it acknowledgements are exits */
	if (t->host.ioeventfd)
		t->host.ioeventfd(t->host.host, t->ack_fd, t->base + VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING,
				  true);
	return 0;
}

static void close_events(struct virtio_mmio *t)
{
	struct virtio_device *dev = t->dev;

	for (unsigned int i = 0; i < dev->nqueues; i++) {
		if (dev->vq[i].kick_fd >= 0)
			close(dev->vq[i].kick_fd);
		dev->vq[i].kick_fd = -1;
	}
	if (t->ack_fd >= 0)
		close(t->ack_fd);
	t->ack_fd = -1;
}

int virtio_mmio_init(struct virtio_mmio *t, struct virtio_device *dev, const struct vm_memory *mem, uint64_t base,
		     int line, const struct virtio_mmio_host *host, struct err *err)
{
	int r;

	assert(dev->config_len <= LAYOUT_VIRTIO_SIZE - VIRTIO_MMIO_CONFIG);
	memset(t, 0, sizeof(*t));
	t->dev = dev;
	t->host = *host;
	t->mem = mem;
	t->base = base;
	t->line = line;
	t->ack_fd = -1;
	t->page = mmap(NULL, LAYOUT_VIRTIO_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->page == MAP_FAILED) {
		r = err_sys(err, -errno, "%s: registers", dev->ops->name);
		t->dev = NULL;
		return r;
	}
	r = open_events(t, err);
	if (r < 0) {
		close_events(t);
		munmap(t->page, LAYOUT_VIRTIO_SIZE);
		t->dev = NULL;
		return r;
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->config_lock, NULL);
	dev->mem = mem;
	dev->transport = (struct virtio_transport){
		.interrupt = on_interrupt,
		.config_changed = on_config_changed,
		.failed = on_failed,
		.interrupt_fd = line,
		.arg = t,
	};
	show_all(t);
	if (t->host.show)
		t->host.show(t->host.host, base, t->page);
	return 0;
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
	atomic_store(&t->needs_reset, false);
	show(t, VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_INT_VRING);
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
			on_failed(t->dev);
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
		__atomic_fetch_and(word(t, VIRTIO_MMIO_INTERRUPT_STATUS), ~(v & VIRTIO_MMIO_INT_CONFIG),
				   __ATOMIC_SEQ_CST);
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(t, v);
		break;
	default:
		write_queue(t, off, v);
		break;
	}
}

static void config_write(struct virtio_mmio *t, size_t off, const void *data, unsigned int len)
{
	struct virtio_device *dev = t->dev;

	if (off >= dev->config_len || len > dev->config_len - off || !dev->ops->config_write)
		return;
	dev->ops->config_write(dev, off, data, len);
	show_config(t);
}

void virtio_mmio_access(void *arg, uint64_t off, void *data, unsigned int len, bool write)
{
	struct virtio_mmio *t = arg;
	uint32_t v;

	if (!write) {
		memcpy(data, (const uint8_t *)t->page + off, len);
		return;
	}
	pthread_mutex_lock(&t->lock);
	if (off >= VIRTIO_MMIO_CONFIG) {
		config_write(t, off - VIRTIO_MMIO_CONFIG, data, len);
	} else if (len == 4 && off % 4 == 0) { /* registers are 32 bits wide */
		memcpy(&v, data, 4);
		reg_write(t, off, v);
		show_selected(t);
		show_status(t);
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
	close_events(t);
	virtio_free(t->dev);
	t->dev = NULL;
	munmap(t->page, LAYOUT_VIRTIO_SIZE);
	if (t->line >= 0)
		close(t->line);
	t->line = -1;
}
