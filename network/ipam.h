/* SPDX-License-Identifier: Apache-2.0 */
/* ipam: address leases on disk, one file per address. The caller holds the network lock. */
#ifndef NETWORK_IPAM_H
#define NETWORK_IPAM_H

#include "base/err.h"
#include "network/network.h"

/* Whom an address is leased to; the file's four lines. */
struct ipam_owner {
	const char *key;       /* netdir_key() */
	const char *owner;     /* state directory */
	const char *files_dir; /* where its hosts file is; "" for none */
	const char *names;     /* blank-separated names; "" for none */
};

/*
 * Leases want (family not 0) or the next free address of the subnet's range, round-robin so that a released
 * address rests before it is used again. dirfd: the network's lease directory. Errors: -EADDRINUSE (want is taken),
 * -EADDRNOTAVAIL (outside the subnet, gateway, network or broadcast address), -ENOSPC (range exhausted).
 */
int ipam_lease(int dirfd, const struct network_subnet *sn, const struct rtnl_addr *want, const struct ipam_owner *o,
	       struct rtnl_addr *ret, struct err *err);
/* Gives an address back when it is leased to key. 0 (also when it is not ours) or -errno. */
int ipam_release(int dirfd, const struct rtnl_addr *a, const char *key, struct err *err);

/* A lease as read. */
struct ipam_entry {
	struct rtnl_addr addr;                 /* plain, with full prefix */
	char *key, *owner, *files_dir, *names; /* owned */
};
void ipam_entry_free(struct ipam_entry *e);
/* All leases of a directory; files that a killed process left empty are removed. Owned array. */
int ipam_list(int dirfd, struct ipam_entry **ret, size_t *ret_n, struct err *err);
void ipam_list_free(struct ipam_entry *v, size_t n);
/* Fills range and gateway defaults of a subnet from its masked network: first host is the gateway. 0 or -EINVAL. */
int ipam_defaults(struct network_subnet *sn, struct err *err);
/* a + 1; false at the end of the address space. */
bool ipam_next(struct rtnl_addr *a);
/* memcmp order of two addresses of one family. */
int ipam_compare(const struct rtnl_addr *a, const struct rtnl_addr *b);
/* The locally administered MAC address that belongs to an address of a network, so that neighbours' caches stay valid. */
void ipam_mac(const char *network, const struct rtnl_addr *a, uint8_t ret[RTNL_MAC_LEN]);

#endif
