/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles of images: for people in a directory of theirs, for `amphi run --image` in the store. */
#ifndef IMAGES_PREPARE_H
#define IMAGES_PREPARE_H

#include "images/convert.h"
#include "images/store.h"

/*
 * STORE/containers/ID with config.json and a mounted rootfs; *ret_bundle is its absolute path, owned. -EEXIST when
 * the id is taken. Nothing stays on failure.
 */
int prepare_container(struct store *s, const struct store_image *i, const char *id, const char *image_name,
		      const struct convert_options *o, char **ret_bundle, struct err *err);
/* Undoes it, given the bundle's path. 0 also when there is nothing. */
int prepare_release(struct store *s, const char *bundle, struct err *err);

/* A bundle in dir (made when missing, must not have config.json): config.json and a copy of the tree in rootfs. */
int prepare_bundle(struct store *s, const struct store_image *i, const char *dir, const struct convert_options *o,
		   struct err *err);

#endif
