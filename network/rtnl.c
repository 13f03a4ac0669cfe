/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl: a small rtnetlink client.
 *
 * Theory of operation: one socket, requests built into a fixed buffer and sent as one datagram; the kernel works
 * them off in order and acknowledges each, so that a whole interface (name, MTU, addresses, routes) costs one
 * sendmsg and one or two recvmsg. The extended acknowledgement's text, where the kernel gives one, becomes the
 * error. A socket belongs to the namespace it was made in: rtnl_open() enters a namespace just for socket(2), and
 * the rest of the work needs no setns. Everything here (and in rtnl_link.c and
 * rtnl_iface.c, which share this header) uses base alone, because the guest's PID 1 links these objects.
 * Left out: notifications, tc (network/tc), VLANs of bridge ports (network/vlan).
 * rtnetlink(7), RFC 3549.
 */
#include "network/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

/* ---- values --------------------------------------------------------------------------------------------- */

int rtnl_addr_parse(const char *text, bool want_prefix, struct rtnl_addr *ret)
{
	struct rtnl_addr a = { 0 };
	char buf[RTNL_ADDR_TEXT];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	uint32_t prefix;

	if (!n || n >= sizeof(buf) || (want_prefix && !slash))
		return -EINVAL;
	memcpy(buf, text, n);
	buf[n] = '\0';
	a.family = strchr(buf, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, buf, a.b) != 1)
		return -EINVAL;
	a.prefix = a.family == AF_INET ? 32 : 128;
	if (slash) {
		if (parse_u32(slash + 1, &prefix) < 0 || prefix > a.prefix)
			return -EINVAL;
		a.prefix = (uint8_t)prefix;
	}
	*ret = a;
	return 0;
}

const char *rtnl_addr_text(const struct rtnl_addr *a, bool with_prefix, char buf[RTNL_ADDR_TEXT])
{
	size_t n;

	if (!a->family || !inet_ntop(a->family, a->b, buf, RTNL_ADDR_TEXT)) {
		buf[0] = '\0';
		return buf;
	}
	n = strlen(buf);
	if (with_prefix)
		snprintf(buf + n, RTNL_ADDR_TEXT - n, "/%u", a->prefix);
	return buf;
}

bool rtnl_addr_equal(const struct rtnl_addr *a, const struct rtnl_addr *b)
{
	return a->family == b->family && (!a->family || !memcmp(a->b, b->b, rtnl_addr_len(a)));
}

bool rtnl_addr_in(const struct rtnl_addr *a, const struct rtnl_addr *net)
{
	struct rtnl_addr x = *a, y = *net;

	if (a->family != net->family || !a->family)
		return false;
	x.prefix = net->prefix;
	rtnl_addr_mask(&x);
	rtnl_addr_mask(&y);
	return rtnl_addr_equal(&x, &y);
}

void rtnl_addr_mask(struct rtnl_addr *a)
{
	for (size_t i = 0; i < rtnl_addr_len(a); i++) {
		int bits = (int)a->prefix - (int)(8 * i);

		if (bits <= 0)
			a->b[i] = 0;
		else if (bits < 8)
			a->b[i] &= (uint8_t)(0xff << (8 - bits));
	}
}

int rtnl_mac_parse(const char *text, uint8_t ret[RTNL_MAC_LEN])
{
	uint8_t mac[RTNL_MAC_LEN], any = 0;

	if (strlen(text) != RTNL_MAC_TEXT - 1)
		return -EINVAL;
	for (size_t i = 0; i < RTNL_MAC_LEN; i++) {
		const char *p = text + 3 * i;
		unsigned int v = 0;

		for (int k = 0; k < 2; k++) {
			char c = p[k];

			if (c >= '0' && c <= '9')
				v = v * 16 + (unsigned int)(c - '0');
			else if ((c | 32) >= 'a' && (c | 32) <= 'f')
				v = v * 16 + (unsigned int)((c | 32) - 'a') + 10;
			else
				return -EINVAL;
		}
		if (i < RTNL_MAC_LEN - 1 && p[2] != ':')
			return -EINVAL;
		mac[i] = (uint8_t)v;
		any |= mac[i];
	}
	if (!any || (mac[0] & 1))
		return -EINVAL;
	memcpy(ret, mac, RTNL_MAC_LEN);
	return 0;
}

const char *rtnl_mac_text(const uint8_t mac[RTNL_MAC_LEN], char buf[RTNL_MAC_TEXT])
{
	snprintf(buf, RTNL_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return buf;
}

/* ---- socket and messages -------------------------------------------------------------------------------- */

static int open_socket(void)
{
	static const int one = 1;
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	int size = 1 << 20;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	/* Extended texts and strict dumps: older kernels know neither and do without. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

int rtnl_open(struct rtnl *nl, int netns_fd, struct err *err)
{
	cleanup_fd int home = -1;

	*nl = (struct rtnl)RTNL_INIT;
	if (netns_fd >= 0) {
		home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		if (home < 0)
			return err_sys(err, -errno, "open own network namespace");
		if (setns(netns_fd, CLONE_NEWNET) < 0)
			return err_sys(err, -errno, "enter network namespace");
	}
	nl->fd = open_socket();
	if (netns_fd >= 0 && setns(home, CLONE_NEWNET) < 0) {
		/* Going on would work on somebody else's links. */
		int r = err_sys(err, -errno, "return to own network namespace");

		rtnl_close(nl);
		return r;
	}
	if (nl->fd < 0)
		return err_sys(err, nl->fd, "netlink socket");
	return 0;
}

void rtnl_close(struct rtnl *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}

void rtnl_begin(struct rtnl_msg *m, uint16_t type, uint16_t flags, const void *head, size_t len)
{
	size_t need = NLMSG_HDRLEN + NLMSG_ALIGN(len);
	struct nlmsghdr *h = (struct nlmsghdr *)(m->buf + m->len);

	if (m->len + need > sizeof(m->buf)) {
		m->overflow = true;
		return;
	}
	memset(h, 0, need);
	h->nlmsg_len = (uint32_t)need;
	h->nlmsg_type = type;
	h->nlmsg_flags = flags | NLM_F_REQUEST | ((flags & NLM_F_DUMP) == NLM_F_DUMP ? 0 : NLM_F_ACK);
	memcpy(h + 1, head, len);
	m->first = m->len;
	m->len += need;
	m->n++;
}

void rtnl_put_raw(struct rtnl_msg *m, const void *data, size_t len)
{
	struct nlmsghdr *h = (struct nlmsghdr *)(m->buf + m->first);

	if (m->overflow || m->len + NLMSG_ALIGN(len) > sizeof(m->buf)) {
		m->overflow = true;
		return;
	}
	memset(m->buf + m->len, 0, NLMSG_ALIGN(len));
	memcpy(m->buf + m->len, data, len);
	m->len += NLMSG_ALIGN(len);
	h->nlmsg_len = (uint32_t)(m->len - m->first);
}

void rtnl_put(struct rtnl_msg *m, uint16_t attr, const void *data, size_t len)
{
	struct rtattr a = { .rta_type = attr, .rta_len = (unsigned short)RTA_LENGTH(len) };

	if (len > 4096) {
		m->overflow = true;
		return;
	}
	rtnl_put_raw(m, &a, sizeof(a));
	if (len)
		rtnl_put_raw(m, data, len);
}

void rtnl_put_str(struct rtnl_msg *m, uint16_t attr, const char *s)
{
	rtnl_put(m, attr, s, strlen(s) + 1);
}

void rtnl_put_u8(struct rtnl_msg *m, uint16_t attr, uint8_t v)
{
	rtnl_put(m, attr, &v, sizeof(v));
}

void rtnl_put_u16(struct rtnl_msg *m, uint16_t attr, uint16_t v)
{
	rtnl_put(m, attr, &v, sizeof(v));
}

void rtnl_put_u32(struct rtnl_msg *m, uint16_t attr, uint32_t v)
{
	rtnl_put(m, attr, &v, sizeof(v));
}

void rtnl_put_addr(struct rtnl_msg *m, uint16_t attr, const struct rtnl_addr *a)
{
	rtnl_put(m, attr, a->b, rtnl_addr_len(a));
}

size_t rtnl_nest(struct rtnl_msg *m, uint16_t attr)
{
	size_t at = m->len;

	rtnl_put(m, attr, NULL, 0);
	return at;
}

void rtnl_nest_end(struct rtnl_msg *m, size_t nest)
{
	if (!m->overflow)
		((struct rtattr *)(m->buf + nest))->rta_len = (unsigned short)(m->len - nest);
}

void rtnl_attrs(const struct rtattr *rta, size_t len, const struct rtattr **tb, unsigned int max)
{
	memset(tb, 0, (max + 1) * sizeof(*tb));
	while (len >= sizeof(*rta) && rta->rta_len >= sizeof(*rta) && rta->rta_len <= len) {
		unsigned int type = rta->rta_type & NLA_TYPE_MASK;
		size_t step = RTA_ALIGN(rta->rta_len);

		if (type <= max)
			tb[type] = rta;
		if (step >= len)
			break;
		len -= step;
		rta = (const struct rtattr *)((const char *)rta + step);
	}
}

uint32_t rtnl_get_u32(const struct rtattr *a)
{
	uint32_t v = 0;

	if (a && RTA_PAYLOAD(a) >= sizeof(v))
		memcpy(&v, RTA_DATA(a), sizeof(v));
	return v;
}

/* The kernel's words of a failed request. */
static int ack_error(const struct nlmsghdr *h, struct err *err, const char *what)
{
	const struct nlmsgerr *e = NLMSG_DATA(h);
	const struct rtattr *tb[NLMSGERR_ATTR_MAX + 1];
	size_t off = sizeof(*e);

	if (h->nlmsg_flags & NLM_F_ACK_TLVS) {
		if (!(h->nlmsg_flags & NLM_F_CAPPED))
			off += NLMSG_ALIGN(e->msg.nlmsg_len) - sizeof(e->msg);
		if (off < h->nlmsg_len - NLMSG_HDRLEN) {
			rtnl_attrs((const struct rtattr *)((const char *)e + off), h->nlmsg_len - NLMSG_HDRLEN - off,
				   tb, NLMSGERR_ATTR_MAX);
			if (tb[NLMSGERR_ATTR_MSG])
				return err_sys(err, e->error, "%s: %.*s", what,
					       (int)strnlen(RTA_DATA(tb[NLMSGERR_ATTR_MSG]),
							    RTA_PAYLOAD(tb[NLMSGERR_ATTR_MSG])),
					       (const char *)RTA_DATA(tb[NLMSGERR_ATTR_MSG]));
		}
	}
	return err_sys(err, e->error, "%s", what);
}

static ssize_t receive(struct rtnl *nl, void *buf, size_t len)
{
	struct sockaddr_nl from = { 0 };
	socklen_t n = sizeof(from);
	ssize_t r;

	do {
		r = recvfrom(nl->fd, buf, len, MSG_TRUNC, (struct sockaddr *)&from, &n);
	} while ((r < 0 && errno == EINTR) || (r >= 0 && from.nl_pid != 0));
	if (r < 0)
		return -errno;
	return r > (ssize_t)len ? -EMSGSIZE : r;
}

static int transmit(struct rtnl *nl, struct rtnl_msg *m)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	uint32_t seq = nl->seq;

	if (m->overflow)
		return -EMSGSIZE;
	for (size_t off = 0; off < m->len;) {
		struct nlmsghdr *h = (struct nlmsghdr *)(m->buf + off);

		h->nlmsg_seq = seq++;
		off += NLMSG_ALIGN(h->nlmsg_len);
	}
	while (sendto(nl->fd, m->buf, m->len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		if (errno != EINTR)
			return -errno;
	nl->seq = seq;
	return 0;
}

int rtnl_send(struct rtnl *nl, struct rtnl_msg *m, int *ret_failed, struct err *err, const char *what)
{
	uint32_t base = nl->seq;
	unsigned int left = m->n;
	char buf[16384];
	int result = 0, r;

	if (ret_failed)
		*ret_failed = -1;
	if (!m->n)
		return m->overflow ? err_sys(err, -EMSGSIZE, "%s", what) : 0;
	r = transmit(nl, m);
	if (r < 0)
		return err_sys(err, r, "%s: send to the kernel", what);
	while (left) {
		ssize_t n = receive(nl, buf, sizeof(buf));
		size_t len;

		if (n < 0)
			return err_sys(err, (int)n, "%s: receive from the kernel", what);
		len = (size_t)n;
		for (const struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - base >= m->n)
				continue;
			left--;
			if (!e->error || result)
				continue;
			result = ack_error(h, err, what);
			if (ret_failed)
				*ret_failed = (int)(h->nlmsg_seq - base);
		}
	}
	m->len = m->n = m->first = 0;
	return result;
}

int rtnl_ask(struct rtnl *nl, struct rtnl_msg *m, void *buf, size_t len)
{
	const struct nlmsghdr *h = buf;
	uint32_t seq = nl->seq;
	int r = transmit(nl, m);

	if (r < 0)
		return r;
	for (;;) {
		ssize_t n = receive(nl, buf, len);

		if (n < 0)
			return (int)n;
		if ((size_t)n < sizeof(*h) || h->nlmsg_len > (size_t)n || h->nlmsg_seq != seq)
			continue;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
		return (int)n;
	}
}

int rtnl_dump(struct rtnl *nl, struct rtnl_msg *m, rtnl_fn *fn, void (*reset)(void *arg), void *arg, struct err *err)
{
	cleanup_free char *buf = xmalloc(65536);

	for (int attempt = 0; attempt < 50; attempt++) {
		bool done = false, again = false;
		uint32_t seq = nl->seq;
		int r = transmit(nl, m), result = 0;

		if (r < 0)
			return err_sys(err, r, "netlink dump");
		if (reset)
			reset(arg);
		while (!done) {
			ssize_t n = receive(nl, buf, 65536);
			size_t len;

			if (n < 0)
				return err_sys(err, (int)n, "netlink dump");
			len = (size_t)n;
			for (const struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
				if (h->nlmsg_seq != seq)
					continue;
				again |= !!(h->nlmsg_flags & NLM_F_DUMP_INTR);
				if (h->nlmsg_type == NLMSG_ERROR)
					return ack_error(h, err, "netlink dump");
				if (h->nlmsg_type == NLMSG_DONE)
					done = true;
				else if (!result)
					result = fn(h, arg);
			}
		}
		if (!again || result < 0)
			return result;
	}
	return err_set(err, -EBUSY, "netlink dump: the kernel's tables change too fast");
}

int rtnl_loopback_up(struct rtnl *nl, struct err *err)
{
	struct ifinfomsg i = { .ifi_index = 1, .ifi_change = IFF_UP, .ifi_flags = IFF_UP };
	struct rtnl_msg m = { .len = 0 };

	rtnl_begin(&m, RTM_NEWLINK, 0, &i, sizeof(i));
	return rtnl_send(nl, &m, NULL, err, "bring up loopback");
}
