/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing a layer's tree with its archive. */
/*
 * The archive is read as for unpacking, but each file is compared with what is in the tree. Differences are
 * noted by name and forgotten when a later entry of the same name comes, which is the one that counts.
 */
#include "images/layer_verify.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "images/inflate.h"
#include "images/layer.h"

struct source {
	int fd;
	struct inflate *z;
	uint8_t *buf;
};

static ssize_t read_blob(void *arg, void *buf, size_t len, struct err *err)
{
	struct source *s = arg;
	ssize_t n = fd_read_all(s->fd, buf, len);

	return n < 0 ? err_sys(err, (int)n, "read") : n;
}

static ssize_t fill(void *arg, const uint8_t **ret, struct err *err)
{
	struct source *s = arg;

	*ret = s->buf;
	return inflate_read(s->z, s->buf, 1 << 20, err);
}

static const char *compare_content(int fd, const struct tar_entry *e, struct tar *t)
{
	cleanup_free uint8_t *have = xmalloc(1 << 20);
	const uint8_t *want;
	uint64_t offset;
	ssize_t n;

	while ((n = tar_data(t, &want, &offset, NULL)) > 0) {
		for (size_t done = 0; done < (size_t)n;) {
			size_t len = (size_t)n - done < (1 << 20) ? (size_t)n - done : 1 << 20;

			if (pread(fd, have, len, (off_t)(offset + done)) != (ssize_t)len ||
			    memcmp(have, want + done, len))
				return "content";
			done += len;
		}
	}
	return n < 0 ? "archive" : NULL;
}

/* NULL when equal, else what differs. */
static const char *compare(int tree, const char *path, const struct tar_entry *e, struct tar *t, enum rights rights)
{
	static const mode_t kinds[] = { [TAR_FILE] = S_IFREG,  [TAR_SYMLINK] = S_IFLNK, [TAR_CHAR] = S_IFCHR,
					[TAR_BLOCK] = S_IFBLK, [TAR_DIR] = S_IFDIR,     [TAR_FIFO] = S_IFIFO };
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup("");
	cleanup_fd int parent = path_open_nolink(tree, dir, O_RDONLY | O_DIRECTORY, 0), fd = -1;
	const char *name = !*path ? "." : slash ? slash + 1 : path;
	char link[TAR_NAME_MAX];
	struct stat st;
	ssize_t n;

	if (parent < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		/* devices of a user's store, and links into lower layers, are not in the tree */
		return e->type == TAR_HARDLINK ||
				(rights != RIGHTS_ROOT && (e->type == TAR_CHAR || e->type == TAR_BLOCK)) ?
			NULL :
			"missing";
	if (e->type == TAR_HARDLINK)
		return NULL;
	if ((st.st_mode & S_IFMT) != kinds[e->type])
		return "kind";
	if (rights != RIGHTS_ONE_ID && (st.st_uid != e->uid || st.st_gid != e->gid))
		return "owner";
	if (e->type == TAR_SYMLINK) {
		n = readlinkat(parent, name, link, sizeof(link));
		return n != (ssize_t)strlen(e->link) || memcmp(link, e->link, (size_t)n) ? "link target" : NULL;
	}
	if ((st.st_mode & 07777) != e->mode)
		return "permissions";
	if ((e->type == TAR_CHAR || e->type == TAR_BLOCK) && st.st_rdev != makedev(e->major, e->minor))
		return "device number";
	if (e->type != TAR_FILE)
		return NULL;
	if ((uint64_t)st.st_size != e->size)
		return "size";
	fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? "missing" : compare_content(fd, e, t);
}

int layer_verify(int tree, int fd, enum rights rights, struct err *err)
{
	struct source s = { .fd = fd, .buf = xmalloc(1 << 20) };
	cleanup_strv char **bad = NULL;
	const struct tar_entry *e;
	struct tar *t;
	int r;

	s.z = inflate_new(read_blob, &s);
	t = tar_new(fill, &s);
	while ((r = tar_next(t, &e, err)) > 0) {
		cleanup_free char *path = layer_clean_name(e->path, err);
		const char *base = path ? strrchr(path, '/') : NULL, *what;

		if (!path) {
			r = err->code;
			break;
		}
		base = base ? base + 1 : path;
		if (str_starts(base, ".wh."))
			continue;
		for (size_t i = 0; i + 1 < strv_len(bad); i += 2) {
			if (!strcmp(bad[i], path)) {
				free(bad[i]);
				bad[i] = xstrdup("/"); /* superseded */
			}
		}
		what = compare(tree, path, e, t, rights);
		if (what) {
			strv_add(&bad, path);
			strv_add(&bad, what);
		}
	}
	for (size_t i = 0; i + 1 < strv_len(bad) && r >= 0; i += 2)
		if (strcmp(bad[i], "/"))
			r = err_set(err, -EBADMSG, "entry %s: %s", bad[i], bad[i + 1]);
	tar_free(t);
	inflate_free(s.z);
	free(s.buf);
	return r;
}
