/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter: packet filters of others that drop what a network of ours forwards.
 *
 * Theory of operation: a packet passes only when no base chain of its hook drops it; our own accept ends our own chains
 * alone (nat.c). docker sets the policy of iptables' FORWARD to drop, firewalld's chains end in reject, ufw drops by
 * policy: containers then reach nothing outside, and nobody says why. Other people's tables are theirs, so all that is
 * done is looking and saying which chain it is and how its owner lets our bridge pass.
 * A chain counts as dropping when its rules, read in order, come to a drop or reject for the first packet of a
 * connection from the bridge (TCP to the outside, or a question to the host), or to nothing and its policy is drop.
 * Rules count whose conditions this packet is known to meet (filter_rule.c): where one depends on anything else, it
 * may be about others. Their jumps and gotos are followed, as deep as the kernel does (16). And when no rule of its table names
 * the bridge, one of the network's subnets or, for questions to the host, port 53, directly or in a set: who names them
 * has decided about them. That is a likeness of the truth (sets are not evaluated), so it warns and never refuses; the
 * resolver alone is not started behind such a chain, because hosts files serve better than a server that nobody
 * reaches.
 * The questions are netlink dumps: chains (few), rules of the base chains and where they lead, and only of a dropping
 * one's table all rules.
 * iptables of nftables (iptables-nft) is such a table too; the old one is filter_legacy.c's.
 * include/uapi/linux/netfilter/nf_tables.h.
 */
#include "network/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "network/filter_legacy.h"
#include "network/filter_rule.h"

#define NAME_MAX_ 64
#define CHAINS_MAX 64
#define DEPTH_MAX 16  /* the kernel's NFT_JUMP_STACK_SIZE */
#define VISITS_MAX 64 /* chains that are read for one base chain */

struct chain {
	uint8_t family; /* NFPROTO_* */
	char table[NAME_MAX_], name[NAME_MAX_];
	bool policy;         /* drop */
	char via[NAME_MAX_]; /* the chain whose rule drops; "": none, the policy does */
};

/* A rule that decides something and whose conditions are met. */
struct step {
	int32_t verdict; /* NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_GOTO, NFT_RETURN */
	char to[NAME_MAX_];
};

struct steps {
	struct step *v;
	size_t n;
};

static void steps_clear(struct steps *s)
{
	free(s->v);
	*s = (struct steps){ 0 };
}

struct look {
	const struct network *net;
	enum filter_way way;
	struct rtnl nl;
	struct chain chains[CHAINS_MAX]; /* base chains of the hook, not ours */
	size_t n_chains;
	char **marks; /* "FAMILY TABLE CHAIN" of chains that tell whose a table is */
	struct filter_packet packet;
	/* of the rules being read */
	bool named; /* one names the bridge, a subnet, or the port */
	struct steps steps;
	char **sets;
	unsigned int visits;
};

/* Chains by which firewalls are known, and what their owners do to let a bridge (@) pass. */
enum owner { FIREWALLD, UFW, DOCKER, IPTABLES, OWNER_MAX };
static const struct {
	const char *chain; /* NULL: none of its own */
	const char *remedy[FILTER_WAY_MAX];
} owners[] = {
	[FIREWALLD] = { "filter_FORWARD_ZONES",
			{ "firewall-cmd --permanent --zone=trusted --add-interface=@ && firewall-cmd --reload",
			  "firewall-cmd --permanent --zone=trusted --add-interface=@ && firewall-cmd --reload" } },
	[UFW] = { "ufw-before-forward",
		  { "ufw route allow in on @ && ufw route allow out on @", "ufw allow in on @ to any port 53" } },
	[DOCKER] = { "DOCKER-USER",
		     { "iptables -I DOCKER-USER -i @ -j ACCEPT && iptables -I DOCKER-USER -o @ -j ACCEPT",
		       "iptables -I INPUT -i @ -p udp --dport 53 -j ACCEPT" } },
	[IPTABLES] = { NULL,
		       { "iptables -I FORWARD -i @ -j ACCEPT && iptables -I FORWARD -o @ -j ACCEPT",
			 "iptables -I INPUT -i @ -p udp --dport 53 -j ACCEPT" } },
};
_Static_assert(ARRAY_SIZE(owners) == OWNER_MAX, "a remedy for each");

/* ---- reading rules -------------------------------------------------------------------------------------- */

/* A link's name as cmp has it: padded or ended with NUL, or the beginning of names without one ("amphi*"). */
static bool is_link(const struct network *n, const uint8_t *v, size_t len)
{
	size_t text = strnlen((const char *)v, len), own = strlen(n->bridge);

	if (text < len || len == IFNAMSIZ)
		return text == own && !memcmp(v, n->bridge, own);
	return text >= 3 && text <= own && !memcmp(v, n->bridge, text);
}

/* An address: a subnet's, or its first bytes (prefixes of whole bytes are compared so). */
static bool is_subnet(const struct network *n, const uint8_t *v, size_t len)
{
	for (unsigned int i = 0; i < n->n_subnets; i++)
		if (len <= rtnl_addr_len(&n->subnets[i].net) && !memcmp(v, n->subnets[i].net.b, len))
			return true;
	return false;
}

/* What a rule compares next, as far as it matters here. */
enum compared { OTHER, ADDRESS, PORT, LINK_INDEX };

static enum compared compared(const char *expr, const struct rtattr *data)
{
	const struct rtattr *tb[NFTA_PAYLOAD_MAX + 1];
	uint32_t base, offset, key;

	if (!strcmp(expr, "payload")) {
		rtnl_attrs(RTA_DATA(data), RTA_PAYLOAD(data), tb, NFTA_PAYLOAD_MAX);
		base = ntohl(rtnl_get_u32(tb[NFTA_PAYLOAD_BASE]));
		offset = ntohl(rtnl_get_u32(tb[NFTA_PAYLOAD_OFFSET]));
		/* source and destination of IPv4 and IPv6; destination port */
		if (base == NFT_PAYLOAD_NETWORK_HEADER && (offset == 8 || offset == 12 || offset == 16 || offset == 24))
			return ADDRESS;
		return base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 ? PORT : OTHER;
	}
	if (strcmp(expr, "meta") != 0)
		return OTHER;
	rtnl_attrs(RTA_DATA(data), RTA_PAYLOAD(data), tb, NFTA_META_MAX);
	key = ntohl(rtnl_get_u32(tb[NFTA_META_KEY]));
	return key == NFT_META_IIF || key == NFT_META_OIF ? LINK_INDEX : OTHER;
}

static bool is_port(const struct look *l, const uint8_t *v, size_t len)
{
	return l->way == FILTER_INPUT && len == 2 && v[0] == 0 && v[1] == 53;
}

static void read_cmp(struct look *l, enum compared what, const struct rtattr *data)
{
	const struct rtattr *tb[NFTA_CMP_MAX + 1];
	const uint8_t *v;
	uint32_t index;
	size_t len;

	rtnl_attrs(RTA_DATA(data), RTA_PAYLOAD(data), tb, NFTA_CMP_MAX);
	v = filter_rule_value(tb[NFTA_CMP_DATA], &len);
	if (!v)
		return;
	if (what == LINK_INDEX && len == sizeof(index)) {
		memcpy(&index, v, sizeof(index));
		l->named |= index && index == if_nametoindex(l->net->bridge);
	} else {
		l->named |= (what == ADDRESS && is_subnet(l->net, v, len)) || (what == PORT && is_port(l, v, len)) ||
			(what == OTHER && is_link(l->net, v, len));
	}
}

static const char *text_of(const struct rtattr *a)
{
	return a && RTA_PAYLOAD(a) && !((const char *)RTA_DATA(a))[RTA_PAYLOAD(a) - 1] ? RTA_DATA(a) : "";
}

/* The verdict of an immediate expression; false: it only loads a value. */
static bool read_verdict(const struct rtattr *data, struct step *ret)
{
	const struct rtattr *tb[NFTA_IMMEDIATE_MAX + 1], *d[NFTA_DATA_MAX + 1], *v[NFTA_VERDICT_MAX + 1];

	rtnl_attrs(RTA_DATA(data), RTA_PAYLOAD(data), tb, NFTA_IMMEDIATE_MAX);
	if (!tb[NFTA_IMMEDIATE_DATA])
		return false;
	rtnl_attrs(RTA_DATA(tb[NFTA_IMMEDIATE_DATA]), RTA_PAYLOAD(tb[NFTA_IMMEDIATE_DATA]), d, NFTA_DATA_MAX);
	if (!d[NFTA_DATA_VERDICT])
		return false;
	rtnl_attrs(RTA_DATA(d[NFTA_DATA_VERDICT]), RTA_PAYLOAD(d[NFTA_DATA_VERDICT]), v, NFTA_VERDICT_MAX);
	if (!v[NFTA_VERDICT_CODE])
		return false;
	ret->verdict = (int32_t)ntohl(rtnl_get_u32(v[NFTA_VERDICT_CODE]));
	snprintf(ret->to, sizeof(ret->to), "%s", text_of(v[NFTA_VERDICT_CHAIN]));
	return true;
}

/* One expression of a rule. True: it decides, as *step says. */
static bool read_expression(struct look *l, const char *name, const struct rtattr *data, enum compared *what,
			    struct step *step)
{
	const struct rtattr *tb[NFTA_LOOKUP_MAX + 1];

	*step = (struct step){ .verdict = NF_DROP };
	if (!strcmp(name, "immediate"))
		return read_verdict(data, step);
	if (!strcmp(name, "reject"))
		return true;
	if (!strcmp(name, "target")) { /* of iptables */
		rtnl_attrs(RTA_DATA(data), RTA_PAYLOAD(data), tb, NFTA_TARGET_MAX);
		return !strcmp(text_of(tb[NFTA_TARGET_NAME]), "REJECT");
	}
	if (!strcmp(name, "cmp")) {
		read_cmp(l, *what, data);
	} else if (!strcmp(name, "lookup")) {
		rtnl_attrs(RTA_DATA(data), RTA_PAYLOAD(data), tb, NFTA_LOOKUP_MAX);
		if (tb[NFTA_LOOKUP_SET] && !strv_has(l->sets, text_of(tb[NFTA_LOOKUP_SET])))
			strv_add(&l->sets, text_of(tb[NFTA_LOOKUP_SET]));
	}
	if (strcmp(name, "bitwise") != 0) /* what was loaded, masked */
		*what = compared(name, data);
	return false;
}

/* The attributes after the fixed head of a message of nftables. */
static void message_attrs(const struct nlmsghdr *h, const struct rtattr **tb, unsigned int max)
{
	const size_t head = NLMSG_LENGTH(sizeof(struct nfgenmsg));

	rtnl_attrs((const struct rtattr *)((const char *)h + head), h->nlmsg_len > head ? h->nlmsg_len - head : 0, tb,
		   max);
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	const struct rtattr *tb[NFTA_RULE_MAX + 1], *e[NFTA_EXPR_MAX + 1];
	struct look *l = arg;
	enum compared what = OTHER;
	struct filter_register reg = { 0 };
	struct step step;
	bool holds = true;

	message_attrs(h, tb, NFTA_RULE_MAX);
	if (!tb[NFTA_RULE_EXPRESSIONS])
		return 0;
	size_t len = RTA_PAYLOAD(tb[NFTA_RULE_EXPRESSIONS]);

	for (const struct rtattr *a = RTA_DATA(tb[NFTA_RULE_EXPRESSIONS]); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		rtnl_attrs(RTA_DATA(a), RTA_PAYLOAD(a), e, NFTA_EXPR_MAX);
		const char *name = text_of(e[NFTA_EXPR_NAME]);

		if (!e[NFTA_EXPR_DATA])
			continue;
		holds &= filter_rule_holds(&l->packet, name, e[NFTA_EXPR_DATA], &reg);
		if (!read_expression(l, name, e[NFTA_EXPR_DATA], &what, &step) || !holds)
			continue;
		l->steps.v = xreallocarray(l->steps.v, l->steps.n + 1, sizeof(*l->steps.v));
		l->steps.v[l->steps.n++] = step;
	}
	return 0;
}

/* Is it in a set's key, alone or as a part of a concatenation? */
static bool has_part(const uint8_t *key, size_t len, const void *part, size_t part_len)
{
	for (size_t at = 0; at + part_len <= len; at += 4)
		if (!memcmp(key + at, part, part_len))
			return true;
	return false;
}

static int on_element(const struct nlmsghdr *h, void *arg)
{
	const struct rtattr *tb[NFTA_SET_ELEM_LIST_MAX + 1], *e[NFTA_SET_ELEM_MAX + 1];
	struct look *l = arg;
	char name[IFNAMSIZ] = { 0 };

	strncpy(name, l->net->bridge, sizeof(name) - 1);
	message_attrs(h, tb, NFTA_SET_ELEM_LIST_MAX);
	if (!tb[NFTA_SET_ELEM_LIST_ELEMENTS])
		return 0;
	size_t len = RTA_PAYLOAD(tb[NFTA_SET_ELEM_LIST_ELEMENTS]), n;

	for (const struct rtattr *a = RTA_DATA(tb[NFTA_SET_ELEM_LIST_ELEMENTS]); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		const uint8_t *v;

		rtnl_attrs(RTA_DATA(a), RTA_PAYLOAD(a), e, NFTA_SET_ELEM_MAX);
		v = filter_rule_value(e[NFTA_SET_ELEM_KEY], &n);
		l->named |= v && (has_part(v, n, name, sizeof(name)) || is_port(l, v, n));
		for (unsigned int i = 0; v && i < l->net->n_subnets; i++)
			l->named |= has_part(v, n, l->net->subnets[i].net.b, rtnl_addr_len(&l->net->subnets[i].net));
	}
	return 0;
}

/* ---- asking --------------------------------------------------------------------------------------------- */

static void start_over(void *arg)
{
	struct look *l = arg;

	l->named = false;
	steps_clear(&l->steps);
}

static int dump(struct look *l, uint8_t family, uint16_t type, const struct chain *c, const char *name,
		uint16_t name_attr, rtnl_fn *fn, struct err *err)
{
	struct nfgenmsg g = { .nfgen_family = family, .version = NFNETLINK_V0 };
	struct rtnl_msg m = { .len = 0 };

	rtnl_begin(&m, (uint16_t)((NFNL_SUBSYS_NFTABLES << 8) | type), NLM_F_DUMP, &g, sizeof(g));
	if (c)
		rtnl_put_str(&m, 1, c->table); /* NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_TABLE */
	if (name)
		rtnl_put_str(&m, name_attr, name);
	return rtnl_dump(&l->nl, &m, fn, type == NFT_MSG_GETRULE ? start_over : NULL, l, err);
}
_Static_assert(NFTA_RULE_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1, "the table's attribute");

static int on_chain(const struct nlmsghdr *h, void *arg)
{
	const struct rtattr *tb[NFTA_CHAIN_MAX + 1], *hook[NFTA_HOOK_MAX + 1];
	const struct nfgenmsg *g = NLMSG_DATA(h);
	struct look *l = arg;
	uint32_t want = l->way == FILTER_FORWARD ? NF_INET_FORWARD : NF_INET_LOCAL_IN;
	const char *table, *name;
	struct chain *c;

	message_attrs(h, tb, NFTA_CHAIN_MAX);
	table = text_of(tb[NFTA_CHAIN_TABLE]);
	name = text_of(tb[NFTA_CHAIN_NAME]);
	if (g->nfgen_family != NFPROTO_INET && g->nfgen_family != NFPROTO_IPV4 && g->nfgen_family != NFPROTO_IPV6)
		return 0;
	for (size_t i = 0; i < OWNER_MAX; i++)
		if (owners[i].chain && !strcmp(name, owners[i].chain))
			strv_add_take(&l->marks, xasprintf("%u %s %s", g->nfgen_family, table, name));
	if (!tb[NFTA_CHAIN_HOOK] || strcmp(text_of(tb[NFTA_CHAIN_TYPE]), "filter") != 0 || !strcmp(table, "amphi") ||
	    l->n_chains == CHAINS_MAX)
		return 0;
	rtnl_attrs(RTA_DATA(tb[NFTA_CHAIN_HOOK]), RTA_PAYLOAD(tb[NFTA_CHAIN_HOOK]), hook, NFTA_HOOK_MAX);
	if (ntohl(rtnl_get_u32(hook[NFTA_HOOK_HOOKNUM])) != want)
		return 0;
	c = &l->chains[l->n_chains++];
	*c = (struct chain){ .family = g->nfgen_family };
	snprintf(c->table, sizeof(c->table), "%s", table);
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->policy = tb[NFTA_CHAIN_POLICY] && ntohl(rtnl_get_u32(tb[NFTA_CHAIN_POLICY])) == NF_DROP;
	return 0;
}

static bool is_family(const struct network_subnet *s, uint8_t proto)
{
	return proto == NFPROTO_INET || (s->net.family == AF_INET) == (proto == NFPROTO_IPV4);
}

static bool has_family(const struct network *n, uint8_t proto)
{
	for (unsigned int i = 0; i < n->n_subnets; i++)
		if (is_family(&n->subnets[i], proto))
			return true;
	return false;
}

enum outcome { GOES_ON, PASSES, DROPS };

/*
 * What a chain of c's table does to the packet: an enum outcome or -errno. Its rules are read whole before those of the chains that they lead to: one socket has one dump at a time.
 */
static int follow(struct look *l, struct chain *c, const char *name, unsigned int depth, struct err *err)
{
	CLEANUP(steps_clear) struct steps own = { 0 };
	int r;

	if (depth > DEPTH_MAX || l->visits++ >= VISITS_MAX)
		return GOES_ON;
	steps_clear(&l->steps);
	r = dump(l, c->family, NFT_MSG_GETRULE, c, name, NFTA_RULE_CHAIN, on_rule, err);
	own = l->steps;
	l->steps = (struct steps){ 0 };
	for (size_t i = 0; i < own.n && r >= 0; i++) {
		const struct step *s = &own.v[i];

		switch (s->verdict) {
		case NF_DROP:
			snprintf(c->via, sizeof(c->via), "%s", name);
			return DROPS;
		case NFT_RETURN:
			return GOES_ON;
		case NFT_JUMP:
			r = follow(l, c, s->to, depth + 1, err);
			if (r != GOES_ON)
				return r;
			break;
		case NFT_GOTO:
			return follow(l, c, s->to, depth + 1, err);
		default: /* accepted, or somebody else's to decide: queued */
			return PASSES;
		}
	}
	return r < 0 ? r : GOES_ON;
}

/* Does the chain drop what nobody names? 1, 0 or -errno. */
static int chain_blocks(struct look *l, struct chain *c, struct err *err)
{
	bool drops = false;
	int r = 0;

	l->visits = 0;
	for (unsigned int i = 0; i < l->net->n_subnets && r >= 0 && !drops; i++) {
		if (!is_family(&l->net->subnets[i], c->family))
			continue;
		l->packet.source = l->net->subnets[i].net;
		r = follow(l, c, c->name, 0, err);
		drops = r == DROPS || (r == GOES_ON && c->policy);
	}
	if (r < 0 || !drops)
		return r < 0 ? r : 0;
	l->named = false;
	strv_free(l->sets);
	l->sets = NULL;
	r = dump(l, c->family, NFT_MSG_GETRULE, c, NULL, 0, on_rule, err);
	for (char **s = l->sets; r >= 0 && !l->named && s && *s; s++)
		r = dump(l, c->family, NFT_MSG_GETSETELEM, c, *s, NFTA_SET_ELEM_LIST_SET, on_element, err);
	return r < 0 ? r : !l->named;
}

/* ---- saying --------------------------------------------------------------------------------------------- */

/* An owner's remedy with the bridge's name put in and the program that is meant by "iptables". */
static char *remedy_text(const struct look *l, enum owner o, const char *iptables)
{
	struct str s = { 0 };

	for (const char *p = owners[o].remedy[l->way]; *p; p++) {
		if (*p == '@') {
			str_add(&s, l->net->bridge);
		} else if (str_starts(p, "iptables")) {
			str_add(&s, iptables);
			p += strlen("iptables") - 1;
		} else {
			str_addc(&s, *p);
		}
	}
	return str_steal(&s);
}

static char *remedy_of(const struct look *l, const struct chain *c)
{
	static const char *const words[] = { [NFPROTO_INET] = "inet", [NFPROTO_IPV4] = "ip", [NFPROTO_IPV6] = "ip6" };
	const char *iptables = c->family == NFPROTO_IPV6 ? "ip6tables" : "iptables";

	for (enum owner o = 0; o < OWNER_MAX; o++) {
		cleanup_free char *mark =
			owners[o].chain ? xasprintf("%u %s %s", c->family, c->table, owners[o].chain) : NULL;

		if (mark && strv_has(l->marks, mark))
			return remedy_text(l, o, iptables);
	}
	if (c->family != NFPROTO_INET && !strcmp(c->table, "filter") &&
	    (!strcmp(c->name, "FORWARD") || !strcmp(c->name, "INPUT")))
		return remedy_text(l, IPTABLES, iptables);
	if (l->way == FILTER_INPUT)
		return xasprintf("nft insert rule %s %s %s iifname %s meta l4proto udp th dport 53 accept",
				 words[c->family], c->table, c->name, l->net->bridge);
	return xasprintf("nft insert rule %s %s %s iifname %s accept && nft insert rule %s %s %s oifname %s accept",
			 words[c->family], c->table, c->name, l->net->bridge, words[c->family], c->table, c->name,
			 l->net->bridge);
}

static int look_nftables(struct look *l, char **ret_what, char **ret_remedy, struct err *err)
{
	int r;

	l->nl.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (l->nl.fd < 0)
		return 0;
	r = dump(l, NFPROTO_UNSPEC, NFT_MSG_GETCHAIN, NULL, NULL, 0, on_chain, err);
	if (r == -EINVAL || r == -EOPNOTSUPP) /* a kernel without nftables */
		return 0;
	for (size_t i = 0; r >= 0 && i < l->n_chains; i++) {
		struct chain *c = &l->chains[i];

		r = chain_blocks(l, c, err);
		if (r <= 0)
			continue;
		*ret_what = !*c->via ?
			xasprintf("chain %s of the nftables table %s drops by policy", c->name, c->table) :
			strcmp(c->via, c->name) ?
			xasprintf("chain %s of the nftables table %s leads to chain %s, which drops", c->name, c->table,
				  c->via) :
			xasprintf("chain %s of the nftables table %s ends in a rule that drops", c->name, c->table);
		*ret_remedy = remedy_of(l, c);
		return 1;
	}
	return r < 0 ? r : 0;
}

static int look_legacy(const struct look *l, char **ret_what, char **ret_remedy)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	bool forward = l->way == FILTER_FORWARD, docker = false;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		bool six = families[i] == AF_INET6;

		if (!has_family(l->net, six ? NFPROTO_IPV6 : NFPROTO_IPV4) ||
		    !filter_legacy_drops(families[i], forward, l->net->bridge, &docker))
			continue;
		*ret_what = xasprintf("chain %s of iptables-legacy (%s) drops by policy", forward ? "FORWARD" : "INPUT",
				      six ? "IPv6" : "IPv4");
		*ret_remedy = remedy_text(l, docker ? DOCKER : IPTABLES, six ? "ip6tables-legacy" : "iptables-legacy");
		return 1;
	}
	return 0;
}

int filter_blocks(const struct network *n, enum filter_way way, char **ret_what, char **ret_remedy, struct err *err)
{
	struct look l = { .net = n, .way = way, .nl = RTNL_INIT };
	int r = 0;

	l.packet = (struct filter_packet){ .link = n->bridge };
	l.packet.proto = way == FILTER_INPUT ? IPPROTO_UDP : IPPROTO_TCP;
	l.packet.port = way == FILTER_INPUT ? 53 : 0;

	if (n->foreign || (way == FILTER_FORWARD && n->internal))
		return 0;
	r = look_nftables(&l, ret_what, ret_remedy, err);
	if (r == 0)
		r = look_legacy(&l, ret_what, ret_remedy);
	rtnl_close(&l.nl);
	strv_free(l.marks);
	strv_free(l.sets);
	steps_clear(&l.steps);
	return r;
}

/* blocked/NETWORK: what was warned of. */
void filter_warn(const struct netdir *nd, const struct network *n)
{
	cleanup_free char *what = NULL, *remedy = NULL, *text = NULL, *old = NULL;
	cleanup_fd int dir = netdir_sub(nd, "blocked", NULL);
	struct err e = { 0 };
	size_t len;
	int r = filter_blocks(n, FILTER_FORWARD, &what, &remedy, &e);

	if (r < 0)
		log_debug("network %s: packet filters of others: %s", n->name, e.msg);
	if (r <= 0 || dir < 0) {
		if (!r && dir >= 0)
			(void)unlinkat(dir, n->name, 0);
		return;
	}
	text = xasprintf("%s and has no rule for bridge %s: it may stop what containers send and what published ports "
			 "get; to let it pass: %s",
			 what, n->bridge, remedy);
	if (!fd_slurp_at(dir, n->name, 4096, &old, &len) && !strcmp(old, text))
		return;
	log_warn("network %s: %s", n->name, text);
	(void)path_write_atomic(dir, n->name, text, strlen(text), 0644);
}

void filter_forget(const struct netdir *nd, const char *network)
{
	cleanup_free char *path = xasprintf("blocked/%s", network);

	(void)unlinkat(nd->run_fd, path, 0);
}
