/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a container from writing to the host's binary through /proc/PID/exe (CVE-2019-5736). */
#ifndef CONTAINER_SELFEXE_H
#define CONTAINER_SELFEXE_H

#include "base/err.h"

/*
 * Makes this process run from a read-only image of its own binary: a detached read-only bind mount, or a sealed memfd where
 * mounts are not allowed. Executes itself again with argv when it does not yet (so call it first, before
 * any side effect, with main's argv; environ is kept). Returns 0 once protected; -errno when it cannot be.
 */
int selfexe_protect(char *const argv[], struct err *err);

/*
 * The binary's path on the host when this process runs from a protected image (where /proc/self/exe says "/"), else
 * NULL: then readlink it. Borrowed from the environment.
 */
const char *selfexe_path(void);

#endif
