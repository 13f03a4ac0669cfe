/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-net: one descriptor of /dev/vhost-net is one pair of queues. It is told where guest memory is mapped here (it
 * checks the guest's addresses against that table itself), where the three parts of each ring are, and the eventfds:
 * the queue's kick, which KVM signals, and the device's interrupt line, which KVM listens to, so that in the common
 * course of a frame no thread of ours runs. Giving it the tap as a queue's back end starts it, taking the tap away stops
 * it and waits for its current turn.
 *
 * The descriptor is opened outside the jail, which hides the device; the monitor owns it (its memory counts). All calls come
 * from the machine's main thread, the only one that may make these ioctls.
 */
#include "vm/vhost_net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm/virtio.h"

/* What it does for the driver; the rest of what is negotiated is between the driver and the tap. */
#define FEATURES (VIRTIO_FEATURES_COMMON | 1ULL << VIRTIO_NET_F_MRG_RXBUF)

enum { RING_RX, RING_TX, RINGS };

int vhost_net_open(void)
{
	cleanup_fd int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	uint64_t features;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, VHOST_GET_FEATURES, &features))
		return -errno;
	return (features & FEATURES) == FEATURES ? steal_fd(fd) : -ENOTSUP;
}

int vhost_net_own(int vhost_fd, struct err *err)
{
	return ioctl(vhost_fd, VHOST_SET_OWNER, NULL) ? err_sys(err, -errno, "vhost-net: VHOST_SET_OWNER") : 0;
}

static int set_memory(int fd, const struct vm_memory *m)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region regions[MEMORY_REGIONS_MAX];
	} table = { .head.nregions = m->n };

	_Static_assert(offsetof(struct vhost_memory, regions) == sizeof(struct vhost_memory),
		       "regions follow the head");
	for (unsigned int i = 0; i < m->n; i++)
		table.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = m->regions[i].gpa,
			.memory_size = m->regions[i].len,
			.userspace_addr = (uintptr_t)m->regions[i].host,
		};
	return ioctl(fd, VHOST_SET_MEM_TABLE, &table) ? -errno : 0;
}

static int set_ring(int fd, unsigned int ring, const struct virtq *q, int interrupt_fd, int error_fd)
{
	struct vhost_vring_state num = { ring, q->size }, base = { ring, 0 };
	struct vhost_vring_file kick = { ring, q->kick_fd }, call = { ring, interrupt_fd }, error = { ring, error_fd };
	struct vhost_vring_addr addr = {
		.index = ring,
		.desc_user_addr = (uintptr_t)q->desc_host,
		.avail_user_addr = (uintptr_t)q->avail_host,
		.used_user_addr = (uintptr_t)q->used_host,
	};

	if (ioctl(fd, VHOST_SET_VRING_NUM, &num) || ioctl(fd, VHOST_SET_VRING_BASE, &base) ||
	    ioctl(fd, VHOST_SET_VRING_ADDR, &addr) || ioctl(fd, VHOST_SET_VRING_KICK, &kick) ||
	    ioctl(fd, VHOST_SET_VRING_CALL, &call) || ioctl(fd, VHOST_SET_VRING_ERR, &error))
		return -errno;
	return 0;
}

static int set_backend(int fd, unsigned int ring, int tap_fd)
{
	struct vhost_vring_file backend = { ring, tap_fd };

	return ioctl(fd, VHOST_NET_SET_BACKEND, &backend) ? -errno : 0;
}

int vhost_net_start(int vhost_fd, struct virtio_device *dev, unsigned int rx, unsigned int tx, int tap_fd, int error_fd,
		    struct err *err)
{
	uint64_t features = dev->acked & FEATURES;
	const unsigned int queues[RINGS] = { [RING_RX] = rx, [RING_TX] = tx };
	int r = ioctl(vhost_fd, VHOST_SET_FEATURES, &features) ? -errno : set_memory(vhost_fd, dev->mem);

	for (unsigned int i = 0; i < RINGS && !r; i++)
		r = set_ring(vhost_fd, i, &dev->vq[queues[i]], dev->transport.interrupt_fd, error_fd);
	for (unsigned int i = 0; i < RINGS && !r; i++)
		r = set_backend(vhost_fd, i, tap_fd);
	if (r < 0)
		vhost_net_stop(vhost_fd);
	return r < 0 ? err_sys(err, r, "vhost-net: queues %u and %u", rx, tx) : 0;
}

void vhost_net_stop(int vhost_fd)
{
	for (unsigned int i = 0; i < RINGS; i++) {
		int r = set_backend(vhost_fd, i, VHOST_FILE_UNBIND);

		if (r < 0)
			log_debug("vhost-net: stop: %s", strerror(-r));
	}
}
