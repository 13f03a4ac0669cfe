/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel images: bzImage with each compression that kernels use, ELF as it is, and what is none of these. */
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "vm/unpack.h"

#include "tests/unit/tap.h"

#define ELF_SIZE 300000u
#define PACKED_MAX 400000u
#define SETUP_SECTS 3u

static uint8_t elf[ELF_SIZE];
static struct err err;

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* A bzImage: setup sectors with the header (boot.rst), the payload 100 bytes into the rest, some bytes behind it. */
static uint8_t *bzimage(const uint8_t *payload, size_t len, size_t *ret_len)
{
	size_t start = (SETUP_SECTS + 1) * 512, total = start + 100 + len + 64;
	uint8_t *p = calloc(1, total);

	p[0x1f1] = SETUP_SECTS;
	memcpy(p + 0x202, "HdrS", 4);
	p[0x206] = 0x0f;
	p[0x207] = 0x02;
	put32(p + 0x248, 100);
	put32(p + 0x24c, (uint32_t)len);
	memcpy(p + start + 100, payload, len);
	*ret_len = total;
	return p;
}

static int unpack(const uint8_t *image, size_t len, char **ret, size_t *ret_len)
{
	int fd = memfd_create("test", 0), r;

	memset(&err, 0, sizeof(err));
	*ret = NULL;
	r = unpack_kernel(image, len, fd, "image", &err);
	if (!r && (lseek(fd, 0, SEEK_SET) < 0 || fd_slurp(fd, 1 << 24, ret, ret_len) < 0))
		r = -EIO;
	close(fd);
	return r;
}

static void good(const char *format, const uint8_t *packed, size_t len)
{
	size_t image_len, out_len = 0;
	uint8_t *image = bzimage(packed, len, &image_len);
	char *out;

	is_str(unpack_format(packed, len), format);
	is_int(unpack(image, image_len, &out, &out_len), 0);
	ok(out && out_len == ELF_SIZE && !memcmp(out, elf, ELF_SIZE));
	free(out);
	/* cut short: the header says so, or the decoder does */
	ok(unpack(image, image_len - len / 2, &out, &out_len) < 0);
	put32(image + 0x24c, (uint32_t)(len / 2));
	ok(unpack(image, image_len, &out, &out_len) < 0 || out_len < ELF_SIZE);
	free(out);
	free(image);
}

static void test_gzip(uint8_t *to)
{
	z_stream z = { .next_in = elf, .avail_in = ELF_SIZE, .next_out = to, .avail_out = PACKED_MAX };

	ok(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK &&
	   deflate(&z, Z_FINISH) == Z_STREAM_END);
	good("gzip", to, z.total_out);
	deflateEnd(&z);
}

static void test_lzma(uint8_t *to, bool alone)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_options_lzma opt;

	lzma_lzma_preset(&opt, 1);
	ok((alone ? lzma_alone_encoder(&z, &opt) : lzma_easy_encoder(&z, 1, LZMA_CHECK_CRC32)) == LZMA_OK);
	z.next_in = elf;
	z.avail_in = ELF_SIZE;
	z.next_out = to;
	z.avail_out = PACKED_MAX;
	ok(lzma_code(&z, LZMA_FINISH) == LZMA_STREAM_END);
	good(alone ? "lzma" : "xz", to, z.total_out);
	lzma_end(&z);
}

static void test_zstd(uint8_t *to)
{
	size_t n = ZSTD_compress(to, PACKED_MAX, elf, ELF_SIZE, 3);

	ok(!ZSTD_isError(n));
	good("zstd", to, n);
}

/* `lz4 -l`, and the four bytes of length that the kernel's build puts behind. */
static void test_lz4(uint8_t *to)
{
	int n;

	put32(to, 0x184c2102);
	n = LZ4_compress_default((const char *)elf, (char *)to + 8, (int)ELF_SIZE, (int)PACKED_MAX - 16);
	ok(n > 0);
	put32(to + 4, (uint32_t)n);
	put32(to + 8 + n, ELF_SIZE);
	good("lz4", to, (size_t)n + 12);
}

static void refused(const uint8_t *image, size_t len, const char *words)
{
	size_t out_len;
	char *out;

	ok(unpack(image, len, &out, &out_len) < 0);
	has_str(err.msg, words);
	free(out);
}

static void test_refused(void)
{
	static const uint8_t bzip2[16] = "BZh9", lzo[16] = "\x89LZO\0\r\n", text[16] = "no compression";
	uint8_t *image;
	size_t len;

	image = bzimage(bzip2, sizeof(bzip2), &len);
	refused(image, len, "compressed by bzip2, which is not supported");
	free(image);
	image = bzimage(lzo, sizeof(lzo), &len);
	refused(image, len, "compressed by lzo, which is not supported");
	free(image);
	image = bzimage(text, sizeof(text), &len);
	refused(image, len, "no known compression");
	put32(image + 0x24c, 0xfffffff0);
	refused(image, len, "beyond the file's end");
	put32(image + 0x248, 0xfffffff0);
	refused(image, len, "beyond the file's end");
	image[0x206] = 7;
	refused(image, len, "older than 2.08");
	image[0x202] = 'X';
	refused(image, len, "neither an ELF image nor a bzImage");
	refused(image, 100, "neither an ELF image nor a bzImage");
	free(image);
}

int main(void)
{
	uint8_t *to = malloc(PACKED_MAX);
	size_t len = 0;
	char *out;

	memcpy(elf, "\177ELF", 4);
	for (size_t i = 4; i < ELF_SIZE; i++)
		elf[i] = (uint8_t)(i * i >> 7 ^ i >> 3);
	test_gzip(to);
	test_lzma(to, false);
	test_lzma(to, true);
	test_zstd(to);
	test_lz4(to);
	test_refused();
	is_int(unpack(elf, ELF_SIZE, &out, &len), 0);
	ok(len == ELF_SIZE && !memcmp(out, elf, ELF_SIZE));
	free(out);
	free(to);
	return tap_done();
}
