/* SPDX-License-Identifier: Apache-2.0 */
/* Which namespaces the child gets: new ones by clone flags, others by descriptor. runtime-spec config-linux.md#namespaces. */
#ifndef CONTAINER_NAMESPACE_H
#define CONTAINER_NAMESPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "oci/config.h"

struct namespace_set {
	uint64_t create; /* CLONE_NEW* to pass to clone3(2); without the next two */
	bool cgroup;     /* a new cgroup namespace: the child unshares it once it is in its cgroup */
	bool late_ipc; /* a new ipc namespace: the root of a new user namespace makes it, to own its mqueue directory */
	bool time_offsets; /* the new time namespace gets offsets before anybody is in it */
	bool any_join;
	int fd[OCI_NS_MAX]; /* to join; -1 */
};

/* Opens the paths and checks their types. Errors name linux.namespaces and the path. */
int namespace_open(const struct oci_config *config, struct namespace_set *ret, struct err *err);
void namespace_close(struct namespace_set *n);
/*
 * Must a helper process make the child, since some of it works only for children (pid, time offsets) or must be joined
 * before the child's user namespace is made or joined?
 */
bool namespace_needs_helper(const struct namespace_set *n);
/*
 * Joins: what we may first, then the user namespace, then the rest, the mount namespace last. Joining a pid
 * namespace takes effect for children only. uids and gids become 0 in a joined user namespace.
 */
int namespace_join(const struct namespace_set *n, struct err *err);
/*
 * Writes linux.timeOffsets of our new, still empty time namespace to fd: our timens_offsets, opened before a change of
 * ids made it root's.
 */
int namespace_write_time_offsets(const struct oci_config *config, int fd, struct err *err);
/* CLONE_NEW* of every namespace the container has of its own (new or joined). */
uint64_t namespace_flags(const struct oci_config *config);
/*
 * Root of the user namespace that we are in (or its first id where 0 is not mapped, with the same power), with no supplementary groups
 * where that is allowed.
 */
int namespace_become_root(struct err *err);

#endif
