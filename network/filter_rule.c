/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter_rule: whether the conditions of a rule of nftables are met by a packet of which a part is known.
 *
 * Theory of operation: a condition is a load into a register (payload, meta, ct), perhaps a mask (bitwise), and a
 * comparison (cmp). The register is kept with a mask of the bits that are known: of a packet from a bridge its link,
 * family, protocol, the source's network, that its connection is new. A comparison for equality holds when all its
 * bits are known and equal, one for difference when a known bit differs; whatever else is asked (sets, limits, where
 * the packet goes) is not known to hold. A set is not read: a rule that names our bridge in one is its owner's
 * decision, which filter.c looks for; so the link is in no other set.
 * Of iptables' matches those are understood that iptables-nft leaves as such: conntrack's state and comments.
 * include/uapi/linux/netfilter/nf_tables.h.
 */
#include "network/filter_rule.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_conntrack.h>
#include <string.h>

#include "base/str.h"

static const uint32_t state_new = NF_CT_STATE_BIT(IP_CT_NEW);

static uint32_t number(const struct rtattr *a)
{
	return a ? ntohl(rtnl_get_u32(a)) : 0;
}

const uint8_t *filter_rule_value(const struct rtattr *nest, size_t *len)
{
	const struct rtattr *tb[NFTA_DATA_MAX + 1];

	if (!nest)
		return NULL;
	rtnl_attrs(RTA_DATA(nest), RTA_PAYLOAD(nest), tb, NFTA_DATA_MAX);
	*len = tb[NFTA_DATA_VALUE] ? RTA_PAYLOAD(tb[NFTA_DATA_VALUE]) : 0;
	return *len ? RTA_DATA(tb[NFTA_DATA_VALUE]) : NULL;
}

static void put(struct filter_register *reg, const void *v, size_t len)
{
	memcpy(reg->v, v, len);
	memset(reg->known, 0xff, len);
}

static void load_payload(const struct filter_packet *p, const struct rtattr **tb, struct filter_register *reg)
{
	const bool six = p->source.family == AF_INET6;
	uint32_t base = number(tb[NFTA_PAYLOAD_BASE]), at = number(tb[NFTA_PAYLOAD_OFFSET]);
	uint32_t len = number(tb[NFTA_PAYLOAD_LEN]);
	uint16_t port = htons(p->port);

	if (base == NFT_PAYLOAD_TRANSPORT_HEADER && at == 2 && len == sizeof(port) && port) {
		put(reg, &port, sizeof(port));
	} else if (base == NFT_PAYLOAD_NETWORK_HEADER && at == (six ? 6 : 9) && len == 1) {
		put(reg, &p->proto, 1);
	} else if (base == NFT_PAYLOAD_NETWORK_HEADER && at == (six ? 8 : 12) && len <= rtnl_addr_len(&p->source)) {
		memcpy(reg->v, p->source.b, len);
		for (uint32_t bit = 0; bit < p->source.prefix && bit < len * 8; bit++)
			reg->known[bit / 8] |= 0x80 >> bit % 8;
	}
}

static void load_meta(const struct filter_packet *p, uint32_t key, struct filter_register *reg)
{
	const uint8_t family = p->source.family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	const uint32_t index = if_nametoindex(p->link);
	char name[IFNAMSIZ] = "";

	switch (key) {
	case NFT_META_IIFNAME:
		memcpy(name, p->link, strnlen(p->link, sizeof(name) - 1));
		put(reg, name, sizeof(name));
		reg->link = true;
		break;
	case NFT_META_IIF:
		put(reg, &index, sizeof(index));
		break;
	case NFT_META_NFPROTO:
		put(reg, &family, 1);
		break;
	case NFT_META_L4PROTO:
		put(reg, &p->proto, 1);
		break;
	default:
		break;
	}
}

static void mask(const struct rtattr **tb, struct filter_register *reg)
{
	size_t len = 0, xor_len = 0;
	const uint8_t *m = filter_rule_value(tb[NFTA_BITWISE_MASK], &len);
	const uint8_t *x = filter_rule_value(tb[NFTA_BITWISE_XOR], &xor_len);

	reg->link = false;
	if (number(tb[NFTA_BITWISE_SREG]) != reg->number || number(tb[NFTA_BITWISE_OP]) || !m || !x || len != xor_len ||
	    len > sizeof(reg->v)) {
		memset(reg->known, 0, sizeof(reg->known));
	} else {
		for (size_t i = 0; i < len; i++) {
			reg->v[i] = (reg->v[i] & m[i]) ^ x[i];
			reg->known[i] |= (uint8_t)~m[i];
		}
	}
	reg->number = number(tb[NFTA_BITWISE_DREG]);
}

static bool compare(const struct rtattr **tb, const struct filter_register *reg)
{
	size_t len = 0;
	const uint8_t *v = filter_rule_value(tb[NFTA_CMP_DATA], &len);
	bool all = true, differs = false;

	if (!v || len > sizeof(reg->v) || number(tb[NFTA_CMP_SREG]) != reg->number)
		return false;
	for (size_t i = 0; i < len; i++) {
		all &= reg->known[i] == 0xff;
		differs |= (reg->v[i] ^ v[i]) & reg->known[i];
	}
	switch (number(tb[NFTA_CMP_OP])) {
	case NFT_CMP_EQ:
		return all && !differs;
	case NFT_CMP_NEQ:
		return differs;
	default:
		return false;
	}
}

static bool match(const struct rtattr **tb)
{
	const char *name = tb[NFTA_MATCH_NAME] ? RTA_DATA(tb[NFTA_MATCH_NAME]) : "";
	struct xt_conntrack_mtinfo3 m;

	if (!strcmp(name, "comment"))
		return true;
	if (strcmp(name, "conntrack") != 0 || number(tb[NFTA_MATCH_REV]) != 3 || !tb[NFTA_MATCH_INFO] ||
	    RTA_PAYLOAD(tb[NFTA_MATCH_INFO]) < sizeof(m))
		return false;
	memcpy(&m, RTA_DATA(tb[NFTA_MATCH_INFO]), sizeof(m));
	return m.match_flags == XT_CONNTRACK_STATE && !(m.state_mask & state_new) == !!m.invert_flags;
}

bool filter_rule_holds(const struct filter_packet *p, const char *name, const struct rtattr *data,
		       struct filter_register *reg)
{
	static const char *const silent[] = {
		"counter", "log", "immediate", "reject", "target", "meta", "payload", "ct"
	};
	const struct rtattr *tb[16]; /* more than any of these has */

	rtnl_attrs(RTA_DATA(data), RTA_PAYLOAD(data), tb, ARRAY_SIZE(tb) - 1);
	if (!strcmp(name, "bitwise")) {
		mask(tb, reg);
	} else if (!strcmp(name, "payload") && tb[NFTA_PAYLOAD_DREG]) {
		*reg = (struct filter_register){ .number = number(tb[NFTA_PAYLOAD_DREG]) };
		load_payload(p, tb, reg);
	} else if (!strcmp(name, "meta") && tb[NFTA_META_DREG]) {
		*reg = (struct filter_register){ .number = number(tb[NFTA_META_DREG]) };
		load_meta(p, number(tb[NFTA_META_KEY]), reg);
	} else if (!strcmp(name, "ct") && tb[NFTA_CT_DREG]) {
		*reg = (struct filter_register){ .number = number(tb[NFTA_CT_DREG]) };
		if (number(tb[NFTA_CT_KEY]) == NFT_CT_STATE)
			put(reg, &state_new, sizeof(state_new));
	} else if (!strcmp(name, "cmp")) {
		return compare(tb, reg);
	} else if (!strcmp(name, "lookup")) {
		return reg->link && number(tb[NFTA_LOOKUP_SREG]) == reg->number && !tb[NFTA_LOOKUP_DREG] &&
			number(tb[NFTA_LOOKUP_FLAGS]) & NFT_LOOKUP_F_INV;
	} else if (!strcmp(name, "match")) {
		return match(tb);
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
			if (!strcmp(name, silent[i]))
				return true;
		return false;
	}
	return true;
}
