/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs and manifests to a registry. */
/*
 * A blob is asked for, then taken over from another repository of the host that is known to have it, else sent: whole in one PUT, or (when asked for, or when something on the way says that it is
 * too large) in chunks by PATCH. A chunk that breaks off is not sent again blindly: the registry is asked how much
 * of the upload it has, and sending goes on from there. A whole upload that breaks starts over.
 * distribution-spec "Pushing blobs".
 */
#include "images/registry.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "images/digest.h"
#include "images/registry_call.h"

#define CHUNK_DEFAULT (16ULL << 20)

/* One blob on its way out. */
struct upload {
	struct registry *r;
	const struct oci_descriptor *d;
	int fd;
	char *url;        /* where it goes on; changes with every answer */
	uint64_t chunk;   /* bytes a request; 0: all in one */
	uint64_t offset;  /* that the registry has */
	const char *from; /* repository to take it from; NULL: none */
	bool mounted;     /* it was taken */
	struct progress_item *item;
};

static void upload_sent(void *arg, uint64_t n)
{
	struct upload *u = arg;

	progress_step(u->item, n);
}

static int upload_start(struct upload *u, struct err *err)
{
	cleanup_free char *start = xasprintf("%s/v2/%s/blobs/uploads/", u->r->base, u->r->path);
	cleanup_str struct str url = { 0 };
	struct http_request q = { .method = "POST", .body_fd = -1 };
	struct http_response resp;
	int rc;

	str_add(&url, start);
	if (u->from) {
		registry_call_query(&url, "mount", u->d->digest);
		registry_call_query(&url, "from", u->from);
	}
	q.url = url.s;
	rc = registry_call(u->r, &q, &resp, err);
	if (rc < 0)
		return rc;
	u->mounted = u->from && resp.status == 201;
	if (u->from && !u->mounted && resp.status != 202) {
		/* not from there: the other way */
		log_debug("%s: not taken from %s (HTTP %d)", u->d->digest, u->from, resp.status);
		u->from = NULL;
		http_response_clear(&resp);
		return upload_start(u, err);
	}
	u->from = NULL;
	if (u->mounted) {
		http_response_clear(&resp);
		return 0;
	}
	if (resp.status != 202 || str_empty(resp.location)) {
		rc = registry_call_refused(u->r, "starting an upload", &resp, err);
	} else {
		free(u->url);
		u->url = steal_ptr(resp.location);
		u->offset = 0;
		if (u->chunk && u->chunk < resp.chunk_min)
			u->chunk = resp.chunk_min;
	}
	http_response_clear(&resp);
	return rc;
}

/* Ends the upload, with the whole blob or, behind chunks, with nothing. The status, or negative. */
static int upload_put(struct upload *u, bool whole, struct err *err)
{
	char *headers[] = { (char *)"Content-Type: application/octet-stream", NULL };
	cleanup_str struct str url = { 0 };
	struct http_request q = { .method = "PUT",
				  .headers = headers,
				  .body_fd = whole ? u->fd : -1,
				  .body_len = whole ? u->d->size : 0,
				  .sent = upload_sent,
				  .sent_arg = u };
	struct http_response resp;
	int rc;

	str_add(&url, u->url);
	registry_call_query(&url, "digest", u->d->digest);
	q.url = url.s;
	rc = registry_call(u->r, &q, &resp, err);
	if (rc < 0)
		return rc;
	rc = resp.status;
	if (rc != 201 && rc != 204 && !(rc == 413 && whole))
		rc = registry_call_refused(u->r, u->d->digest, &resp, err);
	http_response_clear(&resp);
	return rc;
}

/* "0-99" of a Range header: 100. An upload without content says "0-0", as one of a byte would. */
static uint64_t range_end(const char *range)
{
	const char *dash = range ? strchr(range, '-') : NULL;
	uint64_t end = 0;

	return dash && parse_u64(dash + 1, &end) >= 0 && end ? end + 1 : 0;
}

/* After a broken chunk: what the registry has of the upload. */
static int upload_resync(struct upload *u, struct err *err)
{
	struct http_request q = { .method = "GET", .url = u->url, .body_fd = -1 };
	struct http_response resp;
	int rc = registry_call(u->r, &q, &resp, err);

	if (rc < 0)
		return rc;
	if (resp.status != 204 && resp.status != 202 && resp.status != 200) {
		rc = registry_call_refused(u->r, "asking for an upload", &resp, err);
	} else {
		u->offset = range_end(resp.range);
		if (u->offset > u->d->size)
			rc = err_set(err, -EIO, "%s: has more of the upload than there is", u->r->host);
		if (!str_empty(resp.location)) {
			free(u->url);
			u->url = steal_ptr(resp.location);
		}
	}
	http_response_clear(&resp);
	return rc;
}

static int upload_chunk(struct upload *u, struct err *err)
{
	uint64_t left = u->d->size - u->offset, n = left < u->chunk ? left : u->chunk;
	cleanup_free char *range = xasprintf("Content-Range: %llu-%llu", (unsigned long long)u->offset,
					     (unsigned long long)(u->offset + n - 1));
	char *headers[] = { (char *)"Content-Type: application/octet-stream", range, NULL };
	struct http_request q = { .method = "PATCH",
				  .url = u->url,
				  .headers = headers,
				  .body_fd = u->fd,
				  .body_offset = u->offset,
				  .body_len = n,
				  .sent = upload_sent,
				  .sent_arg = u };
	struct http_response resp;
	int rc = registry_call_tries(u->r, &q, 1, &resp, err);

	if (rc < 0)
		return rc;
	if (resp.status != 202) {
		rc = registry_call_refused(u->r, u->d->digest, &resp, err);
		if (registry_call_transient(resp.status) || resp.status == 416)
			rc = -EIO;
	} else {
		uint64_t end = range_end(resp.range);

		u->offset = end > u->offset && end <= u->offset + n ? end : u->offset + n;
		if (!str_empty(resp.location)) {
			free(u->url);
			u->url = steal_ptr(resp.location);
		}
	}
	http_response_clear(&resp);
	return rc;
}

static int upload_chunks(struct upload *u, struct err *err)
{
	unsigned int failed = 0;

	while (u->offset < u->d->size) {
		int rc = upload_chunk(u, err);

		if (rc >= 0) {
			failed = 0;
			continue;
		}
		if (rc != -EIO && rc != -EHOSTUNREACH)
			return rc;
		if (++failed >= REGISTRY_TRIES)
			return rc;
		log_debug("%s: chunk at byte %llu broken off; asking", u->d->digest, (unsigned long long)u->offset);
		registry_call_pause(failed - 1, 0);
		rc = upload_resync(u, err);
		if (rc < 0)
			return rc;
	}
	return upload_put(u, false, err);
}

static int upload(struct upload *u, struct err *err)
{
	int rc = upload_start(u, err);

	if (rc < 0 || u->mounted)
		return rc;
	if (!u->chunk) {
		rc = upload_put(u, true, err);
		if (rc != 413)
			return rc < 0 ? rc : 0;
		/* too much at once for something in front of the registry */
		u->chunk = CHUNK_DEFAULT;
		rc = upload_start(u, err);
	}
	return rc < 0 ? rc : upload_chunks(u, err);
}

int registry_push_blob(struct registry *r, const struct oci_descriptor *d, int fd, const char *from, struct progress *p,
		       struct err *err)
{
	cleanup_free char *url = xasprintf("%s/v2/%s/blobs/%s", r->base, r->path, d->digest);
	cleanup_free char *what = xasprintf("%.12s", digest_hex(d->digest));
	struct upload u = {
		.r = r, .d = d, .fd = fd, .chunk = r->chunk, .from = from, .item = progress_add(p, what, d->size)
	};
	struct http_request q = { .method = "HEAD", .url = url, .body_fd = -1 };
	struct http_response resp;
	int rc = registry_call(r, &q, &resp, err), status = 0;

	if (rc >= 0) {
		status = resp.status;
		http_response_clear(&resp);
	}
	if (rc >= 0 && status != 200) {
		/* a broken whole upload starts over; one in chunks goes on by itself */
		for (unsigned int tries = 0;; tries++) {
			rc = upload(&u, err);
			if (rc != -EIO || tries >= 2)
				break;
			registry_call_pause(tries, 0);
		}
	}
	free(u.url);
	progress_end(u.item, rc < 0 ? "failed" : status == 200 ? "exists" : u.mounted ? "mounted" : "done");
	return rc < 0 ? rc : 0;
}

int registry_push_manifest(struct registry *r, const char *reference, const char *media_type, const char *text,
			   size_t len, struct err *err)
{
	cleanup_free char *url = xasprintf("%s/v2/%s/manifests/%s", r->base, r->path, reference);
	cleanup_free char *type = xasprintf("Content-Type: %s", media_type);
	char *headers[] = { type, NULL };
	struct http_request q = {
		.method = "PUT", .url = url, .headers = headers, .body = text, .body_len = len, .body_fd = -1
	};
	struct http_response resp;
	int rc = registry_call(r, &q, &resp, err);

	if (rc < 0)
		return rc;
	if (resp.status != 201 && resp.status != 200 && resp.status != 202)
		rc = registry_call_refused(r, "manifest", &resp, err);
	http_response_clear(&resp);
	return rc;
}
