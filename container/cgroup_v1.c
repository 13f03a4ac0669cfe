/* SPDX-License-Identifier: Apache-2.0 */
/* What only cgroup v1 hierarchies have.
 *
 * Theory: a new cpuset is empty and takes no process until it has CPUs and memory nodes; they are copied from the
 * parent, from the mount point downwards, where nobody set them. The v1 freezer is a request: the state stays
 * FREEZING while a task is in uninterruptible sleep or has just been forked, and reading it is what moves it on, so
 * it is read until it says FROZEN. Thawing is done at once, unless an ancestor is frozen too. Kernel:
 * cgroup-v1/cpusets.rst, freezer-subsystem.rst.
 */
#include "container/cgroup_v1.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "container/cgroup_dir.h"

#define FREEZE_TIMEOUT_MS 10000

static bool blank(const char *s)
{
	return !s[strspn(s, " \n\t")];
}

/* Fills one file of dir from *value when empty, else takes its value for the directories below. */
static int cpuset_file(const char *dir, const char *name, char **value, struct err *err)
{
	cleanup_free char *file = path_join(dir, name);
	char *text = NULL;
	int r = fd_slurp_at(AT_FDCWD, file, 65536, &text, NULL);

	if (r < 0)
		return err_sys(err, r, "cgroup: %s", file);
	if (!blank(text)) {
		free(*value);
		*value = text;
		return 0;
	}
	free(text);
	if (!*value)
		return 0;
	r = fd_write_file_at(AT_FDCWD, file, *value);
	return r < 0 ? err_sys(err, r, "cgroup: write %s", file) : 0;
}

int cgroup_v1_cpuset_init(struct cgroup_dir *d, struct err *err)
{
	cleanup_free char *cpus = NULL, *mems = NULL;
	cleanup_free char *at = xstrdup(d->path);
	cleanup_free char *text = NULL;
	int r = 0;

	if (cgroup_dir_read(d, "cpuset.cpus", &text) == 0 && !blank(text)) {
		free(steal_ptr(text));
		if (cgroup_dir_read(d, "cpuset.mems", &text) == 0 && !blank(text))
			return 0;
	}
	for (size_t i = strlen(d->mount), len = strlen(at); i <= len && r == 0; i++) {
		char saved = at[i];

		if (saved != '/' && saved)
			continue;
		at[i] = '\0';
		r = cpuset_file(at, "cpuset.cpus", &cpus, err);
		if (r == 0)
			r = cpuset_file(at, "cpuset.mems", &mems, err);
		at[i] = saved;
	}
	return r;
}

int cgroup_v1_freeze(struct cgroup_dir *d, struct err *err)
{
	int r = cgroup_dir_open(d);
	long waited_us = 0, pause_us = 50;

	if (r < 0)
		return err_sys(err, r, "cgroup: %s", d->path);
	while (waited_us < FREEZE_TIMEOUT_MS * 1000L) {
		cleanup_free char *state = NULL;

		/* written again and again: tasks forked meanwhile are caught by the next request */
		r = fd_write_file_at(d->fd, "freezer.state", "FROZEN");
		if (r >= 0)
			r = cgroup_dir_read(d, "freezer.state", &state);
		if (r < 0)
			return err_sys(err, r, "cgroup: write FROZEN to %s/freezer.state", d->path);
		if (!strcmp(state, "FROZEN"))
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = pause_us * 1000 }, NULL);
		waited_us += pause_us;
		pause_us = pause_us < 20000 ? pause_us * 2 : pause_us;
	}
	fd_write_file_at(d->fd, "freezer.state", "THAWED");
	return err_set(err, -ETIMEDOUT, "cgroup: %s did not freeze within %d s", d->path, FREEZE_TIMEOUT_MS / 1000);
}

static int write_thawed(int dirfd, void *arg)
{
	(void)arg;
	return fd_write_file_at(dirfd, "freezer.state", "THAWED");
}

int cgroup_v1_thaw(struct cgroup_dir *d, bool below, struct err *err)
{
	cleanup_free char *state = NULL, *by = NULL;
	int r = cgroup_dir_walk(d, below, write_thawed, NULL);

	if (r < 0)
		return err_sys(err, r, "cgroup: write THAWED to %s/freezer.state", d->path);
	if (cgroup_dir_read(d, "freezer.state", &state) < 0 || !strcmp(state, "THAWED"))
		return 0;
	by = cgroup_v1_frozen_by(d->mount, d->path);
	return by ? err_set(err, -EBUSY, "cgroup: %s cannot be thawed: %s is frozen", d->path, by) : 0;
}

char *cgroup_v1_frozen_by(const char *mount, const char *path)
{
	cleanup_free char *at = xstrdup(path);

	for (; strlen(at) > strlen(mount); *strrchr(at, '/') = '\0') {
		cleanup_free char *file = path_join(at, "freezer.self_freezing");
		cleanup_free char *text = NULL;

		if (fd_slurp_at(AT_FDCWD, file, 16, &text, NULL) == 0 && *text == '1')
			return steal_ptr(at);
	}
	return NULL;
}
