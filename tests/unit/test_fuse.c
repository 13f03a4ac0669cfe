/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE messages: what is answered, refused or dropped before an operation sees it. */
#include "tests/unit/fuse_kit.h"

static struct kit k;

static void test_init(void)
{
	struct fuse_getattr_in ga = { 0 };
	struct fuse_init_in in = { .major = 8, .minor = 1 };
	struct fuse_init_out *out = kit_reply(&k);

	is_int(kit_call(&k, FUSE_GETATTR, 1, &ga, sizeof(ga), NULL, NULL), -EIO);
	/* A newer major asks for ours. */
	is_int(kit_call(&k, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL), 0);
	is_int(out->major, 7);
	is_int(kit_call(&k, FUSE_GETATTR, 1, &ga, sizeof(ga), NULL, NULL), -EIO);
	in.major = 7;
	in.minor = 12;
	is_int(kit_call(&k, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL), -EPROTO);
	is_int(kit_init(&k), 0);
	is_int(out->major, 7);
	is_int(out->max_write, FUSE_MAX_WRITE);
	ok(out->flags & FUSE_DO_READDIRPLUS);
	ok(out->flags & FUSE_POSIX_ACL);
	ok(!(out->flags & FUSE_WRITEBACK_CACHE));
	ok(!(out->flags & FUSE_FLOCK_LOCKS));
	is_int(kit_call(&k, FUSE_GETATTR, 1, &ga, sizeof(ga), NULL, NULL), 0);
}

static void test_malformed(void)
{
	struct fuse_in_header *h = (void *)k.in;
	struct fuse_getattr_in ga = { 0 };

	/* Shorter than a header, a length beyond the chain, a length below the header: dropped. */
	kit_begin(&k);
	k.chain->out_n = 1;
	k.chain->in_n = 1;
	k.chain->out_len = 10;
	k.chain->in_len = 64;
	k.chain->iov[0] = (struct iovec){ k.in, 10 };
	k.chain->iov[1] = (struct iovec){ k.out, 64 };
	is_int(fuse_handle(k.pt, k.th, NULL, k.chain), 0);
	memset(h, 0, sizeof(*h));
	h->opcode = FUSE_GETATTR;
	h->len = 4096;
	k.chain->out_len = k.chain->iov[0].iov_len = 56;
	is_int(fuse_handle(k.pt, k.th, NULL, k.chain), 0);
	h->len = 39;
	is_int(fuse_handle(k.pt, k.th, NULL, k.chain), 0);
	/* No room for an answer. */
	h->len = 56;
	h->nodeid = 1;
	k.chain->in_len = k.chain->iov[1].iov_len = 15;
	is_int(fuse_handle(k.pt, k.th, NULL, k.chain), 0);
	/* Room for the header only: the payload does not fit. */
	k.out_room = 0;
	is_int(kit_call(&k, FUSE_GETATTR, 1, &ga, sizeof(ga), NULL, NULL), -ERANGE);
	k.out_room = 65536;
	/* Unknown and reserved opcodes, truncated arguments, invented nodes. */
	is_int(kit_call(&k, 4000, 1, NULL, 0, NULL, NULL), -ENOSYS);
	is_int(kit_call(&k, 7, 1, NULL, 0, NULL, NULL), -ENOSYS);
	is_int(kit_call(&k, FUSE_IOCTL, 1, NULL, 0, NULL, NULL), -ENOSYS);
	is_int(kit_call(&k, FUSE_SETATTR, 1, &ga, 3, NULL, NULL), -EINVAL);
	is_int(kit_call(&k, FUSE_GETATTR, 77, &ga, sizeof(ga), NULL, NULL), -ESTALE);
	is_int(kit_call(&k, FUSE_READ, 1, &ga, 3, NULL, NULL), -EINVAL);
}

/* Every opcode with an empty body, and with 200 bytes of ones: answers, no harm. */
static void test_every_opcode(void)
{
	uint8_t ones[200];
	int bad = 0;

	memset(ones, 0xff, sizeof(ones));
	for (uint32_t op = 1; op < 60; op++) {
		int a, b;

		if (op == FUSE_DESTROY || op == FUSE_INIT)
			continue;
		a = kit_call(&k, op, 1, NULL, 0, NULL, NULL);
		b = kit_call(&k, op, 1, ones, sizeof(ones), NULL, NULL);
		bad += a > 1 || b > 1;
	}
	is_int(bad, 0);
}

static void test_names(void)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "/", "../x", "/etc/passwd" };
	struct fuse_mkdir_in md = { .mode = 0755 };
	struct fuse_rename2_in rn = { .newdir = 1 };
	char longest[300];

	for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
		is_int(kit_call(&k, FUSE_LOOKUP, 1, NULL, 0, bad[n], NULL), -EINVAL);
		is_int(kit_call(&k, FUSE_MKDIR, 1, &md, sizeof(md), bad[n], NULL), -EINVAL);
		is_int(kit_call(&k, FUSE_UNLINK, 1, NULL, 0, bad[n], NULL), -EINVAL);
		is_int(kit_call(&k, FUSE_SYMLINK, 1, NULL, 0, bad[n], "target"), -EINVAL);
		is_int(kit_call(&k, FUSE_RENAME2, 1, &rn, sizeof(rn), "x", bad[n]), -EINVAL);
	}
	memset(longest, 'x', sizeof(longest));
	longest[256] = 0;
	is_int(kit_call(&k, FUSE_LOOKUP, 1, NULL, 0, longest, NULL), -ENAMETOOLONG);
	longest[255] = 0;
	is_int(kit_call(&k, FUSE_MKDIR, 1, &md, sizeof(md), longest, NULL), 0);
	is_int(kit_call(&k, FUSE_RMDIR, 1, NULL, 0, longest, NULL), 0);
	/* No NUL at the end. */
	kit_begin(&k);
	kit_add(&k, "abc", 3);
	is_int(kit_send(&k, FUSE_LOOKUP, 1), -EINVAL);
}

static void test_destroy(void)
{
	struct fuse_getattr_in ga = { 0 };

	is_int(kit_call(&k, FUSE_DESTROY, 0, NULL, 0, NULL, NULL), 0);
	is_int(kit_call(&k, FUSE_GETATTR, 1, &ga, sizeof(ga), NULL, NULL), -EIO);
	is_int(kit_init(&k), 0);
	is_int(kit_call(&k, FUSE_GETATTR, 1, &ga, sizeof(ga), NULL, NULL), 0);
}

int main(void)
{
	kit_open(&k, NULL, NULL, NULL);
	test_init();
	test_malformed();
	test_names();
	test_every_opcode();
	test_destroy();
	is_str(fuse_opcode_name(FUSE_LOOKUP), "LOOKUP");
	is_str(fuse_opcode_name(9999), "?");
	kit_close(&k);
	return tap_done();
}
