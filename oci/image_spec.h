/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of image-spec 1.1: descriptor, index, manifest, image configuration, and Docker's schema 2 forms of
 * them. They come from strangers: sizes and digests are checked for shape, unknown members are ignored.
 */
#ifndef OCI_IMAGE_SPEC_H
#define OCI_IMAGE_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "oci/config.h"

#define OCI_MT_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_MT_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_MT_CONFIG "application/vnd.oci.image.config.v1+json"
#define OCI_MT_LAYER "application/vnd.oci.image.layer.v1.tar"
#define OCI_MT_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define OCI_MT_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"
#define OCI_MT_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define OCI_MT_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define OCI_MT_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define OCI_MT_DOCKER_LAYER_GZIP "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define OCI_ANN_REF_NAME "org.opencontainers.image.ref.name"

/* Largest document read into memory, and most layers of one image. */
#define OCI_IMAGE_DOC_MAX (4 * 1024 * 1024)
#define OCI_IMAGE_LAYERS_MAX 500

struct oci_platform {
	char *os;
	char *architecture;
	char *variant;    /* NULL: none */
	char *os_version; /* NULL: none */
};

struct oci_descriptor {
	char *media_type;
	char *digest; /* "sha256:<64 hex>", shape checked */
	uint64_t size;
	struct oci_platform platform; /* all NULL: none */
	char *ref_name;               /* annotation OCI_ANN_REF_NAME; NULL: none */
	struct oci_pair *annotations;
	size_t n_annotations;
};

struct oci_index {
	char *media_type; /* NULL: none given */
	struct oci_descriptor *manifests;
	size_t n_manifests;
};

struct oci_manifest {
	char *media_type; /* as given, or what the form means */
	struct oci_descriptor config;
	struct oci_descriptor *layers;
	size_t n_layers;
	struct oci_pair *annotations;
	size_t n_annotations;
};

struct oci_history {
	char *created_by;
	bool empty_layer;
};

/* The image configuration (config.md). */
struct oci_image {
	char *os;
	char *architecture;
	char *variant;
	char *os_version;
	char *created;
	char *author;
	char **diff_ids;
	/* config */
	char *user;
	char **env;
	char **entrypoint;
	char **cmd;
	char *working_dir;
	char *stop_signal;
	char **volumes;
	char **exposed_ports;
	struct oci_pair *labels;
	size_t n_labels;
	struct oci_history *history;
	size_t n_history;
};

/* "sha256:<64 lower-case hex>" or "sha512:<128>"? */
bool oci_digest_valid(const char *digest);
/* Is the media type an index (of images), a manifest, a layer we can unpack? */
bool oci_is_index_type(const char *media_type);
bool oci_is_manifest_type(const char *media_type);
bool oci_is_layer_type(const char *media_type);

/* what names the document in errors. On success *ret is owned; every x_free takes NULL. -EINVAL otherwise. */
int oci_index_parse(const char *buf, size_t len, const char *what, struct oci_index **ret, struct err *err);
void oci_index_free(struct oci_index *i);
int oci_manifest_parse(const char *buf, size_t len, const char *what, struct oci_manifest **ret, struct err *err);
void oci_manifest_free(struct oci_manifest *m);
int oci_image_parse(const char *buf, size_t len, const char *what, struct oci_image **ret, struct err *err);
void oci_image_free(struct oci_image *i);
void oci_descriptor_clear(struct oci_descriptor *d);

struct json_writer;
void oci_descriptor_write(struct json_writer *w, const char *key, const struct oci_descriptor *d);
/* The documents, owned, one line. */
char *oci_index_write(const struct oci_index *i);
char *oci_manifest_write(const struct oci_manifest *m);

/*
 * "linux/amd64" or "linux/arm64/v8" into *ret (owned strings); NULL is this machine. 0 or -EINVAL.
 */
int oci_platform_parse(const char *text, struct oci_platform *ret, struct err *err);
void oci_platform_clear(struct oci_platform *p);
/* The first manifest of the index made for the platform (variants: exact, then the default, then any); NULL: none. */
const struct oci_descriptor *oci_index_choose(const struct oci_index *i, const struct oci_platform *p);

#endif
