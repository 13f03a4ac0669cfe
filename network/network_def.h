/* SPDX-License-Identifier: Apache-2.0 */
/* network_def: definitions, for callers inside the room who hold the directory open (public part: network.h). */
#ifndef NETWORK_NETWORK_DEF_H
#define NETWORK_NETWORK_DEF_H

#include "base/err.h"
#include "network/netdir.h"
#include "network/network.h"

/* network_def_load() in an open directory; "default" is created on demand when nd is locked. */
int network_def_load_in(const struct netdir *nd, const char *name, struct network *ret, struct err *err);
/* All definitions by name. Owned array of owned definitions. */
int network_def_load_all(const struct netdir *nd, struct network **ret, size_t *ret_n, struct err *err);

#endif
