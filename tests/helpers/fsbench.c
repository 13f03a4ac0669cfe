/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures file operations in the directory argv[1]: one line "name value unit" each. argv[2]: number of files (2000) and
 * of random accesses; the large file has 32 KiB for each.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (1 << 20)

static int files = 2000;
static long size; /* of the large file, whole blocks */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The guest forgets what it has cached, so that every operation reaches the server. */
static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	if (fd >= 0 && write(fd, "3", 1) != 1)
		perror("drop_caches");
	close(fd);
}

static void each(const char *what, void (*fn)(const char *name))
{
	char name[32];
	double t;

	drop_caches();
	t = now();
	for (int n = 0; n < files; n++) {
		snprintf(name, sizeof(name), "d/%06d", n);
		fn(name);
	}
	printf("%s %.0f ops/s\n", what, files / (now() - t));
}

static void create_one(const char *name)
{
	int fd = open(name, O_CREAT | O_WRONLY, 0644);

	if (write(fd, "0123456789", 10) != 10)
		perror(name);
	close(fd);
}

static void stat_one(const char *name)
{
	struct stat st;

	if (stat(name, &st) < 0)
		perror(name);
}

static void missing_one(const char *name)
{
	char other[40];

	snprintf(other, sizeof(other), "%sx", name);
	access(other, F_OK);
}

static void read_one(const char *name)
{
	char buf[64];
	int fd = open(name, O_RDONLY);

	if (read(fd, buf, sizeof(buf)) != 10)
		perror(name);
	close(fd);
}

static void unlink_one(const char *name)
{
	unlink(name);
}

static void walk(void)
{
	double t;
	struct stat st;
	struct dirent *e;
	DIR *d;
	int n = 0;

	drop_caches();
	t = now();
	d = opendir("d");
	while ((e = readdir(d)))
		n += fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	closedir(d);
	printf("readdir+stat %.0f ops/s\n", n / (now() - t));
}

static void data(void)
{
	static char buf[BLOCK];
	int fd = open("big", O_CREAT | O_RDWR | O_TRUNC, 0644);
	unsigned int seed = 1;
	double t = now();

	for (long n = 0; n < size; n += BLOCK)
		if (write(fd, buf, BLOCK) != BLOCK)
			perror("write");
	printf("write-1M %.0f MB/s\n", (double)size / 1e6 / (now() - t));
	fsync(fd);
	drop_caches();
	t = now();
	for (long n = 0; n < size; n += BLOCK)
		if (pread(fd, buf, BLOCK, n) != BLOCK)
			perror("read");
	printf("read-1M %.0f MB/s\n", (double)size / 1e6 / (now() - t));
	drop_caches();
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	t = now();
	for (int n = 0; n < files; n++)
		if (pread(fd, buf, 4096, (off_t)(rand_r(&seed) % ((unsigned int)(size / 4096))) * 4096) != 4096)
			perror("read");
	printf("random-read-4k %.0f ops/s\n", files / (now() - t));
	t = now();
	for (int n = 0; n < files; n++)
		if (pwrite(fd, buf, 4096, (off_t)(rand_r(&seed) % ((unsigned int)(size / 4096))) * 4096) != 4096)
			perror("write");
	printf("random-write-4k %.0f ops/s\n", files / (now() - t));
	close(fd);
	unlink("big");
}

int main(int argc, char **argv)
{
	if (argc > 2 && atoi(argv[2]) > 0)
		files = atoi(argv[2]);
	size = (files / 32 + 1) * (long)BLOCK;
	if (argc < 2 || mkdir(argv[1], 0755) < 0 || chdir(argv[1]) < 0 || mkdir("d", 0755) < 0) {
		perror(argc > 1 ? argv[1] : "usage: fsbench DIR [FILES]");
		return 1;
	}
	each("create", create_one);
	each("stat", stat_one);
	each("stat-missing", missing_one);
	each("open-read-close", read_one);
	walk();
	each("unlink", unlink_one);
	data();
	return 0;
}
