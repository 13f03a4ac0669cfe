/* SPDX-License-Identifier: Apache-2.0 */
/* The container's /dev: default and configured nodes, links. runtime-spec config-linux.md#devices, #default-devices. */
#ifndef CONTAINER_DEVICE_H
#define CONTAINER_DEVICE_H

#include <stdbool.h>

#include "base/err.h"

struct oci_config;
struct oci_linux;

/* Does the config leave /dev to us (no bind mount over it)? */
bool device_wanted(const struct oci_config *config);
/*
 * In the parent of a container in a user namespace: a detached filesystem with the nodes of linux.devices, each named by
 * its index, with the mode and the owner asked for. fd; -ENOTSUP without *err where there are none or where we may not make
 * nodes either.
 */
int device_tree(const struct oci_linux *linux_, struct err *err);
/*
 * Makes the default devices, those of linux.devices, and the links, below rootfd. bind: in a user namespace, where
 * mknod(2) is not allowed: nodes are bound instead, those of linux.devices from tree (of device_tree(); consumed; -1:
 * none), all others from the host's. Called before pivot_root; sets umask 0 for its duration.
 */
int device_setup(const struct oci_config *config, int rootfd, bool bind, int tree, struct err *err);
/* What the terminal is bound to: /dev/console below rootfd, made if it is not there. An fd (O_PATH), or a negative errno. */
int device_console_file(int rootfd, struct err *err);
/* Binds the terminal's slave onto /dev/console below rootfd, made when missing; never follows a link there. */
int device_console(int rootfd, int slave, struct err *err);
/* The host's device node path as O_PATH fd, after checking that it is this device. fd or -errno. */
int device_open_host(const char *path, char type, unsigned int major, unsigned int minor);

#endif
