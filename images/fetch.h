/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing an image's layers into the store from somewhere: fetched, verified and unpacked in one pass, in parallel. */
#ifndef IMAGES_FETCH_H
#define IMAGES_FETCH_H

#include "images/progress.h"
#include "images/store.h"

/* Where blobs come from. Functions are called from several threads at once, a stream from one at a time. */
struct fetch_source {
	/* Opens the blob at a byte offset. 0 or negative. */
	int (*open)(void *arg, const struct oci_descriptor *d, uint64_t offset, void **ret_stream, struct err *err);
	/* Up to len bytes, 0 at the end. */
	ssize_t (*read)(void *stream, void *buf, size_t len, struct err *err);
	void (*close)(void *stream);
	void *arg;
	unsigned int parallel; /* layers at once */
	bool resumable;        /* keep what came of a blob when the rest fails */
};

struct fetch_options {
	uint64_t max_layer_bytes;  /* 0: no limit */
	struct progress *progress; /* NULL: silent */
};

/*
 * Makes sure that the store has every layer of the manifest, as blob and as tree, each verified by digest, size
 * and diff-id. What is there is not fetched again; what another program is fetching is waited for. On failure
 * finished layers stay (they are rubbish for prune only if no image uses them) and partial ones resume.
 */
int fetch_layers(struct store *s, const struct fetch_source *src, const struct oci_manifest *m,
		 const struct oci_image *image, const struct fetch_options *o, struct err *err);

/* One small blob (manifest, configuration) into memory, verified. *ret owned, NUL-terminated. */
int fetch_document(const struct fetch_source *src, const struct oci_descriptor *d, char **ret, size_t *ret_len,
		   struct err *err);

/*
 * A whole image: documents through src, layers, then manifest and configuration into the store and, when name is
 * not NULL, the name last. desc is a manifest's.
 */
int fetch_image(struct store *s, const struct fetch_source *src, const struct oci_descriptor *desc, const char *name,
		const struct fetch_options *o, struct err *err);

#endif
