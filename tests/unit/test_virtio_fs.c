/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio-fs device with its threads: several request queues, forgets, many requests at once, reset in the middle. */
#include <fcntl.h>
#include <sys/stat.h>

#include <linux/fuse.h>

#include "base/path.h"
#include "tests/unit/ring_kit.h"
#include "vm/virtio_fs.h"

#define QUEUES 4 /* one of high priority */
#define REQUESTS 3000

static char dir[] = "/tmp/amphi-virtio-fs-XXXXXX";
static int dir_fd;
static struct ring_kit k;

static struct virtio_device *create(void)
{
	struct virtio_fs_params p;
	struct err err = { 0 };

	virtio_fs_params_init(&p);
	p.export_fd = dir_fd;
	p.tag = "t";
	p.request_queues = QUEUES - 1;
	p.workers = 4;
	return virtio_fs_create(&p, &err);
}

static bool ask(unsigned int queue, uint32_t op, uint64_t node, uint64_t unique, const void *arg, size_t len)
{
	struct {
		struct fuse_in_header h;
		uint8_t arg[256];
	} m = { .h = { .len = (uint32_t)(sizeof(m.h) + len), .opcode = op, .unique = unique, .nodeid = node } };

	memcpy(m.arg, arg, len);
	return ring_add_both(&k, queue, &m, m.h.len, 512);
}

/* Takes one answer off the queue, waiting for it. */
static const struct fuse_out_header *answer(unsigned int queue)
{
	uint32_t len;
	uint8_t *p;

	while (!(p = ring_used(&k, queue, &len)))
		must(ring_wait(&k));
	must(len >= sizeof(struct fuse_out_header));
	return (void *)p;
}

static void init(void)
{
	struct fuse_init_in in = { .major = 7, .minor = 38, .max_readahead = 65536, .flags = ~0u, .flags2 = ~0u };

	must(ask(1, FUSE_INIT, 0, 1, &in, sizeof(in)));
	is_int(answer(1)->error, 0);
}

static void test_queues(void)
{
	static uint8_t seen[REQUESTS];
	unsigned int waiting[QUEUES] = { 0 }, sent = 0, got = 0, bad = 0;
	struct fuse_getattr_in in = { 0 };
	uint32_t len;

	while (got < REQUESTS) {
		for (unsigned int q = 1; q < QUEUES && sent < REQUESTS; q++) {
			/* Names, attributes, and names that are not there, mixed. */
			bool done = sent % 3 == 0 ? ask(q, FUSE_LOOKUP, 1, sent, "there", 6) :
				sent % 3 == 1     ? ask(q, FUSE_GETATTR, 1, sent, &in, sizeof(in)) :
						    ask(q, FUSE_LOOKUP, 1, sent, "missing", 8);

			sent += done;
			waiting[q] += done;
		}
		for (unsigned int q = 1; q < QUEUES; q++) {
			const struct fuse_out_header *o;

			while ((o = (void *)ring_used(&k, q, &len))) {
				got++;
				waiting[q]--;
				bad += o->unique >= REQUESTS || seen[o->unique]++ || o->len != len || o->error != 0;
			}
		}
		if (got < sent && (got == REQUESTS || sent == REQUESTS))
			usleep(100);
	}
	is_int(bad, 0);
	is_int(waiting[1] + waiting[2] + waiting[3], 0);
}

static void test_forget(void)
{
	struct fuse_forget_in in = { .nlookup = 1000000 };
	struct {
		struct fuse_in_header h;
		struct fuse_forget_in f;
	} m = { .h = { .len = sizeof(m), .opcode = FUSE_FORGET, .nodeid = 0 }, .f = in };
	struct fuse_getattr_in get = { 0 };
	const struct fuse_out_header *o;
	uint64_t node;
	uint32_t len;

	must(ask(2, FUSE_LOOKUP, 1, 5, "there", 6));
	o = answer(2);
	is_int(o->error, 0);
	node = ((const struct fuse_entry_out *)(o + 1))->nodeid;
	must(ask(3, FUSE_GETATTR, node, 6, &get, sizeof(get)));
	is_int(answer(3)->error, 0);
	m.h.nodeid = node;
	must(ring_add(&k, 0, &m, sizeof(m), 0));
	while (!ring_used(&k, 0, &len))
		must(ring_wait(&k));
	is_int(len, 0);
	must(ask(1, FUSE_GETATTR, node, 7, &get, sizeof(get)));
	is_int(answer(1)->error, -ESTALE);
}

int main(void)
{
	struct virtio_device *dev;

	need(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(openat(dir_fd, "there", O_CREAT | O_WRONLY, 0600));
	dev = create();
	need(dev);
	is_int(dev->nqueues, QUEUES);
	ring_start(&k, dev, QUEUES);
	init();
	test_queues();
	test_forget();
	/* The end in the middle of work: no thread is left, nothing is touched afterwards. */
	for (uint64_t n = 0; n < 60; n++)
		ask(1 + n % 3, FUSE_LOOKUP, 1, n, "there", 6);
	ring_stop(&k);
	ok(true);
	close(dir_fd);
	path_remove_tree(AT_FDCWD, dir, true);
	return tap_done();
}
