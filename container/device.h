/* SPDX-License-Identifier: Apache-2.0 */
/* The container's /dev: default and configured nodes, links. runtime-spec config-linux.md#devices, #default-devices. */
#ifndef CONTAINER_DEVICE_H
#define CONTAINER_DEVICE_H

#include <stdbool.h>

#include "base/err.h"

struct oci_config;

/* Does the config leave /dev to us (no bind mount over it)? */
bool device_wanted(const struct oci_config *config);
/*
 * Makes the default devices, those of linux.devices, and the links, below rootfd. bind: in a user namespace, where
 * mknod(2) is not allowed: the host's nodes are bound instead. Called before pivot_root; sets umask 0 for its duration.
 */
int device_setup(const struct oci_config *config, int rootfd, bool bind, struct err *err);
/* Binds the terminal's slave onto /dev/console below rootfd, made when missing; never follows a link there. */
int device_console(int rootfd, int slave, struct err *err);
/* The host's device node path as O_PATH fd, after checking that it is this device. fd or -errno. */
int device_open_host(const char *path, char type, unsigned int major, unsigned int minor);

#endif
