/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct sandbox: one container or machine in the hands of one command. create runs the step table {name, do,
 * undo} down, on failure its undo column up; delete is the undo column, working from the saved state alone and
 * repeatable. The table is the same for both back ends.
 */
#ifndef RUNTIME_SANDBOX_H
#define RUNTIME_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "network/network.h"
#include "oci/state.h"
#include "runtime/backend.h"
#include "runtime/plan.h"
#include "runtime/statedir.h"

struct oci_bundle;

struct sandbox {
	/* identity */
	const struct globals *globals;
	struct statedir dir;
	struct statedir_record rec; /* loaded or under construction; written by sandbox_save() */
	const struct backend *backend;

	/* configuration: oci_bundle and plan while creating; otherwise sandbox_config() loads the state directory's copy */
	struct oci_bundle *bundle;       /* owned; NULL when loaded */
	const struct oci_config *config; /* NULL until known; the bundle's, or loaded_config */
	const char *config_json;         /* the document's bytes, adapted to --network and the like */
	size_t config_json_len;
	struct oci_config *loaded_config;     /* owned */
	char *loaded_json;                    /* owned */
	const struct create_request *request; /* while creating; NULL when loaded */
	struct plan plan;                     /* while creating */
	struct host_facts facts;              /* while creating */

	/* owned resources of this process */
	struct cgroup_params cgroup_params; /* must live until cgroup_create() */
	struct cgroup_manager *cgroup;      /* planned or loaded by sandbox_cgroup(); NULL: not yet */
	struct network_lease
		lease;      /* our own networks: attached before create for machines (taps), after it for containers */
	int console_socket; /* connected; receives the pty master when process.terminal; -1 */
	int console_peer;   /* foreground terminal without a socket of the caller: where the master arrives; -1 */
	int stdio[3];       /* what the workload gets as 0, 1, 2 (borrowed); -1: ours */
	int pidfd;          /* of rec.pid, set by backend create; -1 */
	int notify_sock;    /* after start: where the workload tells that it is ready; -1 */
	void *backend_data; /* the back end's own, freed by backend->release */

	/* decided by backend->limits(), for a machine's network */
	unsigned int tap_queues; /* of each of its interfaces */
};

/*
 * Loads an existing one by id: record and back end; with lock it waits for other commands on it. -ENOENT
 * "container does not exist"; -ENODATA: killed before its first record, only dir is set (delete --force needs it).
 */
int sandbox_load(const struct globals *g, const char *id, bool lock, struct sandbox *ret, struct err *err);
/* sb->config and config_json; loads the copy in the state directory on first use. */
int sandbox_config(struct sandbox *sb, struct err *err);
/* sb->cgroup by rec.cgroup; an error where there is none. */
int sandbox_cgroup(struct sandbox *sb, struct err *err);
/* The first process (the monitor of a machine), which got SIGKILL, dies of it: cgroup_thaw_killed(); 0 without a cgroup. */
int sandbox_thaw_killed(struct sandbox *sb, struct err *err);
/*
 * create: request -> plan -> steps. On success the record says "created" and the init process is parked; on failure
 * everything is undone. On return the lock is held. sb must stay where it is.
 */
int sandbox_create(const struct globals *g, const struct create_request *req, struct sandbox *sb, struct err *err);
/* --dry-run: the plan as text, nothing touched. */
int sandbox_dry_run(const struct globals *g, const struct create_request *req, char **ret, struct err *err);
/* start: "cannot start an already running container" etc.; runs poststart hooks. The lock must be held. */
int sandbox_start(struct sandbox *sb, struct err *err);
/*
 * After start, where $NOTIFY_SOCKET is set: readiness of the workload goes on to systemd. Gives the lock back. stay: in the
 * background, we go on to wait for the workload; else returns once that is done (or the workload ended).
 */
int sandbox_ready(struct sandbox *sb, bool stay, struct err *err);
/*
 * The undo column; the lock must be held. What is not stopped is refused ("cannot delete container ID that is not
 * stopped: running") unless force or only created; then it is killed first. Repeatable.
 */
int sandbox_delete(struct sandbox *sb, bool force, struct err *err);
/* Present status; a create that was killed counts as stopped once nobody holds its lock. */
int sandbox_status(struct sandbox *sb, enum oci_status *ret, struct err *err);
/* Is rec.pid alive and the process that was recorded (start time)? */
bool sandbox_alive(const struct sandbox *sb);
/* Writes state.json. */
int sandbox_save(struct sandbox *sb, struct err *err);
/* The state document: one line for hooks, or indented with rootfs, created and owner (may be NULL) for people. Owned. */
char *sandbox_state_json(struct sandbox *sb, enum oci_status status, bool for_hook, const char *owner);
/* The same as an array element. */
void sandbox_state_write(struct sandbox *sb, struct json_writer *w, enum oci_status status, const char *owner);
/* A terminal for the foreground: connected pair, one end for the back end, the other for supervise. */
int sandbox_console_pair(int *ret_socket, int *ret_peer, struct err *err);
/* Writes the pid file by temp + rename; NULL: none asked for. */
int sandbox_pid_file(const char *path, pid_t pid, struct err *err);
void sandbox_close(struct sandbox *sb);
#define cleanup_sandbox CLEANUP(sandbox_close)
#define SANDBOX_INIT \
	{ \
		.dir = STATEDIR_INIT, .console_socket = -1, .console_peer = -1, .stdio = { -1, -1, -1 }, .pidfd = -1, \
		.notify_sock = -1 \
	}

#endif
