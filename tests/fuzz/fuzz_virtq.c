/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/virtq: a hostile driver. The input is the guest's memory (rings included) and then steps that change it between
 * the device's calls. Whatever comes out of virtq_pop() must lie inside memory and keep its promises.
 */
#include <stdint.h>
#include <string.h>

#include "vm/virtio.h"

#define RAM 0x4000u
#define SIZE 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t ram[RAM];
static struct virtq_chain chain;

static void check(const struct virtq_chain *c)
{
	size_t out = 0, in = 0;

	if (c->head >= SIZE || (unsigned int)c->out_n + c->in_n > VIRTQ_CHAIN_MAX)
		__builtin_trap();
	for (unsigned int i = 0; i < (unsigned int)c->out_n + c->in_n; i++) {
		const uint8_t *p = c->iov[i].iov_base;

		if (p < ram || p > ram + RAM || c->iov[i].iov_len > (size_t)(ram + RAM - p))
			__builtin_trap();
		*(i < c->out_n ? &out : &in) += c->iov[i].iov_len;
	}
	if (out != c->out_len || in != c->in_len)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct virtio_device_ops ops = { .name = "fuzz", .queue_size = SIZE };
	struct memory_region r = { .gpa = 0, .len = RAM, .host = ram };
	struct vm_memory mem = { 0 };
	struct virtio_device dev = { 0 };
	struct virtq *q = &dev.vq[0];
	struct iovec iov[8];
	uint8_t buf[64];
	size_t n;

	if (size < 8)
		return 0;
	memset(ram, 0, sizeof(ram));
	memory_add(&mem, &r);
	virtio_init(&dev, &ops, 0, 1, NULL, 0);
	q->mem = &mem;
	q->size = SIZE;
	q->event_idx = data[0] & 1;
	q->indirect = data[0] & 2;
	/* sometimes the rings are where the guest says */
	q->desc = data[0] & 4 ? (gpa_t)data[1] << 8 : 0;
	q->avail = data[0] & 8 ? (gpa_t)data[2] << 7 : 0x200;
	q->used = data[0] & 16 ? (gpa_t)data[3] << 7 : 0x300;
	data += 4;
	size -= 4;
	n = size < 0x600 ? size : 0x600;
	memcpy(ram, data, n);
	data += n;
	size -= n;
	if (virtq_start(q, NULL) < 0)
		return 0;
	for (int i = 0; i < 64; i++) {
		int got = virtq_pop(q, &chain);

		if (got > 0) {
			check(&chain);
			virtq_read(&chain, i, buf, sizeof(buf));
			virtq_write(&chain, (size_t)i * 3, buf, sizeof(buf));
			virtq_iov(&chain, i & 1, (size_t)i, 1000, iov, 8, NULL);
			virtq_push(q, chain.head, (uint32_t)chain.in_len);
			virtq_notify(q);
		} else if (got < 0 && !q->broken) {
			__builtin_trap();
		}
		virtq_disable_kick(q);
		virtq_enable_kick(q);
		if (size >= 3) { /* the guest writes meanwhile */
			memcpy(ram + ((data[0] | data[1] << 8) % (RAM - 1)), data + 2, 1);
			data += 3;
			size -= 3;
		}
	}
	return 0;
}
