/* SPDX-License-Identifier: Apache-2.0 */
/* The copy behind tmpcopyup. */
#include "container/copyup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/path.h"
#include "tap.h"

int main(void)
{
	char dir[] = "/tmp/amphi-copyup-XXXXXX", text[32] = { 0 };
	struct err err = { 0 };
	struct stat st;
	int top, from, to, fd;

	need(mkdtemp(dir));
	top = open(dir, O_RDONLY | O_DIRECTORY);
	mkdirat(top, "from", 0755);
	mkdirat(top, "to", 0755);
	from = openat(top, "from", O_PATH | O_DIRECTORY);
	to = openat(top, "to", O_PATH | O_DIRECTORY);
	mkdirat(from, "sub", 0750);
	mkdirat(from, "sub/deep", 0700);
	fd = openat(from, "sub/deep/file", O_CREAT | O_WRONLY, 0640);
	need(write(fd, "content", 7) == 7);
	fchmod(fd, 04750);
	close(fd);
	symlinkat("/etc/passwd", from, "link");
	symlinkat("nowhere", from, "sub/dangling");
	mkfifoat(from, "fifo", 0600);

	is_int(copyup_tree(from, to, &err), 0);
	is_int(fstatat(to, "sub", &st, AT_SYMLINK_NOFOLLOW), 0);
	is_int(st.st_mode, S_IFDIR | 0750);
	is_int(fstatat(to, "sub/deep/file", &st, AT_SYMLINK_NOFOLLOW), 0);
	is_int(st.st_mode, S_IFREG | 04750);
	is_int(st.st_size, 7);
	is_int(fstatat(to, "link", &st, AT_SYMLINK_NOFOLLOW), 0);
	ok(S_ISLNK(st.st_mode));
	ok(readlinkat(to, "link", text, sizeof(text)) == 11 && !strncmp(text, "/etc/passwd", 11));
	is_int(fstatat(to, "fifo", &st, AT_SYMLINK_NOFOLLOW), 0);
	ok(S_ISFIFO(st.st_mode));
	/* what is there already is not overwritten */
	ok(copyup_tree(from, to, &err) < 0);
	has_str(err.msg, "file exists");
	path_remove_tree(top, "from", true);
	path_remove_tree(top, "to", true);
	rmdir(dir);
	return tap_done();
}
