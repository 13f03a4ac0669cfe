/* SPDX-License-Identifier: Apache-2.0 */
/* Where blobs of the store are known to be: repositories of registries. */
#ifndef IMAGES_ORIGIN_H
#define IMAGES_ORIGIN_H

#include "images/ref.h"
#include "images/store.h"

/* Remembers that the repository of ref has all blobs of the image. What cannot be remembered is forgotten. */
void origin_note(const struct store *s, const struct store_image *i, const struct ref *ref);
/* Another repository on ref's host that has the blob, owned; NULL: none is known. */
char *origin_find(const struct store *s, const char *digest, const struct ref *ref);
/* Forgets blobs that the store has no more. For the collector. */
void origin_sweep(const struct store *s);

#endif
