/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE operations against a directory of the host: names, links, nodes, ids, confinement. */
#include <sched.h>
#include <sys/mount.h>

#include "tests/unit/fuse_kit.h"

#include <sys/sysmacros.h>

static struct kit k;

static struct stat st;

static int host_stat(const char *name)
{
	return fstatat(k.dir_fd, name, &st, AT_SYMLINK_NOFOLLOW);
}

static void test_lookup_forget(void)
{
	struct fuse_entry_out *e = kit_reply(&k);
	struct fuse_forget_in f = { .nlookup = 2 };
	uint64_t a, b;
	int fd = openat(k.dir_fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	close(fd);
	is_int(linkat(k.dir_fd, "file", k.dir_fd, "hard", 0), 0);
	a = kit_lookup(&k, 1, "file");
	b = kit_lookup(&k, 1, "hard");
	ok(a && a == b); /* one file, one node */
	is_int(e->attr.nlink, 2);
	is_int(inode_table_count(k.pt->inodes), 2);
	f.nlookup = 1;
	kit_call(&k, FUSE_FORGET, a, &f, sizeof(f), NULL, NULL);
	is_int(k.result, 0);
	is_int(inode_table_count(k.pt->inodes), 2);
	f.nlookup = 1000; /* more than it has */
	kit_call(&k, FUSE_FORGET, a, &f, sizeof(f), NULL, NULL);
	is_int(inode_table_count(k.pt->inodes), 1);
	kit_call(&k, FUSE_FORGET, 1, &f, sizeof(f), NULL, NULL);
	is_int(inode_table_count(k.pt->inodes), 1); /* the root stays */
	b = kit_lookup(&k, 1, "file");
	ok(b && b != a); /* ids are never used again */
	/* What is not there is remembered for a second. */
	is_int(kit_call(&k, FUSE_LOOKUP, 1, NULL, 0, "missing", NULL), 0);
	is_int(e->nodeid, 0);
	is_int(e->entry_valid, 1);
}

static void test_batch_forget(void)
{
	struct fuse_batch_forget_in b = { .count = 3 };
	struct fuse_forget_one one[2] = { { 0, 1 }, { 123456, 1 } };

	one[0].nodeid = kit_lookup(&k, 1, "file");
	kit_begin(&k);
	kit_add(&k, &b, sizeof(b)); /* claims three, brings two */
	kit_add(&k, one, sizeof(one));
	kit_send(&k, FUSE_BATCH_FORGET, 0);
	is_int(k.result, 0);
}

static void test_nodes(void)
{
	struct fuse_mkdir_in md = { .mode = 01777, .umask = 022 };
	struct fuse_mknod_in mk = { .mode = S_IFIFO | 0666, .umask = 027 };
	struct fuse_open_in op = { .flags = O_RDONLY };
	struct fuse_entry_out *e = kit_reply(&k);
	uint64_t fifo;

	is_int(kit_call(&k, FUSE_MKDIR, 1, &md, sizeof(md), "dir", NULL), 0);
	is_int(host_stat("dir"), 0);
	is_int(st.st_mode, S_IFDIR | 01755);
	is_int(kit_call(&k, FUSE_MKDIR, 1, &md, sizeof(md), "dir", NULL), -EEXIST);
	is_int(kit_call(&k, FUSE_MKNOD, 1, &mk, sizeof(mk), "fifo", NULL), 0);
	fifo = e->nodeid;
	is_int(host_stat("fifo"), 0);
	is_int(st.st_mode, S_IFIFO | 0640);
	/* Opening it would block the host; its guest does that itself. */
	is_int(kit_call(&k, FUSE_OPEN, fifo, &op, sizeof(op), NULL, NULL), -ENXIO);
	mk.mode = S_IFSOCK | 0600;
	is_int(kit_call(&k, FUSE_MKNOD, 1, &mk, sizeof(mk), "sock", NULL), 0);
	if (geteuid() == 0) {
		mk.mode = S_IFCHR | 0600;
		mk.rdev = 1 << 8 | 3; /* the kernel's encoding of 1:3 */
		is_int(kit_call(&k, FUSE_MKNOD, 1, &mk, sizeof(mk), "null", NULL), 0);
		is_int(e->attr.rdev, 1 << 8 | 3);
		is_int(host_stat("null"), 0);
		ok(major(st.st_rdev) == 1 && minor(st.st_rdev) == 3);
		is_int(kit_call(&k, FUSE_OPEN, e->nodeid, &op, sizeof(op), NULL, NULL), -ENXIO);
	}
	is_int(kit_call(&k, FUSE_RMDIR, 1, NULL, 0, "dir", NULL), 0);
	is_int(kit_call(&k, FUSE_RMDIR, 1, NULL, 0, "fifo", NULL), -ENOTDIR);
	is_int(kit_call(&k, FUSE_UNLINK, 1, NULL, 0, "fifo", NULL), 0);
	is_int(kit_call(&k, FUSE_UNLINK, 1, NULL, 0, "fifo", NULL), -ENOENT);
}

static void test_ids(void)
{
	struct fuse_mkdir_in md = { .mode = 0755 };
	struct fuse_mknod_in mk = { .mode = S_IFREG | 0600 };

	if (geteuid() != 0) {
		skip("owners of new files: needs root");
		return;
	}
	k.uid = 1234;
	k.gid = 5678;
	/* The directory is root's; the guest has checked what it allows. */
	is_int(kit_call(&k, FUSE_MKDIR, 1, &md, sizeof(md), "mine", NULL), 0);
	is_int(kit_call(&k, FUSE_MKNOD, 1, &mk, sizeof(mk), "my file", NULL), 0);
	is_int(kit_call(&k, FUSE_SYMLINK, 1, NULL, 0, "my link", "anywhere"), 0);
	k.uid = k.gid = 0;
	is_int(host_stat("mine"), 0);
	ok(st.st_uid == 1234 && st.st_gid == 5678);
	is_int(host_stat("my file"), 0);
	ok(st.st_uid == 1234 && st.st_gid == 5678);
	is_int(host_stat("my link"), 0);
	ok(st.st_uid == 1234 && st.st_gid == 5678);
	is_int(kit_call(&k, FUSE_MKDIR, 1, &md, sizeof(md), "root's", NULL), 0);
	is_int(host_stat("root's"), 0);
	ok(st.st_uid == 0 && st.st_gid == 0);
	/* setgid directory: the group is inherited, and for an old guest a stranger's setgid file loses the bit. */
	k.pt->session.minor = 36;
	is_int(fchownat(k.dir_fd, "mine", 0, 42, 0), 0);
	is_int(fchmodat(k.dir_fd, "mine", 02777, 0), 0);
	k.uid = 1234;
	k.gid = 5678;
	mk.mode = S_IFREG | 02755;
	is_int(kit_call(&k, FUSE_MKNOD, kit_lookup(&k, 1, "mine"), &mk, sizeof(mk), "f", NULL), 0);
	k.uid = k.gid = 0;
	is_int(host_stat("mine/f"), 0);
	is_int(st.st_gid, 42);
	is_int(st.st_mode & 07777, 0755);
	/* And CAP_FSETID is back. */
	mk.mode = S_IFREG | 02755;
	is_int(kit_call(&k, FUSE_MKNOD, kit_lookup(&k, 1, "mine"), &mk, sizeof(mk), "g", NULL), 0);
	is_int(host_stat("mine/g"), 0);
	is_int(st.st_mode & 07777, 02755);
	k.pt->session.minor = 38;
	k.uid = 1234;
	is_int(kit_call(&k, FUSE_MKNOD, kit_lookup(&k, 1, "mine"), &mk, sizeof(mk), "h", NULL), 0);
	k.uid = 0;
	is_int(host_stat("mine/h"), 0);
	is_int(st.st_mode & 07777, 02755);
}

static void test_links(void)
{
	struct fuse_link_in ln = { 0 };
	uint64_t sym;

	is_int(kit_call(&k, FUSE_SYMLINK, 1, NULL, 0, "out", "/etc/passwd"), 0);
	sym = kit_lookup(&k, 1, "out");
	is_int(kit_call(&k, FUSE_READLINK, sym, NULL, 0, NULL, NULL), 0);
	is_int(kit_reply_len(&k), 11);
	ok(memcmp(kit_reply(&k), "/etc/passwd", 11) == 0);
	/* Below a symlink there is nothing: it is never followed. */
	is_int(kit_call(&k, FUSE_LOOKUP, sym, NULL, 0, "x", NULL), -ENOTDIR);
	is_int(kit_call(&k, FUSE_READLINK, 1, NULL, 0, NULL, NULL), -EINVAL);
	ln.oldnodeid = kit_lookup(&k, 1, "file");
	is_int(kit_call(&k, FUSE_LINK, 1, &ln, sizeof(ln), "third", NULL), 0);
	is_int(host_stat("third"), 0);
	is_int(st.st_nlink, 3);
	ln.oldnodeid = sym; /* the link itself, not what it names */
	is_int(kit_call(&k, FUSE_LINK, 1, &ln, sizeof(ln), "out2", NULL), 0);
	is_int(host_stat("out2"), 0);
	ok(S_ISLNK(st.st_mode));
	ln.oldnodeid = 99999;
	is_int(kit_call(&k, FUSE_LINK, 1, &ln, sizeof(ln), "out3", NULL), -ESTALE);
}

static void test_rename(void)
{
	struct fuse_mkdir_in md = { .mode = 0755 };
	struct fuse_rename_in r1 = { .newdir = 1 };
	struct fuse_rename2_in r2 = { .newdir = 1 };
	struct fuse_entry_out *e = kit_reply(&k);
	uint64_t d, node = kit_lookup(&k, 1, "file");

	is_int(kit_call(&k, FUSE_MKDIR, 1, &md, sizeof(md), "to", NULL), 0);
	d = e->nodeid;
	r2.newdir = d;
	is_int(kit_call(&k, FUSE_RENAME2, 1, &r2, sizeof(r2), "file", "moved"), 0);
	is_int(host_stat("to/moved"), 0);
	ok(kit_lookup(&k, d, "moved") == node);
	r2.flags = RENAME_NOREPLACE;
	is_int(kit_call(&k, FUSE_RENAME2, 1, &r2, sizeof(r2), "hard", "moved"), -EEXIST);
	r2.flags = RENAME_EXCHANGE;
	is_int(kit_call(&k, FUSE_RENAME2, 1, &r2, sizeof(r2), "out", "moved"), 0);
	is_int(host_stat("out"), 0);
	ok(S_ISREG(st.st_mode));
	r2.flags = 64;
	is_int(kit_call(&k, FUSE_RENAME2, 1, &r2, sizeof(r2), "out", "moved"), -EINVAL);
	is_int(kit_call(&k, FUSE_RENAME, 1, &r1, sizeof(r1), "out", "file"), 0);
	r1.newdir = 4711;
	is_int(kit_call(&k, FUSE_RENAME, 1, &r1, sizeof(r1), "file", "file2"), -ESTALE);
}

static void test_read_only(void)
{
	struct virtio_fs_params p;
	struct fuse_mkdir_in md = { .mode = 0755 };
	struct fuse_open_in op = { .flags = O_RDWR };
	static struct kit ro;
	uint64_t f;
	int fd;

	virtio_fs_params_init(&p);
	p.read_only = true;
	p.cache = VIRTIO_FS_CACHE_ALWAYS;
	kit_open(&ro, &p, NULL, NULL);
	is_int(kit_init(&ro), 0);
	fd = openat(ro.dir_fd, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	close(fd);
	f = kit_lookup(&ro, 1, "f");
	ok(f);
	is_int(kit_call(&ro, FUSE_MKDIR, 1, &md, sizeof(md), "d", NULL), -EROFS);
	is_int(kit_call(&ro, FUSE_UNLINK, 1, NULL, 0, "f", NULL), -EROFS);
	is_int(kit_call(&ro, FUSE_OPEN, f, &op, sizeof(op), NULL, NULL), -EROFS);
	op.flags = O_RDONLY | O_TRUNC;
	is_int(kit_call(&ro, FUSE_OPEN, f, &op, sizeof(op), NULL, NULL), -EROFS);
	op.flags = O_RDONLY;
	is_int(kit_call(&ro, FUSE_OPEN, f, &op, sizeof(op), NULL, NULL), 0);
	is_int(((struct fuse_open_out *)kit_reply(&ro))->open_flags, FOPEN_KEEP_CACHE);
	kit_close(&ro);
}

static void test_reset(void)
{
	uint64_t f = kit_lookup(&k, 1, "file");
	struct fuse_open_in op = { .flags = O_RDONLY };
	struct fuse_getattr_in ga = { 0 };

	is_int(kit_call(&k, FUSE_OPEN, f, &op, sizeof(op), NULL, NULL), 0);
	passthrough_reset(k.pt);
	is_int(inode_table_count(k.pt->inodes), 1);
	is_int(kit_init(&k), 0);
	is_int(kit_call(&k, FUSE_GETATTR, f, &ga, sizeof(ga), NULL, NULL), -ESTALE);
}

/* Policies go by mounts; what is mounted below one takes it over. */
static void test_cache(void)
{
	static const struct virtio_fs_mount none = { .path = "m", .cache = VIRTIO_FS_CACHE_NONE };
	struct fuse_entry_out *e = kit_reply(&k);
	struct fuse_init_in in = { .major = 7, .minor = 38, .flags = ~0u };
	struct virtio_fs_params p;
	struct err err = { 0 };
	uint64_t m;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		skip("cache policy of a mount: needs CAP_SYS_ADMIN");
		return;
	}
	need(mkdirat(k.dir_fd, "m", 0755) == 0 && chdir(k.dir) == 0);
	close(k.dir_fd); /* of the other namespace */
	k.dir_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(mount("t", "m", "tmpfs", 0, NULL) == 0 && mkdir("m/deep", 0755) == 0);
	need(mount("t", "m/deep", "tmpfs", 0, NULL) == 0);
	close(open("m/f", O_CREAT | O_WRONLY, 0600));
	close(open("m/deep/f", O_CREAT | O_WRONLY, 0600));
	passthrough_free(k.pt);
	virtio_fs_params_init(&p);
	p.export_fd = k.dir_fd;
	p.tag = "t";
	p.cache = VIRTIO_FS_CACHE_ALWAYS;
	p.mounts = &none;
	p.n_mounts = 1;
	/* one mount is not announced as of another device, nor a second one of its file system */
	need(mkdir("root", 0755) == 0 && mkdir("again", 0755) == 0 && mount("t", "root", "tmpfs", 0, NULL) == 0);
	need(mount("root", "again", NULL, MS_BIND, NULL) == 0 && mkdir("root/m", 0755) == 0);
	need(mount("m", "root/m", NULL, MS_BIND, NULL) == 0);
	need(mkdir("m/root", 0755) == 0 && mount("root", "m/root", NULL, MS_BIND, NULL) == 0);
	p.main = "root";
	k.pt = passthrough_new(&p, NULL, NULL, &err);
	need(k.pt && fchdir(k.pt->proc_fd) == 0);
	is_int(kit_call(&k, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL), 0);
	ok(kit_lookup(&k, 1, "file"));
	ok(e->entry_valid > 1000 && e->attr_valid > 1000);
	is_int(kit_call(&k, FUSE_LOOKUP, 1, NULL, 0, "nothing", NULL), 0);
	ok(e->nodeid == 0 && e->entry_valid > 1000);
	m = kit_lookup(&k, 1, "again");
	ok(m && !(e->attr.flags & FUSE_ATTR_SUBMOUNT));
	m = kit_lookup(&k, 1, "root");
	ok(m && !(e->attr.flags & FUSE_ATTR_SUBMOUNT));
	ok(kit_lookup(&k, m, "m"));
	ok(e->attr.flags & FUSE_ATTR_SUBMOUNT);
	m = kit_lookup(&k, 1, "m");
	ok(m && e->attr_valid == 0);
	ok(e->attr.flags & FUSE_ATTR_SUBMOUNT);
	ok(kit_lookup(&k, m, "root")); /* below another device */
	ok(e->attr.flags & FUSE_ATTR_SUBMOUNT);
	ok(kit_lookup(&k, m, "f"));
	ok(e->entry_valid == 0 && e->attr_valid == 0);
	is_int(kit_call(&k, FUSE_LOOKUP, m, NULL, 0, "nothing", NULL), -ENOENT);
	m = kit_lookup(&k, m, "deep");
	ok(m && kit_lookup(&k, m, "f") && e->attr_valid == 0);
	p.mounts = &(struct virtio_fs_mount){ .path = "not there" };
	ok(!passthrough_new(&p, NULL, NULL, &err));
	passthrough_reset(k.pt);
	need(fchdir(k.dir_fd) == 0);
	umount2("root/m", MNT_DETACH);
	umount2("m/root", MNT_DETACH);
	umount2("again", MNT_DETACH);
	umount2("root", MNT_DETACH);
	umount2("m/deep", MNT_DETACH);
	umount2("m", MNT_DETACH);
	need(chdir("/") == 0);
}

/* A mount that goes while the guest knows its files and has one open: it is free again. */
static void test_release(void)
{
	struct fuse_open_in in = { .flags = O_RDONLY };
	struct fuse_open_out *o = kit_reply(&k);
	uint64_t pods, a, b, m, f, fh;

	need(mkdirat(k.dir_fd, "pods", 0755) == 0 && mkdirat(k.dir_fd, "pods/a", 0755) == 0);
	need(mkdirat(k.dir_fd, "pods/b", 0755) == 0 && mkdirat(k.dir_fd, "pods/a/m", 0755) == 0);
	need(fchdir(k.dir_fd) == 0);
	if (mount("t", "pods/a/m", "tmpfs", 0, NULL) < 0) {
		skip("release: needs CAP_SYS_ADMIN");
		return;
	}
	close(open("pods/a/m/f", O_CREAT | O_WRONLY, 0600));
	need(fchdir(k.pt->proc_fd) == 0 && kit_init(&k) == 0);
	pods = kit_lookup(&k, 1, "pods");
	a = kit_lookup(&k, pods, "a");
	b = kit_lookup(&k, pods, "b");
	m = kit_lookup(&k, a, "m");
	f = kit_lookup(&k, m, "f");
	need(f && kit_call(&k, FUSE_OPEN, f, &in, sizeof(in), NULL, NULL) == 0);
	fh = o->fh;
	ok(kit_read(&k, f, fh, 0, 10));
	need(fchdir(k.dir_fd) == 0);
	is_int(umount2("pods/a/m", 0), -1);
	is_int(errno, EBUSY);
	is_int(passthrough_release(k.pt, "pods/none"), -ENOENT);
	is_int(passthrough_release(k.pt, "pods/a"), 0);
	is_int(umount2("pods/a/m", 0), 0);
	need(fchdir(k.pt->proc_fd) == 0);
	ok(!kit_read(&k, f, fh, 0, 10));
	is_int(kit_call(&k, FUSE_LOOKUP, m, NULL, 0, "f", NULL), -ESTALE);
	is_int(kit_call(&k, FUSE_LOOKUP, b, NULL, 0, "nothing", NULL), 0); /* beside it: known as ever */
	ok(kit_lookup(&k, pods, "a"));
	passthrough_reset(k.pt);
	need(chdir("/") == 0);
}

int main(void)
{
	kit_open(&k, NULL, NULL, NULL);
	is_int(kit_init(&k), 0);
	test_lookup_forget();
	test_batch_forget();
	test_nodes();
	test_ids();
	test_links();
	test_rename();
	test_read_only();
	test_reset();
	test_cache();
	test_release();
	kit_close(&k);
	return tap_done();
}
