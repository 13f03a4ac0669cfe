/* SPDX-License-Identifier: Apache-2.0 */
/* A compressed layer becomes a tree: inflating in one thread, hashing and writing in another. */
#ifndef IMAGES_LAYER_UNPACK_H
#define IMAGES_LAYER_UNPACK_H

#include "images/inflate.h"
#include "images/layer.h"
#include "images/store.h"

/*
 * Reads a layer through read and unpacks it into dirfd/fs with dirfd/meta.json beside it. The stream is read to
 * its very end, so that a digest computed in read covers every byte. diff_id (may be NULL) is what the
 * uncompressed archive must hash to; ret_diff_id gets what it does. 0 or negative; nothing is published.
 */
int layer_unpack(int dirfd, inflate_read_fn *read, void *arg, const struct layer_options *o, const char *diff_id,
		 char ret_diff_id[DIGEST_MAX], struct err *err);

/* Is the tree of the diff-id there? */
bool layer_unpack_has(const struct store *s, const char *diff_id);
/* Renames tmpdir (relative to the store) to the diff-id's place; one that is there already wins. 0 or negative. */
int layer_unpack_publish(const struct store *s, const char *tmpdir, const char *diff_id, struct err *err);
/* "layers/HEX/fs", owned. */
char *layer_unpack_tree(const char *diff_id);

#endif
