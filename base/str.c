/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings, string vectors and strict numbers.
 *
 * For the short-lived commands: running out of memory aborts. A number is the whole string or it is an error;
 * blanks, signs where none belong and trailing bytes are refused.
 */
#include "base/str.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *need(void *p)
{
	if (!p) {
		(void)!write(2, "out of memory\n", 14);
		abort();
	}
	return p;
}

void *xmalloc(size_t n)
{
	return need(malloc(n ? n : 1));
}

void *xcalloc(size_t n, size_t m)
{
	return need(calloc(n ? n : 1, m ? m : 1));
}

void *xrealloc(void *p, size_t n)
{
	return need(realloc(p, n ? n : 1));
}

void *xreallocarray(void *p, size_t n, size_t m)
{
	return need(reallocarray(p, n ? n : 1, m ? m : 1));
}

char *xstrdup(const char *s)
{
	return s ? need(strdup(s)) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
	return need(strndup(s, n));
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return need(n < 0 ? NULL : s);
}

static void reserve(struct str *b, size_t more)
{
	if (b->len + more + 1 <= b->cap)
		return;
	b->cap = b->cap * 2 > b->len + more + 1 ? b->cap * 2 : b->len + more + 32;
	b->s = xrealloc(b->s, b->cap);
}

void str_addn(struct str *b, const void *s, size_t n)
{
	reserve(b, n);
	if (n)
		memcpy(b->s + b->len, s, n);
	b->len += n;
	b->s[b->len] = '\0';
}

void str_add(struct str *b, const char *s)
{
	str_addn(b, s, strlen(s));
}

void str_addc(struct str *b, char c)
{
	str_addn(b, &c, 1);
}

void str_addf(struct str *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	reserve(b, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(b->s + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

char *str_steal(struct str *b)
{
	char *s = b->s ? b->s : xstrdup("");

	*b = (struct str){ 0 };
	return s;
}

const char *str_get(const struct str *b)
{
	return b->s ? b->s : "";
}

void str_free(struct str *b)
{
	free(b->s);
	*b = (struct str){ 0 };
}

#undef strv_len /* the analyzer's */
size_t strv_len(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

void strv_add_take(char ***v, char *s)
{
	size_t n = strv_len(*v);

	*v = xreallocarray(*v, n + 2, sizeof(**v));
	(*v)[n] = s;
	(*v)[n + 1] = NULL;
}

void strv_add(char ***v, const char *s)
{
	strv_add_take(v, xstrdup(s));
}

char **strv_dup(char *const *v)
{
	char **d = NULL;

	for (; v && *v; v++)
		strv_add(&d, *v);
	return d;
}

bool strv_has(char *const *v, const char *s)
{
	for (; v && *v; v++)
		if (!strcmp(*v, s))
			return true;
	return false;
}

char **strv_split(const char *s, char c)
{
	char **v = NULL;

	for (;;) {
		const char *e = strchrnul(s, c);

		strv_add_take(&v, xstrndup(s, (size_t)(e - s)));
		if (!*e)
			return v;
		s = e + 1;
	}
}

char *strv_join(char *const *v, const char *sep)
{
	struct str b = { 0 };

	for (size_t i = 0; v && v[i]; i++) {
		if (i)
			str_add(&b, sep);
		str_add(&b, v[i]);
	}
	return str_steal(&b);
}

void strv_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

bool str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}

static int parse_base(const char *s, unsigned int base, uint64_t *ret)
{
	uint64_t v = 0;

	if (!s || !*s)
		return -EINVAL;
	for (; *s; s++) {
		unsigned int d = (unsigned int)(unsigned char)*s - '0';

		if (d >= base)
			return -EINVAL;
		if (v > (UINT64_MAX - d) / base)
			return -ERANGE;
		v = v * base + d;
	}
	*ret = v;
	return 0;
}

int parse_u64(const char *s, uint64_t *ret)
{
	return parse_base(s, 10, ret);
}

int parse_u32(const char *s, uint32_t *ret)
{
	uint64_t v;
	int r = parse_base(s, 10, &v);

	if (r < 0)
		return r;
	if (v > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)v;
	return 0;
}

int parse_i64(const char *s, int64_t *ret)
{
	bool neg = s && *s == '-';
	uint64_t v;
	int r = parse_base(neg ? s + 1 : s, 10, &v);

	if (r < 0)
		return r;
	if (v > (uint64_t)INT64_MAX + neg)
		return -ERANGE;
	*ret = neg ? (int64_t)(~v + 1) : (int64_t)v;
	return 0;
}

int parse_octal(const char *s, uint32_t *ret)
{
	uint64_t v;
	int r = parse_base(s, 8, &v);

	if (r < 0)
		return r;
	if (v > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)v;
	return 0;
}

int parse_size(const char *s, uint64_t *ret_bytes)
{
	static const char units[] = "kmgtp";
	char digits[32];
	size_t n;
	unsigned int shift = 0;
	uint64_t v;
	int r;

	if (!s)
		return -EINVAL;
	n = strspn(s, "0123456789");
	if (!n || n >= sizeof(digits))
		return n ? -ERANGE : -EINVAL;
	memcpy(digits, s, n);
	digits[n] = '\0';
	r = parse_u64(digits, &v);
	if (r < 0)
		return r;
	s += n;
	if (*s && strcasecmp(s, "b")) {
		char c = (char)(*s | 0x20);
		const char *u = strchr(units, c);

		if (!u)
			return -EINVAL;
		shift = 10 * (unsigned int)(u - units + 1);
		s++;
		if (*s && strcasecmp(s, "b") && strcasecmp(s, "ib"))
			return -EINVAL;
	}
	if (shift && v >> (64 - shift))
		return -ERANGE;
	*ret_bytes = v << shift;
	return 0;
}

int parse_duration_ms(const char *s, uint64_t *ret_ms)
{
	double total = 0;

	if (!s || !*s)
		return -EINVAL;
	while (*s) {
		char *e;
		double v, unit;

		if (*s < '0' || *s > '9')
			return -EINVAL;
		v = strtod(s, &e);
		if (!strncmp(e, "ms", 2)) {
			unit = 1;
			e += 2;
		} else if (*e == 's' || *e == 'm' || *e == 'h') {
			unit = *e == 's' ? 1000 : *e == 'm' ? 60000 : 3600000;
			e++;
		} else {
			return -EINVAL;
		}
		total += v * unit;
		s = e;
	}
	if (total > 1e15)
		return -EINVAL;
	*ret_ms = (uint64_t)total;
	return 0;
}
