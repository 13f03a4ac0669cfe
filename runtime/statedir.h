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
struct statedir_record {
	/* identity */
	char *id;
	char *bundle;  /* absolute */
	char *rootfs;  /* absolute host path; NULL: none */
	char *created; /* RFC 3339 with nanoseconds, UTC */
	uid_t owner;
	/* decisions of the plan that later commands need */
	enum isolation isolation;
	enum vmm_driver vmm; /* the driver in use, VM mode */
	enum cgroup_driver cgroup_driver;
	bool rootless;
	bool keyring;    /* the workload has a session keyring of its own, which exec joins */
	char **networks; /* names given by --network */
	char *image;     /* reference whose root the images room mounted for us; NULL */
	/* what there is to undo: JSON texts of the rooms that made it, NULL: nothing */
	char *cgroup;  /* cgroup_save() */
	char *network; /* the leases */
	char *machine; /* backend_vm's own */
	/* progress */
	char *phase;         /* "creating" until create ended, then "created"; after start "started" */
	pid_t pid;           /* init or monitor; 0: none yet */
	uint64_t start_time; /* of pid, clock ticks since boot: pid is ours only while this matches */
};

struct statedir {
	int fd;     /* the directory, flock(2)ed when locked; -1 */
	char *path; /* <root>/<id> */
	char *id;
	bool locked;
};

#define STATEDIR_INIT \
	{ \
		.fd = -1 \
	}

/* Is id acceptable: [A-Za-z0-9_+-][A-Za-z0-9_+.-]*, at most 1024 bytes, not "." or ".."? 0 or -EINVAL. */
int statedir_check_id(const char *id, struct err *err);
/*
 * Makes the directory (and the root with mode 0700, sticky when rootless) and takes the lock. -EEXIST:
 * "container with given ID already exists".
 */
int statedir_create(const struct globals *g, const char *id, struct statedir *ret, struct err *err);
/*
 * Opens it and, with lock, waits until no other amphi works on this container. -ENOENT: "container does not exist".
 */
int statedir_open(const struct globals *g, const char *id, bool lock, struct statedir *ret, struct err *err);
/* Gives the lock back before the descriptor closes (a foreground run waits unlocked). */
void statedir_unlock(struct statedir *d);
/* Takes it again; -ENOENT "container does not exist" when the directory has been removed meanwhile. */
int statedir_lock(struct statedir *d, struct err *err);
/* Removes the directory with all files in it. Repeatable. */
int statedir_remove(struct statedir *d, struct err *err);
void statedir_close(struct statedir *d);

/* Writes state.json by temp + rename. */
int statedir_save(const struct statedir *d, const struct statedir_record *rec, struct err *err);
/* Reads state.json. -ENODATA when there is none (killed between mkdir and save). */
int statedir_load(const struct statedir *d, struct statedir_record *ret, struct err *err);
void statedir_record_free(struct statedir_record *rec);
/* The ids below the root, sorted; a missing default root gives none, a missing --root is an error. */
int statedir_list(const struct globals *g, char ***ret_ids, struct err *err);

#endif
