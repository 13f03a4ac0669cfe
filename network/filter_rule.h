/* SPDX-License-Identifier: Apache-2.0 */
/* filter_rule: whether the conditions of a rule of nftables are met by a packet of which a part is known. */
#ifndef NETWORK_FILTER_RULE_H
#define NETWORK_FILTER_RULE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "network/rtnl.h"

/* The first packet of a connection. What is not here is not known: where it goes, by which link. */
struct filter_packet {
	const char *link; /* it comes in by */
	struct rtnl_addr source;
	uint8_t proto; /* IPPROTO_* */
	uint16_t port; /* it is sent to; 0: not known */
};

/* What an expression loaded for the next one. */
struct filter_register {
	uint32_t number;
	uint8_t v[IFNAMSIZ], known[IFNAMSIZ]; /* bits */
	bool link;                            /* the name of the link that it came in by, not masked */
};

/*
 * One expression by its name and NFTA_EXPR_DATA, in the order of the rule (*reg: zeros before the first). True when it
 * asks for nothing or for something that the packet is known to have; a verdict is not looked at.
 */
bool filter_rule_holds(const struct filter_packet *p, const char *name, const struct rtattr *data,
		       struct filter_register *reg);
/* The bytes of a nested NFTA_DATA_VALUE; NULL: none. */
const uint8_t *filter_rule_value(const struct rtattr *nest, size_t *len);

#endif
