/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that keeps no rule. Runs in a machine (kernel parameter iomem=relaxed, CAP_SYS_RAWIO, CAP_SYS_ADMIN, /dev/mem),
 * takes virtio-mmio devices away from the kernel's drivers and gives them rings full of nonsense.
 *
 * usage: hostile rings ID...    for each device type: every pattern below on all queues
 *        hostile pokes ID       random values into all registers, in all widths
 * Prints "ID: N patterns, M marked broken" for each; ends with "done" before the device of type 19 (vsock), by which it talks.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#define QUEUE_SIZE 64
#define QUEUES 9
#define PAGE 4096
#define PATTERNS 12

struct queue {
	struct vring_desc *desc;
	uint16_t *avail; /* flags, idx, ring */
	uint8_t *used;
	uint8_t *data;
	uint64_t desc_pa, avail_pa, used_pa, data_pa;
};

static struct queue queues[QUEUES];
static volatile uint8_t *regs;
static unsigned int seed = 7;
static volatile int flip;

static uint32_t rd(unsigned int off)
{
	return *(volatile uint32_t *)(regs + off);
}

static void wr(unsigned int off, uint32_t v)
{
	*(volatile uint32_t *)(regs + off) = v;
}

static uint64_t physical(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t e = 0;

	if (pread(fd, &e, 8, (off_t)((uintptr_t)p / PAGE * 8)) != 8 || !(e & 1ULL << 63) || !(e & ((1ULL << 55) - 1))) {
		puts("no physical addresses");
		exit(1);
	}
	close(fd);
	return (e & ((1ULL << 55) - 1)) * PAGE;
}

static void *page(uint64_t *pa)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);

	memset(p, 1, PAGE);
	memset(p, 0, PAGE);
	*pa = physical(p);
	return p;
}

/* The device of that type: its registers mapped. */
static int find(uint32_t id)
{
	int mem = open("/dev/mem", O_RDWR | O_SYNC);
	FILE *f = fopen("/proc/iomem", "r");
	unsigned long from, to;
	char line[256];

	if (mem < 0 && (mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1)) == 0 || errno == EEXIST))
		mem = open("/tmp/mem", O_RDWR | O_SYNC);
	while (f && fgets(line, sizeof(line), f)) {
		uint8_t *m;

		if (!strstr(line, "LNRO0005") || sscanf(line, " %lx-%lx", &from, &to) != 2)
			continue;
		m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, (off_t)(from & ~4095UL));
		if (m == MAP_FAILED) {
			printf("mapping %lx: %s\n", from, strerror(errno));
			exit(1);
		}
		regs = m + (from & 4095);
		if (rd(VIRTIO_MMIO_MAGIC_VALUE) == 0x74726976 && rd(VIRTIO_MMIO_DEVICE_ID) == id) {
			fclose(f);
			close(mem);
			return 1;
		}
		munmap(m, PAGE);
	}
	printf("%u: no such device\n", id);
	return 0;
}

static void desc(struct queue *q, unsigned int n, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	q->desc[n] = (struct vring_desc){ addr, len, flags, next };
}

static void offer(struct queue *q, uint16_t head)
{
	q->avail[2 + q->avail[1] % QUEUE_SIZE] = head;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	q->avail[1]++;
}

/* One way to be wrong. */
static void fill(struct queue *q, unsigned int pattern)
{
	memset(q->desc, 0, PAGE);
	memset(q->avail, 0, PAGE);
	for (size_t n = 0; n < PAGE; n++)
		q->data[n] = (uint8_t)rand_r(&seed);
	switch (pattern) {
	case 0: /* outside memory */
		desc(q, 0, 0xfffffffff000ULL, 4096, 0, 0);
		break;
	case 1: /* a loop */
		desc(q, 0, q->data_pa, 16, VRING_DESC_F_NEXT, 1);
		desc(q, 1, q->data_pa, 16, VRING_DESC_F_NEXT, 0);
		break;
	case 2: /* a next that is no descriptor */
		desc(q, 0, q->data_pa, 16, VRING_DESC_F_NEXT, 60000);
		break;
	case 3: /* a length that wraps */
		desc(q, 0, q->data_pa + 16, UINT32_MAX, VRING_DESC_F_WRITE, 0);
		break;
	case 4: /* an address that wraps */
		desc(q, 0, UINT64_MAX - 8, 64, VRING_DESC_F_WRITE, 0);
		break;
	case 5: /* indirect in indirect */
		desc(q, 0, q->desc_pa + 16, 16, VRING_DESC_F_INDIRECT, 0);
		desc(q, 1, q->data_pa, 16, VRING_DESC_F_INDIRECT, 0);
		break;
	case 6: /* an indirect table of odd size */
		desc(q, 0, q->data_pa, 17, VRING_DESC_F_INDIRECT, 0);
		break;
	case 7: /* more chains than the ring holds */
		desc(q, 0, q->data_pa, 16, 0, 0);
		q->avail[1] = 40000;
		return;
	case 8: /* a head that is no descriptor */
		offer(q, 40000);
		return;
	case 9: /* readable behind writable, the device's registers as a buffer */
		desc(q, 0, q->data_pa, 64, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
		desc(q, 1, 0xfee00000, 64, 0, 0);
		break;
	case 10: /* headers of noise, many of them */
		for (uint16_t n = 0; n < QUEUE_SIZE; n += 2) {
			desc(q, n, q->data_pa + n * 32, (uint32_t)rand_r(&seed) % 512, VRING_DESC_F_NEXT,
			     (uint16_t)(n + 1));
			desc(q, n + 1u, q->data_pa, 256, VRING_DESC_F_WRITE, 0);
			offer(q, n);
		}
		return;
	default: /* all noise */
		for (size_t n = 0; n < PAGE / 2; n++)
			((uint16_t *)q->desc)[n] = (uint16_t)rand_r(&seed);
		for (size_t n = 0; n < PAGE / 2; n++)
			q->avail[n] = (uint16_t)rand_r(&seed);
		return;
	}
	offer(q, 0);
}

/* Changes the rings while the device looks at them. */
static void *flipper(void *arg)
{
	while (flip)
		for (unsigned int n = 0; n < QUEUES; n++) {
			queues[n].desc[0].addr ^= 0xfffff0000000ULL;
			queues[n].desc[0].len ^= 0x7fff0000;
			queues[n].avail[1] ^= 3;
		}
	return NULL;
}

static unsigned int start(void)
{
	unsigned int n;

	wr(VIRTIO_MMIO_STATUS, 0);
	wr(VIRTIO_MMIO_STATUS, 3);
	wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	wr(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(VIRTIO_MMIO_DRIVER_FEATURES, rd(VIRTIO_MMIO_DEVICE_FEATURES) & (3u << 28));
	wr(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	wr(VIRTIO_MMIO_STATUS, 11);
	for (n = 0; n < QUEUES; n++) {
		struct queue *q = &queues[n];

		wr(VIRTIO_MMIO_QUEUE_SEL, n);
		if (!rd(VIRTIO_MMIO_QUEUE_NUM_MAX))
			break;
		wr(VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
		wr(VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)q->desc_pa);
		wr(VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(q->desc_pa >> 32));
		wr(VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)q->avail_pa);
		wr(VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(q->avail_pa >> 32));
		wr(VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)q->used_pa);
		wr(VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(q->used_pa >> 32));
		wr(VIRTIO_MMIO_QUEUE_READY, 1);
	}
	wr(VIRTIO_MMIO_STATUS, 15);
	return n;
}

static void rings(uint32_t id)
{
	unsigned int broken = 0, n_queues;
	pthread_t t;

	if (!find(id))
		return;
	for (unsigned int pattern = 0; pattern <= PATTERNS; pattern++) {
		for (unsigned int n = 0; n < QUEUES; n++)
			fill(&queues[n], pattern < PATTERNS ? pattern : 10);
		n_queues = start();
		flip = pattern == PATTERNS;
		if (flip)
			pthread_create(&t, NULL, flipper, NULL);
		for (int k = 0; k < (pattern == PATTERNS ? 300 : 3); k++)
			for (unsigned int n = 0; n < n_queues; n++)
				wr(VIRTIO_MMIO_QUEUE_NOTIFY, n);
		/* Until it is marked, or long enough for a device that finds nothing wrong with it. */
		for (int k = 0; k < 40 && !(rd(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET); k++)
			usleep(5000);
		broken += (rd(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
		if (flip) {
			flip = 0;
			pthread_join(t, NULL);
		}
	}
	wr(VIRTIO_MMIO_STATUS, 0);
	if (id != 19) {
		printf("%u: %d patterns, %u marked broken\n", id, PATTERNS + 1, broken);
		fflush(stdout);
	}
}

static void pokes(uint32_t id)
{
	if (!find(id))
		return;
	for (int n = 0; n < 3000; n++) {
		unsigned int off = (unsigned int)rand_r(&seed) % 0x140;
		uint64_t v = (uint64_t)rand_r(&seed) << (rand_r(&seed) % 33);

		switch (rand_r(&seed) % 6) {
		case 0:
			regs[off] = (uint8_t)v;
			break;
		case 1:
			*(volatile uint16_t *)(regs + (off & ~1u)) = (uint16_t)v;
			break;
		case 2:
			*(volatile uint64_t *)(regs + (off & ~7u)) = v;
			break;
		case 3:
			v = *(volatile uint64_t *)(regs + (off & ~7u));
			break;
		case 4: /* the state machine, again and again */
			wr(VIRTIO_MMIO_STATUS, (uint32_t)v & 0xff);
			break;
		default:
			wr(off & ~3u, (uint32_t)v);
		}
	}
	wr(VIRTIO_MMIO_STATUS, 0);
	printf("%u: poked\n", id);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	for (unsigned int n = 0; n < QUEUES; n++) {
		struct queue *q = &queues[n];

		q->desc = page(&q->desc_pa);
		q->avail = page(&q->avail_pa);
		q->used = page(&q->used_pa);
		q->data = page(&q->data_pa);
	}
	for (int n = 2; n < argc; n++) {
		uint32_t id = (uint32_t)atoi(argv[n]);

		if (id == 19) {
			puts("done");
			fflush(stdout);
			usleep(300000); /* it travels by what is broken next */
		}
		if (strcmp(argv[1], "pokes") == 0)
			pokes(id);
		else
			rings(id);
	}
	if (argc > 2 && strcmp(argv[argc - 1], "19") != 0)
		puts("done");
	fflush(stdout);
	sleep(1000);
	return 0;
}
