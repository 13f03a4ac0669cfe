/* SPDX-License-Identifier: Apache-2.0 */
/* attached: the records of attachments and what undoes them. The caller holds the network lock. */
#ifndef NETWORK_ATTACHED_H
#define NETWORK_ATTACHED_H

#include "base/err.h"
#include "network/netdir.h"
#include "network/network.h"

/* Writes attached/KEY.json. 0 or -errno. */
int attached_save(const struct netdir *nd, const char *key, const struct network_lease *l, struct err *err);
/* Reads the record of ref; -ENOENT (with a text) when there is none. */
int attached_load(const struct netdir *nd, const struct network_ref *ref, struct network_lease *ret, struct err *err);
/* All records; damaged ones are skipped with a warning. Owned array. */
int attached_list(const struct netdir *nd, struct network_lease **ret, size_t *ret_n, struct err *err);
void attached_list_free(struct network_lease *v, size_t n);
/* Undoes everything of ref; see network_detach(). */
int attached_detach(const struct netdir *nd, const struct network_ref *ref, struct err *err);
/* Removes the ith interface of a lease and its record's part. */
int attached_drop_iface(const struct netdir *nd, struct network_lease *l, size_t i, struct err *err);
/* Writes the firewall table anew from definitions and records, without the record named without (may be NULL). */
int attached_rebuild_nat(const struct netdir *nd, const char *without, struct err *err);

#endif
