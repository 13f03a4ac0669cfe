/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts of a container that runs. */
#ifndef CONTAINER_MOUNT_LIVE_H
#define CONTAINER_MOUNT_LIVE_H

#include "base/err.h"

struct container_mounts_params;

/* container_mounts() of container.h. */
int mount_live_change(const struct container_mounts_params *p, struct err *err);

#endif
