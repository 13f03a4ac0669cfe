/* SPDX-License-Identifier: Apache-2.0 */
/* The vhost-user server with a front-end that speaks like QEMU, and some that do not. */
#include "vm/vhost_user.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/tap.h"
#include "vm/virtio.h"

#define MEM (1u << 20)
#define USER_BASE 0x7f0000000000ULL
#define GPA_BASE 0x40000000ULL

struct wire {
	uint32_t request, flags, size;
	uint64_t words[36];
};

/* A device of one queue that gives every request back with its first byte plus one. */
struct fake {
	struct virtio_device dev;
	struct virtio_worker worker;
	uint64_t config;
	int activated, resets;
};

static struct fake *fake;
static int freed;

static void kicked(struct virtio_device *dev, struct virtq *q)
{
	static struct virtq_chain c;
	uint8_t b;

	while (virtq_pop(q, &c) > 0) {
		virtq_read(&c, 0, &b, 1);
		b++;
		virtq_write(&c, 0, &b, 1);
		virtq_push(q, c.head, 1);
		virtq_notify(q);
	}
}

static int activate(struct virtio_device *dev, struct err *err)
{
	struct fake *f = (struct fake *)dev;

	__atomic_fetch_add(&f->activated, 1, __ATOMIC_SEQ_CST);
	memset(&f->worker, 0, sizeof(f->worker));
	f->worker.dev = dev;
	f->worker.kind = LOCKDOWN_DEVICE;
	f->worker.queues = VIRTIO_WORKER_ALL;
	f->worker.kicked = kicked;
	return virtio_worker_start(&f->worker, err);
}

static void reset(struct virtio_device *dev)
{
	struct fake *f = (struct fake *)dev;

	virtio_worker_stop(&f->worker);
	__atomic_fetch_add(&f->resets, 1, __ATOMIC_SEQ_CST);
}

static void free_dev(struct virtio_device *dev)
{
	freed++;
	free(dev);
}

static const struct virtio_device_ops ops = {
	.name = "fake", .id = 1, .queue_size = 16, .activate = activate, .reset = reset, .free = free_dev
};

static struct vhost_user *start(int *ret_sock)
{
	struct err err = { 0 };
	int fds[2];

	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	fake = calloc(1, sizeof(*fake));
	fake->config = 0x1122334455667788ULL;
	virtio_init(&fake->dev, &ops, 0, 1, &fake->config, sizeof(fake->config));
	*ret_sock = fds[0];
	return vhost_user_start(&fake->dev, fds[1], 1, &err);
}

static void send_msg(int sock, uint32_t request, uint32_t flags, const void *data, uint32_t size, int fd)
{
	struct wire w = { request, 1 | flags, size, { 0 } };
	char buf[sizeof(w)];

	memcpy(buf, &w, 12);
	if (size)
		memcpy(buf + 12, data, size);
	need(fd_send(sock, buf, 12, &fd, fd >= 0 ? 1 : 0) == 0);
	if (size)
		need(fd_write_all(sock, buf + 12, size) == 0);
}

/* The answer's first word; its size must be as expected. */
static uint64_t answer(int sock, uint32_t request, uint32_t size)
{
	struct wire w;
	uint32_t head[3];

	if (fd_read_all(sock, head, 12) != 12)
		return UINT64_MAX;
	need(head[0] == request && (head[1] & 7) == 5 && head[2] == size);
	need(fd_read_all(sock, w.words, size) == (ssize_t)size);
	return w.words[0];
}

/* With an acknowledgement: 0 or 1. */
static uint64_t acked(int sock, uint32_t request, const void *data, uint32_t size, int fd)
{
	send_msg(sock, request, 8, data, size, fd);
	return answer(sock, request, 8);
}

static void handshake(int sock)
{
	uint64_t v;

	send_msg(sock, 1, 0, NULL, 0, -1);
	v = answer(sock, 1, 8);
	ok(v & 1ULL << VIRTIO_F_VERSION_1 && v & 1ULL << 30);
	send_msg(sock, 15, 0, NULL, 0, -1);
	is_int(answer(sock, 15, 8), 0x209);
	v = 0x209;
	send_msg(sock, 16, 0, &v, 8, -1);
	send_msg(sock, 3, 0, NULL, 0, -1);
	v = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << 30;
	is_int(acked(sock, 2, &v, 8, -1), 0);
}

static int set_memory(int sock, int memfd, uint64_t size)
{
	uint64_t table[5] = { 1, GPA_BASE, size, USER_BASE, 0 };

	return (int)acked(sock, 5, table, sizeof(table), memfd);
}

static void test_whole_life(void)
{
	struct vring_desc *desc;
	struct pollfd p;
	uint16_t *avail, *used;
	uint64_t addr[5] = { 0, USER_BASE, USER_BASE + 8192, USER_BASE + 4096, 0 }, v, one = 1;
	uint32_t state[2] = { 0, 16 }, config[5] = { 4, 4, 0, 0, 0 };
	int sock, memfd = memfd_create("guest", MFD_CLOEXEC), kick = eventfd(0, EFD_CLOEXEC),
		  call = eventfd(0, EFD_CLOEXEC);
	struct vhost_user *vu = start(&sock);
	uint8_t *ram;

	need(vu);
	need(ftruncate(memfd, MEM) == 0);
	ram = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	handshake(sock);
	send_msg(sock, 24, 0, config, sizeof(config), -1);
	{
		uint32_t head[3], body[4];

		need(fd_read_all(sock, head, 12) == 12 && head[2] == 16);
		need(fd_read_all(sock, body, 16) == 16);
		is_int(body[3], 0x11223344);
	}
	is_int(set_memory(sock, memfd, MEM), 0);
	is_int(acked(sock, 8, state, 8, -1), 0);
	state[1] = 0;
	is_int(acked(sock, 10, state, 8, -1), 0);
	is_int(acked(sock, 9, addr, sizeof(addr), -1), 0);
	v = 0;
	is_int(acked(sock, 13, &v, 8, call), 0);
	is_int(acked(sock, 12, &v, 8, kick), 0);
	is_int(__atomic_load_n(&fake->activated, __ATOMIC_SEQ_CST), 0);
	state[1] = 1;
	is_int(acked(sock, 18, state, 8, -1), 0);
	is_int(__atomic_load_n(&fake->activated, __ATOMIC_SEQ_CST), 1);
	/* One request through the ring. */
	desc = (void *)ram;
	avail = (void *)(ram + 4096);
	used = (void *)(ram + 8192);
	ram[65536] = 41;
	desc[0] = (struct vring_desc){ GPA_BASE + 65536, 1, VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ GPA_BASE + 65600, 1, VRING_DESC_F_WRITE, 0 };
	avail[2] = 0;
	__atomic_store_n(&avail[1], 1, __ATOMIC_SEQ_CST);
	need(write(kick, &one, 8) == 8);
	p = (struct pollfd){ .fd = call, .events = POLLIN };
	need(poll(&p, 1, 60000) == 1);
	is_int(ram[65600], 42);
	is_int(used[1], 1);
	/* The same table again is fine while it runs, another is not. */
	is_int(set_memory(sock, memfd, MEM), 0);
	/* Stopping says where the ring stood. */
	state[1] = 0;
	send_msg(sock, 11, 0, state, 8, -1);
	is_int(answer(sock, 11, 8) >> 32, 1);
	ok(__atomic_load_n(&fake->resets, __ATOMIC_SEQ_CST) >= 1);
	vhost_user_stop(vu);
	is_int(freed, 1);
	munmap(ram, MEM);
	close(sock);
	close(memfd);
	close(kick);
	close(call);
}

/* Each is answered by a failure and the end of the connection, or the end alone. */
static void test_nonsense(void)
{
	static const struct {
		uint32_t request, size;
		uint64_t words[5];
	} bad[] = {
		{ 99, 8, { 0 } },                           /* unknown */
		{ 5, 40, { 1, GPA_BASE, MEM, USER_BASE } }, /* memory without fd */
		{ 5, 8, { 200 } },                          /* too many regions */
		{ 9, 40, { 0, USER_BASE, 1, 2 } },          /* addresses before memory */
		{ 9, 40, { 7, USER_BASE, 1, 2 } },          /* no such queue */
		{ 8, 8, { 5ULL << 32 | 3 } },               /* no such queue */
		{ 8, 8, { 1ULL << 60 } },                   /* size */
		{ 12, 8, { 0 } },                           /* kick without fd */
		{ 12, 8, { 0x1ff } },                       /* kick of queue 255 */
		{ 24, 12, { 5000ULL << 32 } },              /* configuration beyond the message */
	};
	int sock;

	for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
		struct vhost_user *vu = start(&sock);
		char c;

		need(vu);
		send_msg(sock, bad[n].request, 0, bad[n].words, bad[n].size, -1);
		is_int(read(sock, &c, 1), 0);
		vhost_user_stop(vu);
		close(sock);
	}
	/* A size beyond any message, half a header, half a payload: and stop() in the middle of it. */
	for (int n = 0; n < 3; n++) {
		struct vhost_user *vu = start(&sock);
		uint32_t head[3] = { 1, 1, n == 0 ? 1u << 30 : 8 };

		need(vu);
		need(fd_write_all(sock, head, n == 1 ? 5 : 12) == 0);
		vhost_user_stop(vu);
		close(sock);
	}
	ok(1);
}

int main(void)
{
	test_whole_life();
	test_nonsense();
	return tap_done();
}
