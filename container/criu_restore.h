/* SPDX-License-Identifier: Apache-2.0 */
/*
 * criu's images into a running container.
 *
 *	criu_restore_begin()   the first process exists in its namespaces and cgroup, empty; its pid is known
 *	  [caller: record the pid; network; prestart and createRuntime hooks]
 *	criu_restore_finish()  memory, files and sockets are back and everything runs
 *
 * The first process is a direct child of the caller, as a created one is.
 */
#ifndef CONTAINER_CRIU_RESTORE_H
#define CONTAINER_CRIU_RESTORE_H

#include "container/criu.h"

struct oci_config;
struct cgroup_manager;

/* Borrowed until criu_restore_finish() returned. */
struct criu_restore_params {
	const struct oci_config *config;
	const char *rootfs;
	const char *notify_dir;        /* as in struct container_params */
	struct cgroup_manager *cgroup; /* created; criu goes there, and with it what it makes; NULL: none */
	int stdio[3];                  /* for pipes and files that were standard streams; -1: ours */
	int console_socket;            /* takes the terminal's master; -1: none */
	const struct criu_options *options;
};

struct criu_restore {
	const struct criu_restore_params *params;
	struct criu criu;
	pid_t pid; /* of the first process; 0: none yet */
	bool done; /* criu has said that all is restored */
};

#define CRIU_RESTORE_INIT \
	{ \
		.criu = CRIU_INIT \
	}

int criu_restore_begin(const struct criu_restore_params *p, struct criu_restore *ret, struct err *err);
int criu_restore_finish(struct criu_restore *r, struct err *err);
/* Kills what was restored so far and reaps it. Repeatable. */
void criu_restore_abort(struct criu_restore *r);
/* Closes what we hold of criu. */
void criu_restore_free(struct criu_restore *r);

/*
 * The request's options: streams is descriptors.json's text, cgroups that of criu's /proc/PID/cgroup. The fds of
 * params stand in criu as criu_restore_begin() puts them.
 */
int criu_restore_opts(const struct criu_restore_params *p, const char *streams, const char *cgroups, struct str *ret,
		      struct err *err);

#endif
