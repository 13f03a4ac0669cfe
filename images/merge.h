/* SPDX-License-Identifier: Apache-2.0 */
/* The merged view of layer trees without mounting them: looking a name up, walking everything, copying it out. */
#ifndef IMAGES_MERGE_H
#define IMAGES_MERGE_H

#include <sys/stat.h>

#include "images/rights.h"
#include "images/tar.h"

/* Layer trees, lowest first; fds of directories in overlay's form. */
struct merge {
	int *fds;
	size_t n;
	enum rights rights; /* which opaque xattr counts, what copies can have */
};

struct merge_found {
	size_t layer; /* index whose tree shows it */
	struct stat st;
};

/*
 * What the merged tree shows at path (clean, relative, "" the root) without following a symlink at its end. 0;
 * -ENOENT; -ENOTDIR or -ELOOP when the way there leads through a file or a symlink.
 */
int merge_lookup(const struct merge *m, const char *path, struct merge_found *ret);
/* Follows all symlinks inside the merged tree: the real path, owned; NULL when it does not exist. */
char *merge_resolve(const struct merge *m, const char *path);

/*
 * Called for everything in the merged tree, parents first, names sorted: dirfd/name is the thing in its layer,
 * path its whole name ("" the root itself, with name "."). 0 to go on, negative ends the walk.
 */
typedef int merge_fn(void *arg, const char *path, int dirfd, const char *name, const struct stat *st, struct err *err);
int merge_walk(const struct merge *m, merge_fn *fn, void *arg, struct err *err);

/*
 * Copies the merged tree below rootfd (an empty directory), with owners, modes, times, xattrs, hard links. Owners become what
 * map has for them outside (NULL: stay as they are); one that it has not is an error.
 */
struct usermap;
int merge_out_copy(const struct merge *m, int rootfd, const struct usermap *map, struct err *err);
/* Writes it as one archive. */
int merge_out_tar(const struct merge *m, tar_put_fn *put, void *arg, struct err *err);

/* Copies one thing (not a directory's content) from dirfd/name to todir/toname with all it has. */
int merge_out_one(int dirfd, const char *name, const struct stat *st, int todir, const char *toname, enum rights rights,
		  struct err *err);
/* The first names of files with several links, a hash of them by device and inode. */
struct merge_seen {
	struct merge_seen_file {
		dev_t dev;
		ino_t ino;
		char *path; /* NULL: a free place */
	} * v;
	size_t n, size; /* taken, and in all: a power of two */
};
/* The name (valid until cleared) under which the file was seen before; NULL when it was not, or can have no other. */
const char *merge_out_seen(struct merge_seen *s, const struct stat *st, const char *path);
void merge_out_seen_clear(struct merge_seen *s);
/* xattrs of an open file or directory as tar_entry's; overlay's own are left out. */
int merge_out_xattrs(int fd, struct tar_entry *e, struct err *err);

#endif
