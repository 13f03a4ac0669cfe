/* SPDX-License-Identifier: Apache-2.0 */
/* base/path and base/fd: nothing leaves the root. */
#include "base/path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "tests/unit/tap.h"

static void cleans(const char *in, const char *want)
{
	cleanup_free char *got = path_clean(in);

	is_str(got, want);
}

int main(void)
{
	char dir[] = "/tmp/amphi-test-path-XXXXXX", buf[64];
	cleanup_free char *outside = NULL, *slurped = NULL;
	struct stat st;
	size_t len;
	int root, fd, n;

	cleans("a//b/./../c", "a/c");
	cleans("/../../x", "/x");
	cleans("../a", "../a");
	cleans("", ".");
	cleans("/", "/");
	ok(path_is_below("/a/b", "/a"));
	ok(!path_is_below("/ab", "/a"));
	ok(path_is_below("/x", "/"));

	need(mkdtemp(dir));
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(root >= 0);
	ok(mkdirat(root, "root", 0755) == 0);
	fd = openat(root, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(fd >= 0);
	ok(symlinkat("/../../../outside", fd, "up") == 0);
	ok(symlinkat("nowhere", fd, "dangling") == 0);
	n = path_mkdirs_in(fd, "/up/x/y", 0755, (uid_t)-1, (gid_t)-1);
	ok(n < 0); /* a dangling link is never created through */
	n = path_mkdirs_in(fd, "a/b/c", 0700, (uid_t)-1, (gid_t)-1);
	ok(n >= 0);
	close(n);
	ok(fstatat(fd, "a/b/c", &st, 0) == 0 && (st.st_mode & 0777) == 0700);
	ok(symlinkat("/a", fd, "abs") == 0);
	n = path_mkdirs_in(fd, "abs/new", 0755, (uid_t)-1, (gid_t)-1);
	ok(n >= 0);
	close(n);
	ok(fstatat(fd, "a/new", &st, 0) == 0);
	n = path_touch_in(fd, "d/e/file", 0644);
	ok(n >= 0);
	close(n);
	ok(fstatat(fd, "d/e/file", &st, 0) == 0 && S_ISREG(st.st_mode));
	is_int(path_mkdirs_in(fd, "d/e/file", 0755, (uid_t)-1, (gid_t)-1), -20);
	is_int(path_open_nolink(fd, "abs/new", O_PATH, 0), -40);
	is_int(path_open_in(fd, "../../etc/passwd", O_PATH, 0), -2);
	outside = xasprintf("%s/outside", dir);
	ok(access(outside, F_OK) < 0);

	is_int(path_write_atomic(fd, "state", "hello", 5, 0600), 0);
	is_int(fd_slurp_at(fd, "state", 100, &slurped, &len), 0);
	is_str(slurped, "hello");
	is_int(fd_slurp_at(fd, "state", 4, &slurped, &len), -27);
	snprintf(buf, sizeof(buf), "%s", strrchr(dir, '/') + 1);
	close(fd);
	close(root);
	is_int(path_remove_tree(AT_FDCWD, dir, true), 0);
	ok(access(dir, F_OK) < 0);
	return tap_done();
}
