/* SPDX-License-Identifier: Apache-2.0 */
/* The distribution API client: opening, manifests, blobs in. */
/*
 * The scheme is found out first; then manifests are whole requests and blobs are streams. A blob being read that
 * breaks off continues with a Range request from where it ended; tries count only while nothing comes. The
 * authorization goes to the registry alone, never to where a blob's redirect leads (http.c). distribution-spec.
 */
#include "images/registry.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "images/registry_call.h"

/* What we understand under manifests/. */
static char *const accept_headers[] = { (char *)"Accept: " OCI_MT_INDEX ", " OCI_MT_MANIFEST ", " OCI_MT_DOCKER_LIST
						", " OCI_MT_DOCKER_MANIFEST,
					NULL };

bool registry_is_loopback(const char *host)
{
	size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	cleanup_free char *name = xstrndup(host, n);
	struct in_addr a;

	/* whole names: localhost.example.com is somebody else's */
	if (!strcmp(name, "[::1]"))
		return !host[n] || host[n] == ':';
	return !strcmp(name, "localhost") || (inet_pton(AF_INET, name, &a) == 1 && ntohl(a.s_addr) >> 24 == 127);
}

static void find_certificates(struct registry *r, const char *dir)
{
	cleanup_free char *ca = path_join(dir, "ca.crt"), *cert = path_join(dir, "client.cert"),
			  *key = path_join(dir, "client.key");

	if (!r->ca_file && access(ca, R_OK) == 0)
		r->ca_file = steal_ptr(ca);
	if (!r->cert_file && access(cert, R_OK) == 0 && access(key, R_OK) == 0) {
		r->cert_file = steal_ptr(cert);
		r->key_file = steal_ptr(key);
	}
}

/* HTTPS first; plain HTTP where it is allowed and TLS is not spoken. */
static int find_scheme(struct registry *r, const struct registry_options *o, struct err *err)
{
	const char *host = !strcmp(r->host, "docker.io") ? "registry-1.docker.io" : r->host;
	bool plain = o->insecure || r->loopback;
	struct http_response resp;
	int ret = -EIO;

	for (int https = 1; https >= 0; https--) {
		cleanup_free char *url = xasprintf("%s://%s/v2/", https ? "https" : "http", host);
		struct http_request q = { .method = "GET", .url = url, .body_fd = -1 };

		if (!https && !plain)
			return ret;
		for (unsigned int tries = 0;; tries++) {
			ret = http_do(&r->http, &q, &resp, err);
			if (ret == -EKEYREJECTED)
				return ret;
			if (ret == 0 || ret == -EPROTO || tries >= 2 || (https && plain))
				break;
			registry_call_pause(tries, 0);
		}
		if (ret == 0) {
			http_response_clear(&resp);
			r->base = xasprintf("%s://%s", https ? "https" : "http", host);
			return 0;
		}
		if (https && plain && err)
			log_debug("%s", err->msg);
	}
	return ret;
}

int registry_open(const struct ref *ref, const struct registry_options *o, struct registry **ret, struct err *err)
{
	struct registry *r = xcalloc(1, sizeof(*r));
	int rc;

	pthread_mutex_init(&r->lock, NULL);
	r->host = xstrdup(ref->host);
	r->path = xstrdup(ref->path);
	r->push = o->push;
	r->chunk = o->chunk;
	r->from = strv_dup(o->from);
	r->loopback = registry_is_loopback(ref->host);
	if (o->cert_dir) {
		find_certificates(r, o->cert_dir);
	} else {
		cleanup_free char *podman = xasprintf("/etc/containers/certs.d/%s", ref->host);
		cleanup_free char *docker = xasprintf("/etc/docker/certs.d/%s", ref->host);

		find_certificates(r, podman);
		find_certificates(r, docker);
	}
	r->http = (struct http_config){
		.insecure = o->insecure, .ca_file = r->ca_file, .cert_file = r->cert_file, .key_file = r->key_file
	};
	http_init();
	rc = credentials_find(ref->host, ref->path, o->creds, o->authfile, &r->creds, err);
	if (rc >= 0)
		rc = find_scheme(r, o, err);
	if (rc < 0) {
		registry_close(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	free(r->base);
	free(r->host);
	free(r->path);
	free(r->ca_file);
	free(r->cert_file);
	free(r->key_file);
	free(r->authorization);
	strv_free(r->from);
	credentials_clear(&r->creds);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int registry_manifest(struct registry *r, const char *reference, struct oci_descriptor *ret, char **ret_text,
		      size_t *ret_len, struct err *err)
{
	cleanup_free char *url = xasprintf("%s/v2/%s/manifests/%s", r->base, r->path, reference);
	struct http_request q = { .method = "GET", .url = url, .headers = accept_headers, .body_fd = -1 };
	cleanup_free char *what = xasprintf("manifest of %s:%s", r->path, reference);
	struct http_response resp;
	char digest[DIGEST_MAX];
	cleanup_digest struct digest *hash = digest_new(reference);
	int rc = registry_call(r, &q, &resp, err);

	if (rc < 0)
		return rc;
	if (resp.status != 200)
		rc = registry_call_refused(r, what, &resp, err);
	digest_update(hash, resp.body, resp.body_len);
	digest_final(hash, digest);
	if (rc >= 0 && oci_digest_valid(reference) && strcmp(reference, digest))
		rc = err_set(err, -EBADMSG, "%s: %s: digest mismatch: the bytes have %s", r->host, what, digest);
	if (rc >= 0 && resp.digest && str_starts(resp.digest, "sha256:") && str_starts(digest, "sha256:") &&
	    strcmp(resp.digest, digest))
		rc = err_set(err, -EBADMSG, "%s: %s: digest mismatch: announced %.80s, the bytes have %s", r->host,
			     what, resp.digest, digest);
	if (rc >= 0) {
		memset(ret, 0, sizeof(*ret));
		ret->digest = xstrdup(digest);
		ret->size = resp.body_len;
		ret->media_type = xstrdup(resp.content_type ? resp.content_type : OCI_MT_MANIFEST);
		*ret_text = steal_ptr(resp.body);
		*ret_len = resp.body_len;
	}
	http_response_clear(&resp);
	return rc;
}

struct blob_stream {
	struct registry *r;
	struct http_stream *http;
	char *url, *digest;
	uint64_t offset, size;
	unsigned int tries;
	bool manifest;
};

/* Opens (again) at the offset, with authorization and retries. */
static int blob_connect(struct blob_stream *b, struct err *err)
{
	bool authorized = false;

	for (;; b->tries++) {
		unsigned int generation;
		cleanup_strv char **headers =
			registry_call_headers(b->r, b->manifest ? accept_headers : NULL, &generation);
		struct http_response head;
		int rc = http_stream_open(&b->r->http, b->url, headers, b->offset, &b->http, &head, err);
		int status;
		unsigned int after;

		if (rc < 0) {
			if (rc == -EPROTO || rc == -EKEYREJECTED || b->tries + 1 >= REGISTRY_TRIES)
				return rc;
			registry_call_pause(b->tries, 0);
			continue;
		}
		status = head.status;
		after = head.retry_after;
		if (status == 200 || status == 206) {
			http_response_clear(&head);
			return 0;
		}
		http_stream_close(steal_ptr(b->http));
		if (status == 401 && !authorized) {
			authorized = true;
			rc = registry_call_authorize(b->r, head.authenticate, generation, err);
		} else if (registry_call_transient(status) && b->tries + 1 < REGISTRY_TRIES) {
			registry_call_pause(b->tries, after);
		} else {
			rc = registry_call_refused(b->r, b->digest, &head, err);
		}
		http_response_clear(&head);
		if (rc < 0)
			return rc;
	}
}

static void blob_close(void *stream)
{
	struct blob_stream *b = stream;

	http_stream_close(b->http);
	free(b->url);
	free(b->digest);
	free(b);
}

static int blob_open(void *arg, const struct oci_descriptor *d, uint64_t offset, void **ret, struct err *err)
{
	struct registry *r = arg;
	struct blob_stream *b = xcalloc(1, sizeof(*b));
	int rc;

	b->r = r;
	b->manifest = oci_is_manifest_type(d->media_type) || oci_is_index_type(d->media_type);
	b->offset = offset;
	b->size = d->size;
	b->digest = xstrdup(d->digest);
	b->url = xasprintf("%s/v2/%s/%s/%s", r->base, r->path, b->manifest ? "manifests" : "blobs", d->digest);
	rc = blob_connect(b, err);
	if (rc < 0) {
		blob_close(b);
		return rc;
	}
	*ret = b;
	return 0;
}

static ssize_t blob_read(void *stream, void *buf, size_t len, struct err *err)
{
	struct blob_stream *b = stream;

	for (;;) {
		ssize_t n = b->http ? http_stream_read(b->http, buf, len, err) : -EIO;
		int rc;

		if (n > 0) {
			b->offset += (uint64_t)n;
			b->tries = 0;
			return n;
		}
		if (n == 0 && b->offset >= b->size)
			return 0;
		/* cut off, or ended early: go on where it was */
		http_stream_close(steal_ptr(b->http));
		if (++b->tries >= REGISTRY_TRIES)
			return n < 0 ? n :
				       err_set(err, -EIO, "%s: ends after %llu of %llu bytes", b->r->host,
					       (unsigned long long)b->offset, (unsigned long long)b->size);
		log_debug("%s: broken off at byte %llu; continuing", b->digest, (unsigned long long)b->offset);
		registry_call_pause(b->tries - 1, 0);
		rc = blob_connect(b, err);
		if (rc < 0)
			return rc;
	}
}

struct fetch_source registry_source(struct registry *r)
{
	return (struct fetch_source){ blob_open, blob_read, blob_close, r, 3, true };
}
