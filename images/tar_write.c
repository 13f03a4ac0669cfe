/* SPDX-License-Identifier: Apache-2.0 */
/* Writing tar archives: ustar headers, with a pax header before them where they do not suffice. */
/*
 * The same entry gives the same bytes whoever runs it and whenever: no names of users, no access times. That
 * makes a committed layer's digest depend on its content alone.
 */
#include "images/tar.h"

#include <string.h>

#include "base/str.h"

#define BLOCK 512

static const char zeros[2 * BLOCK];

static void octal(char *field, size_t len, uint64_t v)
{
	for (size_t i = len - 1; i-- > 0; v >>= 3)
		field[i] = (char)('0' + (v & 7));
}

static void record(struct str *pax, const char *key, const void *value, size_t len)
{
	size_t body = strlen(key) + len + 3, total = body + 1; /* ' ' '=' '\n' and the digits of the length */

	for (size_t digits = 1;; digits++) {
		char text[24];

		total = body + digits;
		if ((size_t)snprintf(text, sizeof(text), "%zu", total) == digits)
			break;
	}
	str_addf(pax, "%zu %s=", total, key);
	str_addn(pax, value, len);
	str_addc(pax, '\n');
}

static void record_text(struct str *pax, const char *key, const char *text)
{
	record(pax, key, text, strlen(text));
}

static void record_number(struct str *pax, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	record_text(pax, key, text);
}

static int put_header(tar_put_fn *put, void *arg, const struct tar_entry *e, char type, const char *name, uint64_t size,
		      struct err *err)
{
	char h[BLOCK] = { 0 };
	unsigned int sum = 0;

	strncpy(h, name, 100);
	octal(h + 100, 8, e->mode & 07777);
	octal(h + 108, 8, e->uid > 07777777 ? 0 : e->uid);
	octal(h + 116, 8, e->gid > 07777777 ? 0 : e->gid);
	octal(h + 124, 12, size >> 33 ? 0 : size);
	octal(h + 136, 12, e->mtime < 0 || e->mtime >> 33 ? 0 : (uint64_t)e->mtime);
	h[156] = type;
	if (e->link && type != 'x')
		strncpy(h + 157, e->link, 100);
	memcpy(h + 257, "ustar\00000", 8);
	octal(h + 329, 8, type == '3' || type == '4' ? e->major : 0);
	octal(h + 337, 8, type == '3' || type == '4' ? e->minor : 0);
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	return put(arg, h, BLOCK, err);
}

int tar_write_padding(tar_put_fn *put, void *arg, uint64_t size, struct err *err)
{
	size_t pad = (size_t)(-size & (BLOCK - 1));

	return pad ? put(arg, zeros, pad, err) : 0;
}

int tar_write_end(tar_put_fn *put, void *arg, struct err *err)
{
	return put(arg, zeros, sizeof(zeros), err);
}

int tar_write_entry(tar_put_fn *put, void *arg, const struct tar_entry *e, struct err *err)
{
	static const char types[] = { [TAR_FILE] = '0',  [TAR_HARDLINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHAR] = '3',
				      [TAR_BLOCK] = '4', [TAR_DIR] = '5',      [TAR_FIFO] = '6' };
	cleanup_str struct str pax = { 0 };
	int r;

	if (strlen(e->path) > 100)
		record_text(&pax, "path", e->path);
	if (e->link && strlen(e->link) > 100)
		record_text(&pax, "linkpath", e->link);
	if (e->uid > 07777777)
		record_number(&pax, "uid", e->uid);
	if (e->gid > 07777777)
		record_number(&pax, "gid", e->gid);
	if (e->size >> 33)
		record_number(&pax, "size", e->size);
	if (e->mtime < 0 || e->mtime >> 33 || e->mtime_nsec) {
		char text[48];
		int64_t secs = e->mtime;
		uint32_t ns = e->mtime_nsec;
		bool minus = secs < 0 && ns;

		if (minus) {
			secs++;
			ns = 1000000000 - ns;
		}
		snprintf(text, sizeof(text), "%s%lld.%09u", minus && !secs ? "-" : "", (long long)secs, ns);
		record_text(&pax, "mtime", text);
	}
	for (size_t i = 0; i < e->n_xattrs; i++) {
		cleanup_free char *key = xasprintf("SCHILY.xattr.%s", e->xattrs[i].name);

		record(&pax, key, e->xattrs[i].value, e->xattrs[i].len);
	}
	if (pax.len) {
		r = put_header(put, arg, e, 'x', "pax", pax.len, err);
		if (r >= 0)
			r = put(arg, pax.s, pax.len, err);
		if (r >= 0)
			r = tar_write_padding(put, arg, pax.len, err);
		if (r < 0)
			return r;
	}
	return put_header(put, arg, e, types[e->type], e->path, e->type == TAR_FILE ? e->size : 0, err);
}
