/* SPDX-License-Identifier: Apache-2.0 */
/* tar archives: ustar, pax and GNU, read entry by entry without copying data; written as pax. */
#ifndef IMAGES_TAR_H
#define IMAGES_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Longest name, and most bytes of extended headers of one entry. */
#define TAR_NAME_MAX 4096
#define TAR_EXTENDED_MAX (1024 * 1024)

struct tar_xattr {
	char *name;
	void *value; /* len bytes */
	size_t len;
};

struct tar_hole_map {
	uint64_t offset;
	uint64_t len;
};

enum tar_type { TAR_FILE, TAR_HARDLINK, TAR_SYMLINK, TAR_CHAR, TAR_BLOCK, TAR_DIR, TAR_FIFO };

struct tar_entry {
	char *path; /* as in the archive; never empty */
	char *link; /* of TAR_HARDLINK and TAR_SYMLINK */
	enum tar_type type;
	uint32_t mode; /* permission bits, 07777 */
	uint32_t uid, gid;
	uint64_t size; /* of the file; bytes in the archive may be fewer when sparse */
	int64_t mtime;
	uint32_t mtime_nsec;
	uint32_t major, minor;
	struct tar_xattr *xattrs;
	size_t n_xattrs;
	bool sparse; /* data exists only in map */
	struct tar_hole_map *map;
	size_t n_map;
};

/* Gives the next piece of the archive, valid until the next call: bytes, 0 at the end, negative with *err. */
typedef ssize_t tar_fill_fn(void *arg, const uint8_t **ret, struct err *err);

/* Passes over len bytes behind the last piece. 0 or negative with *err. */
typedef int tar_skip_fn(void *arg, uint64_t len, struct err *err);

struct tar;

struct tar *tar_new(tar_fill_fn *fill, void *arg);
/* For an archive that can be sought in: what is skipped is not asked of fill. Same arg. */
void tar_set_skip(struct tar *t, tar_skip_fn *skip);
/* Skips what is left of the entry and reads the next header: 1 and *ret (valid until the next call), 0 at the end, negative. */
int tar_next(struct tar *t, const struct tar_entry **ret, struct err *err);
/*
 * The next piece of the entry's data, *ret_offset saying where in the file it belongs: bytes, 0 when the entry is complete,
 * negative. Valid until the next call of a tar_ function.
 */
ssize_t tar_data(struct tar *t, const uint8_t **ret, uint64_t *ret_offset, struct err *err);
/* Reads to the end of the stream (padding behind the archive). 0 or negative. */
int tar_drain(struct tar *t, struct err *err);
void tar_free(struct tar *t);

/* Takes len bytes of the archive. 0 or negative with *err. */
typedef int tar_put_fn(void *arg, const void *buf, size_t len, struct err *err);

/* Writes the header (with a pax header before it where ustar does not suffice). The e->size bytes of a file must follow, then tar_write_padding(). Sparse entries are not written. */
int tar_write_entry(tar_put_fn *put, void *arg, const struct tar_entry *e, struct err *err);
/* Pads the data of an entry of size bytes to a whole block. */
int tar_write_padding(tar_put_fn *put, void *arg, uint64_t size, struct err *err);
/* Two empty blocks. */
int tar_write_end(tar_put_fn *put, void *arg, struct err *err);

#endif
