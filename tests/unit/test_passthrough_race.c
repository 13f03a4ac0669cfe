/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Escapes from the exported tree: a guest that follows names while the host's side swaps a directory and a symbolic link
 * that leads out, invents nodes and handles, and gives names that are paths. Beside the tree lies a directory that must
 * stay as it is.
 */
#include <dirent.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "tests/unit/fuse_kit.h"

#define ROUNDS 4000

static struct kit k;
static char outside[80], canary[112];
static _Atomic bool stop;
static _Atomic unsigned long swaps;

/* The attacker on the host: "d" is now a directory, now a link to the outside; "f" now a file, now a link to a secret. */
static void *swap(void *arg)
{
	while (!stop) {
		if (syscall(SYS_renameat2, k.dir_fd, "d", k.dir_fd, "link", 2) < 0)
			break;
		syscall(SYS_renameat2, k.dir_fd, "f", k.dir_fd, "flink", 2);
		swaps++;
	}
	return NULL;
}

static int outside_entries(void)
{
	DIR *d = opendir(outside);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static void change_in(uint64_t d, int n)
{
	struct fuse_mkdir_in md = { .mode = 0755 };
	struct fuse_mknod_in mn = { .mode = S_IFREG | 0644 };
	struct fuse_rename2_in rn = { .newdir = d };
	struct fuse_link_in ln = { .oldnodeid = 1 };
	uint64_t fh = 0, f;
	char name[32];

	snprintf(name, sizeof(name), "n%d", n % 5);
	switch (n % 8) {
	case 0:
		f = kit_create(&k, d, name, 0644, O_RDWR, &fh);
		if (f)
			kit_write(&k, f, fh, 0, "guest", 0);
		break;
	case 1:
		kit_call(&k, FUSE_MKDIR, d, &md, sizeof(md), "sub", NULL);
		break;
	case 2:
		kit_call(&k, FUSE_MKNOD, d, &mn, sizeof(mn), name, NULL);
		break;
	case 3:
		kit_call(&k, FUSE_SYMLINK, d, NULL, 0, name, canary);
		break;
	case 4:
		kit_call(&k, FUSE_RENAME2, d, &rn, sizeof(rn), name, "canary");
		break;
	case 5:
		ln.oldnodeid = kit_lookup(&k, 1, "f");
		kit_call(&k, FUSE_LINK, d, &ln, sizeof(ln), "hard", NULL);
		break;
	case 6:
		kit_call(&k, FUSE_UNLINK, d, NULL, 0, "canary", NULL);
		break;
	default:
		kit_call(&k, FUSE_UNLINK, d, NULL, 0, name, NULL);
	}
}

static void open_and_read(uint64_t f, int *leaked)
{
	struct fuse_open_in in = { .flags = O_RDWR };
	struct fuse_setattr_in sa = { .valid = FATTR_SIZE | FATTR_MODE, .mode = 0777 };
	struct fuse_open_out *o = kit_reply(&k);
	const char *text;

	if (kit_call(&k, FUSE_OPEN, f, &in, sizeof(in), NULL, NULL) != 0)
		return;
	text = kit_read(&k, f, o->fh, 0, 100);
	*leaked += text && strstr(text, "secret");
	kit_call(&k, FUSE_SETATTR, f, &sa, sizeof(sa), NULL, NULL);
}

static void test_swaps(void)
{
	char text[16] = { 0 };
	pthread_t t;
	int leaked = 0, fd;
	struct stat st;

	snprintf(outside, sizeof(outside), "%s-outside", k.dir);
	need(mkdir(outside, 0755) == 0);
	snprintf(canary, sizeof(canary), "%s/canary", outside);
	fd = open(canary, O_CREAT | O_WRONLY, 0600);
	is_int(write(fd, "secret", 6), 6);
	close(fd);
	is_int(mkdirat(k.dir_fd, "d", 0755), 0);
	is_int(symlinkat(outside, k.dir_fd, "link"), 0);
	close(openat(k.dir_fd, "f", O_CREAT | O_WRONLY, 0600));
	is_int(symlinkat(canary, k.dir_fd, "flink"), 0);
	need(pthread_create(&t, NULL, swap, NULL) == 0);
	for (int n = 0; n < ROUNDS; n++) {
		uint64_t d = kit_lookup(&k, 1, "d"), f = kit_lookup(&k, 1, "f");

		if (d)
			change_in(d, n);
		if (f)
			open_and_read(f, &leaked);
		if (n % 64 == 0)
			kit_create(&k, 1, "f", 0644, O_RDWR | O_TRUNC, &(uint64_t){ 0 });
		f = d ? kit_lookup(&k, d, "canary") : 0;
		if (f)
			open_and_read(f, &leaked);
	}
	stop = true;
	pthread_join(t, NULL);
	ok(swaps > 10);
	is_int(leaked, 0);
	is_int(outside_entries(), 1);
	is_int(stat(canary, &st), 0);
	is_int(st.st_size, 6);
	is_int(st.st_mode & 07777, 0600);
	is_int(st.st_nlink, 1);
	fd = open(canary, O_RDONLY);
	is_int(read(fd, text, 6), 6);
	is_str(text, "secret");
	close(fd);
}

/* A name is one name, whatever operation it comes with. */
static void test_names(void)
{
	static const char *const names[] = { "..", ".", "", "../x", "a/b", "/etc/passwd", "d/../../x" };
	struct fuse_mkdir_in md = { .mode = 0755 };
	struct fuse_mknod_in mn = { .mode = S_IFREG | 0644 };
	struct fuse_rename_in rn = { .newdir = 1 };
	struct fuse_link_in ln = { .oldnodeid = 1 };
	struct fuse_create_in cr = { .flags = O_RDWR, .mode = S_IFREG | 0644 };
	int let_through = 0;

	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		const char *s = names[n];

		let_through += kit_call(&k, FUSE_LOOKUP, 1, NULL, 0, s, NULL) >= 0;
		let_through += kit_call(&k, FUSE_MKDIR, 1, &md, sizeof(md), s, NULL) >= 0;
		let_through += kit_call(&k, FUSE_MKNOD, 1, &mn, sizeof(mn), s, NULL) >= 0;
		let_through += kit_call(&k, FUSE_SYMLINK, 1, NULL, 0, s, "x") >= 0;
		let_through += kit_call(&k, FUSE_UNLINK, 1, NULL, 0, s, NULL) >= 0;
		let_through += kit_call(&k, FUSE_RMDIR, 1, NULL, 0, s, NULL) >= 0;
		let_through += kit_call(&k, FUSE_RENAME, 1, &rn, sizeof(rn), "f", s) >= 0;
		let_through += kit_call(&k, FUSE_RENAME, 1, &rn, sizeof(rn), s, "g") >= 0;
		let_through += kit_call(&k, FUSE_LINK, 1, &ln, sizeof(ln), s, NULL) >= 0;
		let_through += kit_call(&k, FUSE_CREATE, 1, &cr, sizeof(cr), s, NULL) >= 0;
	}
	is_int(let_through, 0);
}

/* Nodes and handles that nobody gave out. */
static void test_invented(void)
{
	struct fuse_read_in rd = { .size = 100 };
	struct fuse_getattr_in ga = { 0 };
	struct fuse_rename_in rn = { 0 };
	int let_through = 0;

	for (uint64_t n = 1; n; n <<= 1) {
		uint64_t node = n | 1ULL << 40;

		let_through += kit_call(&k, FUSE_GETATTR, node, &ga, sizeof(ga), NULL, NULL) >= 0;
		let_through += kit_call(&k, FUSE_LOOKUP, node, NULL, 0, "f", NULL) >= 0;
		rd.fh = node;
		let_through += kit_call(&k, FUSE_READ, 1, &rd, sizeof(rd), NULL, NULL) >= 0;
		rn.newdir = node;
		let_through += kit_call(&k, FUSE_RENAME, 1, &rn, sizeof(rn), "f", "g") >= 0;
	}
	is_int(let_through, 0);
}

int main(void)
{
	kit_open(&k, NULL, NULL, NULL);
	is_int(kit_init(&k), 0);
	test_swaps();
	test_names();
	test_invented();
	kit_close(&k);
	path_remove_tree(AT_FDCWD, outside, true);
	return tap_done();
}
