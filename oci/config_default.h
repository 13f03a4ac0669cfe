/* SPDX-License-Identifier: Apache-2.0 */
/* The document that `amphi spec` writes, and the one images are converted on. */
#ifndef OCI_CONFIG_DEFAULT_H
#define OCI_CONFIG_DEFAULT_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * runc's default config.json (indented, newline at the end, owned by the caller). rootless: a user
 * namespace that maps uid and gid of the caller to 0, no network namespace, no resources, /sys by rbind. cgroupns: with a
 * cgroup namespace, which runc writes on hosts of cgroup2 alone.
 */
char *oci_config_default(bool rootless, bool cgroupns, uid_t uid, gid_t gid);

#endif
