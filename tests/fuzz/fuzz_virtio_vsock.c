/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest on both vsock queues. The input is the beginning of guest memory, rings included, and the order of what
 * happens: kicks, a client's lines and bytes. Without the device's thread: its two directions are called from here.
 */
#include "vm/virtio_vsock.c"

#define MEM (256u << 10)

static uint8_t ram[MEM] __attribute__((aligned(4096)));
static struct vm_memory mem;

static int refuse_or_pair(void *arg, uint32_t port)
{
	int fds[2];

	if (port & 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -ECONNREFUSED;
	if (port & 2)
		shutdown(fds[0], SHUT_RD);
	if (port & 4 && write(fds[0], "some bytes for the guest", 24) < 0)
		abort();
	close(fds[0]);
	return fds[1];
}

static void quiet(struct virtio_device *dev)
{
}

static void quiet_queue(struct virtio_device *dev, struct virtq *q)
{
}

static void pump(struct virtio_vsock *v)
{
	struct epoll_event ev[16];
	int n = epoll_wait(v->epoll_fd, ev, ARRAY_SIZE(ev), 0);

	for (int i = 0; i < n; i++)
		if (ev[i].data.u64 >= TAG_MAX)
			stream_event(v, ev[i].data.ptr, ev[i].events);
	for (int i = 0; i < 4; i++) {
		if (atomic_load(&v->dev.failed))
			break;
		transmit(v);
		receive(v);
	}
	bury(v);
}

/*
 * Odd first byte: the input is memory as it is. Even: sixteen packets behind well-formed rings, each the next 48 bytes of the
 * input with the addresses and the type put right, so that most get through to the streams.
 */
static void lay_out(const uint8_t *data, size_t len)
{
	struct vring_desc *rx = (void *)ram, *tx = (void *)(ram + 4096);
	uint16_t *rx_avail = (void *)(ram + 256), *tx_avail = (void *)(ram + 4096 + 256);

	if (data[0] & 1) {
		memcpy(ram, data, len < MEM ? len : MEM);
		return;
	}
	data += 4;
	len -= 4;
	for (uint16_t n = 0; n < 16; n++) {
		struct virtio_vsock_hdr h = { 0 };
		size_t take = len < 48 ? len : 48;
		uint64_t at = 65536 + n * 4096u;

		rx[n] = (struct vring_desc){ 16384 + n * 2048u, 2048, VRING_DESC_F_WRITE, 0 };
		rx_avail[2 + n] = tx_avail[2 + n] = n;
		memcpy(&h, data, take < sizeof(h) ? take : sizeof(h));
		h.src_cid = 3;
		h.dst_cid = 2;
		h.src_port &= 3;
		h.dst_port &= 7;
		if (h.dst_port == 7) { /* the client's stream */
			h.src_port = 1024;
			h.dst_port = PORT_FIRST + 1;
		}
		h.type = 1;
		h.op &= 7;
		h.len &= 2047;
		memcpy(ram + at, &h, sizeof(h));
		tx[n] = (struct vring_desc){ at, (uint32_t)sizeof(h) + h.len, 0, 0 };
		data += take;
		len -= take;
	}
	rx_avail[1] = 4;
	tx_avail[1] = 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct virtio_vsock_params p = { .listen_fd = -1, .guest_cid = 3, .guest_connect = refuse_or_pair };
	struct memory_region region = { .gpa = 0, .len = MEM, .host = ram };
	struct virtio_device *dev;
	struct virtio_vsock *v;
	struct err err = { 0 };
	int pair[2];

	if (len < 4)
		return 0;
	if (!mem.n)
		memory_add(&mem, &region);
	memset(ram, 0, sizeof(ram));
	lay_out(data, len);
	dev = virtio_vsock_new(&p, &err);
	v = (struct virtio_vsock *)dev;
	dev->transport.interrupt = quiet_queue;
	dev->transport.failed = quiet;
	dev->transport.config_changed = quiet;
	v->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned int n = 0; n < 2; n++) {
		struct virtq *q = &dev->vq[n];

		/* Rings of 16 entries, 4 KiB for each queue at the beginning of memory. */
		q->mem = &mem;
		q->size = q->size_max = 16;
		q->desc = n * 4096;
		q->avail = q->desc + 256;
		q->used = q->desc + 512;
		q->indirect = true;
		if (virtq_start(q, &err) < 0)
			abort();
	}
	/* One client that connects by the first byte. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
		struct vsock_stream *s = vsock_stream_new(pair[0], VSOCK_STREAM_LINE);

		s->next_hash = v->lines;
		v->lines = s;
		v->n_streams++;
		watch(v, s);
		if (write(pair[1], "CONNECT 1024\nbytes behind it", data[0] % 29) < 0)
			abort();
	}
	for (int round = 0; round < 4; round++) {
		pump(v);
		/* More of the rings appears. */
		ram[256 + 2] = (uint8_t)(ram[256 + 2] + (data[1] & 15));
		ram[4096 + 256 + 2] = (uint8_t)(ram[4096 + 256 + 2] + (data[2] & 15));
		if (round == 2)
			close(pair[1]);
	}
	virtio_free(dev);
	return 0;
}
