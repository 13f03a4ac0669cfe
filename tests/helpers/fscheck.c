/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does many things with files in the directory argv[1] (made, must not exist) and prints one line for each: what a POSIX
 * file system answers. Two runs on different file systems (container and machine) must print the same. Lines hold no times,
 * inode numbers or sizes of directories. "-x" also: extended attributes and ACLs; needs a file system that has them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *e(long r)
{
	static char buf[4][32];
	static int n;

	if (r >= 0)
		return snprintf(buf[n++ & 3], 32, "%ld", r), buf[(n - 1) & 3];
	return strerrorname_np(errno);
}

#define P(name, expr) printf("%s: %s\n", name, e((long)(expr)))

static void show(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		printf("  %s: %s\n", path, strerrorname_np(errno));
	else
		printf("  %s: mode %o links %lu owner %u:%u size %ld rdev %u:%u\n", path, st.st_mode,
		       S_ISDIR(st.st_mode) ? 0UL : (unsigned long)st.st_nlink, st.st_uid, st.st_gid,
		       S_ISDIR(st.st_mode) ? 0L : (long)st.st_size, major(st.st_rdev), minor(st.st_rdev));
}

static int put(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);
	int r;

	if (fd < 0)
		return -1;
	r = (int)write(fd, text, strlen(text));
	close(fd);
	return r;
}

static const char *get(const char *path)
{
	static char buf[256];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return strerrorname_np(errno);
	buf[n] = 0;
	return buf;
}

/* Runs fn as another user in a child; its output stays in order. */
static void as(uid_t uid, gid_t gid, const gid_t *groups, int n, void (*fn)(void))
{
	int status;

	fflush(stdout);
	if (fork() == 0) {
		if (syscall(SYS_setgroups, n, groups) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
			printf("  no way to be %u:%u: %s\n", uid, gid, strerrorname_np(errno));
		else
			fn();
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
}

static void basics(void)
{
	char buf[16] = { 0 };
	int fd, fd2;

	puts("# files");
	fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0666);
	P("create", fd < 0 ? -1 : 0);
	P("create again", open("a", O_RDWR | O_CREAT | O_EXCL, 0666) < 0 ? -1 : 0);
	P("write", write(fd, "0123456789", 10));
	P("pread", pread(fd, buf, 4, 3));
	printf("  %.4s\n", buf);
	P("truncate", ftruncate(fd, 5));
	P("grow", ftruncate(fd, 8));
	P("read at end", pread(fd, buf, 10, 8));
	show("a");
	P("unlink open", unlink("a"));
	P("write unlinked", pwrite(fd, "xyz", 3, 0));
	P("read unlinked", pread(fd, buf, 8, 0));
	printf("  %.3s\n", buf);
	show("a");
	close(fd);
	P("open missing", open("a", O_RDONLY));
	P("open directory for writing", open(".", O_WRONLY));
	P("O_DIRECTORY on a file", put("f", "f", 0) < 0 ? -1 : open("f", O_RDONLY | O_DIRECTORY));
	P("file as directory", open("f/x", O_RDONLY));
	P("append", put("log", "one", O_APPEND));
	P("append", put("log", "two", O_APPEND));
	printf("  %s\n", get("log"));
	fd = open("log", O_WRONLY | O_APPEND);
	fd2 = open("log", O_WRONLY | O_APPEND);
	P("append by two", write(fd, "A", 1) + write(fd2, "B", 1) + write(fd, "C", 1));
	P("clear O_APPEND", fcntl(fd, F_SETFL, 0));
	P("pwrite", pwrite(fd, "O", 1, 0));
	printf("  %s\n", get("log"));
	close(fd);
	close(fd2);
	P("O_TRUNC", close(open("log", O_WRONLY | O_TRUNC)));
	show("log");
	P("name of 255",
	  close(open("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
		     "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
		     "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
		     O_CREAT | O_WRONLY, 0600)));
	P("odd name", close(open("\xff\x01 *'\"\\", O_CREAT | O_WRONLY, 0600)));
	P("lseek", lseek(open("f", O_RDONLY), 100, SEEK_SET));
	P("fsync", fsync(open("f", O_RDWR)));
	P("fdatasync", fdatasync(open("f", O_RDWR)));
	P("fsync directory", fsync(open(".", O_RDONLY)));
	P("syncfs", syncfs(open(".", O_RDONLY)));
}

static void sparse(void)
{
	int fd = open("sparse", O_RDWR | O_CREAT, 0600), to;
	char buf[4096];
	struct stat st;
	loff_t in = 0, out = 0;

	puts("# holes, allocation, copies");
	P("write far", pwrite(fd, "end", 3, 8 << 20));
	fstat(fd, &st);
	printf("  size %ld sparse %d\n", (long)st.st_size, st.st_blocks < 8192);
	P("read hole", pread(fd, buf, sizeof(buf), 4096));
	printf("  zero %d\n", buf[0] == 0 && memcmp(buf, buf + 1, sizeof(buf) - 1) == 0);
	P("SEEK_DATA", lseek(fd, 0, SEEK_DATA) > 0);
	P("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE));
	P("SEEK_DATA behind", lseek(fd, 9 << 20, SEEK_DATA));
	P("fallocate", fallocate(fd, 0, 0, 1 << 20));
	P("fallocate keep size", fallocate(fd, FALLOC_FL_KEEP_SIZE, 16 << 20, 4096));
	P("punch hole", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20));
	fstat(fd, &st);
	printf("  size %ld\n", (long)st.st_size);
	to = open("copy", O_RDWR | O_CREAT, 0600);
	put("source", "copied bytes", 0);
	close(fd);
	fd = open("source", O_RDONLY);
	P("copy_file_range", copy_file_range(fd, &in, to, &out, 6, 0));
	printf("  %s\n", get("copy"));
	close(fd);
	close(to);
}

static void names(void)
{
	char buf[64] = { 0 };

	puts("# links, renames");
	put("x", "x", 0);
	P("link", link("x", "y"));
	show("x");
	P("link exists", link("x", "y"));
	P("symlink", symlink("/nowhere/at all", "s"));
	P("readlink", readlink("s", buf, sizeof(buf)));
	printf("  %s\n", buf);
	P("open dangling", open("s", O_RDONLY));
	P("O_NOFOLLOW", open("s", O_RDONLY | O_NOFOLLOW));
	symlink("loop2", "loop1");
	symlink("loop1", "loop2");
	P("loop", open("loop1", O_RDONLY));
	P("link to symlink", link("s", "s2"));
	show("s2");
	P("mkdir", mkdir("d", 0755));
	P("mkdir exists", mkdir("d", 0755));
	P("rmdir full", close(open("d/f", O_CREAT | O_WRONLY, 0600)) < 0 ? -1 : rmdir("d"));
	P("unlink directory", unlink("d"));
	P("rmdir file", rmdir("x"));
	P("rename", rename("x", "d/x"));
	show("d/x");
	P("rename over", rename("y", "d/f"));
	P("rename missing", rename("y", "z"));
	P("rename file over directory", rename("d/x", "d"));
	P("rename directory below itself", rename("d", "d/d"));
	put("n1", "1", 0);
	put("n2", "2", 0);
	P("noreplace", syscall(SYS_renameat2, AT_FDCWD, "n1", AT_FDCWD, "n2", 1));
	P("exchange", syscall(SYS_renameat2, AT_FDCWD, "n1", AT_FDCWD, "n2", 2));
	printf("  n1 %s", get("n1"));
	printf(" n2 %s\n", get("n2"));
	P("exchange with directory", syscall(SYS_renameat2, AT_FDCWD, "n1", AT_FDCWD, "d", 2));
	show("d");
	show("n1");
	P("fifo", mkfifo("fifo", 0640));
	show("fifo");
	P("open fifo", open("fifo", O_RDWR | O_NONBLOCK) < 0 ? -1 : 0);
	P("char device", mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	show("null");
	P("O_TMPFILE", open(".", O_TMPFILE | O_RDWR, 0600) < 0 ? -1 : 0);
}

static void socket_file(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "sock" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);

	puts("# sockets");
	P("bind", bind(s, (void *)&a, sizeof(a)));
	P("listen", listen(s, 1));
	P("connect", connect(c, (void *)&a, sizeof(a)));
	show("sock");
	close(s);
	close(c);
}

static void tmpfile_link(void)
{
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);

	puts("# a file without a name");
	P("write", write(fd, "named later", 11));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	P("linkat", linkat(AT_FDCWD, path, AT_FDCWD, "late", AT_SYMLINK_FOLLOW));
	show("late");
	printf("  %s\n", get("late"));
	close(fd);
}

static void memory(void)
{
	int fd = open("map", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *m, *ro;

	puts("# mmap");
	P("truncate", ftruncate(fd, 8192));
	m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	P("shared", m == MAP_FAILED ? -1 : 0);
	if (m == MAP_FAILED)
		return;
	memcpy(m + 4096, "mapped", 6);
	P("msync", msync(m, 8192, MS_SYNC));
	P("write seen", pwrite(fd, "written", 7, 0));
	printf("  %.7s\n", m);
	ro = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
	P("private", ro == MAP_FAILED ? -1 : 0);
	printf("  %.6s\n", ro + 4096);
	munmap(m, 8192);
	munmap(ro, 8192);
	close(fd);
	put("exe", "#!/bin/sh\n", 0);
	chmod("exe", 0755);
	fd = open("map", O_RDONLY);
	lseek(fd, 4096, SEEK_SET);
	{
		char buf[7] = { 0 };

		P("read mapped", read(fd, buf, 6));
		printf("  %s\n", buf);
	}
	close(fd);
}

static void user_part(void)
{
	P("  create in shared", close(open("shared/mine", O_CREAT | O_WRONLY, 0666)));
	show("shared/mine");
	P("  mkdir", mkdir("shared/dir", 0777));
	show("shared/dir");
	P("  symlink", symlink("x", "shared/sym"));
	show("shared/sym");
	P("  create in root's", open("closed/f", O_CREAT | O_WRONLY, 0666));
	P("  read secret", open("secret", O_RDONLY));
	P("  remove other's in sticky", unlink("shared/roots"));
	P("  chmod other's", chmod("shared/roots", 0777));
	P("  chown own", chown("shared/mine", 0, 0));
	P("  utimes other's", utimensat(AT_FDCWD, "shared/roots", NULL, 0));
	P("  group file", open("group", O_RDWR) < 0 ? -1 : 0);
	P("  group directory", close(open("groupdir/f", O_CREAT | O_WRONLY, 0660)));
	show("groupdir/f");
	P("  write to setuid file", put("suid", "x", 0));
	show("suid");
	P("  access", access("secret", R_OK));
	P("  chmod setgid of foreign group", chown("shared/mine", -1, 7777) < 0 ? -1 : 0);
	P("  create setgid", close(open("groupdir/g", O_CREAT | O_WRONLY, 02775)));
	show("groupdir/g");
}

static void owners(void)
{
	static const gid_t groups[] = { 2000, 2001 };

	puts("# owners, modes");
	umask(022);
	mkdir("shared", 0777);
	chmod("shared", 01777);
	put("shared/roots", "r", 0);
	mkdir("closed", 0755);
	put("secret", "s", 0);
	chmod("secret", 0600);
	put("group", "g", 0);
	P("chown", chown("group", 0, 2001));
	chmod("group", 0660);
	mkdir("groupdir", 0755);
	chown("groupdir", 0, 2001);
	P("setgid directory", chmod("groupdir", 02775));
	put("suid", "s", 0);
	P("chmod", chmod("suid", 06777));
	show("suid");
	as(1000, 1000, groups, 2, user_part);
	P("chown clears setuid", chmod("suid", 06755) < 0 ? -1 : chown("suid", 1000, 1000));
	show("suid");
	P("lchown", symlink("q", "ln") < 0 ? -1 : lchown("ln", 12, 34));
	show("ln");
	umask(0);
	close(open("open mode", O_CREAT | O_WRONLY, 07777));
	show("open mode");
	mkdir("open dir", 01777);
	show("open dir");
	umask(077);
	close(open("tight", O_CREAT | O_WRONLY, 0666));
	show("tight");
	umask(022);
	{
		const struct timespec ts[2] = { { 1000, 5 }, { 2000, 7 } };
		struct stat st;

		P("utimens", utimensat(AT_FDCWD, "tight", ts, 0));
		stat("tight", &st);
		printf("  %ld.%ld %ld.%ld\n", (long)st.st_atim.tv_sec, st.st_atim.tv_nsec, (long)st.st_mtim.tv_sec,
		       st.st_mtim.tv_nsec);
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void directories(void)
{
	char name[300], *names_[1100];
	int n = 0, dots = 0, types = 0;
	struct dirent *d;
	long where;
	DIR *dir;

	puts("# directories");
	mkdir("many", 0755);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "many/%04d", i);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	dir = opendir("many");
	while ((d = readdir(dir)) && n < 1100) {
		if (d->d_name[0] == '.')
			dots++;
		else
			names_[n++] = strdup(d->d_name);
		types += d->d_type == DT_REG;
	}
	qsort(names_, (size_t)n, sizeof(*names_), by_name);
	printf("  %d files, first %s last %s, dots %d, types %d\n", n, names_[0], names_[n - 1], dots, types);
	rewinddir(dir);
	for (n = 0; n < 500 && readdir(dir); n++)
		;
	where = telldir(dir);
	d = readdir(dir);
	snprintf(name, sizeof(name), "%s", d ? d->d_name : "?");
	while (readdir(dir))
		;
	seekdir(dir, where);
	d = readdir(dir);
	printf("  seekdir %d\n", d && strcmp(d->d_name, name) == 0);
	/* Removing while reading: every name comes, none twice. */
	rewinddir(dir);
	n = 0;
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		n += unlinkat(dirfd(dir), d->d_name, 0) == 0;
	}
	printf("  removed while reading %d\n", n);
	P("rmdir", rmdir("many"));
	P("read removed directory", readdir(dir) ? 1 : 0);
	closedir(dir);
}

static void locks(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10 };
	int fd = open("lock", O_RDWR | O_CREAT, 0600), fd2 = open("lock", O_RDWR), status;

	puts("# locks");
	P("flock", flock(fd, LOCK_EX | LOCK_NB));
	P("flock second", flock(fd2, LOCK_SH | LOCK_NB));
	P("unlock", flock(fd, LOCK_UN));
	P("fcntl", fcntl(fd, F_SETLK, &l));
	fflush(stdout);
	if (fork() == 0) {
		P("  child", fcntl(fd2, F_SETLK, &l));
		l.l_start = 10;
		P("  child elsewhere", fcntl(fd2, F_SETLK, &l));
		l.l_start = 0;
		fcntl(fd2, F_GETLK, &l);
		printf("  holder %d type %d\n", l.l_pid == getppid(), l.l_type);
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
	P("lease", fcntl(fd, F_SETLEASE, F_UNLCK) < 0 ? -1 : 0);
}

static void attributes(void)
{
	/* ACL: user 1000 rw, mask rw (linux/posix_acl_xattr.h). */
	static const struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} x[5];
	} acl = { 2,
		  { { 0x01, 6, (uint32_t)-1 },
		    { 0x02, 6, 1000 },
		    { 0x04, 0, (uint32_t)-1 },
		    { 0x10, 6, (uint32_t)-1 },
		    { 0x20, 0, (uint32_t)-1 } } };
	char buf[256];

	puts("# extended attributes");
	put("xa", "x", 0);
	P("set", setxattr("xa", "user.one", "1", 1, 0));
	P("create exists", setxattr("xa", "user.one", "1", 1, XATTR_CREATE));
	P("get", getxattr("xa", "user.one", buf, sizeof(buf)));
	P("size", getxattr("xa", "user.one", NULL, 0));
	P("missing", getxattr("xa", "user.two", buf, sizeof(buf)));
	P("list", listxattr("xa", buf, sizeof(buf)));
	P("remove", removexattr("xa", "user.one"));
	P("on symlink", symlink("xa", "xs") < 0 ? -1 : lsetxattr("xs", "user.one", "1", 1, 0));
	P("get ACL", getxattr("xa", "system.posix_acl_access", buf, sizeof(buf)));
	chmod("xa", 0600);
	P("set ACL", setxattr("xa", "system.posix_acl_access", &acl, sizeof(acl), 0));
	show("xa");
	P("default ACL", mkdir("xd", 0755) < 0 ? -1 : setxattr("xd", "system.posix_acl_default", &acl, sizeof(acl), 0));
	umask(077);
	P("inherited", close(open("xd/f", O_CREAT | O_WRONLY, 0666)));
	show("xd/f");
	P("  its ACL", getxattr("xd/f", "system.posix_acl_access", buf, sizeof(buf)));
	umask(022);
}

static void acl_user(void)
{
	P("  named user reads", open("xa", O_RDWR) < 0 ? -1 : 0);
}

static void acl_other(void)
{
	P("  others do not", open("xa", O_RDWR) < 0 ? -1 : 0);
}

int main(int argc, char **argv)
{
	int x = argc > 2 && strcmp(argv[2], "-x") == 0;
	struct statfs sf;

	if (argc < 2 || mkdir(argv[1], 0755) < 0 || chdir(argv[1]) < 0) {
		perror(argc > 1 ? argv[1] : "usage: fscheck DIR [-x]");
		return 1;
	}
	umask(022);
	setvbuf(stdout, NULL, _IOLBF, 0);
	basics();
	sparse();
	names();
	socket_file();
	tmpfile_link();
	memory();
	owners();
	directories();
	locks();
	if (x) {
		attributes();
		as(1000, 1000, NULL, 0, acl_user);
		as(1001, 1001, NULL, 0, acl_other);
	}
	P("statfs", statfs(".", &sf));
	return 0;
}
