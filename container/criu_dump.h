/* SPDX-License-Identifier: Apache-2.0 */
/* A running container into criu's images. */
#ifndef CONTAINER_CRIU_DUMP_H
#define CONTAINER_CRIU_DUMP_H

#include "container/criu.h"

struct oci_config;
struct cgroup_manager;

/* Borrowed during the call. */
struct criu_dump_params {
	const struct oci_config *config; /* the container's */
	const char *rootfs;
	const char *notify_dir;        /* as in struct container_params */
	pid_t pid;                     /* the container's first process */
	struct cgroup_manager *cgroup; /* NULL: none, criu stops the tasks one by one */
	const struct criu_options *options;
};

/*
 * Saves the container; afterwards its processes are gone unless leave_running or pre_dump. Also writes descriptors.json
 * (what the standard streams are) into the images, for criu_restore. Refuses what criu here cannot do, by option.
 */
int criu_dump(const struct criu_dump_params *p, struct err *err);
/*
 * The request's options for it; streams: descriptors.json's text, owned. Reads /proc/PID alone.
 */
int criu_dump_opts(const struct criu_dump_params *p, struct str *ret_opts, char **ret_streams, struct err *err);

#endif
