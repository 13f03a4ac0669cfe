/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests and streams. */
/*
 * A request is one easy handle run to its end. A stream is an easy handle in a multi handle of its own, driven by
 * whoever reads: curl's write callback fills a buffer, pauses the transfer when it is full, and reading resumes it,
 * so a slow unpacker holds the network back and nothing needs a thread. A server that answers a ranged request
 * with the whole body (200) is met by skipping. curl itself drops Authorization when a redirect leaves the host.
 * Connections that move less than a byte a second for a minute are given up.
 */
#include "images/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/str.h"

#define BODY_MAX (4 * 1024 * 1024)
#define BUFFER_MAX (2 * 1024 * 1024)

void http_init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void set_text(char **slot, const char *value, size_t n, bool join)
{
	char *old = join && *slot ? xasprintf("%s, %.*s", *slot, (int)n, value) : xstrndup(value, n);

	free(*slot);
	*slot = old;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_response *r = arg;
	size_t len = size * n;
	const char *colon = memchr(line, ':', len), *v;
	static const char *const names[] = { "content-type", "location",    "docker-content-digest", "www-authenticate",
					     "range",        "retry-after", "oci-chunk-min-length" };

	if (len > 5 && !strncasecmp(line, "HTTP/", 5)) { /* another answer of a redirect chain */
		free(steal_ptr(r->content_type));
		free(steal_ptr(r->digest));
		free(steal_ptr(r->authenticate));
		free(steal_ptr(r->location));
		free(steal_ptr(r->range));
		r->retry_after = 0;
	}
	if (!colon)
		return len;
	v = colon + 1;
	while (v < line + len && (*v == ' ' || *v == '\t'))
		v++;
	size_t vn = (size_t)(line + len - v);

	while (vn && (v[vn - 1] == '\r' || v[vn - 1] == '\n' || v[vn - 1] == ' '))
		vn--;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strlen(names[i]) != (size_t)(colon - line) || strncasecmp(names[i], line, (size_t)(colon - line)))
			continue;
		switch (i) {
		case 0:
			vn = memchr(v, ';', vn) ? (size_t)((const char *)memchr(v, ';', vn) - v) : vn;
			set_text(&r->content_type, v, vn, false);
			break;
		case 1:
			set_text(&r->location, v, vn, false);
			break;
		case 2:
			set_text(&r->digest, v, vn, false);
			break;
		case 3:
			set_text(&r->authenticate, v, vn, true);
			break;
		case 4:
			set_text(&r->range, v, vn, false);
			break;
		case 6: {
			cleanup_free char *text = xstrndup(v, vn);

			if (parse_u64(text, &r->chunk_min) < 0)
				r->chunk_min = 0;
			break;
		}
		default: {
			cleanup_free char *text = xstrndup(v, vn);
			uint32_t secs = 0;

			if (parse_u32(text, &secs) < 0) {
				time_t when = curl_getdate(text, NULL), now = time(NULL);

				secs = when > now ? (uint32_t)(when - now) : 0;
			}
			r->retry_after = secs > 60 ? 60 : secs;
		}
		}
	}
	return len;
}

void http_response_clear(struct http_response *r)
{
	free(r->content_type);
	free(r->location);
	free(r->digest);
	free(r->authenticate);
	free(r->range);
	free(r->body);
	memset(r, 0, sizeof(*r));
}

struct body {
	struct str text;
	bool over; /* there is more than BODY_MAX */
	int fd;
	const char *mem;
	uint64_t pos, len;
	const struct http_request *q;
};

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct body *b = arg;

	b->over = b->text.len + size * n > BODY_MAX;
	if (b->over)
		return 0;
	str_addn(&b->text, p, size * n);
	return size * n;
}

static size_t give_body(char *p, size_t size, size_t n, void *arg)
{
	struct body *b = arg;
	uint64_t left = b->len - b->pos;
	size_t want = size * n < left ? size * n : (size_t)left;
	ssize_t r = (ssize_t)want;

	if (b->fd >= 0)
		r = pread(b->fd, p, want, (off_t)(b->q->body_offset + b->pos));
	else if (want)
		memcpy(p, b->mem + b->pos, want);
	if (r < 0 || (want && !r))
		return CURL_READFUNC_ABORT;
	b->pos += (uint64_t)r;
	if (b->q->sent)
		b->q->sent(b->q->sent_arg, (uint64_t)r);
	return (size_t)r;
}

static int seek_body(void *arg, curl_off_t offset, int origin)
{
	struct body *b = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > b->len)
		return CURL_SEEKFUNC_FAIL;
	b->pos = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static CURL *handle(const struct http_config *c, const char *url, struct curl_slist *list, char *errbuf)
{
	CURL *h = curl_easy_init();

	if (!h)
		abort();
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, errbuf);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, 20L);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, 60L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, str_starts(url, "https") ? "https" : "http,https");
	curl_easy_setopt(h, CURLOPT_MAXREDIRS, 5L);
	curl_easy_setopt(h, CURLOPT_USERAGENT, "amphi/" AMPHI_VERSION);
	if (c->insecure) {
		curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (c->ca_file)
		curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_file);
	if (c->cert_file)
		curl_easy_setopt(h, CURLOPT_SSLCERT, c->cert_file);
	if (c->key_file)
		curl_easy_setopt(h, CURLOPT_SSLKEY, c->key_file);
	return h;
}

static struct curl_slist *header_list(char *const *headers)
{
	struct curl_slist *list = NULL;

	for (size_t i = 0; i < strv_len(headers); i++)
		list = curl_slist_append(list, headers[i]);
	return curl_slist_append(list, "Expect:");
}

static int failure(CURLcode rc, const char *url, const char *errbuf, struct err *err)
{
	int code = rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE ? -EKEYREJECTED :
		rc == CURLE_SSL_CONNECT_ERROR                                             ? -EPROTO :
		rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST           ? -EHOSTUNREACH :
											    -EIO;

	return err_set(err, code, "%.200s: %s", url, *errbuf ? errbuf : curl_easy_strerror(rc));
}

/* What Location says, seen from the URL that said it: absolute, owned; NULL when it makes no sense. */
static char *absolute(const char *url, const char *location)
{
	CURLU *u = curl_url();
	char *text = NULL, *ret = NULL;

	if (!u)
		abort();
	if (!curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_set(u, CURLUPART_URL, location, 0) &&
	    !curl_url_get(u, CURLUPART_URL, &text, 0))
		ret = xstrdup(text);
	curl_free(text);
	curl_url_cleanup(u);
	return ret;
}

int http_do(const struct http_config *c, const struct http_request *q, struct http_response *ret, struct err *err)
{
	char errbuf[CURL_ERROR_SIZE] = "";
	struct curl_slist *list = header_list(q->headers);
	CURL *h = handle(c, q->url, list, errbuf);
	struct body in = { 0 }, out = { .fd = q->body_fd, .mem = q->body, .len = q->body_len, .q = q };
	bool get = !strcmp(q->method, "GET"), head = !strcmp(q->method, "HEAD");
	const char *at = NULL;
	long status = 0;
	CURLcode rc;

	memset(ret, 0, sizeof(*ret));
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, ret);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, &in);
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, get || head ? 1L : 0L);
	if (head) {
		curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
	} else if (!get) {
		curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, q->method);
		curl_easy_setopt(h, CURLOPT_READFUNCTION, give_body);
		curl_easy_setopt(h, CURLOPT_READDATA, &out);
		curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, seek_body);
		curl_easy_setopt(h, CURLOPT_SEEKDATA, &out);
		curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_len);
	}
	rc = curl_easy_perform(h);
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	ret->status = (int)status;
	ret->body_len = in.text.len;
	ret->body = str_steal(&in.text);
	if (ret->location && curl_easy_getinfo(h, CURLINFO_EFFECTIVE_URL, &at) == CURLE_OK && at) {
		cleanup_free char *said = ret->location;

		ret->location = absolute(at, said);
	}
	curl_easy_cleanup(h);
	curl_slist_free_all(list);
	if (rc != CURLE_OK) {
		http_response_clear(ret);
		return in.over ? err_set(err, -EFBIG, "%.200s: answers with more than %d bytes", q->url, BODY_MAX) :
				 failure(rc, q->url, errbuf, err);
	}
	return 0;
}

struct http_stream {
	CURL *h;
	CURLM *multi;
	struct curl_slist *list;
	char errbuf[CURL_ERROR_SIZE];
	char *url;
	struct http_response *head; /* the caller's, until the headers are there */
	struct http_response own;   /* headers behind that */
	uint64_t skip;              /* bytes to drop of a whole body */
	uint64_t offset;
	char *buf;
	size_t pos, len;
	bool paused, ended, started;
	CURLcode result;
	long status;
};

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct http_stream *s = arg;
	size_t len = size * n, drop;

	if (!s->started) {
		s->started = true;
		curl_easy_getinfo(s->h, CURLINFO_RESPONSE_CODE, &s->status);
		if (s->status == 200)
			s->skip = s->offset;
	}
	if (s->status != 200 && s->status != 206)
		return len; /* an error page */
	if (s->len - s->pos + len > BUFFER_MAX) {
		s->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	drop = s->skip < len ? (size_t)s->skip : len;
	s->skip -= drop;
	if (s->pos) {
		memmove(s->buf, s->buf + s->pos, s->len - s->pos);
		s->len -= s->pos;
		s->pos = 0;
	}
	memcpy(s->buf + s->len, p + drop, len - drop);
	s->len += len - drop;
	return len;
}

/* Lets curl work until something came or the transfer ended. */
static int advance(struct http_stream *s, struct err *err)
{
	struct CURLMsg *m;
	int running, left;

	if (s->paused && s->len - s->pos < BUFFER_MAX / 2) {
		s->paused = false;
		curl_easy_pause(s->h, CURLPAUSE_CONT);
	}
	if (curl_multi_perform(s->multi, &running) != CURLM_OK)
		return err_set(err, -EIO, "%s: curl", s->url);
	while ((m = curl_multi_info_read(s->multi, &left))) {
		if (m->msg == CURLMSG_DONE) {
			s->ended = true;
			s->result = m->data.result;
		}
	}
	if (!s->ended && s->pos == s->len)
		curl_multi_poll(s->multi, NULL, 0, 1000, NULL);
	return 0;
}

int http_stream_open(const struct http_config *c, const char *url, char *const *headers, uint64_t offset,
		     struct http_stream **ret, struct http_response *ret_head, struct err *err)
{
	struct http_stream *s = xcalloc(1, sizeof(*s));
	int r = 0;

	memset(ret_head, 0, sizeof(*ret_head));
	s->url = xstrdup(url);
	s->buf = xmalloc(BUFFER_MAX + CURL_MAX_WRITE_SIZE);
	s->offset = offset;
	s->list = header_list(headers);
	s->h = handle(c, url, s->list, s->errbuf);
	curl_easy_setopt(s->h, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(s->h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(s->h, CURLOPT_HEADERDATA, ret_head);
	curl_easy_setopt(s->h, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(s->h, CURLOPT_WRITEDATA, s);
	if (offset) {
		cleanup_free char *range = xasprintf("%llu-", (unsigned long long)offset);

		curl_easy_setopt(s->h, CURLOPT_RANGE, range);
	}
	s->multi = curl_multi_init();
	curl_multi_add_handle(s->multi, s->h);
	while (!s->started && !s->ended && r >= 0)
		r = advance(s, err);
	curl_easy_setopt(s->h, CURLOPT_HEADERDATA, &s->own);
	curl_easy_getinfo(s->h, CURLINFO_RESPONSE_CODE, &s->status);
	ret_head->status = (int)s->status;
	if (r >= 0 && !s->started && s->result != CURLE_OK)
		r = failure(s->result, url, s->errbuf, err);
	if (r < 0) {
		http_response_clear(ret_head);
		http_stream_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

ssize_t http_stream_read(struct http_stream *s, void *buf, size_t len, struct err *err)
{
	size_t n;

	while (s->pos == s->len && !s->ended) {
		int r = advance(s, err);

		if (r < 0)
			return r;
	}
	n = s->len - s->pos < len ? s->len - s->pos : len;
	if (!n)
		return s->result == CURLE_OK ? 0 : failure(s->result, s->url, s->errbuf, err);
	memcpy(buf, s->buf + s->pos, n);
	s->pos += n;
	return (ssize_t)n;
}

void http_stream_close(struct http_stream *s)
{
	if (!s)
		return;
	curl_multi_remove_handle(s->multi, s->h);
	curl_easy_cleanup(s->h);
	curl_multi_cleanup(s->multi);
	curl_slist_free_all(s->list);
	http_response_clear(&s->own);
	free(s->url);
	free(s->buf);
	free(s);
}
