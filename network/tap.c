/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap: a machine's network device on the host.
 *
 * Theory of operation: a tap belongs to the namespace in which /dev/net/tun was opened, and lives as long as one of
 * its descriptors. Whoever holds a descriptor moves frames without any privilege and without seeing the link, which
 * is what the jailed monitor needs. Frames begin with struct virtio_net_hdr_v1 so that checksum and segmentation
 * offloads pass through; which offloads are on is the driver's to say after feature negotiation (TUNSETOFFLOAD).
 */
#include "network/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"

#define HEADER_LEN 12 /* struct virtio_net_hdr_v1 */

static int open_queue(const char *name, bool multi, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = HEADER_LEN;
	cleanup_fd int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_sys(err, -errno, "open /dev/net/tun");
	if (multi)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return err_sys(err, -errno, "make tap %s", name);
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return err_sys(err, -errno, "tap %s: header of %d bytes", name, header);
	return steal_fd(fd);
}

int tap_open(const char *name, int netns_fd, unsigned int queues, int fds[NETWORK_TAPS_MAX], struct err *err)
{
	cleanup_fd int home = -1;
	int r = 0;

	for (unsigned int i = 0; i < NETWORK_TAPS_MAX; i++)
		fds[i] = -1;
	if (queues < 1 || queues > NETWORK_TAPS_MAX)
		return err_set(err, -EINVAL, "tap %s: %u queues, must be 1 to %d", name, queues, NETWORK_TAPS_MAX);
	if (netns_fd >= 0) {
		home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		if (home < 0)
			return err_sys(err, -errno, "open own network namespace");
		if (setns(netns_fd, CLONE_NEWNET) < 0)
			return err_sys(err, -errno, "enter network namespace");
	}
	for (unsigned int i = 0; r >= 0 && i < queues; i++)
		r = fds[i] = open_queue(name, queues > 1, err);
	if (netns_fd >= 0 && setns(home, CLONE_NEWNET) < 0)
		r = err_sys(err, -errno, "return to own network namespace");
	for (unsigned int i = 0; r < 0 && i < queues; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
	return r < 0 ? r : 0;
}

int tap_persist(const char *name, int netns_fd, struct err *err)
{
	int fds[NETWORK_TAPS_MAX];
	int r = tap_open(name, netns_fd, 1, fds, err);

	if (r < 0)
		return r;
	r = ioctl(fds[0], TUNSETPERSIST, 1) < 0 ? err_sys(err, -errno, "tap %s: make persistent", name) : 0;
	close(fds[0]);
	return r;
}
