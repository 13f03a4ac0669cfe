/* SPDX-License-Identifier: Apache-2.0 */
/* images/archive: members found by name and read in place, links, and files that are cut while they are read. */
#include "images/archive.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/tarball.h"

static struct err err;

/* The archive (freed here) as an open file; *ret_fd is for the caller to cut and close. */
static struct archive *open_tar(struct str *b, int *ret_fd)
{
	int fd = *ret_fd = memfd_create("test", MFD_CLOEXEC);
	cleanup_free char *path = xasprintf("/proc/self/fd/%d", fd);
	struct archive *a = NULL;

	memset(&err, 0, sizeof(err));
	tar_write_end(tarball_put, b, NULL);
	is_int(fd_write_all(fd, b->s, b->len), 0);
	archive_open(path, "/tmp", 1 << 20, &a, &err);
	str_free(b);
	return a;
}

static void reads(const struct archive *a, const char *name, const char *want)
{
	cleanup_free char *text = NULL;
	size_t len;

	is_int(archive_read(a, name, &text, &len, &err), 0);
	is_str(text, want);
}

static void test_members(void)
{
	cleanup_free char *big = xmalloc(40001);
	struct str b = { 0 };
	struct archive *a;
	uint64_t size;
	void *stream;
	char buf[64];
	int fd;

	/* longer than one piece, and a name that comes twice */
	memset(big, 'x', 40000);
	big[40000] = '\0';
	tarball_add(&b, TAR_DIR, "d/", 0755, NULL);
	tarball_add(&b, TAR_FILE, "big", 0644, big);
	tarball_add(&b, TAR_FILE, "./d/one", 0644, "first");
	tarball_add(&b, TAR_FILE, "empty", 0644, NULL);
	tarball_add(&b, TAR_FILE, "d/one", 0644, "second");
	tarball_add(&b, TAR_SYMLINK, "e/up", 0777, "../d/one");
	tarball_add(&b, TAR_HARDLINK, "e/hard", 0644, "d/one");
	tarball_add(&b, TAR_SYMLINK, "loop", 0777, "loop");
	a = open_tar(&b, &fd);
	is_str(err.msg, "");
	if (!a)
		return;
	reads(a, "big", big);
	reads(a, "d/one", "second");
	reads(a, "e/up", "second");
	reads(a, "e/hard", "second");
	reads(a, "empty", "");
	ok(!archive_has(a, "loop") && !archive_has(a, "d"));
	is_int(archive_stream(a, "d/one", 3, &stream, &size, &err), 0);
	is_int((int)size, 6);
	is_int((int)archive_stream_read(stream, buf, sizeof(buf), &err), 3);
	ok(!memcmp(buf, "ond", 3));
	is_int((int)archive_stream_read(stream, buf, sizeof(buf), &err), 0);
	archive_stream_close(stream);
	is_int(archive_stream(a, "d/one", 7, &stream, &size, &err), 0);
	is_int((int)archive_stream_read(stream, buf, sizeof(buf), &err), 0);
	archive_stream_close(stream);
	archive_close(a);
	close(fd);
}

/* The caller's file shrinks between the walk and the reading. */
static void test_cut(void)
{
	cleanup_free char *big = xmalloc(100001), *text = NULL, *buf = xmalloc(200000);
	struct str b = { 0 };
	struct archive *a;
	uint64_t size;
	void *stream;
	size_t len;
	ssize_t n;
	int fd;

	memset(big, 'x', 100000);
	big[100000] = '\0';
	tarball_add(&b, TAR_FILE, "big", 0644, big);
	tarball_add(&b, TAR_FILE, "index.json", 0644, "{}");
	a = open_tar(&b, &fd);
	is_str(err.msg, "");
	if (!a)
		return;
	is_int(archive_stream(a, "big", 0, &stream, &size, &err), 0);
	is_int(ftruncate(fd, 50000), 0);
	while ((n = archive_stream_read(stream, buf, 200000, &err)) > 0)
		;
	is_int((int)n, -EIO);
	is_str(err.msg, "the file was cut while it was read");
	archive_stream_close(stream);
	is_int(archive_read(a, "index.json", &text, &len, &err), -EIO);
	is_str(err.msg, "index.json: the file was cut while it was read");
	archive_close(a);
	close(fd);
}

static void refused(struct str *b, size_t cut, const char *want)
{
	struct archive *a;
	int fd;

	b->len -= cut;
	a = open_tar(b, &fd);
	ok(!a);
	has_str(err.msg, want);
	archive_close(a);
	close(fd);
}

static void test_refused(void)
{
	cleanup_free char *big = xmalloc(40001);
	struct str b = { 0 };

	memset(big, 'x', 40000);
	big[40000] = '\0';
	tarball_add(&b, TAR_FILE, "a/../b", 0644, "x");
	refused(&b, 0, "entry a/../b: \"..\" in the name");
	tarball_add(&b, TAR_FILE, "/a", 0644, "x");
	refused(&b, 0, "entry /a: absolute name");
	/* an entry that goes on behind the end: 1024 bytes of an end are added */
	tarball_add(&b, TAR_FILE, "big", 0644, big);
	refused(&b, 30000, "entry big: truncated");
	b = (struct str){ 0 };
	tar_write_entry(tarball_put, &b,
			&(struct tar_entry){ .type = TAR_FILE, .path = (char *)"huge", .size = INT64_MAX - 1 }, NULL);
	refused(&b, 0, "entry huge: truncated");
}

int main(void)
{
	test_members();
	test_cut();
	test_refused();
	return tap_done();
}
