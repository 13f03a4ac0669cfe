/* SPDX-License-Identifier: Apache-2.0 */
/* vm/virtio_rng: a hostile guest's ring of buffers to fill against the running device. */
#include "base/log.h"
#include "tests/fuzz/rings.h"
#include "vm/virtio_rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_memory *mem = rings_memory(1);
	struct virtio_device *dev;

	if (size < 1 || !mem)
		return 0;
	log_set(LOG_ERROR_, LOG_TEXT);
	dev = virtio_rng_new(NULL);
	dev->acked = VIRTIO_FEATURES_COMMON;
	rings_start(dev, mem, 1, data[0], data + 1, size - 1);
	rings_finish(dev, 1);
	return 0;
}
