/* SPDX-License-Identifier: Apache-2.0 */
/* The distribution API client: authentication, manifests, blobs in, blobs out. */
/*
 * Every request goes through call(): it adds the authorization we have, on 401 gets one by the challenge (a token
 * for the repository's scope from the realm, or Basic) and tries again once, and repeats what may pass (no
 * connection, 429, 5xx) with growing pauses or as Retry-After says. A blob being read is a stream that, when the
 * connection breaks, continues with a Range request from where it ended; tries count only while nothing comes.
 * Credentials go to the registry and to the realm it names over the same or better transport, never to where a
 * blob's redirect leads. One mutex guards the authorization, which threads share. distribution-spec; Docker's
 * "Token Authentication Specification".
 */
#include "images/registry.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "images/credentials.h"
#include "images/http.h"

#define TRIES 6

/* What we understand under manifests/. */
static char *const accept_headers[] = {
	(char *)"Accept: " OCI_MT_INDEX ", " OCI_MT_MANIFEST ", " OCI_MT_DOCKER_LIST ", " OCI_MT_DOCKER_MANIFEST, NULL
};

struct registry {
	/* identity */
	char *base; /* "https://host" */
	char *host, *path;
	bool push, loopback;
	/* configuration */
	struct http_config http;
	char *ca_file, *cert_file, *key_file;
	struct credentials creds;
	/* state */
	pthread_mutex_t lock;
	char *authorization; /* header line; NULL: none yet */
	unsigned int auth_generation;
};

static void pause_for(unsigned int tries, unsigned int retry_after)
{
	unsigned int ms = retry_after ? retry_after * 1000 : 100u << (tries < 6 ? tries : 6);
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* The value of a parameter of a challenge (quoted or not), owned; NULL when absent. */
static char *parameter(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; *p;) {
		while (*p == ' ' || *p == ',')
			p++;
		bool is = !strncasecmp(p, name, n) && p[n] == '=';

		while (*p && *p != '=' && *p != ',' && *p != ' ')
			p++;
		if (*p != '=')
			continue;
		struct str value = { 0 };

		str_add(&value, "");
		if (*++p == '"') {
			for (p++; *p && *p != '"'; p++) {
				if (*p == '\\' && p[1])
					p++;
				str_addc(&value, *p);
			}
			p += *p == '"';
		} else {
			while (*p && *p != ',' && *p != ' ')
				str_addc(&value, *p++);
		}
		if (is)
			return str_steal(&value);
		str_free(&value);
	}
	return NULL;
}

/* Where the challenge of a scheme begins ("Bearer realm=..."), or NULL. */
static const char *challenge(const char *all, const char *scheme)
{
	size_t n = strlen(scheme);

	for (const char *p = all; p && *p; p++) {
		if (*p == '"') { /* over quoted text */
			for (p++; *p && *p != '"'; p++)
				p += *p == '\\' && p[1];
			if (!*p)
				break;
		}
		if (!strncasecmp(p, scheme, n) && p[n] == ' ' && (p == all || p[-1] == ' ' || p[-1] == ','))
			return p + n + 1;
	}
	return NULL;
}

static void add_query(struct str *url, const char *key, const char *value)
{
	str_addf(url, "%c%s=", strchr(str_get(url), '?') ? '&' : '?', key);
	for (; *value; value++) {
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/,", *value))
			str_addc(url, *value);
		else
			str_addf(url, "%%%02X", (unsigned char)*value);
	}
}

static char *basic_header(const struct registry *r)
{
	cleanup_free char *plain = xasprintf("%s:%s", r->creds.user, r->creds.password);
	cleanup_free char *coded = credentials_base64(plain, strlen(plain));

	return xasprintf("Authorization: Basic %s", coded);
}

static int token_of(const struct http_response *resp, const char *realm, char **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = NULL;
	cleanup_free char *token = NULL;
	int r;

	if (resp->status != 200)
		return err_set(err, -EACCES, "%s: %s (HTTP %d)", realm,
			       resp->status == 401 || resp->status == 403 ? "authentication refused" : "no token", resp->status);
	doc = json_parse(resp->body, resp->body_len, realm, err);
	if (!doc)
		return -EINVAL;
	r = json_opt_string(json_root(doc), "token", &token, err);
	if (r == 0 || (r > 0 && !*token))
		r = json_opt_string(json_root(doc), "access_token", &token, err);
	if (r < 0)
		return r;
	if (str_empty(token) || strpbrk(token, "\r\n"))
		return err_set(err, -EINVAL, "%s: the answer has no token", realm);
	*ret = xasprintf("Authorization: Bearer %s", token);
	return 0;
}

/* A token for the challenge; the header line in *ret. */
static int fetch_token(struct registry *r, const char *params, char **ret, struct err *err)
{
	cleanup_free char *realm = parameter(params, "realm"), *service = parameter(params, "service");
	cleanup_free char *scope = parameter(params, "scope"), *own = NULL, *basic = NULL;
	cleanup_str struct str url = { 0 };
	cleanup_str struct str form = { 0 };
	struct http_response resp;
	int ret_code;

	if (!realm || (!str_starts(realm, "https://") && !str_starts(realm, "http://")))
		return err_set(err, -EINVAL, "%s: asks for a token without saying where", r->host);
	if (str_starts(realm, "http://") && str_starts(r->base, "https://") && !r->http.insecure)
		return err_set(err, -EACCES, "%s: its token server %s is not on HTTPS", r->host, realm);
	own = xasprintf("repository:%s:%s", r->path, r->push ? "pull,push" : "pull");
	if (!scope || r->push) {
		free(scope);
		scope = xstrdup(own);
	}
	str_add(&url, realm);
	if (r->creds.identity) {
		char *headers[] = { (char *)"Content-Type: application/x-www-form-urlencoded", NULL };

		str_add(&form, "?"); /* add_query() then joins by & */
		add_query(&form, "grant_type", "refresh_token");
		add_query(&form, "client_id", "amphi");
		add_query(&form, "service", service ? service : r->host);
		add_query(&form, "scope", scope);
		add_query(&form, "refresh_token", r->creds.identity);
		struct http_request q = { .method = "POST", .url = realm, .headers = headers, .body = form.s + 2,
					  .body_len = form.len - 2, .body_fd = -1 };

		ret_code = http_do(&r->http, &q, &resp, err);
	} else {
		char *headers[2] = { NULL, NULL };

		if (r->creds.user)
			headers[0] = basic = basic_header(r);
		if (service)
			add_query(&url, "service", service);
		add_query(&url, "scope", scope);
		if (r->creds.user)
			add_query(&url, "account", r->creds.user);
		struct http_request q = { .method = "GET", .url = url.s, .headers = headers, .body_fd = -1 };

		ret_code = http_do(&r->http, &q, &resp, err);
	}
	if (ret_code < 0)
		return ret_code;
	ret_code = token_of(&resp, realm, ret, err);
	http_response_clear(&resp);
	return ret_code;
}

/* After a 401: the authorization its challenge wants. seen is the generation the refused request had. */
static int authorize(struct registry *r, const char *challenges, unsigned int seen, struct err *err)
{
	const char *bearer = challenges ? challenge(challenges, "Bearer") : NULL;
	char *header = NULL;
	int ret = 0;

	pthread_mutex_lock(&r->lock);
	if (r->auth_generation != seen) {
		/* another thread was here meanwhile */
	} else if (bearer) {
		ret = fetch_token(r, bearer, &header, err);
	} else if (challenges && challenge(challenges, "Basic")) {
		if (!r->creds.user || (r->authorization && strstr(r->authorization, " Basic ")))
			ret = err_set(err, -EACCES, "%s: authentication %s", r->host,
				      r->creds.user ? "refused: wrong user name or password" : "required: log in, or use --creds");
		else
			header = basic_header(r);
	} else {
		ret = err_set(err, -EACCES, "%s: access refused", r->host);
	}
	if (header) {
		free(r->authorization);
		r->authorization = header;
		r->auth_generation++;
	}
	pthread_mutex_unlock(&r->lock);
	return ret;
}

/* The headers of the caller with the authorization; owned vector. */
static char **with_authorization(struct registry *r, char *const *headers, unsigned int *ret_generation)
{
	char **all = strv_dup(headers);

	pthread_mutex_lock(&r->lock);
	if (r->authorization)
		strv_add(&all, r->authorization);
	*ret_generation = r->auth_generation;
	pthread_mutex_unlock(&r->lock);
	return all;
}

static bool transient(int status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* What the registry says of a failure: its code and message, or the status. */
static int refused(const struct registry *r, const char *what, const struct http_response *resp, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = resp->body ? json_parse(resp->body, resp->body_len, "errors", NULL) : NULL;
	const struct json *list = doc ? json_get(json_root(doc), "errors") : NULL;
	const struct json *first = list && list->type == JSON_ARRAY && list->c.n ? &list->c.v[0] : NULL;
	const struct json *msg = json_get(first, "message"), *code = json_get(first, "code");
	int ret = resp->status == 404 ? -ENOENT : resp->status == 401 || resp->status == 403 ? -EACCES : -EIO;
	const char *text = msg && msg->type == JSON_STRING && *msg->s ? msg->s : code && code->type == JSON_STRING ? code->s : NULL;

	if (text)
		return err_set(err, ret, "%s: %s: %.300s (HTTP %d)", r->host, what, text, resp->status);
	return err_set(err, ret, "%s: %s: %s (HTTP %d)", r->host, what,
		       resp->status == 404	 ? "not found"
		       : resp->status == 413	 ? "too large for this registry"
		       : transient(resp->status) ? "the registry is not able to answer"
						 : "refused",
		       resp->status);
}

/* Is the URL on the registry's own host, to which alone the authorization goes? */
static bool is_ours(const struct registry *r, const char *url)
{
	size_t n = strlen(r->base);

	return !strncmp(url, r->base, n) && url[n] == '/';
}

/* One request with authorization and retries; *ret is any final answer. */
static int call(struct registry *r, const struct http_request *q, struct http_response *ret, struct err *err)
{
	bool ours = is_ours(r, q->url), authorized = !ours;

	for (unsigned int tries = 0;; tries++) {
		unsigned int generation = 0;
		cleanup_strv char **headers = ours ? with_authorization(r, q->headers, &generation) : strv_dup(q->headers);
		struct http_request with = *q;
		int rc;

		with.headers = headers;
		rc = http_do(&r->http, &with, ret, err);
		if (rc == -EPROTO || rc == -EKEYREJECTED || (rc < 0 && tries + 1 >= TRIES))
			return rc;
		if (rc < 0) {
			log_debug("%s; trying again", err ? err->msg : "request failed");
			pause_for(tries, 0);
			continue;
		}
		if (ret->status == 401 && !authorized) {
			authorized = true;
			rc = authorize(r, ret->authenticate, generation, err);
			http_response_clear(ret);
			if (rc < 0)
				return rc;
			continue;
		}
		if (!transient(ret->status) || tries + 1 >= TRIES)
			return 0;
		log_debug("%s: HTTP %d; trying again", q->url, ret->status);
		pause_for(tries, ret->retry_after);
		http_response_clear(ret);
	}
}

static bool is_loopback(const char *host)
{
	return str_starts(host, "localhost") || str_starts(host, "127.") || str_starts(host, "[::1]");
}

static void find_certificates(struct registry *r, const char *dir)
{
	cleanup_free char *ca = path_join(dir, "ca.crt"), *cert = path_join(dir, "client.cert"), *key = path_join(dir, "client.key");

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
			pause_for(tries, 0);
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
	r->loopback = is_loopback(ref->host);
	if (o->cert_dir) {
		find_certificates(r, o->cert_dir);
	} else {
		cleanup_free char *podman = xasprintf("/etc/containers/certs.d/%s", ref->host);
		cleanup_free char *docker = xasprintf("/etc/docker/certs.d/%s", ref->host);

		find_certificates(r, podman);
		find_certificates(r, docker);
	}
	r->http = (struct http_config){ .insecure = o->insecure, .ca_file = r->ca_file, .cert_file = r->cert_file,
					.key_file = r->key_file };
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
	credentials_clear(&r->creds);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int registry_manifest(struct registry *r, const char *reference, struct oci_descriptor *ret, char **ret_text, size_t *ret_len,
		      struct err *err)
{
	cleanup_free char *url = xasprintf("%s/v2/%s/manifests/%s", r->base, r->path, reference);
	struct http_request q = { .method = "GET", .url = url, .headers = accept_headers, .body_fd = -1 };
	cleanup_free char *what = xasprintf("manifest of %s:%s", r->path, reference);
	struct http_response resp;
	char digest[DIGEST_MAX];
	cleanup_digest struct digest *hash = digest_new(reference);
	int rc = call(r, &q, &resp, err);

	if (rc < 0)
		return rc;
	if (resp.status != 200)
		rc = refused(r, what, &resp, err);
	digest_update(hash, resp.body, resp.body_len);
	digest_final(hash, digest);
	if (rc >= 0 && oci_digest_valid(reference) && strcmp(reference, digest))
		rc = err_set(err, -EBADMSG, "%s: %s: digest mismatch: the bytes have %s", r->host, what, digest);
	if (rc >= 0 && resp.digest && str_starts(resp.digest, "sha256:") && str_starts(digest, "sha256:") &&
	    strcmp(resp.digest, digest))
		rc = err_set(err, -EBADMSG, "%s: %s: digest mismatch: announced %.80s, the bytes have %s", r->host, what, resp.digest,
			     digest);
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
		cleanup_strv char **headers = with_authorization(b->r, b->manifest ? accept_headers : NULL, &generation);
		struct http_response head;
		int rc = http_stream_open(&b->r->http, b->url, headers, b->offset, &b->http, &head, err);
		int status;
		unsigned int after;

		if (rc < 0) {
			if (rc == -EPROTO || rc == -EKEYREJECTED || b->tries + 1 >= TRIES)
				return rc;
			pause_for(b->tries, 0);
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
			rc = authorize(b->r, head.authenticate, generation, err);
		} else if (transient(status) && b->tries + 1 < TRIES) {
			pause_for(b->tries, after);
		} else {
			rc = refused(b->r, b->digest, &head, err);
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
		if (++b->tries >= TRIES)
			return n < 0 ? n : err_set(err, -EIO, "%s: ends after %llu of %llu bytes", b->r->host,
						   (unsigned long long)b->offset, (unsigned long long)b->size);
		log_debug("%s: broken off at byte %llu; continuing", b->digest, (unsigned long long)b->offset);
		pause_for(b->tries - 1, 0);
		rc = blob_connect(b, err);
		if (rc < 0)
			return rc;
	}
}

struct fetch_source registry_source(struct registry *r)
{
	return (struct fetch_source){ blob_open, blob_read, blob_close, r, 3, true };
}

/* The URL an upload goes to: Location, which may be relative, with the digest. */
static char *upload_url(const struct registry *r, const char *location, const char *digest)
{
	struct str url = { 0 };

	if (*location == '/')
		str_add(&url, r->base);
	str_add(&url, location);
	add_query(&url, "digest", digest);
	return str_steal(&url);
}

static int upload(struct registry *r, const struct oci_descriptor *d, int fd, struct err *err)
{
	cleanup_free char *start = xasprintf("%s/v2/%s/blobs/uploads/", r->base, r->path), *url = NULL;
	struct http_request q = { .method = "POST", .url = start, .body_fd = -1 };
	char *headers[] = { (char *)"Content-Type: application/octet-stream", NULL };
	struct http_response resp;
	int rc = call(r, &q, &resp, err);

	if (rc < 0)
		return rc;
	if (resp.status != 202 || str_empty(resp.location))
		rc = refused(r, "starting an upload", &resp, err);
	else
		url = upload_url(r, resp.location, d->digest);
	http_response_clear(&resp);
	if (rc < 0)
		return rc;
	q = (struct http_request){ .method = "PUT", .url = url, .headers = headers, .body_fd = fd, .body_len = d->size };
	rc = call(r, &q, &resp, err);
	if (rc < 0)
		return rc;
	if (resp.status != 201 && resp.status != 204)
		rc = refused(r, d->digest, &resp, err);
	http_response_clear(&resp);
	return rc;
}

int registry_push_blob(struct registry *r, const struct oci_descriptor *d, int fd, struct progress *p, struct err *err)
{
	cleanup_free char *url = xasprintf("%s/v2/%s/blobs/%s", r->base, r->path, d->digest);
	cleanup_free char *what = xasprintf("%.12s", digest_hex(d->digest));
	struct progress_item *item = progress_add(p, what, d->size);
	struct http_request q = { .method = "HEAD", .url = url, .body_fd = -1 };
	struct http_response resp;
	int rc = call(r, &q, &resp, err), status = 0;

	if (rc >= 0) {
		status = resp.status;
		http_response_clear(&resp);
	}
	if (rc >= 0 && status != 200) {
		/* a broken upload starts over: what a registry keeps of it is not told alike by all */
		for (unsigned int tries = 0;; tries++) {
			rc = upload(r, d, fd, err);
			if (rc != -EIO || tries >= 2)
				break;
			pause_for(tries, 0);
		}
	}
	progress_end(item, rc < 0 ? "failed" : status == 200 ? "exists" : "done");
	return rc;
}

int registry_push_manifest(struct registry *r, const char *reference, const char *media_type, const char *text, size_t len,
			   struct err *err)
{
	cleanup_free char *url = xasprintf("%s/v2/%s/manifests/%s", r->base, r->path, reference);
	cleanup_free char *type = xasprintf("Content-Type: %s", media_type);
	char *headers[] = { type, NULL };
	struct http_request q = { .method = "PUT", .url = url, .headers = headers, .body = text, .body_len = len, .body_fd = -1 };
	struct http_response resp;
	int rc = call(r, &q, &resp, err);

	if (rc < 0)
		return rc;
	if (resp.status != 201 && resp.status != 200 && resp.status != 202)
		rc = refused(r, "manifest", &resp, err);
	http_response_clear(&resp);
	return rc;
}
