/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody sees who joins the mount namespace of a machine's monitor: the container's files. */
#ifndef RUNTIME_JAILVIEW_H
#define RUNTIME_JAILVIEW_H

#include "base/err.h"

struct oci_config;

/*
 * A container_params.entry_root: lays the container's root with its bind mounts over the jail's root. arg is the container's
 * const struct oci_config. The monitor itself, whose root lies below, sees nothing of it. 0 or -errno.
 */
int jailview_attach(void *arg, int rootfd, struct err *err);

#endif
