/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression in process. */
/*
 * One input buffer is filled through the caller's function and fed to the decoder that the magic bytes chose.
 * gzip goes through ISA-L, two to three times as fast as zlib; its checksum is verified for each member. A
 * stream may be a chain of members or frames (pigz, eStargz, zstd:chunked). Decoders are limited in memory: xz
 * to 512 MiB, zstd to its default window. Nothing here knows sizes: the caller counts and limits what comes out.
 */
#include "images/inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <string.h>
#include <zstd.h>

#include "base/str.h"

#define IN_SIZE (256 * 1024)

enum kind { KIND_UNKNOWN, KIND_NONE, KIND_GZIP, KIND_ZSTD, KIND_XZ };

struct inflate {
	inflate_read_fn *fn;
	void *arg;
	enum kind kind;
	bool eof;      /* fn has no more */
	bool finished; /* the decoder has no more */
	bool in_frame; /* a member or frame is open */
	uint8_t *in;
	size_t pos, len;
	struct inflate_state *gz;
	ZSTD_DStream *zstd;
	lzma_stream xz;
};

struct inflate *inflate_new(inflate_read_fn *fn, void *arg)
{
	struct inflate *z = xcalloc(1, sizeof(*z));

	z->fn = fn;
	z->arg = arg;
	z->in = xmalloc(IN_SIZE);
	return z;
}

void inflate_free(struct inflate *z)
{
	if (!z)
		return;
	free(z->gz);
	ZSTD_freeDStream(z->zstd);
	if (z->kind == KIND_XZ)
		lzma_end(&z->xz);
	free(z->in);
	free(z);
}

const char *inflate_kind(const struct inflate *z)
{
	static const char *const names[] = { "unknown", "none", "gzip", "zstd", "xz" };

	return names[z->kind];
}

/* Moves what is left to the front and reads more. Bytes added, 0 at the end, or negative. */
static ssize_t more(struct inflate *z, struct err *err)
{
	ssize_t n;

	if (z->eof)
		return 0;
	memmove(z->in, z->in + z->pos, z->len - z->pos);
	z->len -= z->pos;
	z->pos = 0;
	n = z->fn(z->arg, z->in + z->len, IN_SIZE - z->len, err);
	if (n > 0)
		z->len += (size_t)n;
	z->eof = n == 0;
	return n;
}

static void gzip_start(struct inflate *z)
{
	isal_inflate_init(z->gz);
	z->gz->crc_flag = ISAL_GZIP;
	z->in_frame = false;
}

static int detect(struct inflate *z, struct err *err)
{
	static const uint8_t xz_magic[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	const uint8_t *p;
	ssize_t n = 1;

	while (z->len < 6 && n > 0)
		n = more(z, err);
	if (n < 0)
		return (int)n;
	p = z->in;
	if (z->len >= 2 && p[0] == 0x1f && p[1] == 0x8b) {
		z->kind = KIND_GZIP;
		z->gz = xmalloc(sizeof(*z->gz));
		gzip_start(z);
	} else if (z->len >= 4 &&
		   ((p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd) ||
		    ((p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18))) {
		z->kind = KIND_ZSTD;
		z->zstd = ZSTD_createDStream();
		if (!z->zstd)
			abort();
	} else if (z->len >= 6 && !memcmp(p, xz_magic, 6)) {
		z->kind = KIND_XZ;
		z->xz = (lzma_stream)LZMA_STREAM_INIT;
		if (lzma_stream_decoder(&z->xz, 512ULL << 20, LZMA_CONCATENATED) != LZMA_OK)
			return err_set(err, -ENOMEM, "xz: out of memory");
	} else {
		z->kind = KIND_NONE;
	}
	return 0;
}

/* Behind a member: another one, padding, or the end. Sets finished. */
static int between(struct inflate *z, struct err *err)
{
	for (;;) {
		while (z->pos < z->len && !z->in[z->pos])
			z->pos++;
		if (z->pos < z->len)
			return 0;
		ssize_t n = more(z, err);

		if (n < 0)
			return (int)n;
		if (!n) {
			z->finished = true;
			return 0;
		}
	}
}

static ssize_t read_gzip(struct inflate *z, uint8_t *buf, size_t len, struct err *err)
{
	struct inflate_state *s = z->gz;
	size_t out = 0;
	int r;

	while (out < len && !z->finished) {
		if (!z->in_frame && s->block_state == ISAL_BLOCK_NEW_HDR && z->pos == z->len) {
			r = between(z, err);
			if (r < 0)
				return r;
			if (z->finished)
				break;
		} else if (z->pos == z->len && !z->eof) {
			ssize_t n = more(z, err);

			if (n < 0)
				return n;
		}
		s->next_in = z->in + z->pos;
		s->avail_in = (uint32_t)(z->len - z->pos);
		s->next_out = buf + out;
		s->avail_out = (uint32_t)(len - out > UINT32_MAX ? UINT32_MAX : len - out);
		uint32_t out_before = s->avail_out, in_before = s->avail_in;

		z->in_frame = true;
		r = isal_inflate(s);
		z->pos = z->len - s->avail_in;
		out += out_before - s->avail_out;
		if (r != ISAL_DECOMP_OK && r != ISAL_END_INPUT)
			return err_set(err, -EINVAL, "gzip: %s",
				       r == ISAL_INCORRECT_CHECKSUM ? "checksum mismatch" : "damaged data");
		if (s->block_state == ISAL_BLOCK_FINISH) {
			gzip_start(z);
			r = between(z, err);
			if (r < 0)
				return r;
			if (!z->finished &&
			    (z->len - z->pos < 2 ? z->in[z->pos] != 0x1f :
						   z->in[z->pos] != 0x1f || z->in[z->pos + 1] != 0x8b))
				return err_set(err, -EINVAL, "gzip: garbage behind the last member");
		} else if (z->eof && z->pos == z->len && out_before == s->avail_out && in_before == s->avail_in) {
			return err_set(err, -EINVAL, "gzip: truncated");
		}
	}
	return (ssize_t)out;
}

static ssize_t read_zstd(struct inflate *z, uint8_t *buf, size_t len, struct err *err)
{
	ZSTD_outBuffer out = { buf, len, 0 };

	while (out.pos < len && !z->finished) {
		ZSTD_inBuffer in;
		size_t r, before = out.pos;

		if (z->pos == z->len) {
			ssize_t n = more(z, err);

			if (n < 0)
				return n;
			if (!n && !z->in_frame) {
				z->finished = true;
				break;
			}
		}
		in = (ZSTD_inBuffer){ z->in + z->pos, z->len - z->pos, 0 };
		r = ZSTD_decompressStream(z->zstd, &out, &in);
		z->pos += in.pos;
		if (ZSTD_isError(r))
			return err_set(err, -EINVAL, "zstd: %s", ZSTD_getErrorName(r));
		z->in_frame = r != 0;
		if (z->eof && z->pos == z->len && !in.pos && out.pos == before)
			return err_set(err, -EINVAL, "zstd: truncated");
	}
	return (ssize_t)out.pos;
}

static ssize_t read_xz(struct inflate *z, uint8_t *buf, size_t len, struct err *err)
{
	z->xz.next_out = buf;
	z->xz.avail_out = len;
	while (z->xz.avail_out && !z->finished) {
		lzma_ret r;

		if (z->pos == z->len) {
			ssize_t n = more(z, err);

			if (n < 0)
				return n;
		}
		z->xz.next_in = z->in + z->pos;
		z->xz.avail_in = z->len - z->pos;
		r = lzma_code(&z->xz, z->eof ? LZMA_FINISH : LZMA_RUN);
		z->pos = z->len - z->xz.avail_in;
		if (r == LZMA_STREAM_END)
			z->finished = true;
		else if (r != LZMA_OK)
			return err_set(err, -EINVAL, "xz: %s",
				       r == LZMA_BUF_ERROR              ? "truncated" :
					       r == LZMA_MEMLIMIT_ERROR ? "needs too much memory" :
									  "damaged data");
	}
	return (ssize_t)(len - z->xz.avail_out);
}

static ssize_t read_plain(struct inflate *z, uint8_t *buf, size_t len, struct err *err)
{
	size_t out = 0;

	while (out < len) {
		size_t n = z->len - z->pos;
		ssize_t r;

		if (n) {
			n = n < len - out ? n : len - out;
			memcpy(buf + out, z->in + z->pos, n);
			z->pos += n;
			out += n;
			continue;
		}
		r = z->eof ? 0 : z->fn(z->arg, buf + out, len - out, err);
		if (r < 0)
			return r;
		if (!r) {
			z->eof = true;
			break;
		}
		out += (size_t)r;
	}
	return (ssize_t)out;
}

ssize_t inflate_read(struct inflate *z, void *buf, size_t len, struct err *err)
{
	if (z->kind == KIND_UNKNOWN) {
		int r = detect(z, err);

		if (r < 0)
			return r;
	}
	switch (z->kind) {
	case KIND_GZIP:
		return read_gzip(z, buf, len, err);
	case KIND_ZSTD:
		return read_zstd(z, buf, len, err);
	case KIND_XZ:
		return read_xz(z, buf, len, err);
	default:
		return read_plain(z, buf, len, err);
	}
}
