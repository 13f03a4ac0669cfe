/* SPDX-License-Identifier: Apache-2.0 */
/* User and group id maps of a container of an image, and its layers as they look through them. */
#ifndef IMAGES_USERMAP_H
#define IMAGES_USERMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct usermap_range {
	uint32_t inside, outside, size;
};

struct usermap {
	struct usermap_range *uids, *gids;
	size_t n_uids, n_gids;
};

/*
 * "CONTAINER:HOST:SIZE" words of --uidmap and --gidmap; where one option is not given it is as the other. -EINVAL
 * names the word. Neither: *ret is empty, the container has no user namespace.
 */
int usermap_parse(char *const *uids, char *const *gids, struct usermap *ret, struct err *err);
void usermap_clear(struct usermap *m);
/* The text of a uid_map; owned. */
char *usermap_text(const struct usermap_range *m, size_t n);
/* The id outside of one inside, or -1 when it is not mapped. */
int64_t usermap_outside(const struct usermap_range *m, size_t n, uint32_t inside);
/* Writes linux.uidMappings and gidMappings. */
void usermap_write(struct json_writer *w, const struct usermap *m);
/*
 * What a value of xattr NAME, taken from an image, must be on a file that is copied for the maps: ids in ACLs are mapped, file
 * capabilities count for the namespace's root. *value (malloc) and *len are replaced where that is so.
 */
void usermap_xattr(const struct usermap *m, const char *name, void **value, size_t *len);

/* A user namespace with the maps, with nobody in it. fd or negative. Needs root. */
int usermap_namespace(const struct usermap *m, struct err *err);
/* Runs fn(arg) as root of the namespace, in a child. What fn returns, or negative; *err crosses over. */
int usermap_run(int userns, int (*fn)(void *arg, struct err *err), void *arg, struct err *err);
/*
 * This thread makes files as the root of the maps, and loses no capability by it; NULL: as itself again. Who mounts
 * an overlay whose upper directory is idmapped must be somebody there. 0 or negative.
 */
int usermap_files_as(const struct usermap *m, struct err *err);
/*
 * A detached mount of dirfd/path in which the ids that the disk has appear mapped. fd or negative: -EINVAL where
 * the file system has no idmapped mounts, -ENOSYS before Linux 5.12.
 */
int usermap_tree(int userns, int dirfd, const char *path);

#endif
