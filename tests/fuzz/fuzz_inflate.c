/* SPDX-License-Identifier: Apache-2.0 */
/* images/inflate: any bytes as a compressed stream, in pieces; output is bounded by the caller. */
#include <stdint.h>
#include <string.h>

#include "images/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reader {
	const uint8_t *p;
	size_t left;
};

static ssize_t give(void *arg, void *buf, size_t len, struct err *err)
{
	struct reader *r = arg;
	size_t n = r->left < 33 ? r->left : 33;

	n = n < len ? n : len;
	memcpy(buf, r->p, n);
	r->p += n;
	r->left -= n;
	return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[10000];
	struct reader r = { data, size };
	struct inflate *z = inflate_new(give, &r);
	struct err err = { 0 };
	ssize_t n;

	for (int i = 0; i < 200; i++) {
		n = inflate_read(z, out, sizeof(out), &err);
		if (n < 0 && !err.msg[0])
			__builtin_trap();
		if (n <= 0)
			break;
	}
	inflate_free(z);
	return 0;
}
