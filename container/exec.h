/* SPDX-License-Identifier: Apache-2.0 */
/* A second process in a running container. */
#ifndef CONTAINER_EXEC_H
#define CONTAINER_EXEC_H

#include "base/err.h"

struct container_exec_params;
struct container_exec_result;

/* See container_exec(). */
int exec_run(const struct container_exec_params *params, struct container_exec_result *ret, struct err *err);

#endif
