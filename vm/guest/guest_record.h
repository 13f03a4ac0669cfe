/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers of this machine as records: RECORD_DIR/ID with the config.json that came from the host and a record of the
 * first process and the cgroup, through which the agent's processes meet.
 */
#ifndef VM_GUEST_GUEST_RECORD_H
#define VM_GUEST_GUEST_RECORD_H

#include <sys/types.h>

#include "base/err.h"
#include "vm/proto.h"

struct cgroup_manager;
struct oci_config;
struct oci_resources;

/* A container of this machine, loaded for one verb. dirfd starts at -1. */
struct guest_record {
	char *id;
	char *sandbox; /* of a pod's member: the container whose namespaces it shares; NULL */
	int dirfd;
	struct oci_config *config;
	struct cgroup_manager *cgroup;
	pid_t pid;
	unsigned long long start_time;
};

void guest_record_free(struct guest_record *r);
#define cleanup_guest_record CLEANUP(guest_record_free)

/* Of CREATE: id, config and what the options say of a pod's sandbox, adapted to the machine; nothing is made yet. 0 or -errno. */
int guest_record_take(const struct proto_msg *m, struct guest_record *rec, struct err *err);
/* Makes the directory with config.json. -EEXIST: "container with given ID already exists". */
int guest_record_make(struct guest_record *rec, const struct proto_field *config, struct err *err);
/* Makes its cgroup with the limits of the config. */
int guest_record_cgroup(struct guest_record *rec, struct err *err);
/* Writes pid, start time and cgroup. */
int guest_record_save(const struct guest_record *rec, struct err *err);
/* By the message's ID. -ESRCH: "container not running". */
int guest_record_load(const struct proto_msg *m, struct guest_record *rec, struct err *err);
/* The container is over: nothing of it may run on; cgroup, mounts and record go. */
void guest_record_forget(struct guest_record *rec);
/* Keeps the machine from going while the calling process, the session of a pod's member, has something to report. */
void guest_record_hold(void);
/* The machine's own container is over: kills the members of its pod and waits, for a while, until they have been reported. */
void guest_record_end_members(const struct guest_record *own);
/* Sets of the host's processors and memory nodes, limits of its disks: they hold the machine there. */
void guest_record_drop_host(struct oci_resources *r);

#endif
