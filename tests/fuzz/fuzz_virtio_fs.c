/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm/virtio_fs: a hostile guest's rings against the running device with its workers, on a small read-only tree (fuzz_fuse.c
 * is about the messages). The buffers begin as good requests; the input changes rings first and then requests.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <linux/fuse.h>

#include "base/log.h"
#include "base/path.h"
#include "tests/fuzz/rings.h"
#include "vm/virtio_fs.h"

#define QUEUES 3u
#define MESSAGES 4u
#define CHANGE 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/dev/shm/amphi-fuzz-XXXXXX";

static void clean(void)
{
	path_remove_tree(AT_FDCWD, dir, true);
}

static int make_tree(void)
{
	int fd;

	if (!mkdtemp(dir))
		abort();
	atexit(clean);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(fd, "d", 0755) < 0 || symlinkat("..", fd, "l") < 0 || mknodat(fd, "f", S_IFREG | 0644, 0) < 0)
		abort();
	return fd;
}

static void put(struct vm_memory *mem, unsigned int n, uint32_t op, const void *args, size_t len)
{
	struct fuse_in_header h = { .len = (uint32_t)(sizeof(h) + len), .opcode = op, .unique = n + 1, .nodeid = 1 };
	uint8_t *at = rings_buffer(mem, 2 * n);

	memset(at, 0, 0x1000);
	memcpy(at, &h, sizeof(h));
	memcpy(at + sizeof(h), args, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuse_init_in init = { .major = 7, .minor = 38, .flags = ~0u, .flags2 = ~0u };
	static int export_fd = -1;
	struct vm_memory *mem = rings_memory(QUEUES);
	struct virtio_device *dev;
	struct virtio_fs_params p;
	unsigned int n, sizes;

	if (size < 2 || !mem)
		return 0;
	log_set(LOG_ERROR_, LOG_TEXT);
	if (export_fd < 0)
		export_fd = make_tree();
	virtio_fs_params_init(&p);
	p.export_fd = export_fd;
	p.tag = "t";
	p.read_only = p.shared_locks = true;
	p.workers = 2;
	p.request_queues = QUEUES - 1;
	dev = virtio_fs_create(&p, NULL);
	if (!dev)
		abort();
	put(mem, 0, FUSE_INIT, &init, sizeof(init));
	put(mem, 1, FUSE_LOOKUP, "f", 2);
	put(mem, 2, FUSE_GETATTR, &(struct fuse_getattr_in){ 0 }, sizeof(struct fuse_getattr_in));
	put(mem, 3, FUSE_OPENDIR, &(struct fuse_open_in){ 0 }, sizeof(struct fuse_open_in));
	sizes = data[0];
	n = data[1] % (MESSAGES + 1);
	data += 2;
	size -= 2;
	while (n-- && size >= CHANGE) {
		for (size_t i = 0; i < CHANGE; i++)
			rings_buffer(mem, 2 * n)[i] ^= data[i];
		data += CHANGE;
		size -= CHANGE;
	}
	dev->acked = VIRTIO_FEATURES_COMMON;
	rings_start(dev, mem, QUEUES, sizes, data, size);
	rings_finish(dev, QUEUES);
	return 0;
}
