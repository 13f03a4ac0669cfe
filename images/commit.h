/* SPDX-License-Identifier: Apache-2.0 */
/* A container's changes as one more layer. */
#ifndef IMAGES_COMMIT_H
#define IMAGES_COMMIT_H

#include "images/store.h"

struct commit_options {
	const char *name; /* of the new image */
	char **changes;   /* Dockerfile's words, as for import */
	const char *message, *author;
};

/*
 * Makes an image of the container (its id in the store, or its bundle's path): the layers it was made of and one
 * with what its upper directory has. The container should not be writing. *ret_digest: the manifest's, owned.
 */
int commit_container(struct store *s, const char *container, const struct commit_options *o, char **ret_digest,
		     struct err *err);

#endif
