/* SPDX-License-Identifier: Apache-2.0 */
/* Compressing layers that we make ourselves. */
/*
 * ISA-L's level 1: near the speed of copying, some percent larger than zlib's default. Both the plain and the
 * compressed stream are hashed here, since a layer needs both digests (diff-id and blob) and is not read again.
 */
#include "images/deflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>

#include "base/fd.h"
#include "base/str.h"

#define OUT_SIZE (256 * 1024)

struct deflate {
	int fd;
	struct digest *plain, *packed;
	uint64_t size;
	struct isal_zstream z;
	uint8_t *out, *level_buf;
};

struct deflate *deflate_new(int fd)
{
	struct deflate *d = xcalloc(1, sizeof(*d));

	d->fd = fd;
	d->plain = digest_new(NULL);
	d->packed = digest_new(NULL);
	d->out = xmalloc(OUT_SIZE);
	d->level_buf = xmalloc(ISAL_DEF_LVL1_DEFAULT);
	isal_deflate_init(&d->z);
	d->z.gzip_flag = IGZIP_GZIP;
	d->z.level = 1;
	d->z.level_buf = d->level_buf;
	d->z.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
	return d;
}

static int deflate_some(struct deflate *d, const void *buf, size_t len, bool end, struct err *err)
{
	d->z.next_in = (uint8_t *)(uintptr_t)buf;
	d->z.avail_in = (uint32_t)len;
	d->z.end_of_stream = end;
	do {
		size_t n;
		int r;

		d->z.next_out = d->out;
		d->z.avail_out = OUT_SIZE;
		if (isal_deflate(&d->z) != COMP_OK)
			return err_set(err, -EIO, "gzip: cannot compress");
		n = OUT_SIZE - d->z.avail_out;
		r = fd_write_all(d->fd, d->out, n);
		if (r < 0)
			return err_sys(err, r, "write");
		digest_update(d->packed, d->out, n);
		d->size += n;
	} while (!d->z.avail_out || d->z.avail_in);
	return 0;
}

int deflate_put(void *deflate, const void *buf, size_t len, struct err *err)
{
	struct deflate *d = deflate;

	digest_update(d->plain, buf, len);
	return deflate_some(d, buf, len, false, err);
}

int deflate_end(struct deflate *d, char ret_plain[DIGEST_MAX], char ret_packed[DIGEST_MAX], uint64_t *ret_size,
		struct err *err)
{
	int r = deflate_some(d, NULL, 0, true, err);

	digest_final(d->plain, ret_plain);
	digest_final(d->packed, ret_packed);
	*ret_size = d->size;
	return r;
}

void deflate_free(struct deflate *d)
{
	if (!d)
		return;
	digest_free(d->plain);
	digest_free(d->packed);
	free(d->out);
	free(d->level_buf);
	free(d);
}
