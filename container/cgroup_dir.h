/* SPDX-License-Identifier: Apache-2.0 */
/* One container's directory in one hierarchy, either version: made, entered, listed, removed. And the manager's innards. */
#ifndef CONTAINER_CGROUP_DIR_H
#define CONTAINER_CGROUP_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "container/cgroup.h"

struct cgroup_dir {
	char *name; /* hierarchy as in struct cgroup_hier: "memory", "" for cgroup2; owned */
	bool v2;
	char *mount; /* owned */
	char *path;  /* absolute; owned */
	char *made;  /* topmost directory that is ours to make and to remove; NULL: path was there before; owned */
	int fd;      /* O_PATH of path; -1 */
};

struct cgroup_manager {
	/* identity */
	char *id;
	enum cgroup_driver driver;
	bool rootless;
	char *slice, *scope; /* systemd driver: unit names; else NULL */
	bool user_bus;       /* systemd of the user, not of the system */
	/* configuration, valid between cgroup_new() and cgroup_enter() */
	struct cgroup_params params;
	/* owned resources */
	struct cgroup_dir *dirs; /* empty: no control groups */
	size_t n_dirs;
	bool fd_lent; /* cgroup_fd() was called: the child may be inside already */
};

/* Plans the directory "made" of an absolute path below mount. */
void cgroup_dir_plan(struct cgroup_dir *d);
/* Makes the directory and missing ancestors, opens fd. -EBUSY when somebody else made it since the plan. */
int cgroup_dir_make(struct cgroup_dir *d, struct err *err);
/* Opens fd when it is not. -errno (-ENOENT: gone). */
int cgroup_dir_open(struct cgroup_dir *d);
/* Does the hierarchy hold the controller (NULL: is it cgroup2)? */
bool cgroup_dir_has(const struct cgroup_dir *d, const char *controller);
/* Is it in use? 1 processes in it or below, 0 not (also when missing), -errno. */
int cgroup_dir_populated(const struct cgroup_dir *d);
/* Frozen (itself or by an ancestor; a missing one is asked at its nearest ancestor)? 1, 0; never fails. */
int cgroup_dir_frozen(const struct cgroup_dir *d);
/* Writes the pid into cgroup.procs of path/sub (sub NULL: path). 0 or -errno. */
int cgroup_dir_enter(struct cgroup_dir *d, const char *sub, pid_t pid);
typedef int cgroup_dir_fn(int dirfd, void *arg);
/*
 * Calls fn for path and, with below, for every directory below it, until one returns other than 0: that is returned.
 * A directory that is gone is passed over.
 */
int cgroup_dir_walk(const struct cgroup_dir *d, bool below, cgroup_dir_fn *fn, void *arg);
/* Appends the pids of path and everything below. 0 or -errno; missing is 0. */
int cgroup_dir_procs(const struct cgroup_dir *d, pid_t **pids, size_t *n);
/* Removes path with its children and the made ancestors that are empty, until deadline_ms passed. 0 or -errno. */
int cgroup_dir_remove(struct cgroup_dir *d, unsigned int deadline_ms);
/* Owner of the directory and its delegatable files. 0 or -errno. */
int cgroup_dir_chown(const struct cgroup_dir *d, uid_t uid);
void cgroup_dir_release(struct cgroup_dir *d);

/* The manager's directory for a controller (NULL: cgroup2), or NULL. Borrowed. */
struct cgroup_dir *cgroup_dir_find(const struct cgroup_manager *m, const char *controller);
/* Reads a small file of the directory as text, newline at the end cut; owned. 0 or -errno. */
int cgroup_dir_read(const struct cgroup_dir *d, const char *file, char **ret);
/* "key value" of a flat keyed text: 0 or -ENOENT. */
int cgroup_dir_key(const char *text, const char *key, unsigned long long *ret);

#endif
