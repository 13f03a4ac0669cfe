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
#include "runtime/backend.h"
#include "runtime/plan.h"
#include "runtime/statedir.h"

struct oci_config;

struct sandbox {
	/* identity */
	const struct globals *globals;
	struct statedir dir;
	struct state_record rec; /* loaded or under construction; saved by sandbox_save() */

	/* configuration, const once loaded */
	struct oci_config *config; /* owned */
	char *config_json;         /* the bundle's config.json as read, owned */
	size_t config_json_len;
	const struct plan *plan;   /* while creating; NULL when loaded */
	struct host_facts facts;
	const struct backend *backend;

	/* owned resources of this process */
	int console_socket; /* connected; receives the pty master when process.terminal; -1 */
	int stdio[3];       /* what the workload gets as 0, 1, 2 (not owned; usually 0, 1, 2) */
	int pidfd;          /* of rec.pid; -1 */
	int netns_fd;       /* network namespace of rec.pid, for network attach; -1 */
	void *backend_data; /* the back end's own, freed by backend->release */
	char *warning;      /* one line that the command prints at debug level */
};

/* Loads an existing one by id: state, config, back end; lock held when lock. "container does not exist". */
int sandbox_load(const struct globals *g, const char *id, bool lock, struct sandbox *ret, struct err *err);
/*
 * create: plan -> steps. On success rec.phase is "created" and the init process is parked; on failure nothing is
 * left. On return the lock is held.
 */
int sandbox_create(const struct globals *g, const struct create_request *req, struct sandbox *ret, struct err *err);
/* start: "cannot start an already running container" etc.; runs poststart hooks. */
int sandbox_start(struct sandbox *sb, struct err *err);
/* The undo column. force kills first. "cannot delete container ID that is not stopped: STATE". */
int sandbox_delete(struct sandbox *sb, bool force, struct err *err);
/* Present status word of the specification plus "paused": creating created running paused stopped. */
int sandbox_status(struct sandbox *sb, const char **ret_word, struct err *err);
/* Is rec.pid alive and the process that was recorded (start time)? */
bool sandbox_alive(const struct sandbox *sb);
/* Writes state.json. */
int sandbox_save(struct sandbox *sb, struct err *err);
/* The state document of the specification with runc's additional keys (owner in list). Owned text. */
char *sandbox_state_json(struct sandbox *sb, const char *status, bool hook_form, unsigned int indent);
void sandbox_close(struct sandbox *sb);
#define cleanup_sandbox CLEANUP(sandbox_close)
/* The step names in order, ended by NULL (for --dry-run and the fault tests). */
const char *const *sandbox_steps(void);

#endif
