/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle: a directory with config.json and the root filesystem it names (runtime-spec bundle.md). */
#ifndef OCI_BUNDLE_H
#define OCI_BUNDLE_H

#include <stddef.h>

#include "oci/config.h"

struct oci_bundle {
	char *path;        /* absolute, symlinks resolved */
	char *config_path; /* the document's file */
	char *rootfs;      /* root.path made absolute; NULL when the document has no root */
	char *json;        /* the document's bytes, NUL-terminated */
	size_t json_len;
	struct oci_config *config;
};

/*
 * Loads dir/config.json (or config_file, relative to the caller, when not NULL), parses it and resolves root.path and relative
 * bind sources against dir. The rootfs must be a directory. Errors use runc's words where they have some
 * ("JSON specification file config.json not found"). On success *ret is owned.
 */
int oci_bundle_load(const char *dir, const char *config_file, struct oci_bundle **ret, struct err *err);
/* NULL allowed. */
void oci_bundle_free(struct oci_bundle *b);
static inline void cleanup_oci_bundle_fn(struct oci_bundle **b)
{
	oci_bundle_free(*b);
}
#define cleanup_oci_bundle CLEANUP(cleanup_oci_bundle_fn)

#endif
