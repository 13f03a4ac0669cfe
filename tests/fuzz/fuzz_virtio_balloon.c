/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/virtio_balloon: a hostile guest's rings for inflating, deflating and reporting, and what it writes to the
 * configuration, against the running device. Looks for discards outside the guest's memory.
 */
#include "base/log.h"
#include "tests/fuzz/rings.h"
#include "vm/virtio_balloon.h"

#define QUEUES 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_memory *mem = rings_memory(QUEUES);
	struct virtio_device *dev;

	if (size < 8 || !mem)
		return 0;
	log_set(LOG_ERROR_, LOG_TEXT);
	dev = virtio_balloon_new(NULL);
	dev->acked = VIRTIO_FEATURES_COMMON;
	rings_start(dev, mem, QUEUES, data[0], data + 8, size - 8);
	virtio_balloon_set(dev, (uint64_t)data[1] << 12);
	dev->ops->config_write(dev, data[2] % 16, data + 4, 1u << data[3] % 3);
	(void)virtio_balloon_get(dev);
	rings_finish(dev, QUEUES);
	return 0;
}
