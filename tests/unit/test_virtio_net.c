/* SPDX-License-Identifier: Apache-2.0 */
/* Several pairs of queues on a real tap of a namespace of its own: who gets the frames, and what the control queue refuses. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "network/tap.h"
#include "vm/virtio_net.h"

#include "tests/unit/ring_kit.h"
#include "tests/unit/tap.h"

#define HEADER 12
#define FRAME 64
#define FLOWS 48
#define CONTROL 4
#define MARK 0x88b5 /* a port of ours, to know our frames by */

static struct ring_kit k;
static int packet;

/* A frame of UDP over IPv4 of the flow n. */
static void make_frame(uint8_t f[FRAME], unsigned int n)
{
	memset(f, 0, FRAME);
	memset(f, 0xff, 6);
	f[6] = 2;
	f[12] = 8;
	f[14] = 0x45;
	f[17] = FRAME - 14;
	f[22] = 64;
	f[23] = 17;
	memcpy(f + 26, "\x0a\0\0\1\x0a\0\0\2", 8);
	f[34] = 4;
	f[35] = (uint8_t)n;
	f[36] = MARK >> 8;
	f[37] = MARK & 0xff;
	f[39] = FRAME - 34;
}

static bool ours(const uint8_t *f, size_t len)
{
	return len >= 38 && f[12] == 8 && f[23] == 17 && f[36] == MARK >> 8 && f[37] == (MARK & 0xff);
}

static void need_up(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_UP };
	struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	must(packet >= 0 && ioctl(packet, SIOCSIFFLAGS, &ifr) == 0);
	sa.sll_ifindex = (int)if_nametoindex(name);
	must(bind(packet, (struct sockaddr *)&sa, sizeof(sa)) == 0);
}

/* Sends a frame of each flow out by the tap; frames[pair]: what arrived, until all have or 300 ms pass. */
static void spread(unsigned int frames[2])
{
	unsigned int quiet = 0;

	frames[0] = frames[1] = 0;
	for (unsigned int n = 0; n < FLOWS; n++) {
		uint8_t f[FRAME];

		make_frame(f, n);
		must(send(packet, f, sizeof(f), 0) == FRAME);
	}
	while (frames[0] + frames[1] < FLOWS && quiet < 300) {
		bool any = false;

		for (unsigned int pair = 0; pair < 2; pair++) {
			uint32_t len;
			uint8_t *b;

			while ((b = ring_used(&k, 2 * pair, &len))) {
				frames[pair] += len > HEADER && ours(b + HEADER, len - HEADER);
				ring_add(&k, 2 * pair, NULL, 0, 2048);
				any = true;
			}
		}
		quiet = any ? 0 : quiet + 1;
		usleep(1000);
	}
}

/* A control request of len bytes; the answer, or -1 when there is none. */
static int control(uint8_t class, uint8_t cmd, uint16_t pairs, uint32_t len)
{
	uint8_t msg[4] = { class, cmd, (uint8_t)pairs, (uint8_t)(pairs >> 8) }, *answer;
	uint32_t written;

	must(ring_add_both(&k, CONTROL, msg, len, 1));
	while (!(answer = ring_used(&k, CONTROL, &written)))
		if (!ring_wait(&k))
			return -1;
	return written == 1 ? answer[0] : -1;
}

static int set_pairs(uint16_t n)
{
	return control(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, n, 4);
}

/* Does a frame that the pair transmits come out of the tap? */
static bool transmits(unsigned int pair)
{
	uint8_t f[HEADER + FRAME] = { 0 }, got[2048];
	struct pollfd p = { .fd = packet, .events = POLLIN };
	uint32_t len;

	make_frame(f + HEADER, 200 + pair);
	must(ring_add(&k, 2 * pair + 1, f, sizeof(f), 0));
	while (!ring_used(&k, 2 * pair + 1, &len))
		must(ring_wait(&k));
	while (poll(&p, 1, 200) > 0) {
		ssize_t n = recv(packet, got, sizeof(got), 0);

		if (n > 0 && ours(got, (size_t)n) && got[35] == 200 + pair)
			return true;
	}
	return false;
}

int main(void)
{
	struct virtio_net_params p = { .pairs = 2, .vhost_fds = { -1, -1 }, .mac = { 2, 0, 0, 0, 0, 1 } };
	const char *tap = "ttestmq0";
	int fds[NETWORK_TAPS_MAX];
	unsigned int frames[2];
	struct virtio_device *dev;
	struct err err = { 0 };

	if (unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK)) {
		printf("1..0 # SKIP needs root and /dev/net/tun\n");
		return 0;
	}
	must(tap_open(tap, -1, 2, fds, &err) == 0);
	need_up(tap);
	memcpy(p.tap_fds, fds, sizeof(p.tap_fds[0]) * 2);
	dev = virtio_net_new(&p, &err);
	need(dev != NULL);
	is_int(dev->nqueues, 5);
	ok(dev->features & 1ULL << VIRTIO_NET_F_MQ && dev->features & 1ULL << VIRTIO_NET_F_CTRL_VQ);
	dev->acked = 1ULL << VIRTIO_NET_F_MQ | 1ULL << VIRTIO_NET_F_CTRL_VQ | 1ULL << VIRTIO_NET_F_MRG_RXBUF;
	ring_start(&k, dev, 5);
	for (unsigned int i = 0; i < RING_SIZE; i++) {
		ring_add(&k, 0, NULL, 0, 2048);
		ring_add(&k, 2, NULL, 0, 2048);
	}
	/* until the driver says otherwise all goes to the first pair */
	spread(frames);
	is_int(frames[0], FLOWS);
	is_int(frames[1], 0);
	ok(transmits(0));
	ok(transmits(1));
	/* nothing that is not a number of pairs it has */
	is_int(set_pairs(0), VIRTIO_NET_ERR);
	is_int(set_pairs(3), VIRTIO_NET_ERR);
	is_int(set_pairs(UINT16_MAX), VIRTIO_NET_ERR);
	is_int(control(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 3), VIRTIO_NET_ERR);
	is_int(control(VIRTIO_NET_CTRL_MQ, 1, 2, 4), VIRTIO_NET_ERR);
	is_int(control(VIRTIO_NET_CTRL_RX, 0, 1, 4), VIRTIO_NET_ERR);
	is_int(control(255, 255, 2, 4), VIRTIO_NET_ERR);
	spread(frames);
	is_int(frames[0], FLOWS);
	/* both */
	is_int(set_pairs(2), VIRTIO_NET_OK);
	spread(frames);
	ok(frames[0] > 0 && frames[1] > 0);
	is_int(frames[0] + frames[1], FLOWS);
	ok(transmits(0));
	ok(transmits(1));
	/* and back, several times */
	for (int i = 0; i < 20; i++)
		must(set_pairs(i % 2 ? 2 : 1) == VIRTIO_NET_OK);
	spread(frames);
	is_int(frames[0] + frames[1], FLOWS);
	ok(frames[1] > 0);
	is_int(set_pairs(1), VIRTIO_NET_OK);
	spread(frames);
	is_int(frames[0], FLOWS);
	is_int(k.failures, 0);
	/* a request that leaves no room for the answer is against the rules */
	ring_add(&k, CONTROL, "\4\0\1\0", 4, 0);
	while (!__atomic_load_n(&k.failures, __ATOMIC_SEQ_CST))
		must(ring_wait(&k));
	ok(dev->failed);
	ring_stop(&k);
	close(packet);
	return tap_done();
}
