/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl: links, addresses, routes and neighbours of one network namespace over rtnetlink. Stands on base alone:
 * the guest's PID 1 links this one object. A struct rtnl is one socket; it stays in the namespace it was opened
 * in, whatever namespace its owner enters later.
 */
#ifndef NETWORK_RTNL_H
#define NETWORK_RTNL_H

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

#define RTNL_MAC_LEN 6
#define RTNL_MAC_TEXT 18

/* ---- values --------------------------------------------------------------------------------------------- */

/* An IPv4 or IPv6 address with a prefix length (32 or 128 for a plain address). */
struct rtnl_addr {
	uint8_t family; /* AF_INET, AF_INET6; 0: none */
	uint8_t prefix; /* bits */
	uint8_t b[16];  /* network order; the first 4 bytes for IPv4 */
};
#define RTNL_ADDR_TEXT 64

/* "10.0.0.2/24", "fd00::2/64"; without a prefix the whole length is taken when !want_prefix, refused else. 0 or -EINVAL. */
int rtnl_addr_parse(const char *text, bool want_prefix, struct rtnl_addr *ret);
/* Text with (or without) "/prefix" in buf; returns buf. */
const char *rtnl_addr_text(const struct rtnl_addr *a, bool with_prefix, char buf[RTNL_ADDR_TEXT]);
/* Length in bytes: 4 or 16. */
static inline size_t rtnl_addr_len(const struct rtnl_addr *a)
{
	return a->family == AF_INET ? 4 : 16;
}
/* Same family and address bits (prefix ignored). */
bool rtnl_addr_equal(const struct rtnl_addr *a, const struct rtnl_addr *b);
/* Is a inside net (by net's prefix)? */
bool rtnl_addr_in(const struct rtnl_addr *a, const struct rtnl_addr *net);
/* Clears the host bits. */
void rtnl_addr_mask(struct rtnl_addr *a);

/* "02:00:00:00:00:01" in both directions. Parse: 0 or -EINVAL (multicast and all-zero refused). */
int rtnl_mac_parse(const char *text, uint8_t ret[RTNL_MAC_LEN]);
const char *rtnl_mac_text(const uint8_t mac[RTNL_MAC_LEN], char buf[RTNL_MAC_TEXT]);

/* A route. dst.family 0 with gateway: the default route of the gateway's family. */
struct rtnl_route {
	struct rtnl_addr dst;     /* family 0 or prefix 0: default */
	struct rtnl_addr gateway; /* family 0: directly on the link */
	struct rtnl_addr src;     /* preferred source; family 0: none */
	uint32_t metric;          /* 0: the kernel's */
	uint8_t scope;            /* RT_SCOPE_*; 0 chooses by gateway */
};

/*
 * What one interface of a container, machine or guest shall look like; also what a scan of an existing one finds.
 * JSON form (the agent protocol and the state file carry it):
 * {"name":"eth0","mac":"02:…","mtu":1500,"addresses":["10.89.0.2/24"],
 *  "routes":[{"dst":"0.0.0.0/0","gateway":"10.89.0.1","src":"…","metric":100}],
 *  "neighbours":[{"address":"10.89.0.1","mac":"02:…"}]}
 */
struct rtnl_iface {
	char name[IFNAMSIZ];
	uint8_t mac[RTNL_MAC_LEN]; /* all zero: leave */
	uint8_t was
		[RTNL_MAC_LEN];  /* of a link that had another state before this one: how it is found; all zero: none */
	uint32_t mtu;            /* 0: leave */
	bool no_ipv6;            /* set disable_ipv6 (an IPv4-only network) */
	struct rtnl_addr *addrs; /* owned */
	size_t n_addrs;
	struct rtnl_route *routes; /* owned; added in this order */
	size_t n_routes;
	struct rtnl_neigh {
		struct rtnl_addr addr;
		uint8_t mac[RTNL_MAC_LEN];
	} * neighs; /* owned; permanent entries */
	size_t n_neighs;
};

void rtnl_iface_free(struct rtnl_iface *i); /* frees the members, not i */
void rtnl_iface_add_addr(struct rtnl_iface *i, const struct rtnl_addr *a);
void rtnl_iface_add_route(struct rtnl_iface *i, const struct rtnl_route *r);
/* Writes the JSON object above. */
void rtnl_iface_save(struct json_writer *w, const char *key, const struct rtnl_iface *i);
/* Reads it; *ret is set only on success. 0 or -EINVAL naming the JSON path. */
int rtnl_iface_load(const struct json *v, struct rtnl_iface *ret, struct err *err);

/* ---- socket and messages -------------------------------------------------------------------------------- */

struct rtnl {
	int fd; /* -1: closed */
	uint32_t seq;
};
#define RTNL_INIT \
	{ \
		.fd = -1 \
	}

/*
 * Opens a socket in the namespace netns_fd, or in the current one (netns_fd -1). With netns_fd the calling
 * thread enters that namespace and comes back (CAP_SYS_ADMIN over its owner). 0 or -errno.
 */
int rtnl_open(struct rtnl *nl, int netns_fd, struct err *err);
void rtnl_close(struct rtnl *nl);
#define cleanup_rtnl CLEANUP(rtnl_close)

/* One or more requests being built; they are sent together by rtnl_send(). Starts zeroed. */
struct rtnl_msg {
	union {
		struct nlmsghdr h; /* alignment */
		char buf[8192];
	};
	size_t len;   /* bytes used */
	size_t first; /* offset of the message under construction */
	unsigned int n;
	bool overflow; /* an attribute did not fit: rtnl_send() gives -EMSGSIZE */
};
/* Begins a request: type RTM_*, flags NLM_F_* (REQUEST and ACK are added), then the fixed header of len bytes. */
void rtnl_begin(struct rtnl_msg *m, uint16_t type, uint16_t flags, const void *head, size_t len);
void rtnl_put(struct rtnl_msg *m, uint16_t attr, const void *data, size_t len);
void rtnl_put_str(struct rtnl_msg *m, uint16_t attr, const char *s); /* with its NUL */
void rtnl_put_u8(struct rtnl_msg *m, uint16_t attr, uint8_t v);
void rtnl_put_u16(struct rtnl_msg *m, uint16_t attr, uint16_t v);
void rtnl_put_u32(struct rtnl_msg *m, uint16_t attr, uint32_t v);
void rtnl_put_addr(struct rtnl_msg *m, uint16_t attr, const struct rtnl_addr *a);
/* A nested attribute: the result goes to rtnl_nest_end(). */
size_t rtnl_nest(struct rtnl_msg *m, uint16_t attr);
void rtnl_nest_end(struct rtnl_msg *m, size_t nest);
/* Bytes without attribute header inside a nest (struct ifinfomsg of a veth peer). */
void rtnl_put_raw(struct rtnl_msg *m, const void *data, size_t len);
/*
 * Sends all requests and waits for every acknowledgement. The first failure is returned as the kernel's errno,
 * "WHAT: kernel's extended text" in *err; later requests of the batch were executed regardless. *ret_failed
 * (may be NULL) is the number of the first failed request, or -1.
 */
int rtnl_send(struct rtnl *nl, struct rtnl_msg *m, int *ret_failed, struct err *err, const char *what);
/*
 * Sends a dump request and calls fn for each answer; a non-zero result of fn ends the walk (the rest is drained)
 * and is returned. A dump the kernel calls interrupted is repeated (fn sees the entries again after reset(arg)).
 */
typedef int rtnl_fn(const struct nlmsghdr *h, void *arg);
int rtnl_dump(struct rtnl *nl, struct rtnl_msg *m, rtnl_fn *fn, void (*reset)(void *arg), void *arg, struct err *err);
/* Sends one request without ACK that is answered by one message, which goes to buf. Its length or -errno (the kernel's). */
int rtnl_ask(struct rtnl *nl, struct rtnl_msg *m, void *buf, size_t len);
/* Fills tb[0..max] with the attributes in [rta, rta + len); a later one of a type wins; malformed rest is ignored. */
void rtnl_attrs(const struct rtattr *rta, size_t len, const struct rtattr **tb, unsigned int max);

/* A 32-bit attribute; 0 for NULL. */
uint32_t rtnl_get_u32(const struct rtattr *a);

/* ---- links ---------------------------------------------------------------------------------------------- */

struct rtnl_link {
	int index;
	int master;         /* index; 0: none */
	int peer;           /* IFLA_LINK; 0: none */
	unsigned int flags; /* IFF_* */
	uint32_t mtu;
	uint8_t mac[RTNL_MAC_LEN];
	char name[IFNAMSIZ];
	char kind[24];   /* "veth", "bridge", "" for hardware */
	char alias[256]; /* IFLA_IFALIAS */
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

/* Looks a link up by name, or by index (name NULL). 0, -ENODEV (no text in *err) or -errno. */
int rtnl_link_get(struct rtnl *nl, const char *name, int index, struct rtnl_link *ret, struct err *err);
/* All links, owned array. 0 or -errno. */
int rtnl_link_list(struct rtnl *nl, struct rtnl_link **ret, size_t *ret_n, struct err *err);
/* Deletes; -ENODEV when absent (not an error text). */
int rtnl_link_del(struct rtnl *nl, const char *name, struct err *err);
/* One change of an existing link; fields at their defaults are left alone. */
struct rtnl_change {
	const char *rename; /* new name (the link must be down) */
	const uint8_t *mac;
	uint32_t mtu;
	int up;       /* 1 up, -1 down, 0 leave */
	int master;   /* index, -1 none, 0 leave */
	int netns_fd; /* move there when > 0 */
	const char *alias;
};
int rtnl_link_change(struct rtnl *nl, int index, const struct rtnl_change *c, struct err *err);
/* The same as one request of a batch. */
void rtnl_link_put(struct rtnl_msg *m, int index, const struct rtnl_change *c);

/* ---- addresses, routes ---------------------------------------------------------------------------------- */

/* Adds an address (no duplicate address detection); one that exists is success. */
int rtnl_iface_add_address(struct rtnl *nl, int index, const struct rtnl_addr *a, struct err *err);
/*
 * Brings the link index (and loopback) into the state i describes: name, MAC, MTU, up, addresses, routes,
 * neighbours, in this order, in one batch. no_ipv6 is not applied here (it is a sysctl of the namespace).
 */
int rtnl_iface_apply(struct rtnl *nl, int index, const struct rtnl_iface *i, struct err *err);
/* Brings up loopback. */
int rtnl_loopback_up(struct rtnl *nl, struct err *err);
/*
 * Finds the link with this MAC address, skipping loopback; for guests that know their interfaces by MAC.
 * Index, -ENODEV or -errno.
 */
int rtnl_link_by_mac(struct rtnl *nl, const uint8_t mac[RTNL_MAC_LEN], struct err *err);
/*
 * Reads what a link has: global addresses, main-table routes, permanent neighbours, MAC, MTU. A link
 * with index 0 means all links of the namespace. 0 or -errno.
 */
int rtnl_iface_scan(struct rtnl *nl, const struct rtnl_link *link, struct rtnl_iface *ret, struct err *err);
/* Removes all addresses of the link (and with them its routes). */
int rtnl_iface_flush(struct rtnl *nl, int index, struct err *err);

#endif
