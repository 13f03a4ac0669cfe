/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: reader and writer.
 *
 * Reading: yajl's callbacks build a tree whose nodes point to their parent, so that any value can name itself
 * in an error. Nodes of a container under construction grow in one array on a stack of open containers; texts
 * and finished arrays live in blocks of an arena that goes in one piece. Children hold the address of their
 * parent, which moves while the parent's own array grows: the pointers are set in one pass at the end.
 *
 * Writing: straight into a string buffer; commas and indentation follow from depth and a flag.
 */
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#define BLOCK_SIZE 16384

struct block {
	struct block *next;
	size_t used, size;
	char data[] __attribute__((aligned(16)));
};

struct open_container {
	struct json self; /* key set, type set */
	struct json *v;   /* children so far; malloc'd */
	size_t n, cap;
	char *key; /* pending key of the next member, in the arena */
};

struct json_doc {
	struct json root;
	struct block *blocks;
	char *what;
	/* while parsing */
	struct open_container stack[JSON_DEPTH_MAX];
	int depth;
	bool have_root;
	struct err *err;
};

static void *arena(struct json_doc *d, size_t n)
{
	struct block *b = d->blocks;
	void *p;

	n = (n + 15) & ~(size_t)15;
	if (!b || b->size - b->used < n) {
		size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;

		b = xmalloc(sizeof(*b) + size);
		b->next = d->blocks;
		b->size = size;
		b->used = 0;
		d->blocks = b;
	}
	p = b->data + b->used;
	b->used += n;
	return p;
}

static char *arena_text(struct json_doc *d, const void *s, size_t n)
{
	char *p = arena(d, n + 1);

	if (n)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

/* The path of the value that comes next, for errors while parsing. */
static char *pending_path(struct json_doc *d)
{
	struct str b = { 0 };

	for (int i = 0; i < d->depth; i++) {
		struct open_container *o = &d->stack[i];

		if (o->self.type == JSON_ARRAY)
			str_addf(&b, "[%zu]", o->n);
		else if (o->key)
			str_addf(&b, "%s%s", b.len ? "." : "", o->key);
	}
	return str_steal(&b);
}

static int parse_error(struct json_doc *d, const char *text)
{
	cleanup_free char *path = pending_path(d);

	if (*path)
		err_set(d->err, -EINVAL, "%s: %s: %s", d->what, path, text);
	else
		err_set(d->err, -EINVAL, "%s: %s", d->what, text);
	return 0;
}

static int add_value(struct json_doc *d, struct json v)
{
	struct open_container *o;

	if (!d->depth) {
		d->root = v;
		d->have_root = true;
		return 1;
	}
	o = &d->stack[d->depth - 1];
	v.index = o->n;
	v.key = o->key;
	o->key = NULL;
	if (o->n == o->cap) {
		o->cap = o->cap ? o->cap * 2 : 8;
		o->v = xreallocarray(o->v, o->cap, sizeof(*o->v));
	}
	o->v[o->n++] = v;
	return 1;
}

static int on_null(void *ctx)
{
	return add_value(ctx, (struct json){ .type = JSON_NULL });
}

static int on_bool(void *ctx, int b)
{
	return add_value(ctx, (struct json){ .type = JSON_BOOL, .b = b });
}

static int on_number(void *ctx, const char *s, size_t n)
{
	return add_value(ctx, (struct json){ .type = JSON_NUMBER, .s = arena_text(ctx, s, n) });
}

static int on_string(void *ctx, const unsigned char *s, size_t n)
{
	if (memchr(s, '\0', n))
		return parse_error(ctx, "NUL byte in a string");
	return add_value(ctx, (struct json){ .type = JSON_STRING, .s = arena_text(ctx, s, n) });
}

static int on_key(void *ctx, const unsigned char *s, size_t n)
{
	struct json_doc *d = ctx;
	struct open_container *o = &d->stack[d->depth - 1];

	if (memchr(s, '\0', n))
		return parse_error(d, "NUL byte in a key");
	o->key = arena_text(d, s, n);
	for (size_t i = 0; i < o->n; i++)
		if (!strcmp(o->v[i].key, o->key))
			return parse_error(d, "duplicate key");
	return 1;
}

static int open_container(struct json_doc *d, enum json_type type)
{
	if (d->depth == JSON_DEPTH_MAX)
		return parse_error(d, "nested too deeply");
	d->stack[d->depth++] = (struct open_container){ .self = { .type = type } };
	return 1;
}

static int close_container(struct json_doc *d)
{
	struct open_container *o = &d->stack[--d->depth];
	struct json v = o->self;

	v.c.n = o->n;
	v.c.v = arena(d, (o->n + !o->n) * sizeof(*o->v)); /* never NULL: loops compute its end */
	if (o->n)
		memcpy(v.c.v, o->v, o->n * sizeof(*o->v));
	free(o->v);
	o->v = NULL;
	return add_value(d, v);
}

static int on_object(void *ctx)
{
	return open_container(ctx, JSON_OBJECT);
}

static int on_array(void *ctx)
{
	return open_container(ctx, JSON_ARRAY);
}

static int on_end(void *ctx)
{
	return close_container(ctx);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end,
	.yajl_start_array = on_array,
	.yajl_end_array = on_end,
};

static void set_parents(struct json *v)
{
	if (v->type != JSON_ARRAY && v->type != JSON_OBJECT)
		return;
	for (size_t i = 0; i < v->c.n; i++) {
		v->c.v[i].parent = v;
		set_parents(&v->c.v[i]);
	}
}

/* yajl's own words without their trailing newline and source excerpt. */
static void syntax_error(struct json_doc *d, yajl_handle h, const char *buf, size_t len)
{
	unsigned char *text = yajl_get_error(h, 0, (const unsigned char *)buf, len);
	size_t at = yajl_get_bytes_consumed(h), line = 1;
	char *s = (char *)text;

	for (size_t i = 0; i < at && i < len; i++)
		line += buf[i] == '\n';
	s[strcspn(s, "\n")] = '\0';
	err_set(d->err, -EINVAL, "%s: line %zu: %s", d->what, line, s);
	yajl_free_error(h, text);
}

struct json_doc *json_parse(const char *buf, size_t len, const char *what, struct err *err)
{
	struct json_doc *d = xcalloc(1, sizeof(*d));
	yajl_handle h = yajl_alloc(&callbacks, NULL, d);
	struct err local = { 0 };
	yajl_status st;

	d->what = xstrdup(what);
	d->err = &local;
	st = yajl_parse(h, (const unsigned char *)buf, len);
	if (st == yajl_status_ok)
		st = yajl_complete_parse(h);
	if (st != yajl_status_ok && !local.code)
		syntax_error(d, h, buf, len);
	if (st == yajl_status_ok && (!d->have_root || d->depth))
		err_set(&local, -EINVAL, "%s: the document is empty or cut short", what);
	yajl_free(h);
	d->err = NULL;
	if (local.code) {
		if (err)
			*err = local;
		json_doc_free(d);
		return NULL;
	}
	set_parents(&d->root);
	return d;
}

const struct json *json_root(const struct json_doc *doc)
{
	return &doc->root;
}

void json_doc_free(struct json_doc *doc)
{
	if (!doc)
		return;
	for (int i = 0; i < doc->depth; i++)
		free(doc->stack[i].v);
	while (doc->blocks) {
		struct block *b = doc->blocks;

		doc->blocks = b->next;
		free(b);
	}
	free(doc->what);
	free(doc);
}

static void add_path(struct str *b, const struct json *v)
{
	if (!v->parent)
		return;
	add_path(b, v->parent);
	if (v->parent->type == JSON_ARRAY)
		str_addf(b, "[%zu]", v->index);
	else
		str_addf(b, "%s%s", b->len ? "." : "", v->key);
}

char *json_path(const struct json *v)
{
	struct str b = { 0 };

	add_path(&b, v);
	return str_steal(&b);
}

int json_error(const struct json *v, struct err *err, const char *fmt, ...)
{
	cleanup_free char *path = json_path(v);
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(err, -EINVAL, "%s%s%s", path, *path ? ": " : "", text);
}

const struct json *json_get(const struct json *obj, const char *key)
{
	if (!obj || obj->type != JSON_OBJECT)
		return NULL;
	json_for_each(m, obj)
		if (!strcmp(m->key, key))
			return m->type == JSON_NULL ? NULL : m;
	return NULL;
}

static const char *const type_words[] = {
	[JSON_NULL] = "null",       [JSON_BOOL] = "a boolean", [JSON_NUMBER] = "a number",
	[JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
};

int json_want(const struct json *v, enum json_type type, struct err *err)
{
	if (v->type != type)
		return json_error(v, err, "expected %s", type_words[type]);
	return 0;
}

int json_string(const struct json *v, const char **ret, struct err *err)
{
	int r = json_want(v, JSON_STRING, err);

	if (!r)
		*ret = v->s;
	return r;
}

int json_bool(const struct json *v, bool *ret, struct err *err)
{
	int r = json_want(v, JSON_BOOL, err);

	if (!r)
		*ret = v->b;
	return r;
}

int json_u64(const struct json *v, uint64_t *ret, struct err *err)
{
	if (v->type != JSON_NUMBER || parse_u64(v->s, ret) < 0)
		return json_error(v, err, "expected an unsigned 64-bit integer");
	return 0;
}

int json_i64(const struct json *v, int64_t *ret, struct err *err)
{
	if (v->type != JSON_NUMBER || parse_i64(v->s, ret) < 0)
		return json_error(v, err, "expected a signed 64-bit integer");
	return 0;
}

int json_u32(const struct json *v, uint32_t *ret, struct err *err)
{
	if (v->type != JSON_NUMBER || parse_u32(v->s, ret) < 0)
		return json_error(v, err, "expected an unsigned 32-bit integer");
	return 0;
}

int json_i32(const struct json *v, int32_t *ret, struct err *err)
{
	int64_t n;

	if (v->type != JSON_NUMBER || parse_i64(v->s, &n) < 0 || n < INT32_MIN || n > INT32_MAX)
		return json_error(v, err, "expected a signed 32-bit integer");
	*ret = (int32_t)n;
	return 0;
}

int json_double(const struct json *v, double *ret, struct err *err)
{
	double d;

	if (v->type != JSON_NUMBER)
		return json_error(v, err, "expected a number");
	d = strtod(v->s, NULL);
	if (!isfinite(d))
		return json_error(v, err, "expected a finite number");
	*ret = d;
	return 0;
}

#define OPTIONAL(name, type) \
	int json_opt_##name(const struct json *obj, const char *key, type *ret, struct err *err) \
	{ \
		const struct json *v = json_get(obj, key); \
		int r = v ? json_##name(v, ret, err) : 0; \
\
		return r < 0 ? r : v != NULL; \
	}

OPTIONAL(bool, bool)
OPTIONAL(u64, uint64_t)
OPTIONAL(i64, int64_t)
OPTIONAL(u32, uint32_t)
OPTIONAL(i32, int32_t)

int json_opt_string(const struct json *obj, const char *key, char **ret, struct err *err)
{
	const struct json *v = json_get(obj, key);
	const char *s = NULL;
	int r;

	if (!v)
		return 0;
	r = json_string(v, &s, err);
	if (r < 0)
		return r;
	free(*ret);
	*ret = xstrdup(s);
	return 1;
}

int json_opt_strv(const struct json *obj, const char *key, char ***ret, struct err *err)
{
	cleanup_strv char **list = NULL;
	const struct json *v;
	int r = json_opt_array(obj, key, &v, err);

	if (r <= 0)
		return r;
	list = xcalloc(v->c.n + 1, sizeof(*list));
	json_for_each(e, v) {
		const char *s = NULL;

		r = json_string(e, &s, err);
		if (r < 0)
			return r;
		list[e->index] = xstrdup(s);
	}
	strv_free(*ret);
	*ret = steal_ptr(list);
	return 1;
}

static int opt_container(const struct json *obj, const char *key, enum json_type type, const struct json **ret,
			 struct err *err)
{
	const struct json *v = json_get(obj, key);
	int r = v ? json_want(v, type, err) : 0;

	if (r < 0)
		return r;
	if (v)
		*ret = v;
	return v != NULL;
}

int json_opt_array(const struct json *obj, const char *key, const struct json **ret, struct err *err)
{
	return opt_container(obj, key, JSON_ARRAY, ret, err);
}

int json_opt_object(const struct json *obj, const char *key, const struct json **ret, struct err *err)
{
	return opt_container(obj, key, JSON_OBJECT, ret, err);
}

int json_req_string(const struct json *obj, const char *key, char **ret, struct err *err)
{
	int r = json_opt_string(obj, key, ret, err);
	cleanup_free char *path = NULL;

	if (r)
		return r < 0 ? r : 0;
	path = json_path(obj);
	return err_set(err, -EINVAL, "%s%s%s: required", path, *path ? "." : "", key);
}

static void quoted(struct str *b, const char *s)
{
	str_addc(b, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			str_addf(b, "\\%c", c);
		else if (c == '\n')
			str_add(b, "\\n");
		else if (c == '\t')
			str_add(b, "\\t");
		else if (c == '\r')
			str_add(b, "\\r");
		else if (c < 0x20 || c == 0x7f)
			str_addf(b, "\\u%04x", c);
		else
			str_addc(b, (char)c);
	}
	str_addc(b, '"');
}

static void newline(struct json_writer *w)
{
	if (!w->indent)
		return;
	str_addc(&w->out, '\n');
	for (unsigned int i = 0; i < w->depth * w->indent; i++)
		str_addc(&w->out, ' ');
}

static void start_value(struct json_writer *w, const char *key)
{
	if (w->comma)
		str_addc(&w->out, ',');
	if (w->depth)
		newline(w);
	if (key) {
		quoted(&w->out, key);
		str_add(&w->out, w->indent ? ": " : ":");
	}
	w->comma = true;
}

static void open_level(struct json_writer *w, const char *key, char c)
{
	start_value(w, key);
	str_addc(&w->out, c);
	w->depth++;
	w->comma = false;
}

static void close_level(struct json_writer *w, char c)
{
	w->depth--;
	if (w->comma)
		newline(w);
	str_addc(&w->out, c);
	w->comma = true;
}

void json_w_object(struct json_writer *w, const char *key)
{
	open_level(w, key, '{');
}

void json_w_object_end(struct json_writer *w)
{
	close_level(w, '}');
}

void json_w_array(struct json_writer *w, const char *key)
{
	open_level(w, key, '[');
}

void json_w_array_end(struct json_writer *w)
{
	close_level(w, ']');
}

void json_w_string(struct json_writer *w, const char *key, const char *s)
{
	start_value(w, key);
	if (s)
		quoted(&w->out, s);
	else
		str_add(&w->out, "null");
}

void json_w_u64(struct json_writer *w, const char *key, uint64_t n)
{
	start_value(w, key);
	str_addf(&w->out, "%" PRIu64, n);
}

void json_w_i64(struct json_writer *w, const char *key, int64_t n)
{
	start_value(w, key);
	str_addf(&w->out, "%" PRId64, n);
}

void json_w_double(struct json_writer *w, const char *key, double d)
{
	start_value(w, key);
	str_addf(&w->out, "%.17g", isfinite(d) ? d : 0);
}

void json_w_bool(struct json_writer *w, const char *key, bool b)
{
	start_value(w, key);
	str_add(&w->out, b ? "true" : "false");
}

void json_w_null(struct json_writer *w, const char *key)
{
	start_value(w, key);
	str_add(&w->out, "null");
}

void json_w_strv(struct json_writer *w, const char *key, char *const *v)
{
	json_w_array(w, key);
	for (; v && *v; v++)
		json_w_string(w, NULL, *v);
	json_w_array_end(w);
}

void json_w_value(struct json_writer *w, const char *key, const struct json *v)
{
	switch (v->type) {
	case JSON_NULL:
		json_w_null(w, key);
		break;
	case JSON_BOOL:
		json_w_bool(w, key, v->b);
		break;
	case JSON_NUMBER:
		start_value(w, key);
		str_add(&w->out, v->s);
		break;
	case JSON_STRING:
		json_w_string(w, key, v->s);
		break;
	case JSON_ARRAY:
		json_w_array(w, key);
		json_for_each(e, v)
			json_w_value(w, NULL, e);
		json_w_array_end(w);
		break;
	case JSON_OBJECT:
		json_w_object(w, key);
		json_for_each(e, v)
			json_w_value(w, e->key, e);
		json_w_object_end(w);
		break;
	}
}

char *json_w_steal(struct json_writer *w)
{
	unsigned int indent = w->indent;
	char *s = str_steal(&w->out);

	*w = (struct json_writer){ .indent = indent };
	return s;
}
