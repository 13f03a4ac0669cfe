/* SPDX-License-Identifier: Apache-2.0 */
/* images/layer, images/tar: any bytes as a layer; nothing may appear beside the tree. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "images/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char left[64];

static void remove_top(void)
{
	path_remove_tree(AT_FDCWD, left, true);
}

struct reader {
	const uint8_t *p;
	size_t left;
};

static ssize_t fill(void *arg, const uint8_t **ret, struct err *err)
{
	struct reader *r = arg;
	size_t n = r->left < 700 ? r->left : 700;

	*ret = r->p;
	r->p += n;
	r->left -= n;
	return (ssize_t)n;
}

/* A file system that is mounted nowhere, where we may: nothing is left of it, however the fuzzer ends. */
static int make_top(void)
{
	char dir[] = "/tmp/amphi-fuzz-layer-XXXXXX";
	int fs, mnt, fd;

	umask(0);
	fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs >= 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0 &&
	    (mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0)) >= 0)
		return openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY) : -1;
	snprintf(left, sizeof(left), "%s", dir);
	atexit(remove_top);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int top = -1;
	struct layer_options o = { .rights = RIGHTS_ONE_ID, .max_bytes = 1 << 20, .max_entries = 200 };
	struct reader r = { data, size };
	struct layer_meta meta;
	struct err err = { 0 };
	struct dirent *de;
	struct tar *t;
	int root, n = 0;
	DIR *d;

	if (top < 0)
		top = make_top();
	if (top < 0)
		__builtin_trap();
	if (mkdirat(top, "fs", 0755) < 0)
		__builtin_trap();
	root = openat(top, "fs", O_RDONLY | O_DIRECTORY);
	t = tar_new(fill, &r);
	if (layer_apply(root, t, &o, &meta, &err) < 0 && !err.msg[0])
		__builtin_trap();
	tar_free(t);
	layer_meta_clear(&meta);
	close(root);
	d = fdopendir(openat(top, ".", O_RDONLY | O_DIRECTORY));
	while ((de = readdir(d)))
		n++;
	closedir(d);
	if (n != 3) /* . .. fs */
		__builtin_trap();
	if (path_remove_tree(top, "fs", true) < 0)
		__builtin_trap();
	return 0;
}
