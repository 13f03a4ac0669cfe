/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer as a directory tree in overlay's form (image-spec layer.md): whiteouts are character devices 0:0,
 * opaque directories carry overlay's xattr. A tree knows nothing of the layers below it.
 */
#ifndef IMAGES_LAYER_H
#define IMAGES_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "images/rights.h"
#include "images/tar.h"

struct layer_options {
	enum rights rights;   /* what cannot be made (owners, devices, privileged xattrs) is left out */
	uint64_t max_bytes;   /* of all files together; 0: no limit */
	uint64_t max_entries; /* and directories they imply; 0: no limit */
	tar_put_fn *copy;     /* of layer_unpack(): gets the uncompressed archive as well; NULL: nobody */
	void *copy_arg;
};

#define LAYER_MAX_ENTRIES 4000000 /* of a layer where nobody says otherwise */

struct layer_link {
	char *path;
	char *target;
};

/* What later readers need and the tree does not show. */
struct layer_meta {
	uint64_t bytes;           /* of file data */
	uint64_t entries;         /* of the archive */
	char **implied;           /* directories the archive did not list ("": the root), parents first */
	struct layer_link *links; /* hard links whose target is not in this layer */
	size_t n_links;
};

/*
 * Unpacks the archive below rootfd, an empty directory nobody else writes. Refuses, naming the entry: absolute
 * names, "..", paths or link targets through symlinks, whiteouts without a name, sizes beyond the limits.
 * umask must be 0. 0 or negative; on failure the tree is useless. *meta is the caller's to clear either way.
 */
int layer_apply(int rootfd, struct tar *t, const struct layer_options *o, struct layer_meta *meta, struct err *err);
void layer_meta_clear(struct layer_meta *m);

/* meta.json: owned text, and back. Unknown versions are refused. */
char *layer_meta_write(const struct layer_meta *m);
int layer_meta_parse(const char *buf, size_t len, struct layer_meta *ret, struct err *err);
/* That of a layer of the store. */
int layer_meta_read(int storefd, const char *diff_id, struct layer_meta *ret, struct err *err);

/* Overlay's xattr of an opaque directory: "trusted.overlay.opaque", or user. when not root's. */
const char *layer_opaque_xattr(enum rights rights);
/* Is the open (O_PATH or not) or named thing a whiteout? */
bool layer_is_whiteout(uint32_t st_mode, uint64_t st_rdev);
/*
 * Cleans a name of an archive: "./a//b/" becomes "a/b", the root "". NULL with *err for an absolute name, "..",
 * or one too long. Owned.
 */
char *layer_clean_name(const char *name, struct err *err);

#endif
