/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conntrack: tracked flows of published ports.
 *
 * Theory of operation: the kernel looks up a nat map for the first packet of a flow only. A TCP flow begins with a
 * handshake; a UDP flow is as long as somebody sends within the time-out, so a client that keeps sending would reach
 * the endpoint that had the port yesterday, or nobody, when it began before the port was published. Whoever changes
 * the maps therefore lets the kernel forget what it tracks: all flows are listed, those of the lease's ports
 * are deleted by their original tuple.
 * include/uapi/linux/netfilter/nfnetlink_conntrack.h.
 */
#include "network/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"

#define TUPLE_MAX 256

struct tuple {
	struct rtnl_addr src, dst;
	uint8_t proto;
	uint16_t dport;
};

struct doomed {
	uint8_t family;
	uint16_t len;
	char tuple[TUPLE_MAX]; /* content of CTA_TUPLE_ORIG as the kernel gave it */
};

struct forget {
	const struct network_lease *lease;
	struct doomed *v; /* owned */
	size_t n;
};

static void read_address(const struct rtattr *v4, const struct rtattr *v6, struct rtnl_addr *ret)
{
	if (v4 && RTA_PAYLOAD(v4) == 4) {
		*ret = (struct rtnl_addr){ .family = AF_INET, .prefix = 32 };
		memcpy(ret->b, RTA_DATA(v4), 4);
	} else if (v6 && RTA_PAYLOAD(v6) == 16) {
		*ret = (struct rtnl_addr){ .family = AF_INET6, .prefix = 128 };
		memcpy(ret->b, RTA_DATA(v6), 16);
	}
}

static bool read_tuple(const struct rtattr *a, struct tuple *ret)
{
	const struct rtattr *tb[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1];

	*ret = (struct tuple){ .proto = 0 };
	if (!a)
		return false;
	rtnl_attrs(RTA_DATA(a), RTA_PAYLOAD(a), tb, CTA_TUPLE_MAX);
	if (!tb[CTA_TUPLE_IP] || !tb[CTA_TUPLE_PROTO])
		return false;
	rtnl_attrs(RTA_DATA(tb[CTA_TUPLE_IP]), RTA_PAYLOAD(tb[CTA_TUPLE_IP]), ip, CTA_IP_MAX);
	rtnl_attrs(RTA_DATA(tb[CTA_TUPLE_PROTO]), RTA_PAYLOAD(tb[CTA_TUPLE_PROTO]), proto, CTA_PROTO_MAX);
	read_address(ip[CTA_IP_V4_SRC], ip[CTA_IP_V6_SRC], &ret->src);
	read_address(ip[CTA_IP_V4_DST], ip[CTA_IP_V6_DST], &ret->dst);
	if (!proto[CTA_PROTO_NUM] || RTA_PAYLOAD(proto[CTA_PROTO_NUM]) < 1 || !proto[CTA_PROTO_DST_PORT] ||
	    RTA_PAYLOAD(proto[CTA_PROTO_DST_PORT]) < 2)
		return false;
	ret->proto = *(const uint8_t *)RTA_DATA(proto[CTA_PROTO_NUM]);
	memcpy(&ret->dport, RTA_DATA(proto[CTA_PROTO_DST_PORT]), sizeof(ret->dport));
	ret->dport = ntohs(ret->dport);
	return ret->src.family && ret->dst.family;
}

static bool is_published(const struct network_lease *l, const struct tuple *t)
{
	for (size_t i = 0; i < l->n_ports; i++) {
		const struct network_port *p = &l->ports[i];
		uint8_t proto = p->proto == NETWORK_UDP ? IPPROTO_UDP : IPPROTO_SCTP;

		if (p->proto == NETWORK_TCP || t->proto != proto || t->dport < p->port || t->dport >= p->port + p->n)
			continue;
		if (!p->host.family || rtnl_addr_equal(&p->host, &t->dst))
			return true;
	}
	return false;
}

static bool is_ours(const struct network_lease *l, const struct rtnl_addr *a)
{
	for (size_t i = 0; i < l->n_ifaces; i++)
		for (size_t k = 0; k < l->ifaces[i].set.n_addrs; k++)
			if (rtnl_addr_equal(a, &l->ifaces[i].set.addrs[k]))
				return true;
	return false;
}

static int on_flow(const struct nlmsghdr *h, void *arg)
{
	struct forget *f = arg;
	const size_t head = NLMSG_LENGTH(sizeof(struct nfgenmsg));
	const struct nfgenmsg *g = NLMSG_DATA(h);
	const struct rtattr *tb[CTA_MAX + 1];
	struct tuple orig, reply;
	struct doomed *d;

	if (h->nlmsg_len < head)
		return 0;
	rtnl_attrs((const struct rtattr *)((const char *)h + head), h->nlmsg_len - head, tb, CTA_MAX);
	if (!read_tuple(tb[CTA_TUPLE_ORIG], &orig) || !read_tuple(tb[CTA_TUPLE_REPLY], &reply) ||
	    !is_published(f->lease, &orig) || RTA_PAYLOAD(tb[CTA_TUPLE_ORIG]) > TUPLE_MAX)
		return 0;
	/* translated to somebody else: not ours */
	if (!rtnl_addr_equal(&reply.src, &orig.dst) && !is_ours(f->lease, &reply.src))
		return 0;
	f->v = xreallocarray(f->v, f->n + 1, sizeof(*f->v));
	d = &f->v[f->n++];
	d->family = g->nfgen_family;
	d->len = (uint16_t)RTA_PAYLOAD(tb[CTA_TUPLE_ORIG]);
	memcpy(d->tuple, RTA_DATA(tb[CTA_TUPLE_ORIG]), d->len);
	return 0;
}

static void start_over(void *arg)
{
	((struct forget *)arg)->n = 0;
}

static int collect(struct rtnl *nl, uint8_t family, struct forget *f, struct err *err)
{
	struct nfgenmsg g = { .nfgen_family = family, .version = NFNETLINK_V0 };
	struct rtnl_msg m = { .len = 0 };

	rtnl_begin(&m, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET, NLM_F_DUMP, &g, sizeof(g));
	return rtnl_dump(nl, &m, on_flow, start_over, f, err);
}

static void delete_one(struct rtnl *nl, const struct doomed *d)
{
	struct nfgenmsg g = { .nfgen_family = d->family, .version = NFNETLINK_V0 };
	struct rtnl_msg m = { .len = 0 };

	rtnl_begin(&m, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, 0, &g, sizeof(g));
	rtnl_put(&m, CTA_TUPLE_ORIG | NLA_F_NESTED, d->tuple, d->len);
	/* -ENOENT: it ended meanwhile */
	(void)rtnl_send(nl, &m, NULL, NULL, "forget a flow");
}

void conntrack_forget(const struct network_lease *l)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct err e = { 0 };
	bool any = false;

	for (size_t i = 0; i < l->n_ports; i++)
		any |= l->ports[i].proto != NETWORK_TCP;
	if (!any)
		return;
	nl.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (nl.fd < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct forget f = { .lease = l };

		if (collect(&nl, families[i], &f, &e) < 0)
			log_debug("network: tracked flows: %s", e.msg);
		for (size_t k = 0; k < f.n; k++)
			delete_one(&nl, &f.v[k]);
		free(f.v);
	}
}
