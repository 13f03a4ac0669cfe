/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: a strict reader whose values know their path ("process.rlimits[2].soft") and a writer. The only file
 * that knows yajl. Numbers keep their text, so 64-bit values arrive intact; a key twice in one object, trailing
 * bytes, invalid UTF-8 or nesting beyond JSON_DEPTH_MAX are errors.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define JSON_DEPTH_MAX 128

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_type type;
	const struct json *parent; /* NULL at the root */
	const char *key;           /* in an object */
	size_t index;              /* in an array or object */
	union {
		bool b;
		const char *s; /* string without NUL inside, or a number's text */
		struct {
			struct json *v;
			size_t n;
		} c; /* children of an array or object, in order */
	};
};

struct json_doc;

/* Parses len bytes; what names the document in errors ("config.json"). NULL with *err. */
struct json_doc *json_parse(const char *buf, size_t len, const char *what, struct err *err);
/* The root value, owned by the document. */
const struct json *json_root(const struct json_doc *doc);
void json_doc_free(struct json_doc *doc);
static inline void cleanup_json_doc_fn(struct json_doc **d)
{
	json_doc_free(*d);
}
#define cleanup_json_doc CLEANUP(cleanup_json_doc_fn)

/* The value's path; "" for the root. Owned by the caller. */
char *json_path(const struct json *v);
/* Fails with "PATH: text" (or "WHAT: text" at the root). Returns -EINVAL. */
int json_error(const struct json *v, struct err *err, const char *fmt, ...) PRINTF(3, 4);

/* The member, or NULL when absent or null. obj may be NULL. */
const struct json *json_get(const struct json *obj, const char *key);

/* Conversions of a present value: 0 or -EINVAL with "PATH: expected an unsigned 64-bit integer" and the like. */
int json_string(const struct json *v, const char **ret, struct err *err);
int json_bool(const struct json *v, bool *ret, struct err *err);
int json_u64(const struct json *v, uint64_t *ret, struct err *err);
int json_i64(const struct json *v, int64_t *ret, struct err *err);
int json_u32(const struct json *v, uint32_t *ret, struct err *err);
int json_i32(const struct json *v, int32_t *ret, struct err *err);
int json_double(const struct json *v, double *ret, struct err *err);
int json_want(const struct json *v, enum json_type type, struct err *err);

/*
 * Optional members: 1 present and set, 0 absent or null (*ret unchanged), negative with *err. Strings are
 * copied (owned by the caller, an older value is freed).
 */
int json_opt_string(const struct json *obj, const char *key, char **ret, struct err *err);
int json_opt_bool(const struct json *obj, const char *key, bool *ret, struct err *err);
int json_opt_u64(const struct json *obj, const char *key, uint64_t *ret, struct err *err);
int json_opt_i64(const struct json *obj, const char *key, int64_t *ret, struct err *err);
int json_opt_u32(const struct json *obj, const char *key, uint32_t *ret, struct err *err);
int json_opt_i32(const struct json *obj, const char *key, int32_t *ret, struct err *err);
int json_opt_strv(const struct json *obj, const char *key, char ***ret, struct err *err);
int json_opt_array(const struct json *obj, const char *key, const struct json **ret, struct err *err);
int json_opt_object(const struct json *obj, const char *key, const struct json **ret, struct err *err);
/* Required string member: 0, or "PATH.key: required" . */
int json_req_string(const struct json *obj, const char *key, char **ret, struct err *err);

#define json_for_each(it, of) for (const struct json *it = (of)->c.v; it < (of)->c.v + (of)->c.n; it++)

/* Writer. key is NULL inside arrays and at the root. indent 0 writes on one line. */
struct json_writer {
	struct str out;
	unsigned int indent; /* blanks a level */
	unsigned int depth;
	bool comma; /* a value was written at this level */
};

void json_w_object(struct json_writer *w, const char *key);
void json_w_object_end(struct json_writer *w);
void json_w_array(struct json_writer *w, const char *key);
void json_w_array_end(struct json_writer *w);
void json_w_string(struct json_writer *w, const char *key, const char *s); /* NULL writes null */
void json_w_u64(struct json_writer *w, const char *key, uint64_t n);
void json_w_i64(struct json_writer *w, const char *key, int64_t n);
void json_w_double(struct json_writer *w, const char *key, double d);
void json_w_bool(struct json_writer *w, const char *key, bool b);
void json_w_null(struct json_writer *w, const char *key);
void json_w_strv(struct json_writer *w, const char *key, char *const *v); /* NULL writes [] */
/* Copies a parsed value. */
void json_w_value(struct json_writer *w, const char *key, const struct json *v);
/* The text, owned by the caller; the writer is empty afterwards. */
char *json_w_steal(struct json_writer *w);

#endif
