/* SPDX-License-Identifier: Apache-2.0 */
/* Environment, home directory, look-up of the executable. */
#include "container/process.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/str.h"
#include "oci/config.h"
#include "tap.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "1000:x:0:0::/hostile:/bin/sh\n"
			     "broken line\n"
			     "short:x:7\n"
			     "a:x:+8:8::/plus:/bin/sh\n"
			     "nohome:x:9:9:::/bin/sh\n"
			     "noshell:x:10:10::/ten\n"
			     "user:x:1000:1000:U ser:/home/user:/bin/sh";

static void test_home(void)
{
	struct {
		unsigned int uid;
		const char *home;
	} t[] = { { 0, "/root" }, { 1000, "/home/user" }, { 7, "/" },          { 8, "/" },
		  { 9, "/" },     { 10, "/ten" },         { 4294967295U, "/" } };

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		cleanup_free char *home = process_home(passwd, t[i].uid);

		is_str(home, t[i].home);
	}
	is_str(process_home("", 0), "/");
	is_str(process_home("\n\n:::::::::\n", 0), "/");
}

static void test_env(int root)
{
	char *env[] = { "A=1", "HOME=", "B=2", "A=3", "AB=4", "NOVALUE", NULL }, *also[] = { "X=y", NULL };
	struct oci_process p = { .env = env, .user = { .uid = 1000 } };
	cleanup_strv char **got = process_env(&p, root, also);
	cleanup_free char *all = strv_join(got, " ");

	is_str(all, "B=2 A=3 AB=4 NOVALUE X=y HOME=/home/user");
	env[1] = "HOME=/mine";
	got = process_env(&p, root, NULL);
	is_str(strv_join(got, " "), "HOME=/mine B=2 A=3 AB=4 NOVALUE");
}

static void test_find(const char *dir)
{
	cleanup_free char *path = xasprintf("PATH=relative::%s/bin:/usr/bin", dir),
			  *exe = xasprintf("%s/bin/tool", dir);
	cleanup_free char *plain = xasprintf("%s/bin/plain", dir), *gone = xasprintf("%s/gone", dir);
	char *env[] = { path, NULL }, *found = NULL;
	struct err err = { 0 };

	is_int(process_find("tool", env, &found, &err), 0);
	is_str(found, exe);
	is_int(process_find("plain", env, &found, &err), -ENOENT);
	is_str(err.msg, "exec: \"plain\": executable file not found in $PATH");
	is_int(process_find("nothing", NULL, &found, &err), -ENOENT);
	is_str(err.msg, "exec: \"nothing\": executable file not found in $PATH");
	is_int(process_find(plain, env, &found, &err), -EACCES);
	has_str(err.msg, "permission denied");
	is_int(process_find(dir, env, &found, &err), -EISDIR);
	has_str(err.msg, "is a directory");
	is_int(process_find(gone, env, &found, &err), -ENOENT);
	has_str(err.msg, "no such file or directory");
	is_int(process_find("", env, &found, &err), -ENOENT);
	is_int(process_find(exe, env, &found, &err), 0);
}

int main(void)
{
	char dir[] = "/tmp/amphi-process-XXXXXX", file[64];
	struct oci_process p = { .cwd = "/no/such/place" };
	struct err err = { 0 };
	int root, fd;

	need(mkdtemp(dir));
	root = open(dir, O_PATH | O_DIRECTORY);
	mkdirat(root, "etc", 0755);
	mkdirat(root, "bin", 0755);
	snprintf(file, sizeof(file), "%s/etc/passwd", dir);
	fd = open(file, O_WRONLY | O_CREAT, 0644);
	need(write(fd, passwd, strlen(passwd)) > 0);
	fd = openat(root, ".", O_RDONLY);
	close(openat(fd, "bin/tool", O_CREAT | O_WRONLY, 0755));
	close(openat(fd, "bin/plain", O_CREAT | O_WRONLY, 0644));
	test_home();
	test_env(root);
	test_find(dir);
	is_int(process_chdir(&p, &err), -ENOENT);
	is_str(err.msg, "chdir to cwd (\"/no/such/place\") set in config.json failed: no such file or directory");
	unlinkat(fd, "bin/tool", 0);
	unlinkat(fd, "bin/plain", 0);
	unlinkat(fd, "etc/passwd", 0);
	unlinkat(fd, "bin", AT_REMOVEDIR);
	unlinkat(fd, "etc", AT_REMOVEDIR);
	rmdir(dir);
	return tap_done();
}
