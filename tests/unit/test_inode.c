/* SPDX-License-Identifier: Apache-2.0 */
/* Node ids and file handles: identity, counts, growth, stale numbers. */
#include "vm/inode.h"
#include "vm/reopen.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "tests/unit/tap.h"
#include "vm/handle.h"
#include "vm/virtio_fs.h"

#define FILES 2000

static char dir[] = "/tmp/amphi-inode-XXXXXX";
static int dir_fd, proc_fd;
static struct reopen *reopen;

/* Enters name of dir; the node, referenced. */
static struct inode *enter_in(struct inode_table *t, const struct inode *parent, const char *name)
{
	struct inode *i = NULL;
	struct statx stx;
	int fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &stx) < 0)
		return NULL;
	return inode_enter(t, fd, &stx, VIRTIO_FS_CACHE_AUTO, parent, &i) == 0 ? i : NULL;
}

static struct inode *enter(struct inode_table *t, const char *name)
{
	struct inode *root = inode_get(t, INODE_ROOT), *i = enter_in(t, root, name);

	inode_put(t, root);
	return i;
}

static void touch(const char *name)
{
	close(openat(dir_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static void test_identity(struct inode_table *t)
{
	struct inode *a, *b, *root = inode_get(t, INODE_ROOT), *self;
	uint64_t id;

	need(root);
	self = enter(t, ".");
	ok(self == root);
	inode_put(t, self);
	inode_put(t, root);
	touch("a");
	is_int(linkat(dir_fd, "a", dir_fd, "b", 0), 0);
	a = enter(t, "a");
	b = enter(t, "b");
	ok(a && a == b);
	is_int(a->nlookup, 2);
	id = a->id;
	inode_put(t, a);
	inode_put(t, b);
	/* Known by the guest's lookups alone, then by nobody. */
	a = inode_get(t, id);
	ok(a == b);
	inode_forget(t, id, 2);
	ok(inode_get(t, id) == a); /* in use: the reference of a */
	inode_put(t, a);
	inode_put(t, a);
	ok(!inode_get(t, id));
	inode_forget(t, id, 5);
	inode_forget(t, 0, 1);
	inode_forget(t, UINT64_MAX, UINT64_MAX);
	is_int(inode_table_count(t), 1);
	/* A file that took the inode number of a removed one is another node. */
	a = enter(t, "a");
	ok(a->id != id);
	inode_keep(t, a);
	inode_put(t, a);
	id = a->id;
	inode_forget(t, id, 100);
	a = inode_get(t, id); /* kept */
	ok(a);
	inode_put(t, a);
	inode_table_clear(t);
	is_int(inode_table_count(t), 1);
}

static void test_growth(struct inode_table *t)
{
	static uint64_t ids[FILES];
	char name[32];
	int bad = 0;

	for (int n = 0; n < FILES; n++) {
		struct inode *i;

		snprintf(name, sizeof(name), "f%d", n);
		touch(name);
		i = enter(t, name);
		if (!i) {
			skip("descriptors ran out");
			break;
		}
		ids[n] = i->id;
		inode_put(t, i);
	}
	for (int n = 0; n < FILES; n++) {
		struct inode *i = inode_get(t, ids[n]);

		bad += !i || i->id != ids[n];
		inode_put(t, i);
	}
	is_int(bad, 0);
	for (int n = 0; n < FILES; n += 2)
		inode_forget(t, ids[n], 1);
	is_int(inode_table_count(t), 1 + FILES / 2);
	inode_table_clear(t);
	is_int(inode_table_count(t), 1);
}

static void test_told(struct inode_table *t)
{
	struct inode *a = enter(t, "a");
	struct statx stx = { .stx_size = 7, .stx_mtime = { .tv_sec = 5, .tv_nsec = 6 } };

	ok(!inode_unchanged(t, a, &stx));
	inode_told(t, a, &stx);
	ok(inode_unchanged(t, a, &stx));
	stx.stx_mtime.tv_nsec++;
	ok(!inode_unchanged(t, a, &stx));
	inode_put(t, a);
}

static void test_handles(void)
{
	struct handle_table *t = handle_table_new();
	uint64_t a, b;
	struct handle *h;

	need(t);
	is_int(handle_open(t, openat(dir_fd, "a", O_RDONLY | O_CLOEXEC), 5, false, &a), 0);
	is_int(handle_open(t, openat(dir_fd, ".", O_RDONLY | O_CLOEXEC), 1, true, &b), 0);
	ok(a != b);
	ok(!handle_get(t, a, 6, false)); /* another node */
	ok(!handle_get(t, a, 5, true));  /* another kind */
	ok(!handle_get(t, a + 100, 5, false));
	h = handle_get(t, a, 5, false);
	need(h);
	is_int(handle_release(t, a, 5, false), 0);
	ok(fcntl(h->fd, F_GETFD) >= 0); /* still open for its user */
	handle_put(t, h);
	ok(!handle_get(t, a, 5, false));
	is_int(handle_release(t, a, 5, false), -EBADF);
	handle_table_clear(t);
	is_int(handle_release(t, b, 1, true), -EBADF);
	handle_table_free(t);
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Far more files than descriptors: each is found again, none is taken for another, none is lost with its name. */
static void test_bounded(void)
{
	static uint64_t ids[500];
	struct err err = { 0 };
	struct inode_table *t = inode_table_new(dir_fd, VIRTIO_FS_CACHE_AUTO, proc_fd, 32, reopen, &err);
	struct inode *i, *root;
	int before = open_fds(), bad = 0;
	struct stat st;
	char name[32];
	uint64_t id;

	need(t);
	for (int n = 0; n < 500; n++) {
		snprintf(name, sizeof(name), "b%d", n);
		touch(name);
		i = enter(t, name);
		need(i);
		ids[n] = i->id;
		inode_put(t, i);
	}
	if (!inode_table_closed(t)) {
		skip("descriptors: needs file handles and CAP_DAC_READ_SEARCH");
		inode_table_free(t);
		return;
	}
	ok(open_fds() <= before + 34);
	is_int(inode_table_count(t), 501);
	for (int n = 0; n < 500; n++) {
		struct stat host;

		snprintf(name, sizeof(name), "b%d", n);
		i = inode_get(t, ids[n]);
		bad += !i || fstat(i->fd, &st) < 0 || fstatat(dir_fd, name, &host, 0) < 0 || st.st_ino != host.st_ino;
		inode_put(t, i);
	}
	is_int(bad, 0);
	/* The same file under its name is the same node, open or closed. */
	i = enter(t, "b7");
	ok(i && i->id == ids[7]);
	inode_put(t, i);
	/* What the guest removes it may go on using. */
	root = inode_get(t, INODE_ROOT);
	i = inode_get(t, ids[20]);
	inode_put(t, i);
	for (int n = 100; n < 400; n++)
		inode_put(t, inode_get(t, ids[n]));
	for (int n = 0; n < 100; n++) {
		snprintf(name, sizeof(name), "c%d", n);
		touch(name);
		inode_put(t, enter(t, name));
	}
	inode_rescue(t, root, "b20");
	is_int(unlinkat(dir_fd, "b20", 0), 0);
	i = inode_get(t, ids[20]);
	ok(i && fstat(i->fd, &st) == 0 && st.st_nlink == 0);
	inode_put(t, i);
	/* What the host removes behind our back is stale, and its number is nobody else's. */
	bad = 0;
	for (int n = 30; n < 60; n++) {
		snprintf(name, sizeof(name), "b%d", n);
		unlinkat(dir_fd, name, 0);
		touch(name);
		i = enter(t, name);
		id = i ? i->id : 0;
		bad += !i || id == ids[n];
		inode_put(t, i);
	}
	is_int(bad, 0);
	inode_put(t, root);
	for (int n = 0; n < 500; n++)
		inode_forget(t, ids[n], 100);
	inode_table_clear(t);
	is_int(inode_table_count(t), 1);
	is_int(inode_table_closed(t), 0);
	is_int(open_fds(), before);
	inode_table_free(t);
}

/* Two trees of files; one goes with all that is known of it, but for what is in use. */
static void test_release(struct inode_table *t)
{
	static const char *const dirs[] = { "pods", "pods/a", "pods/a/rootfs", "pods/b" };
	struct inode *pods, *a, *rootfs, *file, *b, *other;
	int before = open_fds();
	uint64_t id, tree;

	for (size_t n = 0; n < sizeof(dirs) / sizeof(dirs[0]); n++)
		need(mkdirat(dir_fd, dirs[n], 0755) == 0);
	touch("pods/a/rootfs/file");
	touch("pods/b/file");
	pods = enter(t, "pods");
	a = enter_in(t, pods, "a");
	rootfs = enter_in(t, a, "rootfs");
	file = enter_in(t, rootfs, "file");
	b = enter_in(t, pods, "b");
	other = enter_in(t, b, "file");
	need(a && rootfs && file && b && other);
	tree = a->ino;
	id = file->id;
	inode_keep(t, rootfs);
	inode_put(t, file);
	inode_put(t, a);
	inode_release(t, tree);
	ok(!inode_known(t, id));
	ok(!inode_get(t, rootfs->id)); /* in use, and not found any more */
	ok(fcntl(rootfs->fd, F_GETFD) >= 0);
	ok(!enter_in(t, rootfs, "file")); /* nor does it lead to anything */
	inode_keep(t, rootfs);
	inode_forget(t, id, 1);
	inode_put(t, rootfs);
	/* what is beside it stays */
	ok(inode_known(t, pods->id) && inode_known(t, b->id) && inode_known(t, other->id));
	is_int(open_fds(), before + 3);
	is_int(inode_table_count(t), 4);
	inode_put(t, other);
	inode_put(t, b);
	inode_put(t, pods);
	inode_table_clear(t);
	is_int(open_fds(), before);
}

int main(void)
{
	struct err err = { 0 };
	struct inode_table *t;

	reopen = reopen_start(LOCKDOWN_KILL, &err);
	need(reopen);
	need(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	t = inode_table_new(dir_fd, VIRTIO_FS_CACHE_AUTO, proc_fd, 0, NULL, &err);
	need(t);
	test_identity(t);
	test_told(t);
	inode_table_clear(t);
	test_release(t);
	if (sysconf(_SC_OPEN_MAX) > FILES + 100)
		test_growth(t);
	else
		skip("fewer descriptors than files");
	test_handles();
	test_bounded();
	inode_table_free(t);
	ok(!inode_table_new(-1, VIRTIO_FS_CACHE_AUTO, proc_fd, 0, NULL, &err));
	close(dir_fd);
	path_remove_tree(AT_FDCWD, dir, true);
	reopen_stop(reopen);
	return tap_done();
}
