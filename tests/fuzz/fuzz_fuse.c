/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest's FUSE messages. Input: a sequence of {opcode, node, room, length, bytes}; each becomes one chain. Sizes of
 * files are limited, so that nothing fills the disk; each input starts with an empty directory and a fresh session.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "vm/fuse.h"
#include "vm/passthrough.h"

static char dir[] = "/tmp/amphi-fuzz-fuse-XXXXXX";
static int parent_fd, dir_fd, cwd_fd;
static struct passthrough *pt;
static struct passthrough_thread *th;
static struct virtq_chain chain;
static uint8_t in[65536], out[65536];

static void done(void *arg, void *queue, uint16_t head, uint32_t written)
{
}

static void clean(void)
{
	passthrough_free(pt);
	free(th);
	close(dir_fd);
	close(parent_fd);
	path_remove_tree(AT_FDCWD, dir, true);
}

static void start(void)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };
	struct virtio_fs_params p;
	struct err err = { 0 };

	setrlimit(RLIMIT_FSIZE, &limit);
	signal(SIGXFSZ, SIG_IGN);
	if (!mkdtemp(dir))
		abort();
	cwd_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	parent_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(parent_fd, "t", 0755);
	dir_fd = openat(parent_fd, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	virtio_fs_params_init(&p);
	p.export_fd = dir_fd;
	p.tag = "t";
	p.shared_locks = true;
	pt = passthrough_new(&p, done, NULL, &err);
	th = calloc(1, sizeof(*th));
	if (!pt || !th || passthrough_thread_init(pt, th, &err) < 0)
		abort();
	atexit(clean);
}

static int64_t message(uint32_t op, uint64_t node, const uint8_t *args, size_t len, size_t room)
{
	struct fuse_in_header h = { .len = (uint32_t)(sizeof(h) + len), .opcode = op, .unique = 1, .nodeid = node };

	memcpy(in, &h, sizeof(h));
	if (len)
		memcpy(in + sizeof(h), args, len);
	chain.out_n = chain.in_n = 1;
	chain.out_len = sizeof(h) + len;
	chain.in_len = sizeof(struct fuse_out_header) + room;
	chain.iov[0] = (struct iovec){ in, chain.out_len };
	chain.iov[1] = (struct iovec){ out, chain.in_len };
	return fuse_handle(pt, th, NULL, &chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct fuse_init_in init = { .major = 7, .minor = 38, .flags = ~0u, .flags2 = ~0u };
	struct stat st;
	int messages = 0;

	if (!pt)
		start();
	/* Where a worker thread stands. */
	if (fchdir(pt->proc_fd) < 0)
		abort();
	passthrough_reset(pt);
	path_remove_tree(parent_fd, "t/x", true);
	message(FUSE_INIT, 0, (const uint8_t *)&init, sizeof(init), 256);
	while (len >= 6 && messages++ < 64) {
		uint32_t op = data[0];
		uint64_t node = data[1] & 15;
		size_t room = (size_t)data[2] << (data[3] & 7), want = (size_t)data[4] | (size_t)(data[5] & 7) << 8;

		data += 6;
		len -= 6;
		want = want < len ? want : len;
		/* syncfs of the whole host is no fun. */
		if (op != FUSE_SYNCFS && op != FUSE_FSYNC && op != FUSE_FSYNCDIR &&
		    message(op, node, data, want, room) > (int64_t)(sizeof(struct fuse_out_header) + room))
			abort();
		data += want;
		len -= want;
	}
	passthrough_reset(pt);
	if (fchdir(cwd_fd) < 0)
		abort();
	/* Nothing may have got out of the exported directory. */
	if (fstat(parent_fd, &st) < 0 || st.st_nlink != 3)
		abort();
	path_remove_tree(parent_fd, "t/.", true);
	for (int c = 0; c < 256; c++) {
		char name[4] = { 't', '/', (char)c, 0 };

		if (c && c != '/' && c != '.')
			path_remove_tree(parent_fd, name, true);
	}
	return 0;
}
