/* SPDX-License-Identifier: Apache-2.0 */
/* amphi-images on behalf of `run --image`, see images/images.h. */
#ifndef RUNTIME_CMD_IMAGES_H
#define RUNTIME_CMD_IMAGES_H

#include "base/err.h"

/*
 * Makes the bundle of a container of an image, its root mounted. args is NULL-terminated: the words behind "prepare"
 * ("--id", ID, IMAGE, COMMAND...). *ret_bundle is its absolute path, owned. Blocks while the image is pulled;
 * call after selfexe_protect(). -EIO with the program's own message.
 */
int cmd_images_prepare(const char *const *args, char **ret_bundle, struct err *err);
/* Undoes it; 0 also when there is nothing. */
int cmd_images_release(const char *bundle, struct err *err);

/*
 * Removes the bundle in the store that was made for the state directory and never got, or has lost, it (a killed `run
 * --image`, a reboot). 0 also when there is nothing, which costs one access(2).
 */
int cmd_images_forget(const char *id, const char *statedir, struct err *err);

#endif
