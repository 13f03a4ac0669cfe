/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a container's directory in the store is, and whether that owner is gone. */
#ifndef IMAGES_OWNER_H
#define IMAGES_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/json.h"

/*
 * The "owner" member of image.json: state is the state directory that the runtime is going to make, pid the
 * process that will (the owner until then).
 */
void owner_write(struct json_writer *w, const char *state, pid_t pid);
/*
 * Is the owner that image.json's text tells of gone: no state directory, and its process dead? Without an owner (a
 * bundle made by hand) never. A process of another pid namespace counts as alive until the next boot. state (may be
 * NULL): only an owner of that state directory.
 */
bool owner_gone(const char *image_json, size_t len, const char *state);

#endif
