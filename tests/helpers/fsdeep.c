/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fscheck leaves out: random operations on one file against a copy in memory (as fsx does), many small durable files
 * (as fs_mark does), mappings, several processes on one file, special files, events of inotify, directories that vanish.
 * One line for each answer; two file systems must print the same. usage: fsdeep DIR (made, must not exist)
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define FSX_MAX (256 << 10)
#define FSX_OPS 1200

static const char *e(long r)
{
	static char buf[32];

	if (r < 0)
		return strerrorname_np(errno);
	snprintf(buf, sizeof(buf), "%ld", r);
	return buf;
}

#define P(name, expr) printf("%s: %s\n", name, e((long)(expr)))

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	int r = (int)write(fd, text, strlen(text));

	close(fd);
	return r;
}

/* --- one file against a copy in memory --- */

static unsigned char copy[FSX_MAX], buf[FSX_MAX];
static size_t size;
static unsigned int seed = 20;

static size_t any(size_t limit)
{
	return limit ? (size_t)rand_r(&seed) % limit : 0;
}

static void grow(size_t to)
{
	if (to > size)
		size = to;
}

static int fsx_read(int fd, size_t off, size_t len)
{
	ssize_t n = pread(fd, buf, len, (off_t)off);
	size_t want = off >= size ? 0 : len < size - off ? len : size - off;

	return n == (ssize_t)want && memcmp(buf, copy + off, want) == 0;
}

static int fsx_write(int fd, size_t off, size_t len)
{
	for (size_t n = 0; n < len; n++)
		copy[off + n] = (unsigned char)rand_r(&seed);
	grow(off + len);
	return pwrite(fd, copy + off, len, (off_t)off) == (ssize_t)len;
}

static int fsx_map(int fd, size_t off, size_t len, int writes)
{
	unsigned char *m;
	int good = 1;

	if (off + len > size)
		len = off < size ? size - off : 0;
	if (!len)
		return 1;
	m = mmap(NULL, size, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		return 0;
	if (writes)
		for (size_t n = 0; n < len; n++)
			m[off + n] = copy[off + n] = (unsigned char)rand_r(&seed);
	else
		good = memcmp(m + off, copy + off, len) == 0;
	return munmap(m, size) == 0 && good;
}

static int fsx_truncate(int fd, size_t to)
{
	memset(copy + to, 0, FSX_MAX - to);
	size = to;
	return ftruncate(fd, (off_t)to) == 0;
}

static int fsx_punch(int fd, size_t off, size_t len)
{
	if (!len)
		return 1;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) < 0)
		return errno == EOPNOTSUPP;
	memset(copy + off, 0, len);
	return 1;
}

static int fsx_copy(int fd, size_t off, size_t len)
{
	loff_t in = (loff_t)any(FSX_MAX / 2), out = FSX_MAX / 2 + (loff_t)(off / 2);
	ssize_t n;

	if (len > FSX_MAX / 4)
		len = FSX_MAX / 4;
	if (in + (loff_t)len > out)
		return 1;
	n = syscall(SYS_copy_file_range, fd, &in, fd, &out, len, 0);
	if (n <= 0)
		return n == 0 || errno == EOPNOTSUPP || errno == EXDEV || errno == EINVAL;
	memcpy(copy + out - n, copy + in - n, (size_t)n);
	grow((size_t)out);
	return 1;
}

static int fsx_one(int *fd, unsigned int op)
{
	size_t off = any(FSX_MAX - 1), len = any(op == 9 ? FSX_MAX - off : (FSX_MAX - off) / 4);

	switch (op) {
	case 0:
	case 1:
		return fsx_read(*fd, off, len);
	case 2:
	case 3:
	case 9:
		return fsx_write(*fd, off, len);
	case 4:
		return fsx_map(*fd, off, len, 0);
	case 5:
		return fsx_map(*fd, off, len, 1);
	case 6:
		return fsx_truncate(*fd, any(2) ? off : size);
	case 7:
		return fsx_punch(*fd, off, len);
	case 8:
		return fsx_copy(*fd, off, len);
	case 10:
		if (fallocate(*fd, 0, (off_t)off, (off_t)len + 1) < 0)
			return errno == EOPNOTSUPP;
		grow(off + len + 1);
		return 1;
	default:
		if (any(3) == 0)
			fsync(*fd);
		close(*fd);
		*fd = open("fsx", O_RDWR);
		return *fd >= 0;
	}
}

static void fsx(void)
{
	int fd = open("fsx", O_RDWR | O_CREAT, 0600), bad = -1;
	unsigned int op = 0;
	struct stat st;

	puts("# random operations on one file");
	for (int n = 0; n < FSX_OPS && bad < 0; n++) {
		op = (unsigned int)any(12);
		if (!fsx_one(&fd, op))
			bad = n;
	}
	if (bad >= 0)
		printf("  operation %d, kind %u: %s\n", bad, op, strerrorname_np(errno));
	fstat(fd, &st);
	printf("  all right %d, size right %d, whole right %d\n", bad < 0, (size_t)st.st_size == size,
	       fsx_read(fd, 0, FSX_MAX));
	close(fd);
}

static void marks(void)
{
	char name[32], other[32], text[32] = { 0 };
	int made = 0, right = 0, gone = 0, fd;

	puts("# small durable files");
	mkdir("marks", 0755);
	for (int n = 0; n < 150; n++) {
		snprintf(name, sizeof(name), "marks/%d.tmp", n);
		snprintf(other, sizeof(other), "marks/%d", n);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
		made += write(fd, name, strlen(name)) == (ssize_t)strlen(name) && fsync(fd) == 0 &&
			rename(name, other) == 0;
		close(fd);
	}
	for (int n = 0; n < 150; n++) {
		snprintf(name, sizeof(name), "marks/%d.tmp", n);
		snprintf(other, sizeof(other), "marks/%d", n);
		fd = open(other, O_RDONLY);
		memset(text, 0, sizeof(text));
		right += read(fd, text, sizeof(text) - 1) == (ssize_t)strlen(name) && strcmp(text, name) == 0;
		close(fd);
		gone += unlink(other) == 0;
	}
	printf("  made %d right %d removed %d rmdir %s\n", made, right, gone, e(rmdir("marks")));
}

/* --- mappings --- */

static sigjmp_buf jump;

static void on_bus(int sig)
{
	siglongjmp(jump, sig);
}

static void mappings(void)
{
	int fd = open("map", O_RDWR | O_CREAT, 0600), sig;
	char *a, *b, *c, text[8] = { 0 };

	puts("# mappings");
	P("size", ftruncate(fd, 16384));
	a = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	c = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (a == MAP_FAILED || b == MAP_FAILED || c == MAP_FAILED) {
		printf("  no mapping: %s\n", strerrorname_np(errno));
		return;
	}
	memcpy(a + 5000, "both", 4);
	printf("  two mappings %.4s, private %.4s\n", b + 5000, c + 5000);
	memcpy(c + 5000, "mine", 4);
	P("read behind a mapping", pread(fd, text, 4, 5000));
	printf("  %s\n", text);
	P("write behind a mapping", pwrite(fd, "file", 4, 5000));
	printf("  %.4s, private still %.4s\n", b + 5000, c + 5000);
	P("unlink mapped", unlink("map"));
	memcpy(a + 9000, "gone", 4);
	P("msync unlinked", msync(a, 16384, MS_SYNC));
	printf("  %.4s\n", b + 9000);
	P("shrink mapped", ftruncate(fd, 4096));
	signal(SIGBUS, on_bus);
	sig = sigsetjmp(jump, 1);
	if (!sig) {
		*(volatile char *)(a + 8192) = 1;
		puts("  a page behind the end can be written");
	} else {
		printf("  behind the end: signal %d\n", sig);
	}
	signal(SIGBUS, SIG_DFL);
	P("read-only file", close(open("ro", O_CREAT | O_RDONLY, 0400)));
	close(fd);
	fd = open("ro", O_RDONLY);
	P("shared writable mapping of a read-only fd",
	  mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	close(fd);
	munmap(a, 16384);
	munmap(b, 16384);
	munmap(c, 16384);
}

/* --- processes --- */

static void processes(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10 };
	int status, fd, order[2], lines = 0, torn = 0;
	char text[8200];
	ssize_t n;

	puts("# processes");
	for (int p = 0; p < 4; p++) {
		if (fork() == 0) {
			fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
			for (int k = 0; k < 100; k++)
				if (write(fd, p & 1 ? "odd....\n" : "even...\n", 8) != 8)
					_exit(1);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		lines += WEXITSTATUS(status);
	fd = open("log", O_RDONLY);
	n = read(fd, text, sizeof(text));
	for (ssize_t k = 0; k < n; k += 8)
		torn += memcmp(text + k, "odd....\n", 8) && memcmp(text + k, "even...\n", 8);
	printf("  four append: %zd bytes, torn %d, failed %d\n", n, torn, lines);
	/* A lock that waits until its holder lets go. */
	for (int kind = 0; kind < 3; kind++) {
		static const char *const names[] = { "flock", "fcntl", "open file description" };
		char c = 0;

		if (pipe(order) < 0)
			return;
		fd = open("log", O_RDWR);
		status = kind == 0 ? flock(fd, LOCK_EX) : fcntl(fd, kind == 1 ? F_SETLK : F_OFD_SETLK, &l);
		printf("  %s: %s", names[kind], e(status));
		fflush(stdout);
		if (fork() == 0) {
			int own;

			close(fd);
			own = open("log", O_RDWR);
			if ((kind == 0 ? flock(own, LOCK_EX | LOCK_NB) :
					 fcntl(own, kind == 1 ? F_SETLK : F_OFD_SETLK, &l)) == 0)
				_exit(9);
			if (write(order[1], "t", 1) != 1)
				_exit(8);
			_exit(kind == 0 ? flock(own, LOCK_EX) != 0 :
					  fcntl(own, kind == 1 ? F_SETLKW : F_OFD_SETLKW, &l) != 0);
		}
		if (read(order[0], &c, 1) != 1)
			c = '?';
		usleep(20000);
		/* The close of any descriptor gives up fcntl locks, the last close of this one the others. */
		close(fd);
		wait(&status);
		printf(", tried %c, waiter %d\n", c, WEXITSTATUS(status));
		close(order[0]);
		close(order[1]);
	}
	close(open("log", O_WRONLY | O_TRUNC));
}

static void limits(void)
{
	struct rlimit r = { 4096, 4096 };
	int fd, status;

	puts("# limits, busy texts");
	fflush(stdout);
	if (fork() == 0) {
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &r);
		fd = open("big", O_RDWR | O_CREAT, 0600);
		P("up to the limit", pwrite(fd, buf, 4096, 0));
		P("across the limit", pwrite(fd, buf, 8192, 1));
		P("behind the limit", pwrite(fd, buf, 1, 4096));
		P("truncate behind it", ftruncate(fd, 8192));
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
}

/* --- special files --- */

static void specials(void)
{
	char text[16] = { 0 };
	int fd, fd2, status;
	struct stat st;

	puts("# special files");
	P("fifo", mkfifo("pipe", 0600));
	fflush(stdout);
	if (fork() == 0) {
		fd = open("pipe", O_WRONLY);
		_exit(write(fd, "through", 7) != 7);
	}
	fd = open("pipe", O_RDONLY);
	P("read", read(fd, text, 7));
	wait(&status);
	printf("  %s %d\n", text, WEXITSTATUS(status));
	close(fd);
	P("unlink", unlink("pipe"));
	P("null", mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	fd = open("null", O_RDWR);
	P("write to it", write(fd, "x", 1));
	P("read from it", read(fd, text, 1));
	close(fd);
	P("a device nobody has", mknod("none", S_IFCHR | 0666, makedev(250, 77)));
	P("open it", open("none", O_RDONLY));
	P("regular by mknod", mknod("plain", S_IFREG | 0640, 0));
	P("whiteout by mknod", mknod("white", S_IFCHR, makedev(0, 0)));
	put("moved", "m");
	P("rename with whiteout", syscall(SYS_renameat2, AT_FDCWD, "moved", AT_FDCWD, "moved2", 4));
	if (lstat("moved", &st) == 0)
		printf("  left: mode %o rdev %u:%u\n", st.st_mode, major(st.st_rdev), minor(st.st_rdev));
	P("rename with flags that exclude each other", syscall(SYS_renameat2, AT_FDCWD, "moved2", AT_FDCWD, "x", 3));
	P("O_PATH", fd = open("moved2", O_PATH) < 0 ? -1 : 0);
	fd = open("moved2", O_RDONLY);
	fd2 = open("/proc/self/fd", O_PATH);
	snprintf(text, sizeof(text), "%d", fd);
	P("open by descriptor", close(openat(fd2, text, O_RDWR)));
	close(fd);
	close(fd2);
}

/* --- events --- */

static void event_names(int fd)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} bits[] = { { IN_CREATE, "create" },           { IN_MODIFY, "modify" },   { IN_ATTRIB, "attrib" },
		     { IN_CLOSE_WRITE, "close-write" }, { IN_MOVED_FROM, "from" }, { IN_MOVED_TO, "to" },
		     { IN_DELETE, "delete" },           { IN_OPEN, "open" },       { IN_DELETE_SELF, "self" },
		     { IN_CLOSE_NOWRITE, "close" },     { IN_ACCESS, "access" } };
	char data[8192] __attribute__((aligned(8)));
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	while (poll(&p, 1, 0) == 1 && (n = read(fd, data, sizeof(data))) > 0) {
		for (char *at = data; at < data + n;) {
			struct inotify_event *ev = (void *)at;

			printf(" ");
			for (size_t k = 0; k < sizeof(bits) / sizeof(bits[0]); k++)
				if (ev->mask & bits[k].bit)
					printf(" %s", bits[k].name);
			printf(" %s\n", ev->len ? ev->name : "-");
			at += sizeof(*ev) + ev->len;
		}
	}
}

static void events(void)
{
	int fd = inotify_init1(IN_NONBLOCK), file;

	puts("# inotify");
	mkdir("watched", 0755);
	P("watch", inotify_add_watch(fd, "watched", IN_ALL_EVENTS & ~(uint32_t)IN_ACCESS) < 0 ? -1 : 0);
	file = open("watched/a", O_RDWR | O_CREAT, 0600);
	P("write", write(file, "x", 1));
	P("truncate", ftruncate(file, 0));
	close(file);
	chmod("watched/a", 0640);
	rename("watched/a", "watched/b");
	link("watched/b", "watched/c");
	unlink("watched/b");
	mkdir("watched/d", 0700);
	rmdir("watched/d");
	symlink("x", "watched/s");
	event_names(fd);
	close(fd);
}

/* --- directories that vanish --- */

static void vanished(void)
{
	int top = open(".", O_RDONLY | O_DIRECTORY), fd;
	char path[64];
	struct stat st;

	puts("# vanished directories");
	mkdir("van", 0755);
	P("chdir", chdir("van"));
	fd = open("inside", O_RDWR | O_CREAT, 0600);
	P("remove what is inside", unlink("inside"));
	P("remove it", unlinkat(top, "van", AT_REMOVEDIR));
	P("create in it", open("new", O_CREAT | O_WRONLY, 0600));
	P("getcwd", syscall(SYS_getcwd, path, sizeof(path)) < 0 ? -1 : 0);
	P("stat .", stat(".", &st));
	printf("  links %lu\n", (unsigned long)st.st_nlink);
	P("write to what was inside", write(fd, "still", 5));
	P("its size", lseek(fd, 0, SEEK_END));
	P("back", fchdir(top));
	close(fd);
	mkdir("m1", 0755);
	mkdir("m1/m2", 0755);
	put("m1/m2/f", "deep");
	fd = open("m1/m2", O_RDONLY | O_DIRECTORY);
	P("move the parent", rename("m1", "m3"));
	P("by its descriptor", faccessat(fd, "f", R_OK, 0));
	P("by ..", faccessat(fd, "../m2/f", R_OK, 0));
	P("by the old name", access("m1/m2/f", R_OK));
	close(fd);
	close(top);
}

int main(int argc, char **argv)
{
	if (argc < 2 || mkdir(argv[1], 0755) < 0 || chdir(argv[1]) < 0) {
		perror(argc > 1 ? argv[1] : "usage: fsdeep DIR");
		return 1;
	}
	umask(022);
	setvbuf(stdout, NULL, _IOLBF, 0);
	fsx();
	marks();
	mappings();
	processes();
	limits();
	specials();
	events();
	vanished();
	return 0;
}
