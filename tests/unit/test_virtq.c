/* SPDX-License-Identifier: Apache-2.0 */
/* Split virtqueues: what an honest driver gets, and what a hostile one does not. */
#include <errno.h>
#include <stdint.h>

#include "vm/virtio.h"

#include "tests/unit/tap.h"

#define DESC 0x1000ULL
#define AVAIL 0x2000ULL
#define USED 0x3000ULL
#define TABLE 0x4000ULL
#define DATA 0x8000ULL
#define SIZE 8

static uint8_t ram[0x10000];
static struct vm_memory mem;
static struct virtio_device dev;
static struct virtq *q;
static struct virtq_chain chain;
static int interrupts;

static void on_interrupt(struct virtio_device *d, struct virtq *vq)
{
	interrupts++;
}

static void desc_at(uint64_t table, unsigned int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc d = { .addr = addr, .len = len, .flags = flags, .next = next };

	memcpy(ram + table + 16 * i, &d, sizeof(d));
}

#define DESC_SET(...) desc_at(DESC, __VA_ARGS__)

static uint16_t get16(uint64_t at)
{
	uint16_t v;

	memcpy(&v, ram + at, 2);
	return v;
}

static void set16(uint64_t at, uint16_t v)
{
	memcpy(ram + at, &v, 2);
}

/* The driver makes a chain available. */
static void offer(uint16_t head)
{
	uint16_t idx = get16(AVAIL + 2);

	set16(AVAIL + 4 + 2 * (idx % SIZE), head);
	set16(AVAIL + 2, (uint16_t)(idx + 1));
}

static void fresh(bool event_idx, bool indirect)
{
	static const struct virtio_device_ops ops = { .name = "test", .queue_size = SIZE };
	struct memory_region r = { .gpa = 0, .len = sizeof(ram), .host = ram };
	struct err err = { 0 };

	memset(ram, 0, sizeof(ram));
	memset(&mem, 0, sizeof(mem));
	memset(&dev, 0, sizeof(dev));
	memory_add(&mem, &r);
	virtio_init(&dev, &ops, 0, 1, NULL, 0);
	dev.transport.interrupt = on_interrupt;
	q = &dev.vq[0];
	q->mem = &mem;
	q->size = SIZE;
	q->desc = DESC;
	q->avail = AVAIL;
	q->used = USED;
	q->event_idx = event_idx;
	q->indirect = indirect;
	interrupts = 0;
	need(virtq_start(q, &err) == 0);
}

static void test_start(void)
{
	struct err err = { 0 };

	fresh(false, false);
	q->size = 6;
	is_int(virtq_start(q, &err), -EINVAL);
	ok(!q->ready);
	q->size = 16;
	is_int(virtq_start(q, &err), -EINVAL);
	q->size = 0;
	is_int(virtq_start(q, &err), -EINVAL);
	q->size = SIZE;
	q->desc = DESC + 8;
	is_int(virtq_start(q, &err), -EINVAL);
	q->desc = sizeof(ram) - 16;
	is_int(virtq_start(q, &err), -EINVAL);
	q->desc = DESC;
	q->used = UINT64_MAX - 3;
	is_int(virtq_start(q, &err), -EINVAL);
	is_int(virtq_pop(q, &chain), 0);
}

static void test_chain(void)
{
	char buf[32] = "";
	struct iovec iov[4];
	size_t len;

	fresh(false, false);
	is_int(virtq_pop(q, &chain), 0);
	memcpy(ram + DATA, "hello ", 6);
	memcpy(ram + DATA + 0x100, "world", 6);
	DESC_SET(3, DATA, 6, VRING_DESC_F_NEXT, 1);
	DESC_SET(1, DATA + 0x100, 6, VRING_DESC_F_NEXT, 2);
	DESC_SET(2, DATA + 0x200, 4, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 5);
	DESC_SET(5, DATA + 0x300, 8, VRING_DESC_F_WRITE, 0);
	offer(3);
	ok(virtq_pending(q));
	need(virtq_pop(q, &chain) == 1);
	is_int(chain.head, 3);
	is_int(chain.out_n, 2);
	is_int(chain.in_n, 2);
	is_int(chain.out_len, 12);
	is_int(chain.in_len, 12);
	is_int(virtq_read(&chain, 0, buf, sizeof(buf)), 12);
	is_str(buf, "hello world");
	is_int(virtq_read(&chain, 8, buf, 2), 2);
	ok(buf[0] == 'r' && buf[1] == 'l');
	is_int(virtq_read(&chain, 12, buf, 2), 0);
	is_int(virtq_write(&chain, 2, "ABCDEF", 6), 6);
	ok(!memcmp(ram + DATA + 0x202, "AB", 2) && !memcmp(ram + DATA + 0x300, "CDEF", 4));
	is_int(virtq_write(&chain, 10, "xyz", 3), 2);
	is_int(virtq_iov(&chain, true, 1, 6, iov, 4, &len), 2);
	ok(iov[0].iov_base == ram + DATA + 0x201 && iov[0].iov_len == 3 && iov[1].iov_len == 3 && len == 6);
	is_int(virtq_iov(&chain, false, 0, 100, iov, 1, &len), 1);
	is_int(len, 6);
	virtq_push(q, chain.head, 7);
	is_int(get16(USED + 2), 0); /* not published yet */
	virtq_notify(q);
	is_int(get16(USED + 2), 1);
	is_int(get16(USED + 4), 3);
	is_int(get16(USED + 8), 7);
	is_int(interrupts, 1);
	ok(!virtq_pending(q));

	offer(3);
	is_int(virtq_pop(q, &chain), 1);
	virtq_unpop(q);
	is_int(virtq_pop(q, &chain), 1);
}

static void test_indirect(void)
{
	fresh(false, true);
	desc_at(TABLE, 0, DATA, 4, VRING_DESC_F_NEXT, 1);
	desc_at(TABLE, 1, DATA + 0x100, 4, VRING_DESC_F_WRITE, 0);
	DESC_SET(0, DATA + 0x200, 2, VRING_DESC_F_NEXT, 1);
	DESC_SET(1, TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	need(virtq_pop(q, &chain) == 1);
	is_int(chain.out_len, 6);
	is_int(chain.in_len, 4);
	is_int(chain.out_n, 2);
}

/* Each hostile ring must be refused once, and leave the queue silent. */
static void broken(const char *what)
{
	int r = virtq_pop(q, &chain);

	if (!ok(r == -EPROTO))
		printf("# %s: %d\n", what, r);
	ok(q->broken && virtq_pop(q, &chain) == 0);
}

static void test_hostile(void)
{
	fresh(false, true);
	set16(AVAIL + 2, SIZE + 1);
	broken("index too far ahead");

	fresh(false, true);
	offer(SIZE);
	broken("head beyond the ring");

	fresh(false, true);
	DESC_SET(0, DATA, 4, VRING_DESC_F_NEXT, 1);
	DESC_SET(1, DATA, 4, VRING_DESC_F_NEXT, 0);
	offer(0);
	broken("loop");

	fresh(false, true);
	DESC_SET(0, DATA, 0, VRING_DESC_F_NEXT, 0);
	offer(0);
	broken("loop of empty descriptors");

	fresh(false, true);
	DESC_SET(0, DATA, 4, VRING_DESC_F_NEXT, SIZE);
	offer(0);
	broken("next beyond the ring");

	fresh(false, true);
	DESC_SET(0, sizeof(ram) - 2, 4, 0, 0);
	offer(0);
	broken("outside memory");

	fresh(false, true);
	DESC_SET(0, UINT64_MAX, UINT32_MAX, 0, 0);
	offer(0);
	broken("address wraps around");

	fresh(false, true);
	DESC_SET(0, DATA, 4, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	DESC_SET(1, DATA, 4, 0, 0);
	offer(0);
	broken("readable behind writable");

	fresh(false, false);
	DESC_SET(0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	broken("indirect not negotiated");

	fresh(false, true);
	desc_at(TABLE, 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	DESC_SET(0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	broken("indirect in indirect");

	fresh(false, true);
	DESC_SET(0, TABLE, 17, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	broken("odd indirect table");

	fresh(false, true);
	DESC_SET(0, TABLE, 0, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	broken("empty indirect table");

	fresh(false, true);
	DESC_SET(0, sizeof(ram) - 16, 32, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	broken("indirect table outside memory");
}

static void test_event_idx(void)
{
	fresh(true, false);
	DESC_SET(0, DATA, 4, VRING_DESC_F_WRITE, 0);
	ok(!virtq_enable_kick(q));
	is_int(get16(USED + 4 + 8 * SIZE), 0);
	offer(0);
	ok(virtq_enable_kick(q));
	for (int i = 0; i < 5; i++) {
		if (i)
			offer(0);
		need(virtq_pop(q, &chain) == 1);
		/* the driver wants to hear when the fourth is used */
		set16(AVAIL + 4 + 2 * SIZE, 3);
		virtq_push(q, 0, 4);
		virtq_notify(q);
		/* the first interrupt always comes: nobody knows what was asked before */
		is_int(interrupts, i < 3 ? 1 : 2);
	}
	is_int(virtq_enable_kick(q), 0);
	is_int(get16(USED + 4 + 8 * SIZE), 5);

	fresh(false, false);
	DESC_SET(0, DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	set16(AVAIL, VRING_AVAIL_F_NO_INTERRUPT);
	virtq_disable_kick(q);
	is_int(get16(USED), VRING_USED_F_NO_NOTIFY);
	need(virtq_pop(q, &chain) == 1);
	virtq_push(q, 0, 4);
	virtq_notify(q);
	is_int(interrupts, 0);
	virtq_enable_kick(q);
	is_int(get16(USED), 0);
}

/* Indices are 16 bits and wrap around. */
static void test_wrap(void)
{
	int good = 0;

	fresh(true, false);
	DESC_SET(0, DATA, 4, VRING_DESC_F_WRITE, 0);
	for (int i = 0; i < 70000; i++) {
		offer(0);
		good += virtq_pop(q, &chain) == 1;
		virtq_push(q, chain.head, 4);
		virtq_notify(q);
	}
	is_int(good, 70000);
	is_int(get16(USED + 2), (uint16_t)70000);
}

int main(void)
{
	test_start();
	test_chain();
	test_indirect();
	test_hostile();
	test_event_idx();
	test_wrap();
	return tap_done();
}
