/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP by libcurl: whole requests, and bodies read as they come. The only files that know curl are http.c and this room's main. */
#ifndef IMAGES_HTTP_H
#define IMAGES_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* How to talk to one host. Strings are the caller's. */
struct http_config {
	bool insecure; /* do not verify certificates */
	const char *ca_file;
	const char *cert_file, *key_file; /* of the client; NULL: none */
};

struct http_request {
	const char *method; /* "GET" ... */
	const char *url;
	char *const *headers; /* "Name: value" */
	const void *body;     /* in memory, or */
	int body_fd;          /* from a file; -1 */
	uint64_t body_offset; /* in the file */
	uint64_t body_len;
	void (*sent)(void *arg, uint64_t n); /* told of each piece of the body that goes out; NULL: nobody */
	void *sent_arg;
};

struct http_response {
	int status;
	/* NULL: absent; location: an absolute URL (of http_do()); authenticate: challenges joined by ", " */
	char *content_type, *location, *digest, *authenticate, *range;
	unsigned int retry_after; /* s; 0: none */
	uint64_t chunk_min;       /* OCI-Chunk-Min-Length; 0: none */
	char *body;               /* at most 4 MiB, NUL-terminated */
	size_t body_len;
};

/* Once per process, before threads. */
void http_init(void);

/*
 * One request; GET and HEAD follow redirects (without the Authorization header to other hosts). 0 with any status;
 * -EIO ... with *err when there was no answer: -EPROTO when TLS is not spoken there, -EKEYREJECTED when
 * the certificate is not trusted, -EFBIG when the body is longer than a struct http_response takes.
 */
int http_do(const struct http_config *c, const struct http_request *q, struct http_response *ret, struct err *err);
void http_response_clear(struct http_response *r);

struct http_stream;
/* Starts a GET from byte offset (Range). Returns when the headers are there: *ret_status 200, 206 or the failure. */
int http_stream_open(const struct http_config *c, const char *url, char *const *headers, uint64_t offset,
		     struct http_stream **ret, struct http_response *ret_head, struct err *err);
/* Up to len bytes of the body behind offset; 0 at its end; -EIO when the connection broke. */
ssize_t http_stream_read(struct http_stream *s, void *buf, size_t len, struct err *err);
void http_stream_close(struct http_stream *s);

#endif
