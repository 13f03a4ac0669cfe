/* SPDX-License-Identifier: Apache-2.0 */
/* The trees of an image in order, with what makes independent layers right together; mounting and copying them. */
#ifndef IMAGES_SNAPSHOT_H
#define IMAGES_SNAPSHOT_H

#include "images/merge.h"
#include "images/store.h"
#include "images/usermap.h"

/*
 * The trees of the diff-ids, lowest first, relative to the store ("layers/HEX/fs"); a layer that cannot be right
 * alone is followed by its fixup tree ("fixups/HEX/fs", made here when missing). *ret is an owned vector.
 */
int snapshot_trees(struct store *s, char *const *diff_ids, char ***ret, struct err *err);

/* Opens the trees for merge.h; close with snapshot_close(). */
int snapshot_open(const struct store *s, char *const *trees, struct merge *ret, struct err *err);
void snapshot_close(struct merge *m);

/*
 * Makes dir/rootfs (dir is a directory of the store, fd dirfd) the merged tree: an overlay with dir/upper on top,
 * or, where the kernel or the file system cannot, a copy. With a user namespace (userns made of map, else -1) ids
 * are as its maps have them. *ret_options (owned) is with what the overlay was mounted, directories relative to dir;
 * NULL: it is a copy.
 */
int snapshot_mount(struct store *s, char *const *trees, int dirfd, int userns, const struct usermap *map,
		   char **ret_options, struct err *err);

#endif
