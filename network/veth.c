/* SPDX-License-Identifier: Apache-2.0 */
/*
 * veth: a pair between bridge and container.
 *
 * Theory of operation: one RTM_NEWLINK makes both ends with their final names, MAC address and MTU, the host's end
 * up and plugged into the bridge, the other end born in the container's namespace; nothing is renamed or moved, so
 * no other process ever sees a half-made link. The inside is then configured over a socket of that namespace in
 * one batch (rtnl_iface_apply). IPv6 settings are sysctls of the namespace and are written while the thread is in
 * it, before the link comes up: no router advertisement is ever heard.
 */
#include "network/veth.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <sched.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"

int veth_make(struct rtnl *nl, const char *host_name, int master, const char *alias, const char *inside_name,
	      const uint8_t mac[RTNL_MAC_LEN], uint32_t mtu, int netns_fd, struct err *err)
{
	struct ifinfomsg h = { .ifi_family = AF_UNSPEC, .ifi_change = IFF_UP, .ifi_flags = IFF_UP };
	struct ifinfomsg peer = { .ifi_family = AF_UNSPEC };
	struct rtnl_msg m = { .len = 0 };
	size_t info, data, nest;

	rtnl_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &h, sizeof(h));
	rtnl_put_str(&m, IFLA_IFNAME, host_name);
	rtnl_put_u32(&m, IFLA_MTU, mtu);
	if (master)
		rtnl_put_u32(&m, IFLA_MASTER, (uint32_t)master);
	info = rtnl_nest(&m, IFLA_LINKINFO);
	rtnl_put(&m, IFLA_INFO_KIND, "veth", 4);
	data = rtnl_nest(&m, IFLA_INFO_DATA);
	nest = rtnl_nest(&m, VETH_INFO_PEER);
	rtnl_put_raw(&m, &peer, sizeof(peer));
	rtnl_put_str(&m, IFLA_IFNAME, inside_name);
	rtnl_put(&m, IFLA_ADDRESS, mac, RTNL_MAC_LEN);
	rtnl_put_u32(&m, IFLA_MTU, mtu);
	rtnl_put_u32(&m, IFLA_NET_NS_FD, (uint32_t)netns_fd);
	rtnl_nest_end(&m, nest);
	rtnl_nest_end(&m, data);
	rtnl_nest_end(&m, info);
	h.ifi_change = h.ifi_flags = 0;
	rtnl_begin(&m, RTM_NEWLINK, 0, &h, sizeof(h));
	rtnl_put_str(&m, IFLA_IFNAME, host_name);
	rtnl_put(&m, IFLA_IFALIAS, alias, strlen(alias));
	return rtnl_send(nl, &m, NULL, err, "make veth pair");
}

static void sysctl6(const char *name, const char *what, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", name, what);
	(void)fd_write_file_at(AT_FDCWD, path, value);
}

/* Sysctls are those of the namespace the writer is in. A failure means that there is no IPv6. */
static int set_sysctls(int netns_fd, const struct rtnl_iface *i, struct err *err)
{
	cleanup_fd int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (home < 0)
		return err_sys(err, -errno, "open own network namespace");
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_sys(err, -errno, "enter network namespace");
	if (i->no_ipv6) {
		sysctl6(i->name, "disable_ipv6", "1");
	} else {
		sysctl6(i->name, "disable_ipv6", "0");
		sysctl6(i->name, "accept_ra", "0");
		sysctl6(i->name, "accept_dad", "0");
	}
	if (setns(home, CLONE_NEWNET) < 0)
		return err_sys(err, -errno, "return to own network namespace");
	return 0;
}

int veth_configure(struct rtnl *nl, int netns_fd, const struct rtnl_iface *i, struct err *err)
{
	struct rtnl_link l;
	int r = set_sysctls(netns_fd, i, err);

	if (r >= 0)
		r = rtnl_link_get(nl, i->name, 0, &l, err);
	if (r == -ENODEV)
		return err_set(err, r, "interface %s disappeared", i->name);
	return r < 0 ? r : rtnl_iface_apply(nl, l.index, i, err);
}
