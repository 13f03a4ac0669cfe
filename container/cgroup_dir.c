/* SPDX-License-Identifier: Apache-2.0 */
/* One container's directory in one hierarchy.
 *
 * Theory: the manager holds one struct cgroup_dir for each hierarchy of the host. What is ours is decided once,
 * before anything is made: `made` is the topmost directory that was missing then. It stands in the state file
 * before the first mkdir(2), so that a killed create can be undone, and nothing that was there before is ever
 * removed. Ancestors that we made may meanwhile serve others: they go only while rmdir(2) finds them empty, and
 * making is repeated where such an rmdir of another amphi took an ancestor away. Runs on the host's or the guest's
 * cgroup files, in the parent; changes nothing but directories and membership. Kernel: cgroup-v1/cgroups.rst,
 * cgroup-v2.rst.
 */
#include "container/cgroup_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"

#define MAKE_ATTEMPTS 16
#define FILE_MAX_BYTES (4 << 20)
#define DEPTH_MAX 64

void cgroup_dir_plan(struct cgroup_dir *d)
{
	size_t mount_len = strlen(d->mount);
	char *at = xstrdup(d->path);

	free(d->made);
	d->made = NULL;
	while (strlen(at) > mount_len && access(at, F_OK) < 0 && errno == ENOENT) {
		free(d->made);
		d->made = at;
		at = xstrdup(at);
		*strrchr(at, '/') = '\0';
	}
	free(at);
}

/* mkdir of path and its missing ancestors below made; *leaf_new tells whether path itself was new. */
static int make_path(const char *path, size_t made_len, bool *leaf_new)
{
	cleanup_free char *p = xstrdup(path);
	size_t len = strlen(p);

	for (size_t i = made_len; i <= len; i++) {
		if (p[i] != '/' && p[i] != '\0')
			continue;
		char saved = p[i];

		p[i] = '\0';
		int r = mkdir(p, 0755) < 0 ? -errno : 0;

		p[i] = saved;
		if (r < 0 && r != -EEXIST)
			return r;
		if (i == len)
			*leaf_new = r == 0;
	}
	return 0;
}

int cgroup_dir_open(struct cgroup_dir *d)
{
	if (d->fd >= 0)
		return 0;
	d->fd = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return d->fd < 0 ? -errno : 0;
}

int cgroup_dir_make(struct cgroup_dir *d, struct err *err)
{
	int r = -ENOENT;

	if (!d->made) {
		r = cgroup_dir_open(d);
		return r < 0 ? err_sys(err, r, "cgroup: %s", d->path) : 0;
	}
	for (int i = 0; i < MAKE_ATTEMPTS && r == -ENOENT; i++) {
		bool leaf_new = false;

		/* the plan's missing ancestors first; should one above have gone meanwhile, from the mount point on */
		r = make_path(d->path, i ? strlen(d->mount) + 1 : strlen(d->made), &leaf_new);
		if (r == 0 && !leaf_new) {
			free(d->made);
			d->made = NULL; /* not ours to remove */
			return err_set(err, -EBUSY, "container's cgroup is in use: somebody else made %s just now",
				       d->path);
		}
		if (r == 0)
			r = cgroup_dir_open(d);
	}
	return r < 0 ? err_sys(err, r, "cgroup: cannot create %s", d->path) : 0;
}

bool cgroup_dir_has(const struct cgroup_dir *d, const char *controller)
{
	size_t len;

	if (!controller)
		return d->v2;
	if (d->v2)
		return false;
	len = strlen(controller);
	for (const char *p = d->name; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
		if (!strncmp(p, controller, len) && (p[len] == ',' || !p[len]))
			return true;
	return false;
}

struct cgroup_dir *cgroup_dir_find(const struct cgroup_manager *m, const char *controller)
{
	for (size_t i = 0; i < m->n_dirs; i++)
		if (cgroup_dir_has(&m->dirs[i], controller))
			return &m->dirs[i];
	return NULL;
}

int cgroup_dir_read(const struct cgroup_dir *d, const char *file, char **ret)
{
	cleanup_free char *path = d->fd >= 0 ? NULL : path_join(d->path, file);
	char *text = NULL;
	size_t len = 0;
	int r = fd_slurp_at(d->fd >= 0 ? d->fd : AT_FDCWD, path ? path : file, FILE_MAX_BYTES, &text, &len);

	if (r < 0)
		return r;
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	*ret = text;
	return 0;
}

int cgroup_dir_key(const char *text, const char *key, unsigned long long *ret)
{
	size_t len = strlen(key);

	for (const char *l = text; l; l = strchr(l, '\n'), l = l ? l + 1 : NULL)
		if (!strncmp(l, key, len) && l[len] == ' ') {
			*ret = strtoull(l + len + 1, NULL, 10);
			return 0;
		}
	return -ENOENT;
}

/* Calls fn for the directory (fd borrowed) and then for everything below it. A directory that vanishes is passed over. */
static int walk(int parent, const char *name, unsigned int depth, cgroup_dir_fn *fn, void *arg)
{
	cleanup_fd int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	struct stat st;
	int r, copy;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = fn(fd, arg);
	if (r != 0)
		return r == -ENOENT || r == -ENODEV ? 0 : r;
	/* the link count of a cgroup directory is 2 + its children: no listing where there is none */
	if (depth == 0 || (fstat(fd, &st) == 0 && st.st_nlink == 2))
		return 0;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		r = walk(fd, e->d_name, depth - 1, fn, arg);
		if (r != 0)
			return r;
	}
	return 0;
}

int cgroup_dir_walk(const struct cgroup_dir *d, bool below, cgroup_dir_fn *fn, void *arg)
{
	return walk(AT_FDCWD, d->path, below ? DEPTH_MAX : 0, fn, arg);
}

struct pid_list {
	pid_t *v;
	size_t n;
};

static int collect_procs(int dirfd, void *arg)
{
	struct pid_list *list = arg;
	cleanup_free char *text = NULL;
	int r = fd_slurp_at(dirfd, "cgroup.procs", FILE_MAX_BYTES, &text, NULL);

	if (r == -EOPNOTSUPP) { /* a threaded cgroup shows only threads; its processes are listed at the domain */
		return 0;
	}
	if (r < 0)
		return r;
	for (char *p = text; *p;) {
		char *end;
		long pid = strtol(p, &end, 10);

		if (end == p)
			break;
		if (pid > 0) { /* 0: a process outside of our pid namespace */
			list->v = xreallocarray(list->v, list->n + 1, sizeof(*list->v));
			list->v[list->n++] = (pid_t)pid;
		}
		p = *end ? end + 1 : end;
	}
	return 0;
}

int cgroup_dir_procs(const struct cgroup_dir *d, pid_t **pids, size_t *n)
{
	struct pid_list list = { *pids, *n };
	int r = cgroup_dir_walk(d, true, collect_procs, &list);

	*pids = list.v;
	*n = list.n;
	return r;
}

static int any_proc(int dirfd, void *arg)
{
	cleanup_fd int fd = openat(dirfd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char c;
	ssize_t n = fd < 0 ? -1 : read(fd, &c, 1);

	return n < 0 ? (errno == EOPNOTSUPP ? 0 : -errno) : n > 0;
}

int cgroup_dir_populated(const struct cgroup_dir *d)
{
	cleanup_free char *text = NULL;
	unsigned long long n;
	int r;

	if (!d->v2)
		return cgroup_dir_walk(d, true, any_proc, NULL);
	r = cgroup_dir_read(d, "cgroup.events", &text);
	if (r < 0)
		return r == -ENOENT || r == -ENODEV ? 0 : r;
	return cgroup_dir_key(text, "populated", &n) == 0 && n;
}

int cgroup_dir_frozen(const struct cgroup_dir *d)
{
	size_t mount_len = strlen(d->mount);
	cleanup_free char *at = xstrdup(d->path);

	while (strlen(at) > mount_len) {
		cleanup_free char *text = NULL;
		cleanup_free char *file = path_join(at, d->v2 ? "cgroup.events" : "freezer.state");
		unsigned long long n;

		int r = fd_slurp_at(AT_FDCWD, file, 4096, &text, NULL);

		if (r == 0) {
			if (d->v2)
				return cgroup_dir_key(text, "frozen", &n) == 0 && n;
			return str_starts(text, "FR"); /* FROZEN, FREEZING */
		}
		if (r != -ENOENT || access(at, F_OK) == 0)
			return 0; /* a top-level v1 cgroup or an unreadable one */
		*strrchr(at, '/') = '\0';
	}
	return 0;
}

int cgroup_dir_enter(struct cgroup_dir *d, const char *sub, pid_t pid)
{
	cleanup_free char *file = sub ? path_join(sub, "cgroup.procs") : xstrdup("cgroup.procs");
	char text[16];
	int r = cgroup_dir_open(d);

	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "%d", pid);
	return fd_write_file_at(d->fd, file[0] == '/' ? file + 1 : file, text);
}

/* rmdir from the leaves up; -EBUSY where something lives. */
static int remove_below(int parent, const char *name, unsigned int depth)
{
	cleanup_fd int fd = -1;
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	int copy, ret = 0;

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	dir = copy < 0 ? NULL : fdopendir(copy);
	while (dir && depth && (e = readdir(dir))) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		int r = remove_below(fd, e->d_name, depth - 1);

		ret = ret < 0 ? ret : r;
	}
	if (ret < 0)
		return ret;
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

static unsigned long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned long long)ts.tv_sec * 1000 + (unsigned long long)ts.tv_nsec / 1000000;
}

int cgroup_dir_remove(struct cgroup_dir *d, unsigned int deadline_ms)
{
	unsigned long long end = now_ms() + deadline_ms;
	long pause_us = 500;
	int r;

	if (!d->made)
		return 0;
	while ((r = remove_below(AT_FDCWD, d->path, DEPTH_MAX)) == -EBUSY && now_ms() < end) {
		nanosleep(&(struct timespec){ .tv_nsec = pause_us * 1000 }, NULL);
		pause_us = pause_us < 50000 ? pause_us * 2 : pause_us;
	}
	if (r < 0)
		return r;
	cleanup_free char *at = xstrdup(d->path);

	while (strlen(at) > strlen(d->made)) {
		*strrchr(at, '/') = '\0';
		if (rmdir(at) < 0)
			break; /* others live there by now, or it is gone */
	}
	return 0;
}

int cgroup_dir_chown(const struct cgroup_dir *d, uid_t uid)
{
	static const char *const fallback[] = { "cgroup.procs", "cgroup.subtree_control", "cgroup.threads", NULL };
	cleanup_free char *text = NULL;
	cleanup_strv char **files = NULL;

	if (chown(d->path, uid, (gid_t)-1) < 0)
		return -errno;
	if (fd_slurp_at(AT_FDCWD, "/sys/kernel/cgroup/delegate", 65536, &text, NULL) == 0)
		files = strv_split(text, '\n');
	else
		files = strv_dup((char *const *)fallback);
	for (char **f = files; *f; f++) {
		if (!**f)
			continue;
		cleanup_free char *file = path_join(d->path, *f);

		if (lchown(file, uid, (gid_t)-1) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

void cgroup_dir_release(struct cgroup_dir *d)
{
	free(d->name);
	free(d->mount);
	free(d->path);
	free(d->made);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}
