/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE operations on directories: every entry once whatever the buffer's size, seek, lookups by the way. */
#include "tests/unit/fuse_kit.h"

#define FILES 300

static struct kit k;

static uint64_t open_dir(uint64_t node)
{
	struct fuse_open_in in = { .flags = O_RDONLY | O_DIRECTORY };

	return kit_call(&k, FUSE_OPENDIR, node, &in, sizeof(in), NULL, NULL) == 0 ?
		((struct fuse_open_out *)kit_reply(&k))->fh :
		0;
}

/* Counts the entries "f<n>" of one reply in seen[], returns how many entries of any name, sets *off to go on from. */
static int count(bool plus, int *seen, uint64_t *off)
{
	const char *p = kit_reply(&k), *end = p + kit_reply_len(&k);
	int n = 0;

	while (p < end) {
		const struct fuse_direntplus *dp = (const void *)p;
		const struct fuse_dirent *d = plus ? &dp->dirent : (const void *)p;
		int number;

		if (sscanf(d->name, "f%d", &number) == 1 && number < FILES) {
			seen[number]++;
			if (plus && !dp->entry_out.nodeid)
				seen[number] += 1000;
		}
		*off = d->off;
		p += plus ? FUSE_DIRENTPLUS_SIZE(dp) : FUSE_DIRENT_SIZE(d);
		n++;
	}
	return n;
}

static void walk(uint64_t dir, bool plus, uint32_t size)
{
	struct fuse_read_in in = { .fh = open_dir(dir), .size = size };
	struct fuse_release_in rel = { .fh = in.fh };
	int seen[FILES] = { 0 }, bad = 0, rounds = 0, n;

	do {
		need(kit_call(&k, plus ? FUSE_READDIRPLUS : FUSE_READDIR, dir, &in, sizeof(in), NULL, NULL) == 0);
		ok(kit_reply_len(&k) <= size);
		n = count(plus, seen, &in.offset);
	} while (n > 0 && ++rounds < 1000);
	for (n = 0; n < FILES; n++)
		bad += seen[n] != 1;
	is_int(bad, 0);
	is_int(kit_call(&k, FUSE_RELEASEDIR, dir, &rel, sizeof(rel), NULL, NULL), 0);
}

static void test_seek(uint64_t dir)
{
	struct fuse_read_in in = { .fh = open_dir(dir), .size = 300 };
	int all[FILES] = { 0 }, again[FILES] = { 0 }, same = 1;
	uint64_t middle;

	/* A piece, the next, then the next once more. */
	is_int(kit_call(&k, FUSE_READDIR, dir, &in, sizeof(in), NULL, NULL), 0);
	count(false, all, &in.offset);
	middle = in.offset;
	memset(all, 0, sizeof(all));
	is_int(kit_call(&k, FUSE_READDIR, dir, &in, sizeof(in), NULL, NULL), 0);
	count(false, all, &in.offset);
	in.offset = middle;
	is_int(kit_call(&k, FUSE_READDIR, dir, &in, sizeof(in), NULL, NULL), 0);
	count(false, again, &in.offset);
	for (int n = 0; n < FILES; n++)
		same &= all[n] == again[n];
	ok(same);
	/* Too small for any entry; an offset that never was; a node that is not its. */
	in.size = 8;
	is_int(kit_call(&k, FUSE_READDIR, dir, &in, sizeof(in), NULL, NULL), -EINVAL);
	in.size = 4096;
	in.offset = 0x7fffffffffffffff;
	ok(kit_call(&k, FUSE_READDIR, dir, &in, sizeof(in), NULL, NULL) <= 0);
	in.offset = 0;
	is_int(kit_call(&k, FUSE_READDIR, 1, &in, sizeof(in), NULL, NULL), -EBADF);
	in.fh = 4242;
	is_int(kit_call(&k, FUSE_READDIR, dir, &in, sizeof(in), NULL, NULL), -EBADF);
}

int main(void)
{
	struct fuse_open_in op = { 0 };
	char name[32];
	uint64_t dir;
	int fd, n;

	kit_open(&k, NULL, NULL, NULL);
	is_int(kit_init(&k), 0);
	is_int(mkdirat(k.dir_fd, "d", 0755), 0);
	for (n = 0; n < FILES; n++) {
		snprintf(name, sizeof(name), "d/f%d", n);
		fd = openat(k.dir_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		close(fd);
	}
	dir = kit_lookup(&k, 1, "d");
	walk(dir, false, 4096);
	walk(dir, false, 200);
	walk(dir, false, 65536);
	is_int(inode_table_count(k.pt->inodes), 2);
	walk(dir, true, 4096);
	/* READDIRPLUS made a lookup of each. */
	is_int(inode_table_count(k.pt->inodes), 2 + FILES);
	walk(dir, true, 500);
	test_seek(dir);
	is_int(kit_call(&k, FUSE_OPENDIR, kit_lookup(&k, dir, "f1"), &op, sizeof(op), NULL, NULL), -ENOTDIR);
	/* The root's ".." is the root. */
	{
		struct fuse_read_in in = { .fh = open_dir(1), .size = 4096 };
		const char *p, *end;
		uint64_t self = 0, up = 1;

		is_int(kit_call(&k, FUSE_READDIR, 1, &in, sizeof(in), NULL, NULL), 0);
		p = kit_reply(&k);
		for (end = p + kit_reply_len(&k); p < end; p += FUSE_DIRENT_SIZE((const struct fuse_dirent *)p)) {
			const struct fuse_dirent *d = (const void *)p;

			if (d->namelen == 1 && d->name[0] == '.')
				self = d->ino;
			if (d->namelen == 2 && d->name[0] == '.' && d->name[1] == '.')
				up = d->ino;
		}
		is_int(up, self);
	}
	kit_close(&k);
	return tap_done();
}
