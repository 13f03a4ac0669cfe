/* SPDX-License-Identifier: Apache-2.0 */
/* cni: running other people's network plugins (CNI specification 1.1). */
#ifndef NETWORK_CNI_H
#define NETWORK_CNI_H

#include "base/err.h"
#include "network/netdir.h"
#include "network/network.h"

/*
 * Runs the conflist's plugins with ADD in the request's namespace; on failure DEL in reverse. The lease's
 * netns_path says where to mount the namespace; filled in: one iface per interface with a sandbox in the result. What ran is kept below cni/KEY for cni_detach().
 */
int cni_attach(const struct netdir *nd, const struct network_request *req, struct network_lease *l, struct err *err);
/* DEL of what cni_attach() recorded, in reverse order with the final result. Repeatable. */
int cni_detach(const struct netdir *nd, const struct network_lease *l, struct err *err);
/* CHECK of the same. */
int cni_check(const struct netdir *nd, const struct network_lease *l, int netns_fd, struct err *err);
/* GC of every list in use, alone: tells its plugins which attachments are valid (lists of version 1.1.0 on). */
int cni_gc(const struct netdir *nd, struct err *err);

#endif
