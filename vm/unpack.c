/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompression of kernels, modules and package members.
 *
 * The input lies in memory (a mapped file) and is foreign: every format's decoder runs with a bounded output, and
 * the result goes through one sink that counts. Formats are recognised by their magic. Runs in `amphi kernel add`.
 */
#include "vm/unpack.h"

#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fd.h"
#include "base/str.h"

#define OUT_SIZE (256u << 10)
#define LZ4_BLOCK_MAX (8u << 20) /* uncompressed block of the legacy frame */
#define DECODER_MEMORY_MAX (256ULL << 20)
#define KERNEL_MAX (512ULL << 20)

enum format { FORMAT_NONE, FORMAT_GZIP, FORMAT_XZ, FORMAT_LZMA, FORMAT_ZSTD, FORMAT_LZ4, FORMAT_BZIP2, FORMAT_LZO };

static const struct {
	const char *name;
	size_t len;
	uint8_t magic[6];
} formats[] = {
	[FORMAT_NONE] = { NULL, 0, { 0 } },
	[FORMAT_GZIP] = { "gzip", 2, { 0x1f, 0x8b } },
	[FORMAT_XZ] = { "xz", 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
	[FORMAT_LZMA] = { "lzma", 3, { 0x5d, 0, 0 } },
	[FORMAT_ZSTD] = { "zstd", 4, { 0x28, 0xb5, 0x2f, 0xfd } },
	[FORMAT_LZ4] = { "lz4", 4, { 0x02, 0x21, 0x4c, 0x18 } },
	[FORMAT_BZIP2] = { "bzip2", 3, { 'B', 'Z', 'h' } },
	[FORMAT_LZO] = { "lzo", 6, { 0x89, 'L', 'Z', 'O', 0, 0x0d } },
};

static enum format detect(const uint8_t *in, size_t len)
{
	for (size_t i = 1; i < ARRAY_SIZE(formats); i++)
		if (len >= formats[i].len && memcmp(in, formats[i].magic, formats[i].len) == 0)
			return (enum format)i;
	return FORMAT_NONE;
}

const char *unpack_format(const uint8_t *in, size_t len)
{
	return formats[detect(in, len)].name;
}

/* Where decoded bytes go, and how many may. */
struct sink {
	int fd;
	uint64_t len, max;
	const char *what;
};

static int sink_write(struct sink *s, const void *buf, size_t len, struct err *err)
{
	int r;

	if (len > s->max - s->len)
		return err_set(err, -EFBIG, "%s: unpacks to more than %llu MiB", s->what,
			       (unsigned long long)(s->max >> 20));
	r = fd_write_all(s->fd, buf, len);
	if (r < 0)
		return err_sys(err, r, "%s: writing what was unpacked", s->what);
	s->len += len;
	return 0;
}

static int corrupt(const struct sink *s, const char *format, struct err *err)
{
	return err_set(err, -EBADMSG, "%s: corrupt or truncated %s data", s->what, format);
}

static int from_gzip(const uint8_t *in, size_t len, uint8_t *out, struct sink *s, struct err *err)
{
	z_stream z = { .next_in = (Bytef *)in };
	int r = 0, zr = Z_OK;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return err_set(err, -ENOMEM, "zlib: out of memory");
	while (!r && zr == Z_OK) {
		if (!z.avail_in) {
			z.avail_in = len > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)len;
			len -= z.avail_in;
		}
		z.next_out = out;
		z.avail_out = OUT_SIZE;
		zr = inflate(&z, Z_NO_FLUSH);
		if (zr == Z_OK || zr == Z_STREAM_END)
			r = sink_write(s, out, OUT_SIZE - z.avail_out, err);
	}
	inflateEnd(&z);
	return r < 0 ? r : zr == Z_STREAM_END ? 0 : corrupt(s, "gzip", err);
}

static int from_lzma(const uint8_t *in, size_t len, bool alone, uint8_t *out, struct sink *s, struct err *err)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_ret zr =
		alone ? lzma_alone_decoder(&z, DECODER_MEMORY_MAX) : lzma_stream_decoder(&z, DECODER_MEMORY_MAX, 0);
	int r = 0;

	if (zr != LZMA_OK)
		return err_set(err, -ENOMEM, "liblzma: out of memory");
	z.next_in = in;
	z.avail_in = len;
	while (!r && zr == LZMA_OK) {
		z.next_out = out;
		z.avail_out = OUT_SIZE;
		zr = lzma_code(&z, LZMA_FINISH);
		if (zr == LZMA_OK || zr == LZMA_STREAM_END)
			r = sink_write(s, out, OUT_SIZE - z.avail_out, err);
	}
	lzma_end(&z);
	return r < 0 ? r : zr == LZMA_STREAM_END ? 0 : corrupt(s, alone ? "lzma" : "xz", err);
}

static int from_zstd(const uint8_t *in, size_t len, uint8_t *out, struct sink *s, struct err *err)
{
	ZSTD_DStream *z = ZSTD_createDStream();
	ZSTD_inBuffer ib = { .src = in, .size = len };
	size_t zr = 1;
	int r = 0;

	if (!z)
		return err_set(err, -ENOMEM, "zstd: out of memory");
	ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, 28);
	while (!r && zr && !ZSTD_isError(zr)) {
		ZSTD_outBuffer ob = { .dst = out, .size = OUT_SIZE };
		size_t before = ib.pos;

		zr = ZSTD_decompressStream(z, &ob, &ib);
		if (ZSTD_isError(zr))
			break;
		r = sink_write(s, out, ob.pos, err);
		if (zr && !ob.pos && ib.pos == before)
			break; /* no progress: truncated */
	}
	ZSTD_freeDStream(z);
	return r < 0 ? r : zr == 0 ? 0 : corrupt(s, "zstd", err);
}

/* The legacy frame of `lz4 -l`, as kernels use it: magic, then {u32 size, block}. */
static int from_lz4(const uint8_t *in, size_t len, struct sink *s, struct err *err)
{
	cleanup_free char *out = xmalloc(LZ4_BLOCK_MAX);
	size_t off = 4;

	/* A bzImage's payload ends with 4 bytes of length that belong to no block. */
	while (len - off >= 8) {
		uint32_t size = in[off] | in[off + 1] << 8 | in[off + 2] << 16 | (uint32_t)in[off + 3] << 24;
		int n, r;

		off += 4;
		if (size == 0 || size > len - off)
			return corrupt(s, "lz4", err);
		n = LZ4_decompress_safe((const char *)in + off, out, (int)size, (int)LZ4_BLOCK_MAX);
		if (n < 0 || size > INT32_MAX)
			return corrupt(s, "lz4", err);
		r = sink_write(s, out, (size_t)n, err);
		if (r < 0)
			return r;
		off += size;
	}
	return s->len ? 0 : corrupt(s, "lz4", err);
}

int unpack_to_fd(const uint8_t *in, size_t len, int fd, uint64_t max, uint64_t *ret_len, const char *what,
		 struct err *err)
{
	struct sink s = { .fd = fd, .max = max, .what = what };
	cleanup_free uint8_t *out = xmalloc(OUT_SIZE);
	enum format f = detect(in, len);
	int r;

	switch (f) {
	case FORMAT_GZIP:
		r = from_gzip(in, len, out, &s, err);
		break;
	case FORMAT_XZ:
	case FORMAT_LZMA:
		r = from_lzma(in, len, f == FORMAT_LZMA, out, &s, err);
		break;
	case FORMAT_ZSTD:
		r = from_zstd(in, len, out, &s, err);
		break;
	case FORMAT_LZ4:
		r = from_lz4(in, len, &s, err);
		break;
	case FORMAT_BZIP2:
	case FORMAT_LZO:
		return err_set(err, -EOPNOTSUPP, "%s: compressed by %s, which is not supported", what, formats[f].name);
	default:
		return err_set(err, -EINVAL, "%s: no known compression", what);
	}
	if (r == 0 && ret_len)
		*ret_len = s.len;
	return r;
}

int unpack_to_memory(const uint8_t *in, size_t len, uint64_t max, uint8_t **ret, size_t *ret_len, const char *what,
		     struct err *err)
{
	cleanup_fd int fd = -1;
	cleanup_free char *buf = NULL;
	uint64_t n;
	int r;

	if (detect(in, len) == FORMAT_NONE) {
		if (len > max)
			return err_set(err, -EFBIG, "%s: larger than %llu MiB", what, (unsigned long long)(max >> 20));
		*ret = xmalloc(len + 1);
		memcpy(*ret, in, len);
		*ret_len = len;
		return 0;
	}
	fd = fd_memfd("amphi-unpack", "", 0, false);
	if (fd < 0)
		return err_sys(err, fd, "memfd_create");
	r = unpack_to_fd(in, len, fd, max, &n, what, err);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, -errno, "%s", what);
	r = fd_slurp(fd, n, &buf, ret_len);
	if (r < 0)
		return err_sys(err, r, "%s", what);
	*ret = (uint8_t *)steal_ptr(buf);
	return 0;
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

int unpack_kernel(const uint8_t *in, size_t len, int fd, const char *what, struct err *err)
{
	static const uint8_t elf[4] = { 0x7f, 'E', 'L', 'F' };
	uint64_t start, payload;
	uint8_t head[4];
	unsigned int sects;
	int r;

	if (len >= 64 && memcmp(in, elf, sizeof(elf)) == 0) {
		r = fd_write_all(fd, in, len);
		return r < 0 ? err_sys(err, r, "%s: copying", what) : 0;
	}
	/* boot.rst, "The Real-Mode Kernel Header": 0x1f1 setup_sects, 0x202 "HdrS", 0x206 version ≥ 2.08 */
	if (len < 0x260 || memcmp(in + 0x202, "HdrS", 4) != 0)
		return err_set(err, -ENOEXEC, "%s: neither an ELF image nor a bzImage", what);
	if ((in[0x206] | in[0x207] << 8) < 0x208)
		return err_set(err, -ENOEXEC, "%s: the boot protocol is older than 2.08", what);
	sects = in[0x1f1] ? in[0x1f1] : 4;
	start = (uint64_t)(sects + 1) * 512 + le32(in + 0x248);
	payload = le32(in + 0x24c);
	if (start > len || payload > len - start || payload < 8)
		return err_set(err, -ENOEXEC, "%s: the payload lies beyond the file's end", what);
	r = unpack_to_fd(in + start, payload, fd, KERNEL_MAX, NULL, what, err);
	if (r < 0)
		return r;
	if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) || memcmp(head, elf, sizeof(elf)) != 0)
		return err_set(err, -ENOEXEC, "%s: the payload is no ELF image", what);
	return 0;
}
