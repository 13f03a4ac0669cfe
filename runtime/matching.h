/* SPDX-License-Identifier: Apache-2.0 */
/* Ids chosen by an extended regular expression (kill --regex, delete --regex). */
#ifndef RUNTIME_MATCHING_H
#define RUNTIME_MATCHING_H

#include "base/err.h"
#include "runtime/commands.h"

/* The ids below the state root that the expression matches (anywhere, unless anchored). *ret is owned. */
int matching_ids(const struct globals *g, const char *expression, char ***ret, struct err *err);

#endif
