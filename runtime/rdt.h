/* SPDX-License-Identifier: Apache-2.0 */
/* linux.intelRdt of a sandbox: made with its process, undone with it. */
#ifndef RUNTIME_RDT_H
#define RUNTIME_RDT_H

#include "base/err.h"

struct sandbox;

/* Puts rec.pid into its class of service; the state directory remembers what there is to undo. */
int rdt_apply(struct sandbox *sb, struct err *err);
/* Removes what rdt_apply() made. Repeatable; works from the state directory alone. */
int rdt_undo(struct sandbox *sb, struct err *err);

#endif
