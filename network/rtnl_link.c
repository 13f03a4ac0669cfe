/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl_link: looking up, changing and removing links by rtnetlink.
 *
 * Theory of operation: thin builders over struct rtnl_msg. Making links is the business of those who know the kind
 * (network/veth, network/bridge, network/tc for ifb); what all kinds share is here. A link that does not exist is
 * -ENODEV without an error text, because for an undo that is success.
 * rtnetlink(7).
 */
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/rtnl.h"

static void copy_text(char *to, size_t size, const struct rtattr *a)
{
	size_t n = a ? strnlen(RTA_DATA(a), RTA_PAYLOAD(a)) : 0;

	if (n >= size)
		n = size - 1;
	if (n)
		memcpy(to, RTA_DATA(a), n);
	to[n] = '\0';
}

static void parse_link(const struct nlmsghdr *h, struct rtnl_link *l)
{
	const struct ifinfomsg *i = NLMSG_DATA(h);
	const struct rtattr *tb[IFLA_STATS64 + 1], *info[IFLA_INFO_MAX + 1];
	struct rtnl_link_stats64 st;

	*l = (struct rtnl_link){ .index = i->ifi_index, .flags = i->ifi_flags };
	rtnl_attrs(IFLA_RTA(i), IFLA_PAYLOAD(h), tb, IFLA_STATS64);
	copy_text(l->name, sizeof(l->name), tb[IFLA_IFNAME]);
	copy_text(l->alias, sizeof(l->alias), tb[IFLA_IFALIAS]);
	l->mtu = rtnl_get_u32(tb[IFLA_MTU]);
	l->master = (int)rtnl_get_u32(tb[IFLA_MASTER]);
	l->peer = (int)rtnl_get_u32(tb[IFLA_LINK]);
	if (tb[IFLA_ADDRESS] && RTA_PAYLOAD(tb[IFLA_ADDRESS]) == RTNL_MAC_LEN)
		memcpy(l->mac, RTA_DATA(tb[IFLA_ADDRESS]), RTNL_MAC_LEN);
	if (tb[IFLA_LINKINFO]) {
		rtnl_attrs(RTA_DATA(tb[IFLA_LINKINFO]), RTA_PAYLOAD(tb[IFLA_LINKINFO]), info, IFLA_INFO_MAX);
		copy_text(l->kind, sizeof(l->kind), info[IFLA_INFO_KIND]);
	}
	if (tb[IFLA_STATS64]) {
		size_t n = RTA_PAYLOAD(tb[IFLA_STATS64]);

		memset(&st, 0, sizeof(st));
		memcpy(&st, RTA_DATA(tb[IFLA_STATS64]), n < sizeof(st) ? n : sizeof(st));
		l->rx_bytes = st.rx_bytes;
		l->rx_packets = st.rx_packets;
		l->rx_errors = st.rx_errors;
		l->rx_dropped = st.rx_dropped;
		l->tx_bytes = st.tx_bytes;
		l->tx_packets = st.tx_packets;
		l->tx_errors = st.tx_errors;
		l->tx_dropped = st.tx_dropped;
	}
}

struct link_array {
	struct rtnl_link *v;
	size_t n;
};

static int add_link(const struct nlmsghdr *h, void *arg)
{
	struct link_array *a = arg;

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	a->v = xreallocarray(a->v, a->n + 1, sizeof(*a->v));
	parse_link(h, &a->v[a->n++]);
	return 0;
}

static void reset_links(void *arg)
{
	((struct link_array *)arg)->n = 0;
}

int rtnl_link_list(struct rtnl *nl, struct rtnl_link **ret, size_t *ret_n, struct err *err)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	struct rtnl_msg m = { .len = 0 };
	struct link_array a = { 0 };
	int r;

	rtnl_begin(&m, RTM_GETLINK, NLM_F_DUMP, &i, sizeof(i));
	r = rtnl_dump(nl, &m, add_link, reset_links, &a, err);
	if (r < 0) {
		free(a.v);
		return r;
	}
	*ret = a.v;
	*ret_n = a.n;
	return 0;
}

int rtnl_link_get(struct rtnl *nl, const char *name, int index, struct rtnl_link *ret, struct err *err)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC, .ifi_index = name ? 0 : index };
	cleanup_free char *buf = xmalloc(32768);
	struct rtnl_msg m = { .len = 0 };
	int r;

	rtnl_begin(&m, RTM_GETLINK, 0, &i, sizeof(i));
	((struct nlmsghdr *)m.buf)->nlmsg_flags = NLM_F_REQUEST;
	if (name)
		rtnl_put_str(&m, IFLA_IFNAME, name);
	r = rtnl_ask(nl, &m, buf, 32768);
	if (r == -ENODEV)
		return r;
	if (r < 0)
		return err_sys(err, r, "link %s", name ? name : "by index");
	parse_link((const struct nlmsghdr *)buf, ret);
	return 0;
}

int rtnl_link_del(struct rtnl *nl, const char *name, struct err *err)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	struct rtnl_msg m = { .len = 0 };
	char what[64];

	snprintf(what, sizeof(what), "delete link %s", name);
	rtnl_begin(&m, RTM_DELLINK, 0, &i, sizeof(i));
	rtnl_put_str(&m, IFLA_IFNAME, name);
	return rtnl_send(nl, &m, NULL, err, what);
}

void rtnl_link_put(struct rtnl_msg *m, int index, const struct rtnl_change *c)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC, .ifi_index = index };

	if (c->up) {
		i.ifi_change = IFF_UP;
		i.ifi_flags = c->up > 0 ? IFF_UP : 0;
	}
	rtnl_begin(m, RTM_NEWLINK, 0, &i, sizeof(i));
	if (c->rename)
		rtnl_put_str(m, IFLA_IFNAME, c->rename);
	if (c->mac)
		rtnl_put(m, IFLA_ADDRESS, c->mac, RTNL_MAC_LEN);
	if (c->mtu)
		rtnl_put_u32(m, IFLA_MTU, c->mtu);
	if (c->master)
		rtnl_put_u32(m, IFLA_MASTER, c->master > 0 ? (uint32_t)c->master : 0);
	if (c->netns_fd > 0)
		rtnl_put_u32(m, IFLA_NET_NS_FD, (uint32_t)c->netns_fd);
	if (c->alias)
		rtnl_put(m, IFLA_IFALIAS, c->alias, strlen(c->alias));
}

int rtnl_link_change(struct rtnl *nl, int index, const struct rtnl_change *c, struct err *err)
{
	struct rtnl_msg m = { .len = 0 };

	rtnl_link_put(&m, index, c);
	return rtnl_send(nl, &m, NULL, err, "change link");
}

int rtnl_link_by_mac(struct rtnl *nl, const uint8_t mac[RTNL_MAC_LEN], struct err *err)
{
	cleanup_free struct rtnl_link *v = NULL;
	size_t n = 0;
	int r = rtnl_link_list(nl, &v, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (!(v[i].flags & IFF_LOOPBACK) && !memcmp(v[i].mac, mac, RTNL_MAC_LEN))
			return v[i].index;
	return -ENODEV;
}
