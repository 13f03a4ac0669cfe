/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to an image's configuration in a Dockerfile's words. */
#ifndef IMAGES_CHANGES_H
#define IMAGES_CHANGES_H

#include "base/json.h"

/*
 * Writes the member "config" of an image configuration: old's members (NULL: none) with the changes applied.
 * Words: CMD, ENTRYPOINT (a JSON list, or a shell line), ENV N=V, LABEL K=V, USER, WORKDIR, STOPSIGNAL, EXPOSE,
 * VOLUME. -EINVAL names a change that is none of these.
 */
int changes_write(struct json_writer *w, const struct json *old, char *const *changes, struct err *err);

#endif
