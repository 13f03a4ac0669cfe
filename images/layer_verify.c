/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing a layer's tree with its archive. */
/*
 * The archive is read as for unpacking, but each file is compared with what is in the tree. Differences are
 * noted by name and forgotten when a later entry of the same name comes, or takes the place of the directory around it, for
 * that one counts. What the tree has beyond the names of the archive, but for directories, which it may have implied, is a
 * difference too.
 */
#include "images/layer_verify.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "images/inflate.h"
#include "images/layer.h"
#include "images/layer_dirs.h"
#include "images/merge.h"

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

/* Does root compare it? The kernel rewrites other forms of capabilities, and ACLs; what comes again counts the last time. */
static bool is_compared(const struct tar_entry *e, size_t i)
{
	const struct tar_xattr *x = &e->xattrs[i];

	for (size_t k = i + 1; k < e->n_xattrs; k++)
		if (!strcmp(e->xattrs[k].name, x->name))
			return false;
	if (!strcmp(x->name, "security.capability"))
		return x->len == 20;
	return str_starts(x->name, "user.") && !str_starts(x->name, "user.overlay.");
}

static bool same_xattrs(int fd, const struct tar_entry *e)
{
	char value[65536];

	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct tar_xattr *x = &e->xattrs[i];
		ssize_t n = is_compared(e, i) ? fgetxattr(fd, x->name, value, sizeof(value)) : -1;

		if (!is_compared(e, i) || (n < 0 && errno == EOPNOTSUPP))
			continue;
		if (n != (ssize_t)x->len || memcmp(value, x->value, x->len))
			return false;
	}
	return true;
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
	if (fd < 0)
		return "missing";
	return rights != RIGHTS_ROOT || same_xattrs(fd, e) ? compare_content(fd, e, t) : "attributes";
}

/* Is it the name, or one in it when that is no directory any more? */
static bool superseded(const char *name, const char *by, enum tar_type type)
{
	size_t n = strlen(by);

	return !strncmp(name, by, n) && (!name[n] || (name[n] == '/' && type != TAR_DIR));
}

/* Something of the tree: is it in the archive? */
static int is_named(void *arg, const char *path, int dirfd, const char *name, const struct stat *st, struct err *err)
{
	if (S_ISDIR(st->st_mode) || layer_dirs_find(arg, path))
		return 0;
	return err_set(err, -EBADMSG, "entry %s: not in the archive", path);
}

int layer_verify(int tree, int fd, enum rights rights, struct err *err)
{
	struct source s = { .fd = fd, .buf = xmalloc(1 << 20) };
	struct merge m = { &tree, 1, rights };
	struct layer_dirs names = { 0 };
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
			if (superseded(bad[i], path, e->type)) {
				free(bad[i]);
				bad[i] = xstrdup("/"); /* superseded */
			}
		}
		layer_dirs_add(&names, path);
		what = compare(tree, path, e, t, rights);
		if (what) {
			strv_add(&bad, path);
			strv_add(&bad, what);
		}
	}
	for (size_t i = 0; i + 1 < strv_len(bad) && r >= 0; i += 2)
		if (strcmp(bad[i], "/"))
			r = err_set(err, -EBADMSG, "entry %s: %s", bad[i], bad[i + 1]);
	if (r >= 0)
		r = merge_walk(&m, is_named, &names, err);
	layer_dirs_clear(&names);
	tar_free(t);
	inflate_free(s.z);
	free(s.buf);
	return r;
}
