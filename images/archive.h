/* SPDX-License-Identifier: Apache-2.0 */
/* Images in files: OCI layout directories, oci-archive, docker-archive, root file system archives. */
#ifndef IMAGES_ARCHIVE_H
#define IMAGES_ARCHIVE_H

#include "images/fetch.h"
#include "images/store.h"

enum archive_kind { ARCHIVE_AUTO, ARCHIVE_OCI_DIR, ARCHIVE_OCI, ARCHIVE_DOCKER, ARCHIVE_ROOTFS };

/* "auto", "oci", "oci-archive", "docker-archive", "rootfs". 0 or -EINVAL. */
int archive_kind_parse(const char *word, enum archive_kind *ret);

struct archive_import {
	enum archive_kind kind;
	const char *path;                    /* a directory, a file, or "-" */
	const char *name;                    /* for the image; NULL: what the archive says, else from the file's name */
	const struct oci_platform *platform; /* of an index; NULL: this machine's */
	char **changes; /* of a root file system: "CMD ...", "ENTRYPOINT ...", "ENV N=V", "USER u", "WORKDIR d", "LABEL k=v" */
	struct fetch_options fetch;
};

/* Brings the images of the archive into the store. *ret_names (owned): their names. */
int archive_import(struct store *s, const struct archive_import *a, char ***ret_names, struct err *err);

/* Writes images in the form; out is a path or "-" (archives). NAMES must be in the store. */
int archive_export(struct store *s, char *const *names, enum archive_kind kind, const char *out,
		   const struct oci_platform *platform, struct err *err);

/* The members of an archive, for import and its tests. */
struct archive;
/* Opens a directory or an archive (compressed ones and stdin are spooled to a file in spool_dir, of max bytes; 0: any). */
int archive_open(const char *path, const char *spool_dir, uint64_t max, struct archive **ret, struct err *err);
void archive_close(struct archive *a);
bool archive_has(const struct archive *a, const char *name);
/* A document of at most OCI_IMAGE_DOC_MAX bytes; *ret owned, NUL-terminated. -ENOENT naming it. */
int archive_read(const struct archive *a, const char *name, char **ret, size_t *ret_len, struct err *err);
/* A member as a stream for fetch. *ret_size: its bytes. */
int archive_stream(const struct archive *a, const char *name, uint64_t offset, void **ret, uint64_t *ret_size,
		   struct err *err);
ssize_t archive_stream_read(void *stream, void *buf, size_t len, struct err *err);
void archive_stream_close(void *stream);

#endif
