/* SPDX-License-Identifier: Apache-2.0 */
/* The size of a machine that runs: processors online, memory by the balloon, the monitor's limits. */
#ifndef RUNTIME_RESIZE_H
#define RUNTIME_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct oci_config;
struct oci_resources;
struct sandbox;

/* What the machine is, by its record. */
struct resize_machine {
	uint64_t memory;        /* RAM it was booted with, bytes */
	unsigned int vcpus_max; /* present */
	bool qemu;
};

/* What an update makes of it. */
struct resize {
	unsigned int vcpus; /* online; 0: unchanged */
	bool has_memory;
	uint64_t balloon;    /* taken away, bytes */
	uint64_t host_limit; /* of the monitor's cgroup, bytes */
};

/*
 * Decides; pure. A quota becomes that many processors, rounded up, none means all that are present; a memory limit that
 * much and what the guest itself needs. More memory than at boot is refused (-ENOTSUP) by its path.
 */
int resize_plan(const struct oci_resources *res, const struct oci_config *config, const struct resize_machine *m,
		struct resize *ret, struct err *err);
/*
 * Applies res to container and machine: grows the machine before its container's limits, shrinks it after them, so that
 * the guest always has what the limits allow. sock: the agent's.
 */
int resize_apply(struct sandbox *sb, const char *sock, const struct oci_resources *res, const struct resize_machine *m,
		 struct err *err);

#endif
