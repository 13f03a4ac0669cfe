/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on disk: a valid OCI image layout (image-layout.md) with unpacked layers beside it.
 *
 *	store.json             {"version":1}
 *	ids                    in a user's store: the owner by whom changed ranges of ids are noticed
 *	gc.lock index.lock     flock(2): users of content SH, collectors EX; writers of index.json EX
 *	oci-layout index.json blobs/ALG/HEX
 *	partial/HEX            downloads in progress, resumed by whoever comes next (locked)
 *	layers/HEX/{fs,meta.json}   one tree for each diff-id, immutable
 *	fixups/HEX/fs          by chain-id: what a layer needs above these parents (snapshot.c)
 *	locks/HEX              one unpacking at a time
 *	origins/HEX            repositories that have the blob (origin.c)
 *	containers/ID/         bundles with their upper directories
 *	tmp/                   staging; whatever is there when nobody works is rubbish
 *
 * Names in index.json are whole references ("docker.io/library/busybox:latest") in the ref.name annotation.
 */
#ifndef IMAGES_STORE_H
#define IMAGES_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "images/digest.h"
#include "images/rights.h"
#include "oci/image_spec.h"

enum store_use {
	STORE_READ,    /* an existing store, gc.lock SH */
	STORE_WRITE,   /* made when missing, gc.lock SH */
	STORE_COLLECT, /* gc.lock EX: waits for all others */
};

struct store {
	int fd;
	char *path; /* absolute */
	enum rights rights;
	bool sync; /* make things durable before they are named; on by default */
	int gc_lock;
};

/*
 * Opens the store (path NULL: $AMPHI_STORE, else the default of images.h). In STORE_WRITE the rubbish of
 * interrupted programs is removed when nobody else is at work. -ENOENT with a hint when a store to read is
 * missing; a version from the future is refused, and (but for STORE_READ) a user's store whose ids the user no longer has.
 */
int store_open(const char *path, enum store_use use, struct store **ret, struct err *err);
void store_close(struct store *s);
static inline void cleanup_store_fn(struct store **s)
{
	store_close(*s);
}
#define cleanup_store CLEANUP(cleanup_store_fn)

/* Is the blob there? Its size in *ret_size (may be NULL). */
bool store_has_blob(const struct store *s, const char *digest, uint64_t *ret_size);
/* Opens it for reading. fd or negative. */
int store_open_blob(const struct store *s, const char *digest, struct err *err);
/* A document of at most OCI_IMAGE_DOC_MAX bytes, its digest verified. *ret owned, NUL-terminated. */
int store_read_blob(const struct store *s, const char *digest, char **ret, size_t *ret_len, struct err *err);
/* Writes a document; *ret_desc gets digest and size (media_type is the caller's copy). */
int store_put_blob(const struct store *s, const void *buf, size_t len, const char *media_type,
		   struct oci_descriptor *ret_desc, struct err *err);
/* Moves a finished file dirname/name (synced by the caller) to its place. */
int store_adopt_blob(const struct store *s, const char *dirname, const char *name, const char *digest, struct err *err);

/* A fresh directory in tmp/: its name relative to the store ("tmp/XXXX"), owned; *ret_fd open. */
int store_tmpdir(const struct store *s, char **ret_name, int *ret_fd, struct err *err);
/* Everything written so far survives a power cut (syncfs), unless sync is off. */
int store_sync(const struct store *s, struct err *err);
/* Locks locks/NAME exclusively; with try set -EAGAIN when somebody has it. fd or negative. */
int store_lock_name(const struct store *s, const char *name, bool try, struct err *err);

int store_load_index(const struct store *s, struct oci_index **ret, struct err *err);
/* Gives desc (media type, digest, size, platform) the name, taking it from whatever had it. Durable. */
int store_tag(const struct store *s, const char *name, const struct oci_descriptor *desc, struct err *err);
/* Takes the name away; 1 when it was there, 0 when not. */
int store_untag(const struct store *s, const char *name, struct err *err);

/*
 * What a person called text: a reference, one without host (docker.io, then localhost), or the beginning of a
 * manifest's or configuration's digest. *ret is a copy to clear. -ENOENT "no image NAME here".
 */
int store_find(const struct store *s, const char *text, struct oci_descriptor *ret, struct err *err);

/* Debug builds: the process kills itself here when AMPHI_STOP_AT names this point. */
#ifdef AMPHI_DEBUG
void store_stop_at(const char *point);
#else
static inline void store_stop_at(const char *point)
{
	(void)point;
}
#endif

/* An image for one platform: manifest and configuration, read and checked against each other. */
struct store_image {
	struct oci_descriptor desc; /* of the manifest */
	struct oci_manifest *manifest;
	struct oci_image *config;
	char *manifest_json, *config_json;
	size_t manifest_len, config_len;
};
/* desc may be an index: the platform (NULL: this machine's) chooses; a lone manifest is taken as it is. */
int store_load_image(const struct store *s, const struct oci_descriptor *desc, const struct oci_platform *platform,
		     struct store_image *ret, struct err *err);
void store_image_clear(struct store_image *i);

#endif
