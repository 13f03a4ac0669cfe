/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian packages, as far as a kernel needs them: members of the ar archive and regular files of a tar archive,
 * both as slices of mapped memory. Foreign bytes: each length is checked against what is left before use; numbers
 * are plain octal (or base-256 within bounds); names are kept below 4 KiB and are only compared, never opened.
 */
#include "vm/deb.h"

#include <string.h>

#include "base/str.h"

#define AR_MAGIC "!<arch>\n"
#define AR_HEADER 60u
#define TAR_BLOCK 512u
#define TAR_NAME_MAX 4096u

int deb_member(const uint8_t *in, size_t len, const char *prefix, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	size_t off = strlen(AR_MAGIC);

	if (len < off || memcmp(in, AR_MAGIC, off) != 0)
		return err_set(err, -EBADMSG, "not a Debian package");
	while (len - off >= AR_HEADER) {
		const uint8_t *h = in + off;
		char digits[11] = "";
		uint64_t size;

		memcpy(digits, h + 48, 10);
		for (size_t i = 10; i > 0 && digits[i - 1] == ' '; i--)
			digits[i - 1] = '\0';
		off += AR_HEADER;
		if (h[58] != '`' || h[59] != '\n' || parse_u64(digits, &size) < 0 || size > len - off)
			return err_set(err, -EBADMSG, "corrupt Debian package: bad member header");
		if (memcmp(h, prefix, strlen(prefix) < 16 ? strlen(prefix) : 16) == 0) {
			*ret = in + off;
			*ret_len = (size_t)size;
			return 0;
		}
		off += (size_t)size;
		if (size % 2 && off < len)
			off++;
	}
	return err_set(err, -ENOENT, "corrupt Debian package: no member %s", prefix);
}

/* A tar number: octal text, or base 256 when the top bit is set. */
static int tar_number(const uint8_t *p, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (p[0] & 0x80) {
		for (size_t i = 1; i < n; i++) {
			if (v >> 55)
				return -EBADMSG;
			v = v << 8 | p[i];
		}
		*ret = v;
		return 0;
	}
	for (size_t i = 0; i < n && p[i] && p[i] != ' '; i++) {
		if (p[i] < '0' || p[i] > '7' || v >> 60)
			return -EBADMSG;
		v = v << 3 | (unsigned int)(p[i] - '0');
	}
	*ret = v;
	return 0;
}

/* The value of "path" in a pax header: records "LEN key=value\n". Empty when there is none. */
static void pax_path(const uint8_t *in, size_t len, char name[TAR_NAME_MAX])
{
	size_t off = 0;

	while (off < len) {
		size_t rec = 0, i = off;

		while (i < len && in[i] >= '0' && in[i] <= '9' && rec < len)
			rec = rec * 10 + (size_t)(in[i++] - '0');
		if (i >= len || in[i] != ' ' || rec <= i - off + 1 || rec > len - off)
			return;
		i++;
		if (off + rec - i > 6 && memcmp(in + i, "path=", 5) == 0 && off + rec - i - 6 < TAR_NAME_MAX) {
			memcpy(name, in + i + 5, off + rec - i - 6);
			name[off + rec - i - 6] = '\0';
		}
		off += rec;
	}
}

static void header_name(const uint8_t *h, char name[TAR_NAME_MAX])
{
	size_t n = 0;

	if (memcmp(h + 257, "ustar", 6) == 0 && h[345]) {
		n = strnlen((const char *)h + 345, 155);
		memcpy(name, h + 345, n);
		name[n++] = '/';
	}
	memcpy(name + n, h, 100);
	name[n + 100] = '\0';
}

int deb_tar_walk(const uint8_t *in, size_t len, deb_file_fn *fn, void *arg, struct err *err)
{
	cleanup_free char *name = xmalloc(TAR_NAME_MAX), *longname = xcalloc(1, TAR_NAME_MAX);
	size_t off = 0;

	while (len - off >= TAR_BLOCK && in[off]) {
		const uint8_t *h = in + off, *data;
		uint64_t size, padded;
		char type = (char)h[156];

		off += TAR_BLOCK;
		if (tar_number(h + 124, 12, &size) < 0 || size > len - off)
			return err_set(err, -EBADMSG, "corrupt tar archive: a member reaches beyond the end");
		data = in + off;
		padded = (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
		off = padded > len - off ? len : off + (size_t)padded;
		if (type == 'L') {
			if (size >= TAR_NAME_MAX)
				return err_set(err, -EBADMSG, "corrupt tar archive: name too long");
			memcpy(longname, data, (size_t)size);
			longname[size] = '\0';
			continue;
		}
		if (type == 'x') {
			pax_path(data, (size_t)size, longname);
			continue;
		}
		if (*longname)
			memcpy(name, longname, strlen(longname) + 1);
		else
			header_name(h, name);
		*longname = '\0';
		if (type == '0' || type == '\0') {
			const char *n = str_starts(name, "./") ? name + 2 : name;
			int r = fn(arg, n, data, (size_t)size);

			if (r)
				return r;
		}
	}
	return 0;
}
