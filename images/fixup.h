/* SPDX-License-Identifier: Apache-2.0 */
/* What a layer that was unpacked alone lacks above its parents. */
#ifndef IMAGES_FIXUP_H
#define IMAGES_FIXUP_H

#include "images/store.h"

/*
 * Looks whether the layer is right above the trees (lowest first, relative to the store) and makes, once, the
 * tree that repairs it. *ret_tree is its owned name ("fixups/HEX/fs" by chain-id), or NULL when nothing is
 * amiss. 0 or negative.
 */
int fixup_make(struct store *s, char *const *lower, const char *diff_id, const char *chain_id, char **ret_tree,
	       struct err *err);

#endif
