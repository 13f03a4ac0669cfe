/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a registry with authorization and retries. */
/*
 * Every request goes through registry_call(): it adds the authorization we have, on 401 gets one by the challenge (a token
 * for the repository's scope from the realm, or Basic) and tries again once, and repeats what may pass (no
 * connection, 429, 5xx) with growing pauses or as Retry-After says. Credentials go to the registry and to the realm
 * it names over the same or better transport, never to another host. An upload that is answered by 307 or 308 is made again where
 * that leads: its body is memory or a file, so it can be read again. One mutex guards the authorization, which
 * threads share. Docker's "Token Authentication Specification".
 */
#include "images/registry_call.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"

#define REDIRECTS_MAX 5

void registry_call_pause(unsigned int tries, unsigned int retry_after)
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

void registry_call_query(struct str *url, const char *key, const char *value)
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
			       resp->status == 401 || resp->status == 403 ? "authentication refused" : "no token",
			       resp->status);
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

/* A token for the challenge; the header line in *ret. from: with the right to read the other repositories. */
static int fetch_token(struct registry *r, const char *params, bool from, char **ret, struct err *err)
{
	cleanup_free char *realm = parameter(params, "realm"), *service = parameter(params, "service");
	cleanup_free char *scope = parameter(params, "scope"), *own = NULL, *basic = NULL, *joined = NULL;
	cleanup_strv char **scopes = NULL;
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
	strv_add(&scopes, scope);
	for (size_t i = 0; from && i < strv_len(r->from); i++)
		strv_add_take(&scopes, xasprintf("repository:%s:pull", r->from[i]));
	str_add(&url, realm);
	if (r->creds.identity) {
		char *headers[] = { (char *)"Content-Type: application/x-www-form-urlencoded", NULL };

		str_add(&form, "?"); /* registry_call_query() then joins by & */
		registry_call_query(&form, "grant_type", "refresh_token");
		registry_call_query(&form, "client_id", "amphi");
		registry_call_query(&form, "service", service ? service : r->host);
		joined = strv_join(scopes, " ");
		registry_call_query(&form, "scope", joined);
		registry_call_query(&form, "refresh_token", r->creds.identity);
		struct http_request q = { .method = "POST",
					  .url = realm,
					  .headers = headers,
					  .body = form.s + 2,
					  .body_len = form.len - 2,
					  .body_fd = -1 };

		ret_code = http_do(&r->http, &q, &resp, err);
	} else {
		char *headers[2] = { NULL, NULL };

		if (r->creds.user)
			headers[0] = basic = basic_header(r);
		if (service)
			registry_call_query(&url, "service", service);
		for (char **one = scopes; *one; one++)
			registry_call_query(&url, "scope", *one);
		if (r->creds.user)
			registry_call_query(&url, "account", r->creds.user);
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
int registry_call_authorize(struct registry *r, const char *challenges, unsigned int seen, struct err *err)
{
	const char *bearer = challenges ? challenge(challenges, "Bearer") : NULL;
	char *header = NULL;
	int ret = 0;

	pthread_mutex_lock(&r->lock);
	if (r->auth_generation != seen) {
		/* another thread was here meanwhile */
	} else if (bearer) {
		ret = fetch_token(r, bearer, true, &header, err);
		if (ret == -EACCES && r->from) /* maybe for what is not ours to read: that was only a wish */
			ret = fetch_token(r, bearer, false, &header, err);
	} else if (challenges && challenge(challenges, "Basic")) {
		if (!r->creds.user || (r->authorization && strstr(r->authorization, " Basic ")))
			ret = err_set(err, -EACCES, "%s: authentication %s", r->host,
				      r->creds.user ? "refused: wrong user name or password" :
						      "required: log in, or use --creds");
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
char **registry_call_headers(struct registry *r, char *const *headers, unsigned int *ret_generation)
{
	char **all = strv_dup(headers);

	pthread_mutex_lock(&r->lock);
	if (r->authorization)
		strv_add(&all, r->authorization);
	*ret_generation = r->auth_generation;
	pthread_mutex_unlock(&r->lock);
	return all;
}

bool registry_call_transient(int status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* What the registry says of a failure: its code and message, or the status. */
int registry_call_refused(const struct registry *r, const char *what, const struct http_response *resp, struct err *err)
{
	cleanup_json_doc struct json_doc *doc =
		resp->body ? json_parse(resp->body, resp->body_len, "errors", NULL) : NULL;
	const struct json *list = doc ? json_get(json_root(doc), "errors") : NULL;
	const struct json *first = list && list->type == JSON_ARRAY && list->c.n ? &list->c.v[0] : NULL;
	const struct json *msg = json_get(first, "message"), *code = json_get(first, "code");
	int ret = resp->status == 404 ? -ENOENT : resp->status == 401 || resp->status == 403 ? -EACCES : -EIO;
	const char *text = msg && msg->type == JSON_STRING && *msg->s ? msg->s :
		code && code->type == JSON_STRING                     ? code->s :
									NULL;

	if (text)
		return err_set(err, ret, "%s: %s: %.300s (HTTP %d)", r->host, what, text, resp->status);
	return err_set(err, ret, "%s: %s: %s (HTTP %d)", r->host, what,
		       resp->status == 404                           ? "not found" :
			       resp->status == 413                   ? "too large for this registry" :
			       registry_call_transient(resp->status) ? "the registry is not able to answer" :
								       "refused",
		       resp->status);
}

/* Is the URL on the registry's own host, to which alone the authorization goes? */
static bool is_ours(const struct registry *r, const char *url)
{
	size_t n = strlen(r->base);

	return !strncmp(url, r->base, n) && url[n] == '/';
}

/* One request to one URL with authorization and at most so many tries; *ret is any final answer. */
static int call_url(struct registry *r, const struct http_request *q, unsigned int most, struct http_response *ret,
		    struct err *err)
{
	bool ours = is_ours(r, q->url), authorized = !ours;

	for (unsigned int tries = 0;; tries++) {
		unsigned int generation = 0;
		cleanup_strv char **headers =
			ours ? registry_call_headers(r, q->headers, &generation) : strv_dup(q->headers);
		struct http_request with = *q;
		int rc;

		with.headers = headers;
		rc = http_do(&r->http, &with, ret, err);
		if (rc == -EPROTO || rc == -EKEYREJECTED || rc == -EFBIG || (rc < 0 && tries + 1 >= most))
			return rc;
		if (rc < 0) {
			log_debug("%s; trying again", err ? err->msg : "request failed");
			registry_call_pause(tries, 0);
			continue;
		}
		if (ret->status == 401 && !authorized) {
			authorized = true;
			tries--;
			rc = registry_call_authorize(r, ret->authenticate, generation, err);
			http_response_clear(ret);
			if (rc < 0)
				return rc;
			continue;
		}
		if (!registry_call_transient(ret->status) || tries + 1 >= most)
			return 0;
		log_debug("%s: HTTP %d; trying again", q->url, ret->status);
		registry_call_pause(tries, ret->retry_after);
		http_response_clear(ret);
	}
}

/* Does the answer send a request with a body elsewhere, to be made there just the same? (GET and HEAD follow by themselves.) */
static bool sent_on(const struct http_request *q, const struct http_response *resp)
{
	return (resp->status == 307 || resp->status == 308) && resp->location && strcmp(q->method, "GET") &&
		strcmp(q->method, "HEAD");
}

int registry_call_tries(struct registry *r, const struct http_request *q, unsigned int most, struct http_response *ret,
			struct err *err)
{
	struct http_request at = *q;
	cleanup_free char *url = NULL;

	for (unsigned int hops = 0;; hops++) {
		int rc;

		if (str_starts(at.url, "http://") && str_starts(r->base, "https://") && !r->http.insecure)
			return err_set(err, -EACCES, "%s: leads from HTTPS to plain HTTP: %.200s", r->host, at.url);
		rc = call_url(r, &at, most, ret, err);
		if (rc < 0 || !sent_on(q, ret))
			return rc;
		free(url);
		at.url = url = steal_ptr(ret->location);
		http_response_clear(ret);
		if (hops >= REDIRECTS_MAX)
			return err_set(err, -ELOOP, "%s: redirected more than %d times", r->host, REDIRECTS_MAX);
		log_debug("%s goes to %s", q->method, url);
	}
}

int registry_call(struct registry *r, const struct http_request *q, struct http_response *ret, struct err *err)
{
	return registry_call_tries(r, q, REGISTRY_TRIES, ret, err);
}
