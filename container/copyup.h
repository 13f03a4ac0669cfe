/* SPDX-License-Identifier: Apache-2.0 */
/* Copies a directory of the image into a fresh tmpfs mounted over it (option word tmpcopyup). */
#ifndef CONTAINER_COPYUP_H
#define CONTAINER_COPYUP_H

#include "base/err.h"

/*
 * Copies everything below the directory fd from (O_PATH is enough) to the directory fd to: owners, modes, times, symlinks,
 * xattrs, device nodes; no symlink is followed, no mount crossed. Blocks.
 */
int copyup_tree(int from, int to, struct err *err);

#endif
