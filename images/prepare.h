/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles of images: for people in a directory of theirs, for `amphi run --image` in the store. */
#ifndef IMAGES_PREPARE_H
#define IMAGES_PREPARE_H

#include "images/convert.h"
#include "images/store.h"

/*
 * STORE/containers/ID with config.json and a mounted rootfs; *ret_bundle is its absolute path, owned. owner (may be
 * NULL) is the state directory that our parent is about to make for it. -EEXIST when the id is taken, unless the one
 * that took it is gone. Nothing stays on failure.
 */
int prepare_container(struct store *s, const struct store_image *i, const char *id, const char *owner,
		      const char *image_name, const struct convert_options *o, char **ret_bundle, struct err *err);
/* Undoes it, given the bundle's path. 0 also when there is nothing. With owner: only if that owner had it and is gone. */
int prepare_release(struct store *s, const char *bundle, const char *owner, struct err *err);
/* Removes the containers' directories whose owners are gone. The store must be open with STORE_COLLECT. */
int prepare_sweep(struct store *s, unsigned int *ret_n, struct err *err);

/* A bundle in dir (made when missing, must not have config.json): config.json and a copy of the tree in rootfs. */
int prepare_bundle(struct store *s, const struct store_image *i, const char *dir, const struct convert_options *o,
		   struct err *err);

#endif
