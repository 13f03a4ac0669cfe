/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to a running container, and in the foreground to its end: what run and restore have in common. */
#ifndef RUNTIME_LAUNCH_H
#define RUNTIME_LAUNCH_H

#include <stdbool.h>

#include "base/err.h"

struct globals;
struct create_request;

/*
 * Creates and starts (a restored one runs already). Detached: 0 once it runs. In the foreground: waits, deletes unless
 * req->keep, and returns the workload's exit code. subreaper: adopt the container's orphans meanwhile. On failure
 * nothing is left, the image's mount included. selfexe_protect() comes before.
 */
int launch_run(const struct globals *g, const struct create_request *req, bool subreaper, struct err *err);

#endif
