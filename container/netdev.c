/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving network devices into a container, by bare rtnetlink: four messages, so no library.
 *
 * A link that changes its namespace loses its addresses and goes down. So they are read before (those the administrator set:
 * permanent, global scope), the link is moved and renamed in one message (the kernel resolves a %d in the name), then
 * the container's namespace is entered, the link found again (its index may have changed), the addresses are given back and
 * it is set up.
 */
#include "container/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"
#include "oci/config.h"

#define ADDRESSES_MAX 64

struct message {
	struct nlmsghdr h;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
	};
	char attrs[512];
};

/* One address as the kernel told it: header and attributes, ready to be sent back. */
struct address {
	struct ifaddrmsg addr;
	char attrs[256];
	size_t len;
};

static void put_attr(struct message *m, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)&m->h + NLMSG_ALIGN(m->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	m->h.nlmsg_len = NLMSG_ALIGN(m->h.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static int open_netlink(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

/* Sends one request and waits for the kernel's answer. */
static int request(int sock, struct message *m)
{
	char buf[8192];
	ssize_t n;

	m->h.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(sock, m, m->h.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(sock, buf, sizeof(buf), 0);
	if (n < 0)
		return -errno;
	for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n))
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
	return -EPROTO;
}

static void keep_address(const struct nlmsghdr *h, unsigned int index, struct address *v, size_t *n)
{
	const struct ifaddrmsg *a = NLMSG_DATA(h);
	size_t len = h->nlmsg_len - NLMSG_LENGTH(sizeof(*a));
	uint32_t flags = a->ifa_flags;
	struct address *out = &v[*n];

	if (a->ifa_index != index || a->ifa_scope != RT_SCOPE_UNIVERSE || *n == ADDRESSES_MAX)
		return;
	out->addr = *a;
	out->len = 0;
	for (struct rtattr *r = IFA_RTA(a); RTA_OK(r, len); r = RTA_NEXT(r, len)) {
		if (r->rta_type == IFA_FLAGS)
			memcpy(&flags, RTA_DATA(r), sizeof(flags));
		if (r->rta_type != IFA_LOCAL && r->rta_type != IFA_ADDRESS && r->rta_type != IFA_BROADCAST)
			continue;
		if (out->len + RTA_ALIGN(r->rta_len) > sizeof(out->attrs))
			return;
		memcpy(out->attrs + out->len, r, r->rta_len);
		out->len += RTA_ALIGN(r->rta_len);
	}
	if (flags & IFA_F_PERMANENT)
		(*n)++;
}

static int read_addresses(int sock, unsigned int index, struct address *v, size_t *ret_n)
{
	struct message m = { .h = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
				    .nlmsg_type = RTM_GETADDR,
				    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	char buf[32768];

	*ret_n = 0;
	if (send(sock, &m, m.h.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(sock, buf, sizeof(buf), 0);

		if (n < 0)
			return -errno;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (h->nlmsg_type == RTM_NEWADDR)
				keep_address(h, index, v, ret_n);
		}
	}
}

static int move_link(int sock, unsigned int index, int netns, const char *name)
{
	struct message m = { .h = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)), .nlmsg_type = RTM_NEWLINK },
			     .link = { .ifi_index = (int)index } };

	put_attr(&m, IFLA_NET_NS_FD, &netns, sizeof(netns));
	put_attr(&m, IFLA_IFNAME, name, strlen(name) + 1);
	return request(sock, &m);
}

static bool knows(const struct if_nameindex *list, unsigned int index, const char *name)
{
	for (size_t i = 0; list && list[i].if_index; i++)
		if (list[i].if_index == index && !strcmp(list[i].if_name, name))
			return true;
	return false;
}

static int set_up(int sock, unsigned int index)
{
	struct message m = { .h = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)), .nlmsg_type = RTM_NEWLINK },
			     .link = { .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP } };

	return request(sock, &m);
}

static int give_address(int sock, unsigned int index, const struct address *a)
{
	struct message m = { .h = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
				    .nlmsg_type = RTM_NEWADDR,
				    .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE },
			     .addr = a->addr };

	m.addr.ifa_index = index;
	memcpy((char *)&m.h + m.h.nlmsg_len, a->attrs, a->len);
	m.h.nlmsg_len += (unsigned int)a->len;
	return request(sock, &m);
}

/* In the container's network namespace: moves one link in from host (a socket there) and restores it. */
static int move_one(int host, unsigned int index, int netns, const char *name, struct err *err)
{
	struct address *v = xcalloc(ADDRESSES_MAX, sizeof(*v));
	struct if_nameindex *before = if_nameindex(), *after = NULL;
	cleanup_fd int inside = open_netlink();
	unsigned int now = 0;
	size_t n = 0;
	int r = inside < 0 ? inside : read_addresses(host, index, v, &n);

	if (!r)
		r = move_link(host, index, netns, name);
	if (!r)
		after = if_nameindex();
	for (size_t i = 0; after && after[i].if_index; i++)
		if (!knows(before, after[i].if_index, after[i].if_name))
			now = after[i].if_index;
	if (!r && !now)
		r = -ENODEV;
	if (!r)
		r = set_up(inside, now);
	for (size_t i = 0; i < n && !r; i++)
		r = give_address(inside, now, &v[i]);
	if (before)
		if_freenameindex(before);
	if (after)
		if_freenameindex(after);
	free(v);
	return r < 0 ? err_sys(err, r, "move to the container as %s", name) : 0;
}

static int move_all(const struct oci_linux *l, int host, const unsigned int *index, int netns, struct err *err)
{
	for (size_t i = 0; i < l->n_net_devices; i++) {
		const struct oci_net_device *d = &l->net_devices[i];
		int r = move_one(host, index[i], netns, str_empty(d->name) ? d->host_name : d->name, err);

		if (r < 0)
			return err_wrap(err, "linux.netDevices[\"%s\"]", d->host_name);
	}
	return 0;
}

int netdev_move(const struct oci_linux *l, pid_t pid, struct err *err)
{
	cleanup_free unsigned int *index = xcalloc(l->n_net_devices + 1, sizeof(*index));
	cleanup_fd int own = -1;
	cleanup_fd int netns = -1;
	cleanup_fd int host = -1;
	char path[64];
	int r;

	if (!l->n_net_devices)
		return 0;
	if (!l->namespaces[OCI_NS_NETWORK].present)
		return err_set(err, EINVAL, "linux.netDevices: need a network namespace of the container's own");
	for (size_t i = 0; i < l->n_net_devices; i++) {
		index[i] = if_nametoindex(l->net_devices[i].host_name);
		if (!index[i])
			return err_sys(err, -errno, "linux.netDevices[\"%s\"]", l->net_devices[i].host_name);
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	host = open_netlink();
	if (own < 0 || netns < 0 || host < 0)
		return err_sys(err, -errno, "linux.netDevices: open the network namespaces");
	if (setns(netns, CLONE_NEWNET) < 0)
		return err_sys(err, -errno, "linux.netDevices: enter the container's network namespace");
	r = move_all(l, host, index, netns, err);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_sys(err, -errno, "linux.netDevices: return to our network namespace");
	return r;
}

int netdev_loopback(struct err *err)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 && errno != EPERM))
		return err_sys(err, -errno, "bring up the loopback link");
	return 0;
}
