/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a container from writing to the host's binary through /proc/PID/exe (CVE-2019-5736). */
#ifndef CONTAINER_SELFEXE_H
#define CONTAINER_SELFEXE_H

#include "base/err.h"

#define SELFEXE_LINK "/proc/self/exe"
/* "PID:PATH" across the second execve: guards against a loop and keeps the binary's real path. */
#define SELFEXE_MARK "AMPHI_SELFEXE"
/* The program's ELF entry (selfexe_entry.c). */
#define SELFEXE_ENTRY "selfexe_entry"

/*
 * Makes sure that this process runs from a read-only image of its own binary. Where the entry has not seen to that,
 * executes itself again from a sealed memfd with argv (so call it first, before any side effect, with main's
 * argv; environ is kept). Returns 0 once protected; -errno when it cannot be.
 */
int selfexe_protect(char *const argv[], struct err *err);

/*
 * The binary's path on the host when this process runs from a protected image (where /proc/self/exe says "/"), else
 * NULL: then readlink it. Borrowed from the environment.
 */
const char *selfexe_path(void);

#endif
