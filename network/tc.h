/* SPDX-License-Identifier: Apache-2.0 */
/* tc: queueing and redirection: a tap in place of a link, and rate limits. */
#ifndef NETWORK_TC_H
#define NETWORK_TC_H

#include "base/err.h"
#include "network/rtnl.h"

/* What enters either link leaves the other, all protocols. Replaces what an earlier call set. 0 or -errno. */
int tc_join(struct rtnl *nl, int a, int b, struct err *err);
/* Takes the redirect off a link; 0 when there was none. */
int tc_unjoin(struct rtnl *nl, int index, struct err *err);

struct tc_limit {
	uint64_t rate;  /* bits per second; 0: none */
	uint64_t burst; /* bits; 0: 50 ms of the rate, at least 64 KiB */
};
/*
 * Limits a container by its host link: in is what leaves the link (towards the container), out what enters it, which
 * goes through an ifb link named ifb. 0 or -errno.
 */
int tc_limit(struct rtnl *nl, int index, uint32_t mtu, const struct tc_limit *in, const struct tc_limit *out,
	     const char *ifb, struct err *err);

#endif
