/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tc: queueing and redirection by rtnetlink.
 *
 * Theory of operation: a redirect is an ingress qdisc with one u32 filter that matches everything and one mirred
 * action; u32 rather than matchall, because every kernel with traffic control has it. Joining a link and a tap this
 * way puts a machine where a container's interface was: the link keeps its place in whatever its maker built, and
 * frames go straight to the tap. Limits are token buckets (tbf): for what goes to the container on the host link,
 * for what comes from it on an ifb link the ingress is redirected to, since a container may change its own end.
 * tc-u32(8), tc-mirred(8), tc-tbf(8).
 */
#include "network/tc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"

/* Kernel's ingress hook: handle ffff:0, attached to TC_H_INGRESS. */
#define INGRESS_HANDLE 0xffff0000U

static void put_ingress(struct rtnl_msg *m, int index, uint16_t type, uint16_t flags)
{
	struct tcmsg t = {
		.tcm_family = AF_UNSPEC, .tcm_ifindex = index, .tcm_handle = INGRESS_HANDLE, .tcm_parent = TC_H_INGRESS
	};

	rtnl_begin(m, type, flags, &t, sizeof(t));
	rtnl_put_str(m, TCA_KIND, "ingress");
}

static void put_redirect(struct rtnl_msg *m, int index, int to)
{
	struct tcmsg t = { .tcm_family = AF_UNSPEC,
			   .tcm_ifindex = index,
			   .tcm_parent = INGRESS_HANDLE,
			   .tcm_info = TC_H_MAKE(1U << 16, htons(ETH_P_ALL)) };
	struct {
		struct tc_u32_sel sel;
		struct tc_u32_key key;
	} match = { .sel = { .flags = TC_U32_TERMINAL, .nkeys = 1 } };
	struct tc_mirred mirred = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)to };
	size_t options, acts, act, data;

	rtnl_begin(m, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &t, sizeof(t));
	rtnl_put_str(m, TCA_KIND, "u32");
	options = rtnl_nest(m, TCA_OPTIONS);
	acts = rtnl_nest(m, TCA_U32_ACT);
	act = rtnl_nest(m, 1);
	rtnl_put_str(m, TCA_ACT_KIND, "mirred");
	data = rtnl_nest(m, TCA_ACT_OPTIONS);
	rtnl_put(m, TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
	rtnl_nest_end(m, data);
	rtnl_nest_end(m, act);
	rtnl_nest_end(m, acts);
	rtnl_put(m, TCA_U32_SEL, &match, sizeof(match));
	rtnl_nest_end(m, options);
}

int tc_unjoin(struct rtnl *nl, int index, struct err *err)
{
	struct rtnl_msg m = { .len = 0 };
	int r;

	put_ingress(&m, index, RTM_DELQDISC, 0);
	r = rtnl_send(nl, &m, NULL, err, "remove redirect");
	return r == -ENOENT || r == -EINVAL || r == -ENODEV ? 0 : r;
}

static int redirect(struct rtnl *nl, int from, int to, struct err *err)
{
	struct rtnl_msg m = { .len = 0 };

	put_ingress(&m, from, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
	put_redirect(&m, from, to);
	return rtnl_send(nl, &m, NULL, err, "redirect a link by tc (ingress, u32, mirred)");
}

int tc_join(struct rtnl *nl, int a, int b, struct err *err)
{
	int r = tc_unjoin(nl, a, err);

	if (r >= 0)
		r = tc_unjoin(nl, b, err);
	if (r >= 0)
		r = redirect(nl, a, b, err);
	if (r >= 0)
		r = redirect(nl, b, a, err);
	return r;
}

/* Time in the scheduler's ticks, as tbf wants its bucket: bytes at rate, scaled by the clock's resolution. */
static uint32_t ticks(uint64_t bytes, uint64_t bytes_per_s)
{
	cleanup_free char *text = NULL;
	unsigned int t2us = 1000, us2t = 64, resolution = 1000000;
	size_t n;
	double per_us;

	if (!fd_slurp_at(AT_FDCWD, "/proc/net/psched", 128, &text, &n))
		(void)sscanf(text, "%x %x %x", &t2us, &us2t, &resolution);
	if (!us2t || !resolution)
		return UINT32_MAX;
	per_us = (double)t2us / us2t * ((double)resolution / 1000000.0);
	per_us *= (double)bytes * 1000000.0 / (double)bytes_per_s;
	return per_us > (double)UINT32_MAX ? UINT32_MAX : (uint32_t)per_us;
}

/* Cells of 2^log bytes: how long a packet of each size takes. The kernel computes with the rate, but wants the table. */
static void fill_table(struct tc_ratespec *rate, uint64_t bytes_per_s, uint32_t mtu, uint32_t table[256])
{
	rate->cell_log = 0;
	while ((mtu >> rate->cell_log) > 255)
		rate->cell_log++;
	rate->cell_align = -1;
	rate->linklayer = TC_LINKLAYER_ETHERNET;
	for (unsigned int i = 0; i < 256; i++)
		table[i] = ticks((uint64_t)(i + 1) << rate->cell_log, bytes_per_s);
}

static int shape(struct rtnl *nl, int index, uint32_t mtu, const struct tc_limit *l, struct err *err)
{
	struct tcmsg t = {
		.tcm_family = AF_UNSPEC, .tcm_ifindex = index, .tcm_handle = 0x10000, .tcm_parent = TC_H_ROOT
	};
	uint64_t rate = l->rate / 8, burst = l->burst / 8;
	struct tc_tbf_qopt q = { 0 };
	struct rtnl_msg m = { .len = 0 };
	uint32_t table[256];
	size_t options;

	if (!rate)
		rate = 1;
	if (!burst)
		burst = rate / 20 > 65536 ? rate / 20 : 65536;
	if (burst < mtu + 18)
		burst = mtu + 18;
	if (burst > UINT32_MAX / 2)
		burst = UINT32_MAX / 2;
	q.rate.rate = rate >= UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
	/* 25 ms of queue, as the CNI plugin; never less than a few packets. */
	q.limit = (uint32_t)(rate / 40 + burst > UINT32_MAX ? UINT32_MAX : rate / 40 + burst);
	q.buffer = ticks(burst, rate);
	fill_table(&q.rate, rate, 65536, table);
	rtnl_begin(&m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &t, sizeof(t));
	rtnl_put_str(&m, TCA_KIND, "tbf");
	options = rtnl_nest(&m, TCA_OPTIONS);
	rtnl_put(&m, TCA_TBF_PARMS, &q, sizeof(q));
	rtnl_put_u32(&m, TCA_TBF_BURST, (uint32_t)burst);
	rtnl_put(&m, TCA_TBF_RTAB, table, sizeof(table));
	if (rate >= UINT32_MAX)
		rtnl_put(&m, TCA_TBF_RATE64, &rate, sizeof(rate));
	rtnl_nest_end(&m, options);
	return rtnl_send(nl, &m, NULL, err, "limit rate by tc (tbf)");
}

static int make_ifb(struct rtnl *nl, const char *name, uint32_t mtu, struct err *err)
{
	struct ifinfomsg h = { .ifi_family = AF_UNSPEC, .ifi_change = IFF_UP, .ifi_flags = IFF_UP };
	struct rtnl_msg m = { .len = 0 };
	size_t info;

	rtnl_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &h, sizeof(h));
	rtnl_put_str(&m, IFLA_IFNAME, name);
	rtnl_put_u32(&m, IFLA_MTU, mtu);
	info = rtnl_nest(&m, IFLA_LINKINFO);
	rtnl_put(&m, IFLA_INFO_KIND, "ifb", 3);
	rtnl_nest_end(&m, info);
	return rtnl_send(nl, &m, NULL, err, "make ifb link");
}

int tc_limit(struct rtnl *nl, int index, uint32_t mtu, const struct tc_limit *in, const struct tc_limit *out,
	     const char *ifb, struct err *err)
{
	struct rtnl_link l;
	int r = 0;

	if (in->rate)
		r = shape(nl, index, mtu, in, err);
	if (r < 0 || !out->rate)
		return r;
	r = make_ifb(nl, ifb, mtu, err);
	if (r >= 0)
		r = rtnl_link_get(nl, ifb, 0, &l, err);
	if (r >= 0)
		r = shape(nl, l.index, mtu, out, err);
	if (r >= 0)
		r = redirect(nl, index, l.index, err);
	return r;
}
