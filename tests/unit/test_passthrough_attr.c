/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE operations on attributes and extended attributes. */
#include "tests/unit/fuse_kit.h"

#include <sys/xattr.h>

static struct kit k;
static struct stat st;

static int host_stat(const char *name)
{
	return fstatat(k.dir_fd, name, &st, AT_SYMLINK_NOFOLLOW);
}

static int setattr(uint64_t node, const struct fuse_setattr_in *in)
{
	return kit_call(&k, FUSE_SETATTR, node, in, sizeof(*in), NULL, NULL);
}

static void test_setattr(void)
{
	struct fuse_attr_out *out = kit_reply(&k);
	uint64_t fh, f = kit_create(&k, 1, "f", 0600, O_RDWR, &fh), l;
	struct fuse_setattr_in in = { .valid = FATTR_MODE, .mode = S_IFREG | 04751 };

	is_int(setattr(f, &in), 0);
	is_int(out->attr.mode, S_IFREG | 04751);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = 12345 };
	is_int(setattr(f, &in), 0);
	is_int(out->attr.size, 12345);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 5 };
	is_int(setattr(f, &in), 0);
	is_int(out->attr.size, 5);
	in.fh = 999;
	is_int(setattr(f, &in), -EBADF);
	in = (struct fuse_setattr_in){
		.valid = FATTR_ATIME | FATTR_MTIME, .atime = 1000, .mtime = 2000, .mtimensec = 7
	};
	is_int(setattr(f, &in), 0);
	ok(out->attr.atime == 1000 && out->attr.mtime == 2000 && out->attr.mtimensec == 7);
	in = (struct fuse_setattr_in){ .valid = FATTR_MTIME | FATTR_MTIME_NOW };
	is_int(setattr(f, &in), 0);
	ok(out->attr.atime == 1000 && out->attr.mtime > 1000000000);
	if (geteuid() == 0) {
		in = (struct fuse_setattr_in){ .valid = FATTR_UID | FATTR_GID, .uid = 11, .gid = 12 };
		is_int(setattr(f, &in), 0);
		ok(out->attr.uid == 11 && out->attr.gid == 12);
		is_int(out->attr.mode, S_IFREG | 0751); /* the change of owner took setuid away */
		in = (struct fuse_setattr_in){ .valid = FATTR_GID, .gid = 13 };
		is_int(setattr(f, &in), 0);
		ok(out->attr.uid == 11 && out->attr.gid == 13);
	} else {
		skip("owners: needs root");
	}
	/* A symlink's own attributes. */
	is_int(symlinkat("f", k.dir_fd, "l"), 0);
	l = kit_lookup(&k, 1, "l");
	in = (struct fuse_setattr_in){ .valid = FATTR_MTIME, .mtime = 77 };
	is_int(setattr(l, &in), 0);
	is_int(host_stat("l"), 0);
	is_int(st.st_mtime, 77);
	in = (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0700 };
	is_int(setattr(l, &in), -EOPNOTSUPP);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = 1 };
	is_int(setattr(l, &in), -ELOOP);
	is_int(setattr(1, &in), -EISDIR);
	in.size = UINT64_MAX;
	is_int(setattr(f, &in), -EINVAL);
}

static void test_access_statfs(void)
{
	struct fuse_access_in in = { .mask = R_OK | W_OK };
	struct fuse_statfs_out *out = kit_reply(&k);
	int fd = openat(k.dir_fd, "acc", O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
	uint64_t f = kit_lookup(&k, 1, "acc");

	close(fd);
	is_int(kit_call(&k, FUSE_ACCESS, f, &in, sizeof(in), NULL, NULL), 0);
	k.uid = k.gid = 54321;
	is_int(kit_call(&k, FUSE_ACCESS, f, &in, sizeof(in), NULL, NULL), -EACCES);
	k.uid = k.gid = 0;
	is_int(kit_call(&k, FUSE_STATFS, 1, NULL, 0, NULL, NULL), 0);
	ok(out->st.bsize && out->st.namelen == 255);
}

static int set_x(uint64_t node, const char *name, const char *value, size_t len, uint32_t flags)
{
	struct fuse_setxattr_in in = { .size = (uint32_t)len, .flags = flags };

	kit_begin(&k);
	kit_add(&k, &in, sizeof(in));
	kit_str(&k, name);
	kit_add(&k, value, len);
	return kit_send(&k, FUSE_SETXATTR, node);
}

static int get_x(uint64_t node, const char *name, uint32_t size)
{
	struct fuse_getxattr_in in = { .size = size };

	return kit_call(&k, FUSE_GETXATTR, node, &in, sizeof(in), name, NULL);
}

static void test_xattr(void)
{
	struct fuse_getxattr_in ls = { .size = 0 };
	struct fuse_getxattr_out *size = kit_reply(&k);
	uint64_t fh, f = kit_create(&k, 1, "x", 0600, O_RDWR, &fh), l;
	char name[300];
	int err = set_x(f, "user.a", "value", 5, 0);

	if (err == -EOPNOTSUPP) {
		skip("user.* attributes: this file system has none");
	} else {
		is_int(err, 0);
		is_int(get_x(f, "user.a", 0), 0);
		is_int(size->size, 5);
		is_int(get_x(f, "user.a", 4), -ERANGE);
		is_int(get_x(f, "user.a", 100), 0);
		ok(kit_reply_len(&k) == 5 && memcmp(kit_reply(&k), "value", 5) == 0);
		is_int(set_x(f, "user.a", "v", 1, XATTR_CREATE), -EEXIST);
		is_int(set_x(f, "user.b", "v", 1, XATTR_REPLACE), -ENODATA);
		is_int(kit_call(&k, FUSE_LISTXATTR, f, &ls, sizeof(ls), NULL, NULL), 0);
		ok(size->size >= 7);
		is_int(kit_call(&k, FUSE_REMOVEXATTR, f, NULL, 0, "user.a", NULL), 0);
		is_int(get_x(f, "user.a", 100), -ENODATA);
	}
	if (geteuid() == 0) {
		is_int(symlinkat("x", k.dir_fd, "xl"), 0);
		l = kit_lookup(&k, 1, "xl");
		err = set_x(l, "trusted.t", "1", 1, 0);
		if (err == -EOPNOTSUPP || err == -EPERM) {
			skip("trusted.* attributes");
		} else {
			is_int(err, 0);
			/* On the link, not on what it names. */
			is_int(get_x(l, "trusted.t", 10), 0);
			is_int(get_x(f, "trusted.t", 10), -ENODATA);
		}
	}
	/* Without an ACL: no attribute, never "not supported". */
	is_int(get_x(f, "system.posix_acl_access", 100), -ENODATA);
	/* Claims of size. */
	{
		struct fuse_setxattr_in in = { .size = 1 << 30 };

		is_int(kit_call(&k, FUSE_SETXATTR, f, &in, sizeof(in), "user.big", NULL), -E2BIG);
		in.size = 60000;
		is_int(kit_call(&k, FUSE_SETXATTR, f, &in, sizeof(in), "user.big", NULL), -EINVAL);
	}
	memset(name, 'n', sizeof(name));
	name[299] = 0;
	is_int(get_x(f, name, 100), -ENAMETOOLONG);
}

int main(void)
{
	kit_open(&k, NULL, NULL, NULL);
	is_int(kit_init(&k), 0);
	test_setattr();
	test_access_statfs();
	test_xattr();
	kit_close(&k);
	return tap_done();
}
