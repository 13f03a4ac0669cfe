/* SPDX-License-Identifier: Apache-2.0 */
/* A repository of a registry: distribution-spec 1.1 with Docker's token authentication. */
#ifndef IMAGES_REGISTRY_H
#define IMAGES_REGISTRY_H

#include "images/fetch.h"
#include "images/ref.h"

struct registry_options {
	bool insecure;     /* HTTP allowed, certificates not checked */
	const char *creds; /* "USER:PASSWORD" */
	const char *authfile;
	const char *cert_dir;
	bool push;      /* ask for the right to push too */
	uint64_t chunk; /* bytes of a blob in one request; 0: all of it */
	char **from;    /* other repositories of the host to take blobs from: ask for the right to read them */
};

struct registry;

/* Is the host ("NAME[:PORT]") this machine? Then plain HTTP needs no --insecure. */
bool registry_is_loopback(const char *host);
/* Finds out scheme and authentication of ref's host (one request). Thread-safe afterwards. */
int registry_open(const struct ref *ref, const struct registry_options *o, struct registry **ret, struct err *err);
void registry_close(struct registry *r);

/*
 * The manifest or index called reference (tag or digest): descriptor with computed digest and the bytes (owned,
 * NUL-terminated). -ENOENT when the registry has none.
 */
int registry_manifest(struct registry *r, const char *reference, struct oci_descriptor *ret, char **ret_text,
		      size_t *ret_len, struct err *err);

/* The repository's blobs as a source for fetch.h: retries, resumes. Manifests are served by digest too. */
struct fetch_source registry_source(struct registry *r);

/*
 * Sends a blob unless the repository has it or gets it from another one on the host (from, may be NULL), whole or in
 * chunks that go on where a connection broke. fd is at no particular offset. Thread-safe.
 */
int registry_push_blob(struct registry *r, const struct oci_descriptor *d, int fd, const char *from, struct progress *p,
		       struct err *err);
/* Puts the manifest under the reference. */
int registry_push_manifest(struct registry *r, const char *reference, const char *media_type, const char *text,
			   size_t len, struct err *err);

#endif
