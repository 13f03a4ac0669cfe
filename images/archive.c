/* SPDX-License-Identifier: Apache-2.0 */
/* Members of image archives and layout directories, found by name. */
/*
 * The headers of an uncompressed archive are walked once, seeking over the data; members are read in place. It is never
 * mapped: it is the caller's file, and one that shrinks meanwhile must be an error, not a signal. Symlinks inside an archive
 * (old docker save wrote repeated layers so) are resolved by name. A directory is read beneath its descriptor without
 * following symlinks.
 */
#include "images/archive.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "images/inflate.h"
#include "images/layer.h"
#include "images/tar.h"

struct member {
	char *name;
	char *link; /* a symlink's or hard link's target name */
	uint64_t offset, size;
};

struct archive {
	int dirfd; /* of a directory; -1 */
	int fd;    /* of a file; -1 */
	struct member *members;
	size_t n;
};

struct stream {
	int fd;   /* the archive's, or a directory's file */
	bool own; /* the latter */
	uint64_t at, left;
};

int archive_kind_parse(const char *word, enum archive_kind *ret)
{
	static const char *const words[] = { "auto", "oci", "oci-archive", "docker-archive", "rootfs" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(word, words[i])) {
			*ret = (enum archive_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* The archive while its headers are read. */
struct scan {
	int fd;
	uint64_t at, size; /* behind what buf has; of the file */
	size_t len;        /* in buf */
	uint8_t buf[16384];
};

static ssize_t read_at(int fd, void *buf, size_t len, uint64_t at, struct err *err)
{
	ssize_t n;

	do
		n = pread(fd, buf, len, (off_t)at);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(err, -errno, "read") : n;
}

static ssize_t fill(void *arg, const uint8_t **ret, struct err *err)
{
	struct scan *s = arg;
	ssize_t n = read_at(s->fd, s->buf, sizeof(s->buf), s->at, err);

	*ret = s->buf;
	s->len = n > 0 ? (size_t)n : 0;
	s->at += s->len;
	return n;
}

static int skip(void *arg, uint64_t len, struct err *err)
{
	struct scan *s = arg;

	if (s->at > s->size || len > s->size - s->at)
		return err_set(err, -EINVAL, "tar: truncated");
	s->at += len;
	return 0;
}

/* "../abc/layer.tar" of the member "def/layer.tar" */
static char *link_target(const char *name, const char *link)
{
	cleanup_free char *dir = xstrdup(name);
	char *slash = strrchr(dir, '/');
	cleanup_free char *joined = NULL;
	char *clean;

	*(slash ? slash : dir) = '\0';
	joined = xasprintf("/%s/%s", dir, link);
	clean = path_clean(joined);
	memmove(clean, clean + 1, strlen(clean));
	return clean;
}

static int scan(struct archive *a, uint64_t size, struct err *err)
{
	struct scan s = { .fd = a->fd, .size = size };
	struct tar *t = tar_new(fill, &s);
	const struct tar_entry *e;
	uint64_t offset;
	int r;

	tar_set_skip(t, skip);
	while ((r = tar_next(t, &e, err)) > 0) {
		const uint8_t *data = NULL;
		struct member m = { 0 };

		if (e->type != TAR_FILE && e->type != TAR_SYMLINK && e->type != TAR_HARDLINK)
			continue;
		m.name = layer_clean_name(e->path, err);
		if (!m.name) {
			r = err_wrap(err, "entry %.200s", e->path);
			break;
		}
		if (e->type == TAR_FILE && e->size) {
			ssize_t n = e->sparse ? err_set(err, -EINVAL, "entry %.200s is sparse", e->path) :
						tar_data(t, &data, &offset, err);

			if (n >= 0) {
				/* data lies in the piece that was read last */
				m.offset = s.at - (s.len - (uint64_t)(data - s.buf));
				m.size = e->size;
				if (e->size > size || m.offset > size - e->size)
					n = err_set(err, -EINVAL, "entry %.200s: truncated", e->path);
			}
			if (n < 0) {
				free(m.name);
				r = (int)n;
				break;
			}
		}
		if (e->type == TAR_SYMLINK)
			m.link = link_target(m.name, e->link);
		else if (e->type == TAR_HARDLINK)
			m.link = link_target("", e->link);
		a->members = xreallocarray(a->members, a->n + 1, sizeof(*a->members));
		a->members[a->n++] = m;
	}
	tar_free(t);
	return r;
}

static ssize_t read_fd(void *arg, void *buf, size_t len, struct err *err)
{
	ssize_t n;

	do
		n = read(*(int *)arg, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(err, -errno, "read") : n;
}

/* The archive inflated into an unnamed file, which we can map. */
static int plain_file(int fd, const char *spool_dir, uint64_t max, struct err *err)
{
	struct inflate *z = inflate_new(read_fd, &fd);
	cleanup_free char *buf = xmalloc(1 << 20);
	cleanup_fd int out = open(spool_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	uint64_t total = 0;
	ssize_t n;
	int r = 0;

	if (out < 0)
		r = err_sys(err, -errno, "%s", spool_dir);
	while (r >= 0 && (n = inflate_read(z, buf, 1 << 20, err)) != 0) {
		total += n < 0 ? 0 : (uint64_t)n;
		if (max && total > max) {
			r = err_set(err, -EFBIG, "inflates to more than the limit of %llu bytes",
				    (unsigned long long)max);
			break;
		}
		r = n < 0 ? (int)n : fd_write_all(out, buf, (size_t)n);
		if (r < 0 && n > 0)
			err_sys(err, r, "%s", spool_dir);
	}
	inflate_free(z);
	return r < 0 ? r : steal_fd(out);
}

static int open_file(struct archive *a, const char *path, const char *spool_dir, uint64_t max, struct err *err)
{
	bool std = !strcmp(path, "-");
	cleanup_fd int fd = std ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char magic[263];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", path);
	if (S_ISDIR(st.st_mode)) {
		a->dirfd = steal_fd(fd);
		return 0;
	}
	fd_set_nonblock(fd, false);
	if (!S_ISREG(st.st_mode) || pread(fd, magic, sizeof(magic), 0) != sizeof(magic) ||
	    memcmp(magic + 257, "ustar", 5)) {
		int plain = plain_file(fd, spool_dir, max, err);

		if (plain < 0)
			return err_wrap(err, "%s", path);
		close(fd);
		fd = plain;
		if (fstat(fd, &st) < 0)
			return err_sys(err, -errno, "%s", path);
	}
	if (!st.st_size)
		return err_set(err, -EINVAL, "%s: empty", path);
	a->fd = steal_fd(fd);
	return scan(a, (uint64_t)st.st_size, err) < 0 ? err_wrap(err, "%s", path) : 0;
}

int archive_open(const char *path, const char *spool_dir, uint64_t max, struct archive **ret, struct err *err)
{
	struct archive *a = xcalloc(1, sizeof(*a));
	int r;

	a->dirfd = a->fd = -1;
	r = open_file(a, path, spool_dir, max, err);
	if (r < 0) {
		archive_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

void archive_close(struct archive *a)
{
	if (!a)
		return;
	if (a->dirfd >= 0)
		close(a->dirfd);
	if (a->fd >= 0)
		close(a->fd);
	for (size_t i = 0; i < a->n; i++) {
		free(a->members[i].name);
		free(a->members[i].link);
	}
	free(a->members);
	free(a);
}

/* The last member of the name counts, as for tar. */
static const struct member *find(const struct archive *a, const char *name)
{
	for (int hops = 0; hops < 10; hops++) {
		const struct member *m = NULL;

		for (size_t i = a->n; i-- > 0 && !m;)
			if (!strcmp(a->members[i].name, name))
				m = &a->members[i];
		if (!m || !m->link)
			return m;
		name = m->link;
	}
	return NULL;
}

bool archive_has(const struct archive *a, const char *name)
{
	if (a->dirfd >= 0) {
		cleanup_fd int fd = path_open_nolink(a->dirfd, name, O_PATH, 0);

		return fd >= 0;
	}
	return find(a, name);
}

/* A file beneath the directory. */
static int open_beneath(const struct archive *a, const char *name, uint64_t *ret_size)
{
	cleanup_fd int fd = path_open_nolink(a->dirfd, name, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_size = (uint64_t)st.st_size;
	return steal_fd(fd);
}

int archive_stream(const struct archive *a, const char *name, uint64_t offset, void **ret, uint64_t *ret_size,
		   struct err *err)
{
	struct stream s = { .fd = a->fd, .own = a->dirfd >= 0 };

	if (s.own) {
		s.fd = open_beneath(a, name, ret_size);
		if (s.fd < 0)
			return err_sys(err, s.fd, "%s", name);
	} else {
		const struct member *m = find(a, name);

		if (!m)
			return err_set(err, -ENOENT, "%s: not in the archive", name);
		s.at = m->offset;
		*ret_size = m->size;
	}
	offset = offset < *ret_size ? offset : *ret_size;
	s.at += offset;
	s.left = *ret_size - offset;
	*ret = xmalloc(sizeof(s));
	memcpy(*ret, &s, sizeof(s));
	return 0;
}

ssize_t archive_stream_read(void *stream, void *buf, size_t len, struct err *err)
{
	struct stream *s = stream;
	ssize_t n;

	if (!s->left)
		return 0;
	n = read_at(s->fd, buf, s->left < len ? (size_t)s->left : len, s->at, err);
	if (!n)
		return err_set(err, -EIO, "the file was cut while it was read");
	if (n > 0) {
		s->at += (uint64_t)n;
		s->left -= (uint64_t)n;
	}
	return n;
}

void archive_stream_close(void *stream)
{
	struct stream *s = stream;

	if (s->own)
		close(s->fd);
	free(s);
}

int archive_read(const struct archive *a, const char *name, char **ret, size_t *ret_len, struct err *err)
{
	cleanup_free char *buf = NULL;
	uint64_t size;
	void *stream;
	size_t len = 0;
	ssize_t n;
	int r = archive_stream(a, name, 0, &stream, &size, err);

	if (r < 0)
		return r;
	if (size > OCI_IMAGE_DOC_MAX) {
		archive_stream_close(stream);
		return err_set(err, -EFBIG, "%s: a document of %llu bytes", name, (unsigned long long)size);
	}
	buf = xmalloc(size + 1);
	while (len < size && (n = archive_stream_read(stream, buf + len, size - len, err)) > 0)
		len += (size_t)n;
	archive_stream_close(stream);
	if (len != size)
		return err_wrap(err, "%s", name);
	buf[len] = '\0';
	*ret = steal_ptr(buf);
	*ret_len = len;
	return 0;
}
