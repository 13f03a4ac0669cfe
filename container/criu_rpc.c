/* SPDX-License-Identifier: Apache-2.0 */
/* criu's RPC messages as bytes. */
/*
 * Theory of operation: protocol buffers know four encodings of a value; rpc.proto uses two: numbers in groups of seven
 * bits, lowest first, and lengths followed by bytes (strings and nested messages). The others are only skipped. A
 * reader walks the fields of a message once and calls a function for each; nested messages are walked the same way.
 */
#include "container/criu_rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum wire { WIRE_NUMBER = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void put_varint(struct str *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		str_addc(b, (char)(v | 0x80));
	str_addc(b, (char)v);
}

static void put_key(struct str *b, unsigned int field, enum wire wire)
{
	put_varint(b, (uint64_t)field << 3 | wire);
}

void criu_rpc_number(struct str *b, unsigned int field, int64_t value)
{
	put_key(b, field, WIRE_NUMBER);
	put_varint(b, (uint64_t)value);
}

void criu_rpc_flag(struct str *b, unsigned int field, bool value)
{
	if (value)
		criu_rpc_number(b, field, 1);
}

void criu_rpc_string(struct str *b, unsigned int field, const char *value)
{
	if (!value)
		return;
	put_key(b, field, WIRE_BYTES);
	put_varint(b, strlen(value));
	str_add(b, value);
}

void criu_rpc_message(struct str *b, unsigned int field, const struct str *message)
{
	put_key(b, field, WIRE_BYTES);
	put_varint(b, message->len);
	str_addn(b, str_get(message), message->len);
}

struct reader {
	const unsigned char *p, *end;
};

struct field {
	unsigned int number;
	uint64_t value;             /* of a number */
	const unsigned char *bytes; /* of bytes, else NULL */
	size_t len;
};

static int get_varint(struct reader *r, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; r->p < r->end && shift < 64; shift += 7) {
		unsigned char c = *r->p++;

		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return 0;
		}
	}
	return -EPROTO;
}

static int skip(struct reader *r, size_t n)
{
	if ((size_t)(r->end - r->p) < n)
		return -EPROTO;
	r->p += n;
	return 0;
}

/* 1: a field; 0: the end; -EPROTO. */
static int next_field(struct reader *r, struct field *f)
{
	uint64_t key, n = 0;
	int ret;

	*f = (struct field){ 0 };
	if (r->p == r->end)
		return 0;
	ret = get_varint(r, &key);
	if (ret < 0 || !(key >> 3) || key >> 3 > UINT32_MAX)
		return -EPROTO;
	f->number = (unsigned int)(key >> 3);
	switch (key & 7) {
	case WIRE_NUMBER:
		ret = get_varint(r, &f->value);
		break;
	case WIRE_FIXED64:
		ret = skip(r, 8);
		break;
	case WIRE_FIXED32:
		ret = skip(r, 4);
		break;
	case WIRE_BYTES:
		ret = get_varint(r, &n);
		f->bytes = r->p;
		f->len = n;
		if (!ret)
			ret = n > (size_t)(r->end - r->p) ? -EPROTO : skip(r, n);
		break;
	default:
		ret = -EPROTO;
	}
	return ret < 0 ? ret : 1;
}

static void take_string(char **to, const struct field *f)
{
	if (!f->bytes)
		return;
	free(*to);
	*to = xstrndup((const char *)f->bytes, f->len);
}

/* A nested message: every field goes to the function. */
static int walk(const unsigned char *p, size_t len, void (*fn)(const struct field *f, struct criu_rpc_reply *ret),
		struct criu_rpc_reply *ret)
{
	struct reader r = { p, p + len };
	struct field f;
	int n;

	while ((n = next_field(&r, &f)) > 0)
		fn(&f, ret);
	return n;
}

static void restored(const struct field *f, struct criu_rpc_reply *ret)
{
	if (f->number == 1)
		ret->pid = (int)f->value;
}

static void notified(const struct field *f, struct criu_rpc_reply *ret)
{
	if (f->number == 1)
		take_string(&ret->script, f);
	else if (f->number == 2)
		ret->pid = (int)f->value;
}

static void has_version(const struct field *f, struct criu_rpc_reply *ret)
{
	if (f->number == 1)
		ret->major = (unsigned int)f->value;
	else if (f->number == 2)
		ret->minor = (unsigned int)f->value;
}

int criu_rpc_parse(const void *buf, size_t len, struct criu_rpc_reply *ret)
{
	struct reader r = { buf, (const unsigned char *)buf + len };
	struct field f;
	int n;

	*ret = (struct criu_rpc_reply){ .fd = -1 };
	while ((n = next_field(&r, &f)) > 0) {
		switch (f.number) {
		case 1:
			ret->type = f.value;
			break;
		case 2:
			ret->success = f.value;
			break;
		case 4:
			n = f.bytes ? walk(f.bytes, f.len, restored, ret) : 0;
			break;
		case 5:
			n = f.bytes ? walk(f.bytes, f.len, notified, ret) : 0;
			break;
		case 7:
			ret->error = (int)f.value;
			break;
		case 9:
			take_string(&ret->message, &f);
			break;
		case 10:
			n = f.bytes ? walk(f.bytes, f.len, has_version, ret) : 0;
			break;
		default:
			break;
		}
		if (n < 0)
			break;
	}
	return n;
}

void criu_rpc_reply_free(struct criu_rpc_reply *r)
{
	free(r->message);
	free(r->script);
	if (r->fd >= 0)
		close(r->fd);
	*r = (struct criu_rpc_reply){ .fd = -1 };
}
