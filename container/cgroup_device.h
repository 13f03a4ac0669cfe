/* SPDX-License-Identifier: Apache-2.0 */
/* Device rules: an eBPF program on cgroup2, devices.allow and devices.deny on v1. config-linux.md#allowed-device-list. */
#ifndef CONTAINER_CGROUP_DEVICE_H
#define CONTAINER_CGROUP_DEVICE_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "oci/config.h"

struct cgroup_dir;

/* The rules in force for a container: deny everything, the config's, then those that every container has. */
struct cgroup_device_rules {
	struct oci_device_rule *v; /* owned */
	size_t n;
};

/* r may be NULL. */
void cgroup_device_rules(const struct oci_resources *r, struct cgroup_device_rules *ret);
void cgroup_device_free(struct cgroup_device_rules *rules);

/* May type ('c', 'b') major:minor be accessed this way? Every asked bit is decided by the last rule that has it. Pure. */
bool cgroup_device_allowed(const struct cgroup_device_rules *rules, char type, int64_t major, int64_t minor, bool r,
			   bool w, bool m);

/* Compiles; *ret_insns is owned. Pure; never fails. */
void cgroup_device_compile(const struct cgroup_device_rules *rules, struct bpf_insn **ret_insns, size_t *ret_n);
/* Loads and attaches to a cgroup2 directory; replaces programs attached before. May sleep in the kernel's verifier. */
int cgroup_device_attach(struct cgroup_dir *d, const struct cgroup_device_rules *rules, struct err *err);

/* Can v1 express the rules? It cannot deny a part of what a wildcard allows. -EOPNOTSUPP with the rule. Pure. */
int cgroup_device_check_v1(const struct cgroup_device_rules *rules, struct err *err);
/* Writes the difference between devices.list and the rules; nothing allowed by both is denied in between. */
int cgroup_device_write_v1(struct cgroup_dir *d, const struct cgroup_device_rules *rules, struct err *err);

#endif
