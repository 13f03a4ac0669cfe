/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory: <root>/<id>/, created by mkdir(2), locked by flock(2) on its descriptor, holding state.json
 * (versioned, replaced by rename) and the bundle's config.json as it was at create. A "creating" record is
 * written before the first side effect and says what there may be to undo.
 */
#ifndef RUNTIME_STATEDIR_H
#define RUNTIME_STATEDIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "runtime/commands.h"

#define STATEDIR_VERSION 1

/* What state.json says. Strings are owned. */
struct state_record {
	/* identity */
	char *id;
	char *bundle; /* absolute */
	char *rootfs; /* absolute host path */
	char *created; /* RFC 3339 with nanoseconds, UTC */
	uid_t owner;
	/* decisions of the plan that later commands need */
	enum isolation isolation;
	enum vmm_driver vmm;      /* the driver in use, VM mode */
	enum cgroup_driver cgroup_driver;
	bool rootless;
	char *cgroup_path; /* as planned: relative to the cgroup mount, or "slice:prefix:name" for systemd */
	char *cgroup_scope; /* systemd scope, or NULL */
	char **networks;   /* names given by --network, with the lease in network.json */
	char *image;       /* reference whose overlay the images room mounted for us, or NULL */
	/* progress */
	char *phase;       /* "creating" until create ended, then "created" or "started" */
	char *step;        /* while creating: the step that began last; its undo and all before it are due */
	pid_t pid;         /* init or monitor; 0: none yet */
	uint64_t start_time; /* of pid, clock ticks since boot: pid is ours only while this matches */
	char *cgroup_actual; /* what the manager made: an opaque text of its own (cgroup_manager save/load) */
};

struct statedir {
	int root_fd; /* O_PATH of the state root; -1 */
	int fd;      /* readable directory, flock(2)ed; -1 */
	char *path;  /* <root>/<id>, owned */
	char *id;
};

#define STATEDIR_INIT { .root_fd = -1, .fd = -1 }

/* Is id acceptable: [A-Za-z0-9_+-][A-Za-z0-9_+.-]*, at most 1024 bytes, not "." or ".."? 0 or -EINVAL. */
int statedir_check_id(const char *id, struct err *err);
/*
 * Makes the directory (and the root with mode 0700, sticky when rootless) and takes the lock. -EEXIST:
 * "container with given ID already exists".
 */
int statedir_create(const struct globals *g, const char *id, struct statedir *ret, struct err *err);
/*
 * Opens it and takes the lock (waits while another amphi works on this container; wait false: shared use
 * without lock). -ENOENT: "container does not exist".
 */
int statedir_open(const struct globals *g, const char *id, bool lock, struct statedir *ret, struct err *err);
/* Gives the lock back before the descriptor closes (a foreground run waits unlocked). */
int statedir_unlock(struct statedir *d);
int statedir_lock(struct statedir *d, struct err *err);
/* Removes the directory with all files in it. Repeatable. */
int statedir_remove(struct statedir *d, struct err *err);
void statedir_close(struct statedir *d);

/* Writes state.json by temp + rename. */
int statedir_save(const struct statedir *d, const struct state_record *rec, struct err *err);
/* Reads state.json. -ENOENT without a message to print when there is none (killed between mkdir and save). */
int statedir_load(const struct statedir *d, struct state_record *ret, struct err *err);
void state_record_free(struct state_record *rec);
/* The ids below the root, sorted; a missing default root gives none, a missing --root is an error. */
int statedir_list(const struct globals *g, char ***ret_ids, struct err *err);

#endif
