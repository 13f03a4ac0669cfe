/* SPDX-License-Identifier: Apache-2.0 */
/* The register file: the order a driver must keep, what is frozen while the device runs, a device that really works. */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_mmio.h>

#include "vm/memory.h"
#include "vm/virtio_mmio.h"
#include "vm/virtio_rng.h"

#include "tests/unit/tap.h"

#define DESC 0x1000
#define AVAIL 0x2000
#define USED 0x3000
#define DATA 0x8000

static struct vm_memory mem;
static struct virtio_mmio t;
static int line;
static bool refuse;

static int call(void *host, int (*fn)(void *arg), void *arg)
{
	return refuse ? -ESHUTDOWN : fn(arg);
}

static void pulse(void *host, const struct virtio_mmio *of)
{
	uint64_t one = 1;

	if (write(of->line, &one, sizeof(one)) < 0)
		abort();
}

static uint32_t get(uint64_t off)
{
	uint32_t v = 0;

	virtio_mmio_access(&t, off, &v, 4, false);
	return v;
}

static void set(uint64_t off, uint32_t v)
{
	virtio_mmio_access(&t, off, &v, 4, true);
}

static void make(void)
{
	struct virtio_mmio_host host = { .call = call, .pulse = pulse };
	struct err err = { 0 };

	line = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	need(virtio_mmio_init(&t, virtio_rng_new(&err), &mem, 0xd0000000, line, &host, &err) == 0);
}

static void features(uint64_t f)
{
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)f);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(f >> 32));
}

static void queue(uint32_t size, uint32_t desc)
{
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_NUM, size);
	set(VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
	set(VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	set(VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAIL);
	set(VIRTIO_MMIO_QUEUE_USED_LOW, USED);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
}

static void start(void)
{
	set(VIRTIO_MMIO_STATUS, 1);
	set(VIRTIO_MMIO_STATUS, 3);
	features(1ULL << VIRTIO_F_VERSION_1);
	set(VIRTIO_MMIO_STATUS, 11);
	queue(8, DESC);
	set(VIRTIO_MMIO_STATUS, 15);
}

static void test_identity(void)
{
	uint8_t small = 0x55;

	is_int(get(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	is_int(get(VIRTIO_MMIO_VERSION), 2);
	is_int(get(VIRTIO_MMIO_DEVICE_ID), 4);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	is_int(get(VIRTIO_MMIO_DEVICE_FEATURES), 1);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 7);
	is_int(get(VIRTIO_MMIO_DEVICE_FEATURES), 0);
	is_int(get(VIRTIO_MMIO_QUEUE_NUM_MAX), 64);
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	is_int(get(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	set(VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
	set(VIRTIO_MMIO_QUEUE_NUM, 8);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	is_int(get(VIRTIO_MMIO_QUEUE_READY), 0);
	virtio_mmio_access(&t, 0, &small, 1, false);
	is_int(small, 0);
	is_int(get(VIRTIO_MMIO_CONFIG), 0); /* no configuration space */
	is_int(get(VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
}

static void test_order(void)
{
	set(VIRTIO_MMIO_STATUS, 3);
	features(1ULL << VIRTIO_F_VERSION_1 | 1ULL << 5);
	set(VIRTIO_MMIO_STATUS, 11);
	is_int(get(VIRTIO_MMIO_STATUS), 3); /* not offered: FEATURES_OK does not stick */
	features(0);
	set(VIRTIO_MMIO_STATUS, 11);
	is_int(get(VIRTIO_MMIO_STATUS), 3); /* without version 1 neither */
	queue(8, DESC);
	is_int(get(VIRTIO_MMIO_QUEUE_READY), 0);
	set(VIRTIO_MMIO_STATUS, 7);
	is_int(get(VIRTIO_MMIO_STATUS) & 4, 0);
	set(VIRTIO_MMIO_STATUS, 1); /* bits do not go away but by reset */
	is_int(get(VIRTIO_MMIO_STATUS), 3);
	set(VIRTIO_MMIO_STATUS, 0);
	is_int(get(VIRTIO_MMIO_STATUS), 0);
	set(VIRTIO_MMIO_STATUS, 3);
	features(1ULL << VIRTIO_F_VERSION_1);
	set(VIRTIO_MMIO_STATUS, 11);
	queue(3, DESC);
	is_int(get(VIRTIO_MMIO_QUEUE_READY), 0);
	queue(128, DESC);
	is_int(get(VIRTIO_MMIO_QUEUE_READY), 0);
	queue(8, 0x40000000);
	is_int(get(VIRTIO_MMIO_QUEUE_READY), 0);
	set(VIRTIO_MMIO_STATUS, 0);
}

static void test_work(void)
{
	struct vring_desc d = { .addr = DATA, .len = 64, .flags = VRING_DESC_F_WRITE };
	struct pollfd p = { .fd = line, .events = POLLIN };
	uint16_t idx = 1, used = 0, head = 0;
	uint8_t zero[64] = { 0 }, got[64];

	start();
	is_int(get(VIRTIO_MMIO_STATUS), 15);
	ok(t.dev->active);
	/* frozen now */
	set(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x6000);
	set(VIRTIO_MMIO_QUEUE_NUM, 4);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	is_int(t.dev->vq[0].desc, DESC);
	is_int(t.dev->vq[0].size, 8);
	is_int(get(VIRTIO_MMIO_QUEUE_READY), 1);
	features(0);
	ok(virtio_has(t.dev, VIRTIO_F_VERSION_1));

	memory_write(&mem, DESC, &d, sizeof(d));
	memory_write(&mem, AVAIL + 4, &head, 2);
	memory_write(&mem, AVAIL + 2, &idx, 2);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 99); /* no such queue */
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	is_int(poll(&p, 1, 60000), 1);
	is_int(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	is_int(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	memory_read(&mem, USED + 2, &used, 2);
	is_int(used, 1);
	memory_read(&mem, DATA, got, sizeof(got));
	ok(memcmp(got, zero, sizeof(got)));
}

/* A guest that breaks the ring gets NEEDS_RESET, resets, and goes on. */
static void test_failure(void)
{
	struct pollfd p = { .fd = line, .events = POLLIN };
	uint16_t idx = 1000;
	uint64_t n;

	ok(read(line, &n, sizeof(n)) == sizeof(n));
	memory_write(&mem, AVAIL + 2, &idx, 2);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	is_int(poll(&p, 1, 60000), 1);
	is_int(get(VIRTIO_MMIO_STATUS), 15 | 0x40);
	ok(get(VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	set(VIRTIO_MMIO_STATUS, 0);
	is_int(get(VIRTIO_MMIO_STATUS), 0);
	ok(!t.dev->active);
	idx = 0;
	memory_write(&mem, AVAIL + 2, &idx, 2);
	start();
	is_int(get(VIRTIO_MMIO_STATUS), 15);
	/* a machine that ends answers no calls any more */
	set(VIRTIO_MMIO_STATUS, 0);
	refuse = true;
	start();
	is_int(get(VIRTIO_MMIO_STATUS), 15 | 0x40);
	refuse = false;
}

int main(void)
{
	struct err err = { 0 };

	need(memory_alloc(&mem, 2 << 20, &err) == 0);
	make();
	test_identity();
	test_order();
	test_work();
	test_failure();
	virtio_mmio_stop(&t);
	virtio_mmio_free(&t);
	memory_free(&mem);
	return tap_done();
}
