/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a directory of the host to "/" of the container.
 *
 * The child's mount namespace begins as a copy of the caller's. First no event may go from here to there: everything
 * becomes a slave (or what rootfsPropagation says; then the mount that holds the rootfs is made a slave or private, for
 * attaching to a shared one would show on the host). A first mount for "/" is made over root.path: so an ordinary user's container
 * has an overlay as its root, which nobody outside may mount. The rootfs is then a detached copy attached over itself, known by fd.
 * Masked and read-only paths are done after all mounts and hooks but before pivot_root, while the host's /dev/null and
 * procfs are still at hand: so neither can be the image's (CVE-2025-31133). Directories are hidden by one
 * shared read-only tmpfs, files by the host's null device, whose numbers are checked. pivot_root(".", ".")
 * stacks the old root on the new one, from where it is unmounted.
 */
#include "container/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/sys.h"
#include "container/device.h"
#include "container/lsm.h"
#include "container/mount.h"
#include "container/mount_words.h"
#include "oci/config.h"

/* Cuts the mount that holds path off from its peers; its mount point is path or one of its parents. */
static int make_parent(const char *path, unsigned long propagation, struct err *err)
{
	cleanup_free char *at = xstrdup(path);

	for (;;) {
		char *slash = strrchr(at, '/');

		if (!mount(NULL, *at ? at : "/", NULL, propagation, NULL))
			return 0;
		if (errno != EINVAL || !slash || !*at)
			return err_sys(err, -errno, "set propagation of the mount of %s", path);
		*slash = '\0';
	}
}

bool rootfs_is_mounted(const struct oci_config *config)
{
	const struct oci_mount *m = config->n_mounts ? &config->mounts[0] : NULL;

	/* what is copied up needs the root below: mount_apply() does it */
	return m && !strcmp(m->destination, "/") && !str_empty(m->type) && !oci_mount_is_bind(m) &&
		!oci_mount_has(m, "tmpcopyup");
}

/* mounts[0] over the directory at path. */
static int mount_root(const struct oci_config *config, const char *path, struct err *err)
{
	const struct oci_mount *m = &config->mounts[0];
	cleanup_mount_words struct mount_words w = { 0 };
	cleanup_fd int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *dir = path_join(path, "..");
	int r = mount_words_parse(m, &w, err);

	if (r < 0)
		return r;
	lsm_mount_data(&w.data, m->type, config->linux_.mount_label, config->linux_.mount_context_type);
	if (cwd < 0 || chdir(dir) < 0)
		return err_sys(err, -errno, "root.path: %s", dir);
	r = mount(m->source ? m->source : m->type, path, m->type, w.flags, str_get(&w.data)) < 0 ? -errno : 0;
	if (fchdir(cwd) < 0)
		log_debug("rootfs: the working directory is gone");
	return r < 0 ? err_sys(err, r, "mount \"%s\" to \"/\"", m->source ? m->source : m->type) : 0;
}

int rootfs_prepare(const struct oci_config *config, const char *path, int tree, struct err *err)
{
	unsigned long propagation = config->linux_.rootfs_propagation;
	/* a slave hears of what the host mounts below it; nothing of ours may be seen there */
	unsigned long quiet = propagation & MS_SLAVE ? MS_SLAVE : MS_PRIVATE;
	/* what cannot be bound is private until the end: sources of mounts are among it; rootfs_enter() sets the flag */
	unsigned long now = propagation & MS_UNBINDABLE ? MS_PRIVATE | (propagation & MS_REC) : propagation;
	cleanup_fd int root = tree;

	if (mount(NULL, "/", NULL, now ? now : MS_SLAVE | MS_REC, NULL) < 0)
		return err_sys(err, -errno, "set propagation of \"/\"");
	if (rootfs_is_mounted(config)) {
		int r = mount_root(config, path, err);

		if (r < 0)
			return r;
		if (root >= 0)
			close(steal_fd(root)); /* of what is below now */
	}
	if (root >= 0) {
		/* the path may be out of our reach: "/" is not, and lookups from "/" do not see what lies on it */
		if (move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return err_sys(err, -errno, "root.path: attach %s", path);
		return steal_fd(root);
	}
	if (propagation && make_parent(path, quiet, err) < 0)
		return err ? err->code : -EIO;
	root = mount_clone(AT_FDCWD, path, true);
	if (root < 0)
		return err_sys(err, root, "root.path: %s", path);
	if (move_mount(root, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0)
		return err_sys(err, -errno, "root.path: attach %s", path);
	if (propagation && mount_set(root, false, 0, 0, quiet) < 0)
		return err_sys(err, -errno, "root.path: set propagation of %s", path);
	return steal_fd(root);
}

/* What hides things: made when first needed. */
struct masks {
	int null; /* the host's null device, O_PATH */
	int dir;  /* an empty read-only tmpfs; attached where it was first used */
	bool dir_attached;
};

static int empty_dir(struct masks *m)
{
	cleanup_fd int fs = -1;

	if (m->dir >= 0)
		return 0;
	fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "0k", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "755", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	m->dir = fsmount(fs, FSMOUNT_CLOEXEC,
			 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return m->dir < 0 ? -errno : 0;
}

static int mask_dir(struct masks *m, int target)
{
	cleanup_fd int tree = -1;
	int r = empty_dir(m);

	if (r < 0)
		return r;
	if (!m->dir_attached) {
		r = mount_attach(m->dir, target);
		m->dir_attached = !r;
		return r;
	}
	tree = mount_clone(m->dir, "", false);
	return tree < 0 ? tree : mount_attach(tree, target);
}

static int mask_file(struct masks *m, int target)
{
	cleanup_fd int tree = -1;

	if (m->null < 0) {
		m->null = device_open_host("/dev/null", 'c', 1, 3);
		if (m->null < 0)
			return m->null;
	}
	tree = mount_clone(m->null, "", false);
	return tree < 0 ? tree : mount_attach(tree, target);
}

static int mask_path(struct masks *m, int rootfd, const char *path, struct err *err)
{
	cleanup_fd int target = path_open_in(rootfd, path, O_PATH, 0);
	struct stat st;
	int r;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	r = target < 0 ? target : fstat(target, &st) < 0 ? -errno : 0;
	if (!r)
		r = S_ISDIR(st.st_mode) ? mask_dir(m, target) : mask_file(m, target);
	return r < 0 ? err_sys(err, r, "linux.maskedPaths: %s", path) : 0;
}

static int readonly_path(int rootfd, const char *path, struct err *err)
{
	cleanup_fd int target = path_open_in(rootfd, path, O_PATH, 0);
	cleanup_fd int tree = -1;
	int r;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	tree = target < 0 ? target : mount_clone(target, "", true);
	r = tree < 0 ? tree : mount_set(tree, false, MOUNT_ATTR_RDONLY, 0, 0);
	if (!r)
		r = mount_attach(tree, target);
	return r < 0 ? err_sys(err, r, "linux.readonlyPaths: %s", path) : 0;
}

int rootfs_protect(const struct oci_config *config, int rootfd, struct err *err)
{
	const struct oci_linux *l = &config->linux_;
	struct masks m = { .null = -1, .dir = -1 };
	int r = 0;

	for (size_t i = 0; l->readonly_paths && l->readonly_paths[i] && !r; i++)
		r = readonly_path(rootfd, l->readonly_paths[i], err);
	for (size_t i = 0; l->masked_paths && l->masked_paths[i] && !r; i++)
		r = mask_path(&m, rootfd, l->masked_paths[i], err);
	if (m.null >= 0)
		close(m.null);
	if (m.dir >= 0)
		close(m.dir);
	return r;
}

int rootfs_readonly(const struct oci_config *config, int rootfd, struct err *err)
{
	int r;

	if (!config->root.readonly)
		return 0;
	r = mount_set(rootfd, false, MOUNT_ATTR_RDONLY, 0, 0);
	return r < 0 ? err_sys(err, r, "root.readonly") : 0;
}

static int pivot(struct err *err)
{
	cleanup_fd int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0)
		return err_sys(err, -errno, "open the old root");
	if (sys_pivot_root(".", ".") < 0)
		return err_sys(err, -errno, "pivot_root%s",
			       errno == EINVAL ? " (is the rootfs on a ramdisk? then use --no-pivot)" : "");
	/* mount(2) does not look for what lies on ".", and the old root lies on the new one: it is reached by its fd */
	if (fchdir(old) < 0)
		return err_sys(err, -errno, "pivot_root: enter the old root");
	/* what it unmounts must not go back to the host */
	if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return err_sys(err, -errno, "pivot_root: cut off the old root");
	if (umount2(".", MNT_DETACH) < 0)
		return err_sys(err, -errno, "pivot_root: unmount the old root");
	return 0;
}

/* A field of a mountinfo line, with its octal escapes resolved. Owned. */
static char *unescape(const char *s, size_t n)
{
	struct str b = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\' && i + 3 < n) {
			str_addc(&b, (char)((s[i + 1] - '0') * 64 + (s[i + 2] - '0') * 8 + (s[i + 3] - '0')));
			i += 3;
		} else {
			str_addc(&b, s[i]);
		}
	}
	return str_steal(&b);
}

/*
 * Without pivot_root the host's mounts stay below the new root. A bare procfs or sysfs among them could be reached
 * again by who may mount (it would count as fully visible): they are unmounted or covered.
 */
static int hide_host_proc(const char *root_path, struct err *err)
{
	cleanup_free char *text = NULL;
	char *save, *line;
	int r = fd_slurp_at(AT_FDCWD, "/proc/self/mountinfo", 64 << 20, &text, NULL);

	if (r < 0)
		return err_sys(err, r, "read mountinfo");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		cleanup_free char *point = NULL;
		char *p = line, *type = strstr(line, " - ");

		for (int field = 0; field < 4 && p; field++)
			p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL;
		if (!p || !type || (strncmp(type + 3, "proc ", 5) && strncmp(type + 3, "sysfs ", 6)))
			continue;
		point = unescape(p, strcspn(p, " "));
		if (path_is_below(point, root_path))
			continue;
		if (mount(NULL, point, NULL, MS_SLAVE | MS_REC, NULL) < 0 && errno != EINVAL && errno != ENOENT)
			return err_sys(err, -errno, "hide %s", point);
		if (umount2(point, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT &&
		    (errno != EPERM || mount("tmpfs", point, "tmpfs", MS_RDONLY, "size=0k") < 0))
			return err_sys(err, -errno, "hide %s", point);
	}
	return 0;
}

static int move_root(struct err *err)
{
	char path[4096];

	if (!getcwd(path, sizeof(path)))
		return err_sys(err, -errno, "getcwd");
	if (hide_host_proc(path, err) < 0)
		return err ? err->code : -EIO;
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
		return err_sys(err, -errno, "move the root mount");
	if (chroot(".") < 0)
		return err_sys(err, -errno, "chroot");
	return 0;
}

int rootfs_enter(const struct oci_config *config, int rootfd, bool no_pivot, bool new_mounts, struct err *err)
{
	unsigned long propagation = config->linux_.rootfs_propagation;
	int r = 0;

	if (fchdir(rootfd) < 0)
		return err_sys(err, -errno, "enter the rootfs");
	if (!new_mounts) {
		if (chroot(".") < 0)
			return err_sys(err, -errno, "chroot");
	} else {
		r = no_pivot ? move_root(err) : pivot(err);
		if (r < 0)
			return r;
	}
	if (chdir("/") < 0)
		return err_sys(err, -errno, "chdir to the new root");
	if (new_mounts && propagation && mount(NULL, "/", NULL, propagation, NULL) < 0)
		return err_sys(err, -errno, "linux.rootfsPropagation");
	return 0;
}
