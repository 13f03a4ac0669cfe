/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts of type cgroup.
 *
 * On a pure cgroup2 host it is one mount of cgroup2, which a new cgroup namespace roots at the container's own group;
 * where a user namespace forbids that, the container's own group is bound from the host's mount. On hosts with v1
 * hierarchies (hybrid ones too) the container gets what it would see on the host: a tmpfs with a directory
 * a hierarchy and links for controllers mounted together. Without a cgroup namespace only the container's own
 * directories are shown; a rootless container without one gets them read-only (CVE-2023-25809).
 */
#include "container/mount_cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/sys.h"
#include "container/cgroup.h"
#include "container/mount.h"
#include "container/mount_words.h"
#include "oci/config.h"

#define HOST_CGROUP "/sys/fs/cgroup"

/* One line of /proc/self/cgroup: "4:cpu,cpuacct:/path". */
struct hierarchy {
	char *names; /* "" for cgroup2 */
	char *path;
};

static struct hierarchy *own_hierarchies(size_t *ret_n)
{
	cleanup_free char *text = NULL;
	struct hierarchy *v = NULL;
	size_t n = 0;
	char *save, *line;

	*ret_n = 0;
	if (fd_slurp_at(AT_FDCWD, "/proc/self/cgroup", 1 << 20, &text, NULL) < 0)
		return NULL;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		v = xreallocarray(v, n + 1, sizeof(*v));
		v[n++] = (struct hierarchy){ .names = xstrdup(names + 1), .path = xstrdup(path) };
	}
	*ret_n = n;
	return v;
}

static void free_hierarchies(struct hierarchy *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].names);
		free(v[i].path);
	}
	free(v);
}

/* Binds host directory dir onto target with the words' flags. 0 or -errno. */
static int bind_dir(const char *dir, const struct mount_words *w, uint64_t also, int target)
{
	cleanup_fd int tree = mount_clone(AT_FDCWD, dir, true);
	int r;

	if (tree < 0)
		return tree;
	r = mount_set(tree, true, w->set | also, 0, 0);
	return r < 0 ? r : mount_attach(tree, target);
}

/* mount(2) refuses the hierarchy on top of itself (a /sys bound from the host has it there); apart it can be made. */
static int mount_apart(const struct mount_words *w, int target)
{
	cleanup_fd int fs = fsopen("cgroup2", FSOPEN_CLOEXEC);
	cleanup_fd int tree = -1;
	int r;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	tree = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (tree < 0)
		return -errno;
	r = mount_set(tree, false, w->set, 0, 0);
	return r < 0 ? r : mount_attach(tree, target);
}

static int apply_v2(struct mount_context *c, const struct oci_mount *m, const struct mount_words *w, int target,
		    struct err *err)
{
	uint64_t also = c->userns && !c->cgroupns ? MOUNT_ATTR_RDONLY : 0;
	struct hierarchy *v;
	char path[FD_PATH_MAX];
	size_t n;
	int r;

	if (!mount("cgroup", fd_path(target, path), "cgroup2", w->flags, str_get(&w->data)))
		return 0;
	r = -errno;
	if (r == -EBUSY && c->cgroupns)
		r = mount_apart(w, target);
	if (r == 0)
		return 0;
	if (r != -EPERM && r != -EBUSY)
		return err_sys(err, r, "mount \"cgroup\" to \"%s\"", m->destination);
	v = own_hierarchies(&n);
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *dir = NULL;

		if (*v[i].names)
			continue;
		dir = path_join(HOST_CGROUP, c->cgroupns ? "/" : v[i].path);
		r = bind_dir(dir, w, also, target);
		if (r == -ENOENT)
			r = bind_dir(HOST_CGROUP, w, also, target);
	}
	free_hierarchies(v, n);
	return r < 0 ? err_sys(err, r, "mount \"cgroup\" to \"%s\"", m->destination) : 0;
}

/* "cpu,cpuacct" in one directory, and a link for each of the two. */
static void link_controllers(int top, const char *dir)
{
	cleanup_strv char **names = strv_split(dir, ',');

	if (strv_len(names) < 2)
		return;
	for (size_t i = 0; names[i]; i++)
		(void)symlinkat(dir, top, names[i]);
}

static int one_v1(struct mount_context *c, const struct hierarchy *h, const struct mount_words *w, int top)
{
	const char *dir = !*h->names ? "unified" : str_starts(h->names, "name=") ? h->names + 5 : h->names;
	cleanup_free char *source = NULL;
	char path[FD_PATH_MAX];
	cleanup_fd int target = -1;
	uint64_t also = c->userns && !c->cgroupns ? MOUNT_ATTR_RDONLY : 0;

	source = xasprintf("%s/%s%s", HOST_CGROUP, dir, c->cgroupns ? "" : h->path);
	if (faccessat(AT_FDCWD, source, F_OK, AT_EACCESS) < 0)
		return 0; /* not mounted on the host */
	if (mkdirat(top, dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	target = openat(top, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return -errno;
	link_controllers(top, dir);
	if (!c->cgroupns)
		return bind_dir(source, w, also, target);
	if (!mount("cgroup", fd_path(target, path), *h->names ? "cgroup" : "cgroup2", w->flags,
		   *h->names ? h->names : NULL))
		return 0;
	log_debug("mount: cgroup %s: %s", dir, strerrordesc_np(errno));
	return errno == EPERM || errno == EBUSY || errno == EINVAL ? 0 : -errno;
}

/* The writable tmpfs that v1's hierarchies are put into. *ret_top is its directory. */
static int mount_v1_top(struct mount_context *c, const struct oci_mount *m, unsigned long flags, int target,
			int *ret_top, struct err *err)
{
	cleanup_free char *clean = xasprintf("/%s", m->destination);
	char path[FD_PATH_MAX];
	int top;

	flags &= ~(unsigned long)MS_RDONLY;
	if (mount("tmpfs", fd_path(target, path), "tmpfs", flags, "mode=755,size=1m") < 0)
		return err_sys(err, -errno, "mount \"tmpfs\" to \"%s\"", m->destination);
	top = path_open_in(c->rootfd, clean, O_PATH | O_DIRECTORY, 0);
	if (top < 0)
		return err_sys(err, top, "open \"%s\"", m->destination);
	*ret_top = top;
	return 0;
}

int mount_cgroup_systemd_v1(struct mount_context *c, const struct oci_mount *m, const struct mount_words *w,
			    struct err *err)
{
	cleanup_fd int target = mount_target(c->rootfd, m->destination, false, 0755);
	cleanup_fd int top = -1;
	cleanup_fd int dir = -1;
	char path[FD_PATH_MAX];
	int r = target;

	if (r >= 0)
		r = mount_v1_top(c, m, w->flags, target, &top, err);
	if (r < 0)
		return err->code ? r :
				   err_sys(err, r, "mount \"cgroup\" to \"%s\": make the mount point", m->destination);
	if (mkdirat(top, "systemd", 0755) < 0)
		return err_sys(err, -errno, "mkdir %s/systemd", m->destination);
	dir = openat(top, "systemd", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || mount("cgroup", fd_path(dir, path), "cgroup", w->flags, "none,name=systemd,xattr") < 0)
		return err_sys(
			err, -errno,
			"annotations[run.oci.systemd.force_cgroup_v1]: mount \"cgroup\" to \"%s/systemd\" (is the "
			"hierarchy name=systemd mounted on the host?)",
			m->destination);
	r = w->flags & MS_RDONLY ? mount_set(top, false, MOUNT_ATTR_RDONLY, 0, 0) : 0;
	return r < 0 ? err_sys(err, r, "mount \"cgroup\" to \"%s\"", m->destination) : 0;
}

static int apply_v1(struct mount_context *c, const struct oci_mount *m, const struct mount_words *w, int target,
		    struct err *err)
{
	struct hierarchy *v;
	cleanup_fd int top = -1;
	size_t n;
	int r;

	r = mount_v1_top(c, m, w->flags, target, &top, err);
	if (r < 0)
		return r;
	v = own_hierarchies(&n);
	for (size_t i = 0; i < n && r >= 0; i++)
		r = one_v1(c, &v[i], w, top);
	free_hierarchies(v, n);
	if (r >= 0 && (w->flags & MS_RDONLY))
		r = mount_set(top, false, MOUNT_ATTR_RDONLY, 0, 0);
	return r < 0 ? err_sys(err, r, "mount \"cgroup\" to \"%s\"", m->destination) : 0;
}

int mount_cgroup_apply(struct mount_context *c, const struct oci_mount *m, struct mount_words *w, struct err *err)
{
	cleanup_free char *clean = xasprintf("/%s", m->destination);
	cleanup_fd int target = mount_target(c->rootfd, clean, false, 0755);
	enum cgroup_mode mode = cgroup_mode();
	cleanup_fd int top = -1;
	int r;

	if (target < 0)
		return err_sys(err, target, "mount \"cgroup\" to \"%s\": make the mount point", m->destination);
	if (mode == CGROUP_MODE_V2 || !strcmp(m->type, "cgroup2"))
		r = apply_v2(c, m, w, target, err);
	else
		r = apply_v1(c, m, w, target, err);
	if (r < 0 || !w->n_propagation)
		return r;
	top = path_open_in(c->rootfd, clean, O_PATH | O_DIRECTORY, 0);
	for (unsigned int i = 0; i < w->n_propagation && r >= 0; i++)
		r = mount_set(top, w->propagation[i] & MS_REC, 0, 0, w->propagation[i] & ~(unsigned long)MS_REC);
	return r < 0 ? err_sys(err, r, "mount \"cgroup\" to \"%s\": set propagation", m->destination) : 0;
}
