/* SPDX-License-Identifier: Apache-2.0 */
/* The host's cgroup hierarchies: which there are, where they are mounted, where we are in them. */
#ifndef CONTAINER_CGROUP_HOST_H
#define CONTAINER_CGROUP_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include "container/cgroup.h"

struct cgroup_hier {
	char *name; /* "memory", "cpu,cpuacct", "name=systemd"; "" for the cgroup2 tree */
	bool v2;
	char *mount;        /* absolute mount point */
	char *own;          /* our cgroup, absolute below the mount point ("/" at its root) */
	char **controllers; /* what can be limited here; NULL: nothing */
};

struct cgroup_host {
	enum cgroup_mode mode;
	struct cgroup_hier *hiers;
	size_t n;
};

/* Reads /proc/self/cgroup and the mounts; once in a process, then the same result. Never NULL. */
const struct cgroup_host *cgroup_host_get(void);
/* The same for given texts: of /proc/self/cgroup, and of mountinfo (NULL: look below /sys/fs/cgroup). Owned. */
struct cgroup_host *cgroup_host_parse(const char *self_cgroup, const char *mountinfo);
void cgroup_host_free(struct cgroup_host *h);
/* The hierarchy that holds the controller; NULL: none. */
const struct cgroup_hier *cgroup_host_find(const struct cgroup_host *h, const char *controller);
/* Path of our cgroup in the hierarchy by the text of a /proc/PID/cgroup; owned; NULL when it is not listed. */
char *cgroup_host_lookup(const char *proc_cgroup, const char *hier_name);

#endif
