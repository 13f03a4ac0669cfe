/* SPDX-License-Identifier: Apache-2.0 */
/* Growing string buffer, string vectors, strict numbers and sizes. Out of memory aborts (short-lived callers). */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct str {
	char *s;    /* NUL-terminated once anything was added; owned */
	size_t len; /* bytes without the NUL */
	size_t cap;
};

void *xmalloc(size_t n);           /* never NULL: aborts */
void *xcalloc(size_t n, size_t m); /* zeroed, overflow-checked, never NULL */
void *xrealloc(void *p, size_t n); /* never NULL */
void *xreallocarray(void *p, size_t n, size_t m);
char *xstrdup(const char *s); /* NULL gives NULL */
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);

void str_add(struct str *b, const char *s);
void str_addn(struct str *b, const void *s, size_t n);
void str_addc(struct str *b, char c);
void str_addf(struct str *b, const char *fmt, ...) PRINTF(2, 3);
/* The text, owned by the caller; the buffer is empty afterwards. Never NULL. */
char *str_steal(struct str *b);
/* The text, still owned by the buffer; "" when empty. */
const char *str_get(const struct str *b);
void str_free(struct str *b);
#define cleanup_str CLEANUP(str_free)

/* NULL-terminated vectors of owned strings. strv_add copies; *v may be NULL. strv_len(NULL) is 0. */
void strv_add(char ***v, const char *s);
void strv_add_take(char ***v, char *s);
size_t strv_len(char *const *v);
#ifdef __clang_analyzer__ /* a list with members is one */
#define strv_len(v) ((v) ? (strv_len)(v) : 0)
#endif
char **strv_dup(char *const *v);
bool strv_has(char *const *v, const char *s);
/* s split at every c; empty parts are kept. */
char **strv_split(const char *s, char c);
char *strv_join(char *const *v, const char *sep);
void strv_free(char **v);
static inline void cleanup_strv_fn(char ***v)
{
	strv_free(*v);
}
#define cleanup_strv CLEANUP(cleanup_strv_fn)

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
static inline bool str_empty(const char *s)
{
	return !s || !*s;
}

/* Whole string, base 10 (base 8 for parse_octal), no sign unless signed, no blanks. 0, -EINVAL or -ERANGE. */
int parse_u64(const char *s, uint64_t *ret);
int parse_u32(const char *s, uint32_t *ret);
int parse_i64(const char *s, int64_t *ret);
int parse_octal(const char *s, uint32_t *ret);
/* "512", "64k", "10m", "2g", "1t" with optional b/ib behind the letter; powers of 1024. 0, -EINVAL or -ERANGE. */
int parse_size(const char *s, uint64_t *ret_bytes);
/* "300ms", "1s", "1m30s", "2h" (Go's durations). 0 or -EINVAL. */
int parse_duration_ms(const char *s, uint64_t *ret_ms);

#endif
