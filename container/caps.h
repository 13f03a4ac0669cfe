/* SPDX-License-Identifier: Apache-2.0 */
/* Capability sets of the workload. runtime-spec config.md#linux-process (capabilities), capabilities(7). */
#ifndef CONTAINER_CAPS_H
#define CONTAINER_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct oci_process;

/* The five sets as the kernel will take them: what this process may not give is left out (and logged). */
struct caps {
	uint64_t bounding, permitted, effective, inheritable, ambient;
};

/* From process.capabilities (all empty when absent), limited to what the calling process has. */
int caps_plan(const struct oci_process *p, struct caps *ret, struct err *err);
/* Before the user changes: drops from the bounding set, asks to keep permitted capabilities over setuid. */
int caps_before_setuid(const struct caps *c, struct err *err);
/*
 * After the user changed: inheritable and ambient sets, permitted and effective as planned plus also (capabilities that the
 * caller needs a little longer, e.g. CAP_SYS_ADMIN to load a filter).
 */
int caps_after_setuid(const struct caps *c, uint64_t also, struct err *err);
/* Gives up also: one system call. */
int caps_final(const struct caps *c, struct err *err);
#define CAPS_BIT(n) (1ULL << (n))

#endif
