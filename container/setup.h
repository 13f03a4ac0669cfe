/* SPDX-License-Identifier: Apache-2.0 */
/* What the parent hands to the child for its mounts: trees opened with the host's privileges. */
#ifndef CONTAINER_SETUP_H
#define CONTAINER_SETUP_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct oci_config;

/* Trees behind those of the mounts: the root filesystem, the notify directory, the nodes of linux.devices. */
enum { SETUP_ROOT, SETUP_NOTIFY, SETUP_DEVICES, SETUP_MORE };

struct setup_request {
	int *trees;     /* one for each mount, then SETUP_MORE; -1: none; owned */
	size_t n_trees; /* mounts */
};

/*
 * Parent: opens the trees (pid: whose user namespace idmaps refer to) and sends them. rootfs is among them where the
 * child has a user namespace, whose root may not reach the path; so is notify_dir (NULL: none), and what
 * device_tree() makes. -EPIPE: the child is gone.
 */
int setup_send(int sock, const struct oci_config *config, const char *rootfs, const char *notify_dir, pid_t pid,
	       struct err *err);
/* Child: waits for it. */
int setup_recv(int sock, size_t n_mounts, struct setup_request *ret, struct err *err);
/* The tree of mount i, or of n_trees + SETUP_..., now the caller's; -1. */
int setup_take_tree(struct setup_request *q, size_t i);
void setup_done(struct setup_request *q);
#define cleanup_setup_request CLEANUP(setup_done)

#endif
