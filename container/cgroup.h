/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct cgroup_manager: one container's control groups, in every hierarchy of this host (v1 controllers, the
 * cgroup2 tree, or both on a hybrid host), made by writing files or by asking systemd for a scope.
 *
 * Order of calls for a create:
 *	cgroup_new()      resolves names, looks at the host, refuses what cannot be had; touches nothing
 *	cgroup_save()     belongs into the "creating" record before the next call
 *	cgroup_create()   directories and limits (cgroupfs); with systemd only the slice is looked at
 *	cgroup_fd()       for clone3(CLONE_INTO_CGROUP), where there is one
 *	cgroup_enter()    by the parent with the child's pid: always, it is a no-op where nothing is left to do;
 *	                  afterwards the child may unshare its cgroup namespace
 * delete: cgroup_load(), cgroup_kill(), cgroup_destroy(). Nothing here keeps state in memory between processes.
 */
#ifndef CONTAINER_CGROUP_H
#define CONTAINER_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/json.h"

struct oci_pair;
struct oci_resources;
struct cgroup_stats;

enum cgroup_driver { CGROUP_DRIVER_FS, CGROUP_DRIVER_SYSTEMD, CGROUP_DRIVER_DISABLED, CGROUP_DRIVER_MAX };

/* How the host has its hierarchies. */
enum cgroup_mode { CGROUP_MODE_NONE, CGROUP_MODE_V1, CGROUP_MODE_HYBRID, CGROUP_MODE_V2 };

struct cgroup_params {
	const char *id;           /* container id: default name */
	const char *cgroups_path; /* linux.cgroupsPath or NULL */
	enum cgroup_driver driver;
	bool rootless;   /* no privileges over the host: absence is tolerated when no limit is asked */
	bool delegate;   /* owner_uid gets the cgroup2 directory: see cgroup_plan_owner() */
	uid_t owner_uid; /* an id of the host */
	const struct oci_resources *resources; /* may be NULL */
	const struct oci_pair *annotations;    /* of the config: org.systemd.property.NAME; may be NULL */
	size_t n_annotations;
};

struct cgroup_manager;

/* "cgroupfs", "systemd", "disabled". 0 or -EINVAL. */
int cgroup_driver_parse(const char *word, enum cgroup_driver *ret);
const char *cgroup_driver_name(enum cgroup_driver driver);
/* Looks at the mount table once per process. */
enum cgroup_mode cgroup_mode(void);
/* Is this process in a cgroup tree run by systemd (/run/systemd/system exists)? */
bool cgroup_systemd_booted(void);

/*
 * Plans the container's cgroups; no side effects. cgroupsPath: absolute: below each hierarchy's mount point;
 * relative or absent (then the id): below our own cgroup on v1, beside it on v2. With systemd
 * "slice:prefix:name" (any may be empty). Errors: a path with ".." or an empty name (-EINVAL, "linux.cgroupsPath:
 * …"); a cgroup with processes or frozen (-EBUSY: "container's cgroup is not empty: …", "container's cgroup
 * unexpectedly frozen"); a limit whose controller does not exist here (names the JSON path). Rootless without
 * delegation and without limits: a manager without directories. On success *ret is owned (cgroup_free()).
 */
int cgroup_new(const struct cgroup_params *params, struct cgroup_manager **ret, struct err *err);
void cgroup_free(struct cgroup_manager *m);
static inline void cleanup_cgroup_fn(struct cgroup_manager **m)
{
	cgroup_free(*m);
}
#define cleanup_cgroup CLEANUP(cleanup_cgroup_fn)

/* Writes the manager as the object member key; cgroup_load() reads that object. */
void cgroup_save(const struct cgroup_manager *m, const char *key, struct json_writer *w);
int cgroup_load(const struct json *v, struct cgroup_manager **ret, struct err *err);

/*
 * Makes the directories and applies params.resources (limits, device rules). Only directories which this call
 * made are removed when it fails. params given to cgroup_new() must still be alive. A cgroup that came into
 * use since cgroup_new() is refused with -EBUSY.
 */
int cgroup_create(struct cgroup_manager *m, struct err *err);
/* Directory fd for CLONE_INTO_CGROUP (borrowed, CLOEXEC), -1 where cgroup_enter() must do it alone. */
int cgroup_fd(struct cgroup_manager *m);
/*
 * Moves pid into the cgroups (v1: every hierarchy; systemd: starts the scope with it, then applies what
 * systemd cannot express). The process must not have run the workload yet.
 */
int cgroup_enter(struct cgroup_manager *m, pid_t pid, struct err *err);
/*
 * Moves another process (exec) in: below the container's cgroup in sub (runc exec --cgroup, NULL: the
 * container's; "controller[,controller]:path" or "path"). v2: where the cgroup refuses because of inner
 * processes and sub is NULL, joins the cgroup of init_pid. In a frozen cgroup pid stops until it is thawed.
 */
int cgroup_enter_exec(struct cgroup_manager *m, pid_t pid, char *const *sub, pid_t init_pid, struct err *err);
/* An fd for CLONE_INTO_CGROUP of an exec'd process without sub (owned by the caller), or -errno (then use enter). */
int cgroup_exec_fd(struct cgroup_manager *m, pid_t init_pid);

/* Is any control group there at all (false: disabled, or rootless without delegation)? */
bool cgroup_exists(const struct cgroup_manager *m);
/* Absolute directory of a v1 controller ("memory") or, with controller NULL or unified, of the cgroup2 one. NULL: none. Borrowed. */
const char *cgroup_dir(const struct cgroup_manager *m, const char *controller);
/* Scope unit name with the systemd driver, else NULL. Borrowed. */
const char *cgroup_scope(const struct cgroup_manager *m);

/* Applies changed resources to a live container; fields that are not set stay. All or an error naming the field. */
int cgroup_update(struct cgroup_manager *m, const struct oci_resources *resources, struct err *err);

/* Freezes or thaws everything in the cgroup and waits (bounded) until it is so. -EOPNOTSUPP without a freezer. */
int cgroup_freeze(struct cgroup_manager *m, struct err *err);
int cgroup_thaw(struct cgroup_manager *m, struct err *err);
/*
 * For pid, which got SIGKILL, to die of it: thaws all of the container's cgroup, as a v1 freezer holds killed processes
 * too, and takes it back there from another one that is frozen. -EBUSY when a cgroup above it is frozen: named.
 */
int cgroup_thaw_killed(struct cgroup_manager *m, pid_t pid, struct err *err);
/* 1 frozen, 0 not (also when the cgroup is gone), or -errno. */
int cgroup_frozen(const struct cgroup_manager *m);
/*
 * Sends sig to every process in the cgroup and below. SIGKILL: cgroup.kill, or frozen while signalling on v1 and where
 * the directory was there before (then thawed). 0 also when the cgroup is empty or gone.
 */
int cgroup_kill(struct cgroup_manager *m, int sig, struct err *err);
/* Host pids of every process in the cgroup and below, ascending; owned. A cgroup that is gone has none. */
int cgroup_procs(const struct cgroup_manager *m, pid_t **ret, size_t *ret_n, struct err *err);
/* Does anything live in the cgroup? 1, 0 or -errno. */
int cgroup_populated(const struct cgroup_manager *m);
/*
 * Removes what cgroup_create() made and every cgroup below it. Processes must be dead; waits (bounded, 10 s)
 * for their last exits. Repeatable; a missing cgroup is success.
 */
int cgroup_destroy(struct cgroup_manager *m, struct err *err);

/*
 * Fills ret (cgroup_stats_free()) from the files of every controller; what a kernel lacks is zero. -ENOENT when
 * the cgroup is gone. The struct is in container/cgroup_stats.h, out-of-memory events in container/cgroup_oom.h.
 */
int cgroup_stats_read(const struct cgroup_manager *m, struct cgroup_stats *ret, struct err *err);

#endif
