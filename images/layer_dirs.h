/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of a layer's tree while it is being unpacked, found by name. */
#ifndef IMAGES_LAYER_DIRS_H
#define IMAGES_LAYER_DIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct layer_dir {
	char *path;
	bool implied, opaque, gone, timed;
	uint32_t mode;
	/* what lies in it, and the next in the directory around it: index + 1; 0: none. listed: it is in that list */
	uint32_t first, next;
	bool listed;
	struct timespec mtime;
	/* its default ACL, which what is made in it meanwhile must not inherit; NULL: none */
	void *acl;
	size_t acl_len;
};

/* All zero: none yet. */
struct layer_dirs {
	struct layer_dir *v; /* in the order they were made */
	size_t n, cap;
	uint32_t *hash; /* index + 1; 0: empty */
	size_t hash_size;
};

/* NULL when there is none, or it is gone. Valid until the next add. */
struct layer_dir *layer_dirs_find(struct layer_dirs *d, const char *path);
/* A directory that was just made; the one around it is known. Valid until the next add. */
struct layer_dir *layer_dirs_add(struct layer_dirs *d, const char *path);
/* It and all below it are gone; add brings one back. */
void layer_dirs_gone(struct layer_dirs *d, const char *path);
void layer_dirs_clear(struct layer_dirs *d);

#endif
