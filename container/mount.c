/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts of the configuration, made by the child in its mount namespace before pivot_root.
 *
 * A source is a path of the host, or a detached tree that the parent opened with privileges the child lacks. A
 * target is found below the container's root by openat2(2) and from then on only known as an fd: filesystems are
 * mounted by mount(2) on /proc/self/fd/N of the host's procfs, binds are detached copies (open_tree(2)), changed
 * while nobody sees them (mount_setattr(2)) and put in place (move_mount(2)); so no component of a target can be
 * exchanged between look and use. /proc and /sys themselves must be plain directories: a symlink there would let the
 * image choose where later writes to "procfs" go (CVE-2019-19921), and nothing may be mounted inside /proc but a few
 * known files.
 */
#include "container/mount.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/sys.h"
#include "container/copyup.h"
#include "container/idmap.h"
#include "container/lsm.h"
#include "container/mount_cgroup.h"
#include "container/mount_words.h"
#include "oci/config.h"

#define LINKS_MAX 40

/* Where below rootfd would a missing path lie, when a dangling symlink is in its way? Owned path or NULL: no link. */
static char *follow_dangling(int rootfd, const char *path)
{
	cleanup_free char *copy = xstrdup(path);
	char *p = copy;

	while (*p == '/')
		p++;
	while (*p) {
		cleanup_fd int fd = -1;
		char link[4096], *end = strchrnul(p, '/'), saved = *end;
		ssize_t n;

		*end = '\0';
		fd = path_open_in(rootfd, copy, O_PATH | O_NOFOLLOW, 0);
		if (fd < 0)
			return NULL;
		n = readlinkat(fd, "", link, sizeof(link) - 1);
		if (n > 0) {
			cleanup_fd int there = path_open_in(rootfd, copy, O_PATH, 0);

			link[n] = '\0';
			if (there == -ENOENT) {
				*end = saved;
				if (*link == '/')
					return xasprintf("%s%s", link, end);
				*p = '\0';
				return xasprintf("%s%s%s", copy, link, saved ? path + (end - copy) : "");
			}
		}
		*end = saved;
		p = end;
		while (*p == '/')
			p++;
	}
	return NULL;
}

static int target_once(int rootfd, const char *path, bool file, mode_t mode)
{
	int fd = path_open_in(rootfd, path, O_PATH, 0);

	if (fd != -ENOENT)
		return fd;
	if (file)
		return path_touch_in(rootfd, path, mode);
	return path_mkdirs_in(rootfd, path, mode, (uid_t)-1, (gid_t)-1);
}

int mount_target(int rootfd, const char *path, bool file, mode_t mode)
{
	cleanup_free char *real = NULL;
	int fd = target_once(rootfd, path, file, mode);

	/* "/etc/resolv.conf -> ../run/x" with no x is common in images: the target is made where it points to */
	for (int i = 0; i < LINKS_MAX && (fd == -ENOENT || fd == -EEXIST || fd == -ELOOP || fd == -ENOTDIR); i++) {
		char *next = follow_dangling(rootfd, real ? real : path);

		if (!next)
			break;
		free(real);
		real = next;
		fd = target_once(rootfd, real, file, mode);
	}
	return fd;
}

int mount_attach(int tree, int target)
{
	return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

static int clone_tree(int dirfd, const char *path, unsigned int flags)
{
	int fd = open_tree(dirfd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);

	return fd < 0 ? -errno : fd;
}

int mount_clone(int dirfd, const char *path, bool rec)
{
	return clone_tree(dirfd, path, rec ? AT_RECURSIVE : 0);
}

static int clone_source(const struct oci_mount *m, const struct mount_words *w)
{
	return clone_tree(AT_FDCWD, m->source,
			  (w->rec ? AT_RECURSIVE : 0) | (w->src_nofollow ? AT_SYMLINK_NOFOLLOW : 0));
}

int mount_set(int fd, bool rec, uint64_t set, uint64_t clr, unsigned long propagation)
{
	struct mount_attr a = { .attr_set = set, .attr_clr = clr, .propagation = propagation };

	if (mount_setattr(fd, "", AT_EMPTY_PATH | (rec ? AT_RECURSIVE : 0), &a, sizeof(a)) < 0)
		return -errno;
	return 0;
}

static bool on_fs(int fd, long magic)
{
	struct statfs s;

	return !fstatfs(fd, &s) && (long)s.f_type == magic;
}

static int fail(const struct oci_mount *m, int r, struct err *err)
{
	err_sys(err, r, "mount \"%s\" to \"%s\"", m->source ? m->source : "none", m->destination);
	if (r == -ENOTDIR)
		err_wrap(err,
			 "are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host "
			 "path exists and is the expected type");
	return r;
}

/* Files of /proc that lxcfs and engines put something over. */
static bool may_cover_proc(const char *clean)
{
	static const char *const files[] = {
		"/proc/cpuinfo",
		"/proc/diskstats",
		"/proc/meminfo",
		"/proc/stat",
		"/proc/swaps",
		"/proc/uptime",
		"/proc/loadavg",
		"/proc/slabinfo",
		"/proc/sys/kernel/ns_last_pid",
		"/proc/sys/crypto/fips_enabled",
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (!strcmp(clean, files[i]))
			return true;
	return false;
}

static int check_proc(const struct oci_mount *m, const char *clean, int target, int tree, struct err *err)
{
	if (!strcmp(clean, "/proc"))
		return (tree < 0 && !strcmp(m->type, "proc")) || on_fs(tree, PROC_SUPER_MAGIC) ?
			0 :
			err_set(err, EPERM, "\"%s\" cannot be mounted because it is not of type proc", m->destination);
	if (on_fs(target, PROC_SUPER_MAGIC) && !may_cover_proc(clean))
		return err_set(err, EPERM, "\"%s\" cannot be mounted because it is inside /proc", m->destination);
	return 0;
}

static char *clean_destination(const struct oci_mount *m)
{
	cleanup_free char *rooted = xasprintf("/%s", m->destination);

	return path_clean(rooted);
}

static int set_propagation(const struct oci_mount *m, const struct mount_words *w, int fd, struct err *err)
{
	for (unsigned int i = 0; i < w->n_propagation; i++) {
		int r = mount_set(fd, w->propagation[i] & MS_REC, 0, 0, w->propagation[i] & ~(unsigned long)MS_REC);

		if (r < 0)
			return err_sys(err, r, "mount \"%s\" to \"%s\": set propagation",
				       m->source ? m->source : "none", m->destination);
	}
	return 0;
}

/* What the source has and no word asks for goes, if it can: the tree may come from a parent who could. */
static int set_top(struct mount_context *c, const struct mount_words *w, int tree)
{
	uint64_t rest = c->userns ? w->rest & MOUNT_ATTR_NOSYMFOLLOW : w->rest;
	int r = mount_set(tree, false, w->set, w->clr | rest, 0);

	return r == -EPERM && rest ? mount_set(tree, false, w->set, w->clr, 0) : r;
}

/* Flags of the tree itself, then of all below it. */
static int set_attrs(struct mount_context *c, const struct oci_mount *m, const struct mount_words *w, int tree,
		     bool top, struct err *err)
{
	int r = top && (w->set || w->clr) ? set_top(c, w, tree) : 0;

	if (!r && (w->rec_set || w->rec_clr))
		r = mount_set(tree, true, w->rec_set, w->rec_clr, 0);
	return r < 0 ?
		err_sys(err, r, "mount \"%s\" to \"%s\": set flags", m->source ? m->source : "none", m->destination) :
		0;
}

static bool is_link(const char *path)
{
	struct stat st;

	return path && !lstat(path, &st) && S_ISLNK(st.st_mode);
}

/* The word copy-symlink: the link itself appears at the destination, whatever it points to. */
static int copy_symlink(struct mount_context *c, const struct oci_mount *m, const char *clean, struct err *err)
{
	cleanup_free char *dir = xstrndup(clean, (size_t)(strrchr(clean, '/') - clean));
	const char *name = strrchr(clean, '/') + 1;
	char target[PATH_MAX], there[PATH_MAX];
	cleanup_fd int fd = -1;
	ssize_t n = readlink(m->source, target, sizeof(target) - 1), old;

	if (n < 0)
		return fail(m, -errno, err);
	target[n] = '\0';
	fd = mount_target(c->rootfd, *dir ? dir : "/", false, 0755);
	if (fd < 0)
		return fail(m, fd, err);
	if (!symlinkat(target, fd, name))
		return 0;
	if (errno != EEXIST)
		return fail(m, -errno, err);
	old = readlinkat(fd, name, there, sizeof(there));
	return old == n && !memcmp(there, target, (size_t)n) ? 0 : fail(m, -EEXIST, err);
}

static int bind_target(struct mount_context *c, const struct mount_words *w, const char *clean, bool dir)
{
	int fd = w->dest_nofollow ? path_open_in(c->rootfd, clean, O_PATH | O_NOFOLLOW, 0) : -ENOENT;

	return fd != -ENOENT ? fd : mount_target(c->rootfd, clean, !dir, dir ? 0755 : 0644);
}

static int apply_bind(struct mount_context *c, const struct oci_mount *m, const struct mount_words *w, int tree,
		      struct err *err)
{
	cleanup_free char *clean = clean_destination(m);
	cleanup_fd int own = -1;
	cleanup_fd int target = -1;
	struct stat st, at;
	int r;

	if (w->copy_symlink && is_link(m->source))
		return copy_symlink(c, m, clean, err);
	if (tree < 0) {
		if (!m->source)
			return err_set(err, EINVAL, "mount to \"%s\": a bind mount needs a source", m->destination);
		tree = own = clone_source(m, w);
		if (own < 0)
			return err_sys(err, own, "mount \"%s\" to \"%s\"", m->source, m->destination);
	}
	if (fstat(tree, &st) < 0)
		return fail(m, -errno, err);
	target = bind_target(c, w, clean, S_ISDIR(st.st_mode));
	if (target < 0)
		return err_sys(err, target, "mount \"%s\" to \"%s\": make the mount point", m->source, m->destination);
	/* move_mount(2) would only say "invalid argument" */
	if (!fstat(target, &at) && S_ISDIR(at.st_mode) != S_ISDIR(st.st_mode))
		return fail(m, -ENOTDIR, err);
	r = check_proc(m, clean, target, tree, err);
	if (r < 0)
		return r;
	r = set_attrs(c, m, w, tree, true, err);
	if (r < 0)
		return r;
	r = mount_attach(tree, target);
	if (r < 0)
		return fail(m, r, err);
	return set_propagation(m, w, tree, err);
}

/* Filesystem's mount point; *ret_existed says whether it was there. proc and sysfs insist on a plain directory. */
static int fs_target(struct mount_context *c, const struct oci_mount *m, const char *clean, bool strict,
		     bool *ret_existed, struct err *err)
{
	int fd = strict ? path_open_nolink(c->rootfd, clean, O_PATH | O_DIRECTORY, 0) :
			  path_open_in(c->rootfd, clean, O_PATH, 0);

	*ret_existed = fd >= 0;
	if (fd == -ENOENT) {
		fd = mount_target(c->rootfd, clean, false, 0755);
		if (fd >= 0 && strict) {
			close(fd);
			fd = path_open_nolink(c->rootfd, clean, O_PATH | O_DIRECTORY, 0);
		}
	}
	if (strict && (fd == -ELOOP || fd == -ENOTDIR))
		return err_set(err, fd, "filesystem \"%s\" must be mounted on ordinary directory", m->type);
	if (fd < 0)
		return err_sys(err, fd, "mount \"%s\" to \"%s\": make the mount point", m->source ? m->source : m->type,
			       m->destination);
	return fd;
}

/* Removes "key=…" from comma-separated data. */
static void drop_data(struct str *data, const char *key)
{
	cleanup_strv char **parts = strv_split(str_get(data), ',');
	struct str kept = { 0 };

	for (size_t i = 0; parts[i]; i++) {
		if (str_starts(parts[i], key))
			continue;
		if (kept.len)
			str_addc(&kept, ',');
		str_add(&kept, parts[i]);
	}
	str_free(data);
	*data = kept;
}

/*
 * A user namespace without a network or pid namespace of its own may not mount a new sysfs or procfs: it gets the
 * host's, bound, with the flags asked for.
 */
static int bind_instead(struct mount_context *c, const struct oci_mount *m, const struct mount_words *w, int target)
{
	const char *source = !strcmp(m->type, "sysfs") ? "/sys" : "/proc";
	cleanup_fd int tree = mount_clone(AT_FDCWD, source, true);
	int r;

	if (tree < 0)
		return tree;
	/* below it lie the host's control groups */
	r = mount_set(tree, true, w->set, 0, 0);
	if (!r)
		r = mount_attach(tree, target);
	log_debug("mount: %s: a new %s is not allowed here: bound from the host", m->destination, m->type);
	return r;
}

static int mount_fs(struct mount_context *c, const struct oci_mount *m, struct mount_words *w, unsigned long flags,
		    int target)
{
	const char *source = m->source ? m->source : m->type;
	char path[FD_PATH_MAX];

	fd_path(target, path);
	if (!mount(source, path, m->type, flags, str_get(&w->data)))
		return 0;
	if (errno == EINVAL && c->userns && !strcmp(m->type, "devpts") && strstr(str_get(&w->data), "gid=")) {
		drop_data(&w->data, "gid=");
		if (!mount(source, path, m->type, flags, str_get(&w->data)))
			return 0;
	}
	if (errno == EPERM && c->userns && (!strcmp(m->type, "sysfs") || !strcmp(m->type, "proc")))
		return bind_instead(c, m, w, target);
	return -errno;
}

/* What is seen at a mount point now. The root's own fd stays below what is mounted on it; ".." at the root does not. */
static int open_mounted(struct mount_context *c, const char *clean)
{
	return path_open_in(c->rootfd, strcmp(clean, "/") ? clean : "..", O_PATH, 0);
}

static int apply_fs(struct mount_context *c, const struct oci_mount *m, struct mount_words *w, struct err *err)
{
	bool tmpfs = !strcmp(m->type, "tmpfs"), strict = !strcmp(m->type, "proc") || !strcmp(m->type, "sysfs");
	cleanup_free char *clean = clean_destination(m);
	unsigned long flags = w->flags;
	cleanup_fd int target = -1;
	cleanup_fd int top = -1;
	struct stat st;
	bool existed, mqueue;
	int r;

	target = fs_target(c, m, clean, strict, &existed, err);
	if (target < 0)
		return target;
	r = check_proc(m, clean, target, -1, err);
	if (r < 0)
		return r;
	if (tmpfs && existed && !strstr(str_get(&w->data), "mode=") && !fstat(target, &st)) {
		if (w->data.len)
			str_addc(&w->data, ',');
		str_addf(&w->data, "mode=%04o", st.st_mode & 07777);
	}
	/* mount points and devices are still to be made in it */
	if ((flags & MS_RDONLY) && (tmpfs || !strcmp(clean, "/dev"))) {
		flags &= ~(unsigned long)MS_RDONLY;
		str_addn(&c->late, clean, strlen(clean) + 1);
	}
	if (!strict)
		lsm_mount_data(&w->data, m->type, c->mount_label, c->context_type);
	r = mount_fs(c, m, w, flags, target);
	if (r < 0)
		return err_sys(err, r, "mount \"%s\" to \"%s\"", m->source ? m->source : m->type, m->destination);
	/* one queue file system for the namespace: it was there before the mount and takes no context */
	mqueue = !strcmp(m->type, "mqueue") && !str_empty(c->mount_label);
	if (!w->tmpcopyup && !w->rec_set && !w->rec_clr && !w->n_propagation && !mqueue)
		return 0;
	top = open_mounted(c, clean);
	if (top < 0)
		return err_sys(err, top, "mount to \"%s\"", m->destination);
	r = mqueue ? lsm_label_fd(top, c->mount_label, err) : 0;
	if (r < 0)
		return err_wrap(err, "mount to \"%s\"", m->destination);
	if (w->tmpcopyup) {
		r = copyup_tree(target, top, err);
		if (r < 0)
			return err_wrap(err, "tmpcopyup to \"%s\"", m->destination);
	}
	r = set_attrs(c, m, w, top, false, err);
	return r < 0 ? r : set_propagation(m, w, top, err);
}

static int apply(struct mount_context *c, const struct oci_mount *m, struct mount_words *w, int tree, struct err *err)
{
	bool v1;
	int r;

	if (w->bind)
		return apply_bind(c, m, w, tree, err);
	if (str_empty(m->type))
		return err_set(err, EINVAL, "mount to \"%s\": no type and no bind option", m->destination);
	v1 = c->systemd_cgroup_v1 && !strcmp(m->destination, c->systemd_cgroup_v1);
	if (v1 || !strcmp(m->type, "cgroup") || !strcmp(m->type, "cgroup2")) {
		r = c->before_cgroup ? c->before_cgroup(c->arg, err) : 0;
		if (r < 0)
			return r;
		return v1 ? mount_cgroup_systemd_v1(c, m, w, err) : mount_cgroup_apply(c, m, w, err);
	}
	return apply_fs(c, m, w, err);
}

int mount_apply(struct mount_context *c, const struct oci_mount *m, int tree, struct err *err)
{
	cleanup_mount_words struct mount_words w = { 0 };
	cleanup_fd int owned = tree;
	cleanup_fd int root = -1;
	int r;

	r = mount_words_parse(m, &w, err);
	if (!r)
		r = apply(c, m, &w, owned, err);
	if (r < 0)
		return r;
	/* what was mounted on the root (or on a link to it) is the root of all that follows */
	root = open_mounted(c, "/");
	if (root < 0 || dup3(root, c->rootfd, O_CLOEXEC) < 0)
		return err_sys(err, root < 0 ? root : -errno, "mount to \"%s\": open the root", m->destination);
	return 0;
}

int mount_late(struct mount_context *c, struct err *err)
{
	for (const char *p = c->late.s, *end = p + c->late.len; p && p < end; p += strlen(p) + 1) {
		cleanup_fd int fd = path_open_in(c->rootfd, p, O_PATH, 0);
		int r = fd < 0 ? fd : mount_set(fd, false, MOUNT_ATTR_RDONLY, 0, 0);

		if (r < 0)
			return err_sys(err, r, "make %s read-only", p);
	}
	return 0;
}

int mount_source(const struct oci_mount *m, bool userns, int userns_fd, struct err *err)
{
	cleanup_mount_words struct mount_words w = { 0 };
	struct mount_attr a = { .propagation = MS_SLAVE };
	cleanup_fd int maps = -1;
	cleanup_fd int tree = -1;
	int r;

	r = mount_words_parse(m, &w, err);
	if (r < 0)
		return r;
	if (!w.bind || !m->source || (!userns && !w.idmap) || (w.copy_symlink && is_link(m->source)))
		return -ENOTSUP;
	tree = clone_source(m, &w);
	if (tree == -EPERM && !w.idmap)
		return -ENOTSUP; /* rootless: only inside its user namespace it may mount */
	if (tree < 0)
		return err_sys(err, tree, "mount \"%s\" to \"%s\"", m->source, m->destination);
	if (w.idmap) {
		if (m->n_uid_mappings || m->n_gid_mappings) {
			maps = idmap_userns(m->uid_mappings, m->n_uid_mappings, m->gid_mappings, m->n_gid_mappings,
					    err);
			if (maps < 0)
				return err_wrap(err, "mount \"%s\" to \"%s\"", m->source, m->destination);
			userns_fd = maps;
		}
		if (userns_fd < 0)
			return err_set(
				err, EINVAL,
				"mount \"%s\" to \"%s\": idmap needs uidMappings and gidMappings or a user namespace",
				m->source, m->destination);
		a.attr_set = MOUNT_ATTR_IDMAP;
		a.userns_fd = (uint64_t)userns_fd;
		if (mount_setattr(tree, "", AT_EMPTY_PATH | (w.idmap_rec ? AT_RECURSIVE : 0), &a, sizeof(a)) < 0)
			return err_sys(err, -errno, "mount \"%s\" to \"%s\": idmap (does the filesystem support it?)",
				       m->source, m->destination);
	}
	r = mount_set(tree, true, 0, 0, MS_SLAVE);
	if (r < 0)
		return err_sys(err, r, "mount \"%s\" to \"%s\"", m->source, m->destination);
	return steal_fd(tree);
}
