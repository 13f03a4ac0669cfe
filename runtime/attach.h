/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --network, --publish, --dns, --add-host, --hostname of create and run: what they change in the config, and
 * the attachment to our own networks as steps of the sandbox.
 */
#ifndef RUNTIME_ATTACH_H
#define RUNTIME_ATTACH_H

#include <stdbool.h>

#include "base/err.h"

struct sandbox;

/*
 * Before any side effect: checks the words and rewrites the bundle's config for them (network namespace, hostname,
 * binds of resolv.conf, hosts, hostname, args of an image). Nothing asked: nothing done.
 */
int attach_adapt(struct sandbox *sb, struct err *err);
/* The files that the added mounts bind, empty, in the state directory. */
int attach_files(struct sandbox *sb, struct err *err);
/* Steps: a machine's taps before the monitor exists; a container's veth once its namespace exists. */
int attach_machine(struct sandbox *sb, struct err *err);
int attach_container(struct sandbox *sb, struct err *err);
/* Does one of these words of --network (or the record) make links that are ours? NULL: no. */
bool attach_owns_links(char *const *networks);
/* Undo of both, from the record. */
int attach_undo(struct sandbox *sb, struct err *err);

#endif
