/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes in a scratch root, hostile ones among them. Making nodes needs root. */
#include "container/device.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/path.h"
#include "oci/config.h"
#include "tap.h"

static void test_wanted(void)
{
	char *bind[] = { "bind", NULL };
	struct oci_mount m[] = { { .destination = "/dev/shm", .type = "bind", .options = bind },
				 { .destination = "/dev", .type = "tmpfs" } };
	struct oci_config c = { .mounts = m, .n_mounts = 2 };

	ok(device_wanted(&c));
	m[1].type = "bind";
	ok(!device_wanted(&c));
	m[1].destination = "/dev/../dev/";
	ok(!device_wanted(&c));
}

static bool is_node(int root, const char *path, unsigned int maj, unsigned int min)
{
	struct stat st;

	return !fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(maj, min);
}

static void test_setup(int top)
{
	struct oci_device d[] = {
		{ .type = 'c',
		  .path = "/dev/x/fuse",
		  .major = 10,
		  .minor = 229,
		  .has_file_mode = true,
		  .file_mode = 0600,
		  .has_uid = true,
		  .uid = 7,
		  .has_gid = true,
		  .gid = 8 },
		{ .type = 'p', .path = "/run/pipe" },
	};
	struct oci_config c = { .linux_ = { .devices = d, .n_devices = 2 } };
	struct err err = { 0 };
	struct stat st;
	int root;

	mkdirat(top, "root", 0755);
	root = openat(top, "root", O_PATH | O_DIRECTORY);
	is_int(device_setup(&c, root, false, -1, &err), 0);
	ok(is_node(root, "dev/null", 1, 3));
	ok(is_node(root, "dev/tty", 5, 0));
	ok(is_node(root, "dev/x/fuse", 10, 229));
	is_int(fstatat(root, "dev/x/fuse", &st, 0), 0);
	ok(st.st_uid == 7 && st.st_gid == 8 && (st.st_mode & 07777) == 0600);
	is_int(fstatat(root, "dev/null", &st, 0), 0);
	is_int(st.st_mode & 07777, 0666);
	is_int(fstatat(root, "run/pipe", &st, 0), 0);
	ok(S_ISFIFO(st.st_mode));
	is_int(fstatat(root, "dev/ptmx", &st, AT_SYMLINK_NOFOLLOW), 0);
	ok(S_ISLNK(st.st_mode));
	/* again: everything is there and right */
	is_int(device_setup(&c, root, false, -1, &err), 0);

	/* a link in place of a node is neither followed nor replaced */
	unlinkat(root, "dev/null", 0);
	symlinkat("zero", root, "dev/null");
	is_int(device_setup(&c, root, false, -1, &err), -EEXIST);
	has_str(err.msg, "device /dev/null: something else is there already");
	unlinkat(root, "dev/null", 0);
	/* another device of the same name */
	mknodat(root, "dev/null", S_IFCHR | 0666, makedev(1, 5));
	is_int(device_setup(&c, root, false, -1, &err), -EEXIST);
	unlinkat(root, "dev/null", 0);
	/* a plain file gets the host's node over it */
	close(openat(top, "root/dev/null", O_CREAT | O_WRONLY, 0644));
	is_int(device_setup(&c, root, false, -1, &err), 0);
	ok(is_node(root, "dev/null", 1, 3));

	/* an image whose /dev is a link keeps us inside its root */
	mkdirat(top, "other", 0755);
	close(root);
	root = openat(top, "other", O_PATH | O_DIRECTORY);
	symlinkat("/tmp/dev-of-image", root, "dev");
	mkdirat(root, "tmp", 0755);
	mkdirat(root, "tmp/dev-of-image", 0755);
	is_int(device_setup(&c, root, false, -1, &err), 0);
	ok(is_node(root, "tmp/dev-of-image/null", 1, 3));
	ok(access("/tmp/dev-of-image", F_OK) < 0);
}

int main(void)
{
	char dir[] = "/tmp/amphi-device-XXXXXX";
	int fd;

	test_wanted();
	ok(device_open_host("/dev/zero", 'c', 1, 3) == -ENODEV);
	fd = device_open_host("/dev/null", 'c', 1, 3);
	ok(fd >= 0);
	close(fd);
	if (geteuid() != 0) {
		skip("needs root");
		return tap_done();
	}
	need(mkdtemp(dir));
	/* in a mount namespace of its own: what is bound there ends with it */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, NULL) < 0)
		skip("no mount namespace here");
	else
		test_setup(open(dir, O_RDONLY | O_DIRECTORY));
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return tap_done();
}
