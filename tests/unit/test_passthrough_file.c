/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE operations on files: create, open, data, append, truncate, tmpfile, holes, cache decisions. */
#include "tests/unit/fuse_kit.h"

#include <sys/xattr.h>

static struct kit k;
static struct stat st;

static int host_stat(const char *name)
{
	return fstatat(k.dir_fd, name, &st, AT_SYMLINK_NOFOLLOW);
}

static int release(uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = { .fh = fh };

	return kit_call(&k, FUSE_RELEASE, node, &in, sizeof(in), NULL, NULL);
}

static int open_file(uint64_t node, uint32_t flags, uint64_t *fh)
{
	struct fuse_open_in in = { .flags = flags };
	int err = kit_call(&k, FUSE_OPEN, node, &in, sizeof(in), NULL, NULL);

	if (err == 0)
		*fh = ((struct fuse_open_out *)kit_reply(&k))->fh;
	return err;
}

static void test_data(void)
{
	uint64_t fh, fh2, f = kit_create(&k, 1, "data", 0644, O_RDWR, &fh);
	struct fuse_lseek_in ls;
	struct fuse_fallocate_in fa;
	struct fuse_fsync_in fs;

	need(f);
	is_int(host_stat("data"), 0);
	is_int(st.st_mode & 07777, 0644);
	is_int(kit_write(&k, f, fh, 0, "hello world", 0), 0);
	is_int(((struct fuse_write_out *)kit_reply(&k))->size, 11);
	is_str(kit_read(&k, f, fh, 6, 100), "world");
	is_str(kit_read(&k, f, fh, 0, 5), "hello");
	is_str(kit_read(&k, f, fh, 100, 5), "");
	/* The reply holds what the guest has room for, whatever it asks. */
	k.out_room = 3;
	is_str(kit_read(&k, f, fh, 0, 11), "hel");
	k.out_room = 65536;
	/* A write that claims more than it brings. */
	{
		struct fuse_write_in w = { .fh = fh, .size = 1000 };

		is_int(kit_call(&k, FUSE_WRITE, f, &w, sizeof(w), "x", NULL), -EINVAL);
	}
	/* A handle of another node, a released one, a directory's. */
	is_int(kit_write(&k, 1, fh, 0, "x", 0), -EBADF);
	is_int(open_file(f, O_RDONLY, &fh2), 0);
	is_int(kit_write(&k, f, fh2, 0, "x", 0), -EBADF);
	is_int(release(f, fh2), 0);
	is_int(release(f, fh2), -EBADF);
	ok(!kit_read(&k, f, fh2, 0, 5));
	/* Holes. */
	is_int(kit_write(&k, f, fh, 1 << 20, "end", 0), 0);
	ls = (struct fuse_lseek_in){ .fh = fh, .offset = 0, .whence = SEEK_HOLE };
	is_int(kit_call(&k, FUSE_LSEEK, f, &ls, sizeof(ls), NULL, NULL), 0);
	ls.whence = SEEK_SET;
	is_int(kit_call(&k, FUSE_LSEEK, f, &ls, sizeof(ls), NULL, NULL), -EINVAL);
	fa = (struct fuse_fallocate_in){ .fh = fh, .offset = 0, .length = 2 << 20 };
	is_int(kit_call(&k, FUSE_FALLOCATE, f, &fa, sizeof(fa), NULL, NULL), 0);
	is_int(host_stat("data"), 0);
	is_int(st.st_size, 2 << 20);
	fs = (struct fuse_fsync_in){ .fh = fh, .fsync_flags = 1 };
	is_int(kit_call(&k, FUSE_FSYNC, f, &fs, sizeof(fs), NULL, NULL), 0);
	is_int(kit_call(&k, FUSE_SYNCFS, f, NULL, 0, NULL, NULL), 0);
	is_int(kit_call(&k, FUSE_SYNCFS, 1, NULL, 0, NULL, NULL), 0);
	/* Without shared locks the guest need not say when it closes. */
	{
		struct fuse_flush_in fl = { .fh = fh };

		is_int(kit_call(&k, FUSE_FLUSH, f, &fl, sizeof(fl), NULL, NULL), -ENOSYS);
	}
	is_int(release(f, fh), 0);
}

static void test_append(void)
{
	uint64_t fh, f = kit_create(&k, 1, "log", 0600, O_WRONLY | O_APPEND, &fh);
	struct fuse_write_in cached = { .size = 1, .write_flags = FUSE_WRITE_CACHE, .flags = O_APPEND };
	int fd;

	need(f);
	is_int(kit_write(&k, f, fh, 0, "one", O_WRONLY | O_APPEND), 0);
	/* Somebody on the host appends; the guest's idea of the end is old. */
	fd = openat(k.dir_fd, "log", O_WRONLY | O_APPEND | O_CLOEXEC);
	is_int(write(fd, "two", 3), 3);
	close(fd);
	is_int(kit_write(&k, f, fh, 3, "three", O_WRONLY | O_APPEND), 0);
	is_int(host_stat("log"), 0);
	is_int(st.st_size, 11);
	/* F_SETFL has cleared it: the place counts again. What the page cache writes back has its place anyway. */
	is_int(kit_write(&k, f, fh, 0, "O", O_WRONLY), 0);
	cached.fh = fh;
	cached.offset = 1;
	is_int(kit_call(&k, FUSE_WRITE, f, &cached, sizeof(cached), "N", NULL), 0);
	is_int(release(f, fh), 0);
	is_int(open_file(f, O_RDONLY, &fh), 0);
	is_str(kit_read(&k, f, fh, 0, 100), "ONetwothree");
	is_int(release(f, fh), 0);
}

static void test_create(void)
{
	struct fuse_create_in in = { .flags = O_RDWR | O_EXCL, .mode = S_IFREG | 0644 };
	uint64_t fh, f;

	is_int(symlinkat("/tmp/amphi-must-not-appear", k.dir_fd, "trap"), 0);
	is_int(mkfifoat(k.dir_fd, "pipe", 0600), 0);
	is_int(mkdirat(k.dir_fd, "d", 0700), 0);
	is_int(kit_call(&k, FUSE_CREATE, 1, &in, sizeof(in), "data", NULL), -EEXIST);
	in.flags = O_RDWR | O_TRUNC;
	is_int(kit_call(&k, FUSE_CREATE, 1, &in, sizeof(in), "trap", NULL), -ELOOP);
	ok(access("/tmp/amphi-must-not-appear", F_OK) < 0);
	is_int(kit_call(&k, FUSE_CREATE, 1, &in, sizeof(in), "pipe", NULL), -ENXIO);
	is_int(kit_call(&k, FUSE_CREATE, 1, &in, sizeof(in), "d", NULL), -EISDIR);
	f = kit_create(&k, 1, "data", 0600, O_RDWR | O_TRUNC, &fh);
	ok(f);
	is_int(((struct fuse_entry_out *)kit_reply(&k))->attr.size, 0);
	is_int(release(f, fh), 0);
	in.flags = 3;
	is_int(kit_call(&k, FUSE_CREATE, 1, &in, sizeof(in), "new", NULL), -EINVAL);
	/* umask and ids */
	k.uid = 1000;
	k.gid = 1000;
	in.flags = O_RDWR;
	in.mode = S_IFREG | 0666;
	in.umask = 077;
	if (geteuid() == 0) {
		is_int(kit_call(&k, FUSE_CREATE, 1, &in, sizeof(in), "own", NULL), 0);
		is_int(host_stat("own"), 0);
		ok(st.st_uid == 1000 && st.st_gid == 1000 && (st.st_mode & 07777) == 0600);
	} else {
		skip("owners of new files: needs root");
	}
	k.uid = k.gid = 0;
	/* No room for the handle: neither file handle nor lookup stays. */
	k.out_room = sizeof(struct fuse_entry_out) + 1;
	in.umask = 0;
	{
		unsigned long before = inode_table_count(k.pt->inodes);

		is_int(kit_call(&k, FUSE_CREATE, 1, &in, sizeof(in), "half", NULL), -ERANGE);
		is_int(inode_table_count(k.pt->inodes), before);
	}
	k.out_room = 65536;
}

static void test_tmpfile(void)
{
	struct fuse_create_in in = { .flags = O_RDWR, .mode = S_IFREG | 0600 };
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} *r = kit_reply(&k);
	struct fuse_link_in ln;
	uint64_t f, fh;
	int err = kit_call(&k, FUSE_TMPFILE, 1, &in, sizeof(in), "/", NULL);

	if (err == -EOPNOTSUPP) {
		skip("O_TMPFILE: this file system has none");
		return;
	}
	is_int(err, 0);
	f = r->e.nodeid;
	fh = r->o.fh;
	is_int(kit_write(&k, f, fh, 0, "nameless", 0), 0);
	ln.oldnodeid = f;
	is_int(kit_call(&k, FUSE_LINK, 1, &ln, sizeof(ln), "named", NULL), 0);
	is_int(host_stat("named"), 0);
	is_int(st.st_size, 8);
	is_int(release(f, fh), 0);
}

static void test_unlinked(void)
{
	struct fuse_getattr_in ga = { 0 };
	uint64_t fh, f = kit_create(&k, 1, "gone", 0600, O_RDWR, &fh);

	is_int(kit_write(&k, f, fh, 0, "still here", 0), 0);
	is_int(kit_call(&k, FUSE_UNLINK, 1, NULL, 0, "gone", NULL), 0);
	is_str(kit_read(&k, f, fh, 0, 100), "still here");
	is_int(kit_call(&k, FUSE_GETATTR, f, &ga, sizeof(ga), NULL, NULL), 0);
	is_int(((struct fuse_attr_out *)kit_reply(&k))->attr.nlink, 0);
	is_int(release(f, fh), 0);
}

static void test_copy(void)
{
	uint64_t fa, fb, a = kit_create(&k, 1, "a", 0600, O_RDWR, &fa), b = kit_create(&k, 1, "b", 0600, O_RDWR, &fb);
	struct fuse_copy_file_range_in in = { .fh_in = fa, .nodeid_out = b, .fh_out = fb, .len = 3, .off_in = 2 };

	is_int(kit_write(&k, a, fa, 0, "abcdef", 0), 0);
	is_int(kit_call(&k, FUSE_COPY_FILE_RANGE, a, &in, sizeof(in), NULL, NULL), 0);
	is_str(kit_read(&k, b, fb, 0, 10), "cde");
	in.nodeid_out = a;
	is_int(kit_call(&k, FUSE_COPY_FILE_RANGE, a, &in, sizeof(in), NULL, NULL), -EBADF);
	is_int(release(a, fa), 0);
	is_int(release(b, fb), 0);
}

/* The guest's pages may stay as long as the file is what the guest was told. */
static void test_keep_cache(void)
{
	struct fuse_open_in in = { .flags = O_RDONLY };
	struct fuse_open_out *o = kit_reply(&k);
	uint64_t fh, f = kit_create(&k, 1, "cached", 0600, O_RDWR, &fh);
	int fd;

	is_int(release(f, fh), 0);
	is_int(kit_call(&k, FUSE_OPEN, f, &in, sizeof(in), NULL, NULL), 0);
	is_int(o->open_flags, FOPEN_KEEP_CACHE);
	fd = openat(k.dir_fd, "cached", O_WRONLY | O_CLOEXEC);
	is_int(write(fd, "new", 3), 3);
	close(fd);
	is_int(kit_call(&k, FUSE_OPEN, f, &in, sizeof(in), NULL, NULL), 0);
	is_int(o->open_flags, 0);
	ok(kit_lookup(&k, 1, "cached") == f);
	is_int(kit_call(&k, FUSE_OPEN, f, &in, sizeof(in), NULL, NULL), 0);
	is_int(o->open_flags, FOPEN_KEEP_CACHE);
}

static void test_killpriv(void)
{
	struct fuse_write_in w = { .size = 1, .write_flags = FUSE_WRITE_KILL_SUIDGID };
	struct fuse_setattr_in sa = { .valid = FATTR_SIZE | FATTR_KILL_SUIDGID, .size = 0 };
	uint64_t fh, f = kit_create(&k, 1, "suid", 0755, O_RDWR, &fh);

	if (geteuid() != 0) {
		skip("clearing of setuid bits: needs root");
		return;
	}
	is_int(fchmodat(k.dir_fd, "suid", 06755, 0), 0);
	is_int(kit_write(&k, f, fh, 0, "x", 0), 0);
	is_int(host_stat("suid"), 0);
	is_int(st.st_mode & 07777, 06755); /* a privileged writer in the guest */
	w.fh = fh;
	is_int(kit_call(&k, FUSE_WRITE, f, &w, sizeof(w), "y", NULL), 0);
	is_int(host_stat("suid"), 0);
	is_int(st.st_mode & 07777, 0755);
	/* the next privileged one has the privilege again */
	is_int(fchmodat(k.dir_fd, "suid", 06755, 0), 0);
	is_int(kit_write(&k, f, fh, 0, "x", 0), 0);
	is_int(host_stat("suid"), 0);
	is_int(st.st_mode & 07777, 06755);
	is_int(kit_call(&k, FUSE_WRITE, f, &w, sizeof(w), "y", NULL), 0);
	ok(kit_create(&k, 1, "sgid", 02755, O_RDWR, &fh));
	is_int(host_stat("sgid"), 0);
	is_int(st.st_mode & 07777, 02755);
	is_int(fchmodat(k.dir_fd, "suid", 04755, 0), 0);
	is_int(kit_call(&k, FUSE_SETATTR, f, &sa, sizeof(sa), NULL, NULL), 0);
	is_int(host_stat("suid"), 0);
	is_int(st.st_mode & 07777, 0755);
}

int main(void)
{
	kit_open(&k, NULL, NULL, NULL);
	is_int(kit_init(&k), 0);
	test_data();
	test_append();
	test_create();
	test_tmpfile();
	test_unlinked();
	test_copy();
	test_keep_cache();
	test_killpriv();
	kit_close(&k);
	return tap_done();
}
