/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/virtio_mmio: register pokes in any order and width on a balloon, whose thread really runs. Looks for crashes,
 * hangs and for queue addresses that change while the device is live.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "vm/memory.h"
#include "vm/virtio_balloon.h"
#include "vm/virtio_mmio.h"

#define RAM (2u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int call(void *host, int (*fn)(void *arg), void *arg)
{
	return fn(arg);
}

static void pulse(void *host, const struct virtio_mmio *t)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm_memory mem;
	struct virtio_mmio_host host = { .call = call, .pulse = pulse };
	struct virtio_mmio t;
	struct virtio_device *dev;

	log_set(LOG_ERROR_, LOG_TEXT);
	if (!mem.n && memory_alloc(&mem, RAM, NULL) < 0)
		return 0;
	dev = virtio_balloon_new(NULL);
	if (virtio_mmio_init(&t, dev, &mem, 0, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), &host, NULL) < 0)
		__builtin_trap();
	while (size >= 6) {
		uint16_t off = (uint16_t)(data[0] | data[1] << 8);
		unsigned int len = 1u << (off >> 14 & 3);
		uint8_t buf[8] = { 0 };
		bool live = t.status & 4;
		gpa_t desc = dev->vq[0].desc;
		const void *host_desc = dev->vq[0].desc_host;

		off = (data[1] & 0x20) ? off & 0xfff : (off & 0xff) & ~3; /* mostly registers */
		if (!(data[1] & 0x20))
			len = 4;
		memcpy(buf, data + 2, 4);
		if (off + len <= 0x1000)
			virtio_mmio_access(&t, off, buf, len, data[1] & 0x10);
		if (live && (t.status & 4) && (dev->vq[0].desc != desc || dev->vq[0].desc_host != host_desc))
			__builtin_trap();
		data += 6;
		size -= 6;
	}
	virtio_mmio_stop(&t);
	virtio_mmio_free(&t);
	return 0;
}
