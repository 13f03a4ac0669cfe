/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct container: one process (and what it starts) in namespaces and a control group, by an OCI config, on this
 * kernel. Knows no id, state directory, image or network; three callers: the host backend, the jail of the machine
 * monitor, the guest's PID 1.
 *
 *	selfexe_protect()     first thing in a command that enters a container (container/selfexe.h)
 *	container_create()    the child exists: pid known, in its cgroup and namespaces, waiting
 *	  [caller: record pid; network; prestart and createRuntime hooks]
 *	container_setup()     rootfs, mounts, devices, createContainer hooks, user, capabilities…; the child is parked
 *	container_start()     in the same process, or container_start_at() in another one, later
 *	container_free()      before setup: the child goes away; after it: the child stays parked or runs
 *
 * A child whose creator dies before container_setup() returned ends by itself (end of file on its socket). One that is
 * parked for container_start_at() survives its creator. The child is a direct child of the caller of
 * container_create(): its wait status is the workload's; after the caller's exit it belongs to the nearest subreaper.
 *
 * The caller must be single threaded in container_create() and container_exec(): the child continues in a copy of its
 * memory and allocates.
 */
#ifndef CONTAINER_CONTAINER_H
#define CONTAINER_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct oci_config;
struct oci_process;
struct cgroup_manager;
struct container;

/* Everything is borrowed until container_free(). Use CONTAINER_PARAMS_INIT: fds start at -1. */
struct container_params {
	const struct oci_config *config;
	const char *rootfs;  /* absolute path of the root filesystem in our mount namespace */
	const char *keyring; /* name of the new session keyring ("_ses.ID"); NULL: keep ours (--no-new-keyring) */
	struct cgroup_manager *cgroup; /* already created; NULL: the child stays in our cgroup */
	int seccomp_cache_fd;          /* directory for compiled filters, or -1 */

	/*
	 * The workload's fds 0, 1, 2; -1: ours. With process.terminal they are the terminal's slave instead and
	 * its master is sent to console_socket (a connected unix stream socket; the payload is the slave's name)
	 * or, where that is -1, is kept for container_console().
	 */
	int stdio[3];
	int console_socket;
	unsigned int listen_fds;   /* LISTEN_FDS: fds 3… passed with LISTEN_FDS and LISTEN_PID=1 in the environment */
	unsigned int preserve_fds; /* --preserve-fds: further fds behind them that stay open */
	const char
		*notify_dir; /* host directory holding notify.sock, bound to /run/notify; sets NOTIFY_SOCKET; or NULL */

	bool no_pivot; /* move the root mount instead of pivot_root(2) (rootfs on a ramdisk) */
	bool rootless; /* the caller is not root in the initial user namespace */
	int rendezvous_fd; /* directory for the socket "start.sock" on which the parked child waits; -1: container_start() */

	/*
	 * Called in the child instead of the parking and execve when set (the monitor's jail): everything of the config was
	 * applied, process.args is not looked at. What it returns is the child's exit status (negative: 1, and *err is
	 * sent home for container_entry_wait()). All fds but 0–2 and keep_fds are closed.
	 */
	int (*entry)(void *arg, struct err *err);
	void *entry_arg;
	/* With it: called before pivot_root, when all mounts are below rootfd; with entry_root_arg. 0 or -errno. */
	int (*entry_root)(void *arg, int rootfd, struct err *err);
	void *entry_root_arg;
	const int *keep_fds;
	size_t n_keep_fds;
};

#define CONTAINER_PARAMS_INIT \
	{ \
		.seccomp_cache_fd = -1, .stdio = { -1, -1, -1 }, .console_socket = -1, .rendezvous_fd = -1 \
	}

/*
 * Clones the child into its namespaces and cgroup and waits until it is in all of them (maps written, joined
 * namespaces joined; the cgroup namespace may come a moment later). It goes on to its mounts by itself; where
 * the config has prestart or createRuntime hooks, these are in place on return. Checks first what can be
 * checked without side effect. On failure nothing is left. *ret is owned (container_free()). runtime.md#lifecycle.
 */
int container_create(const struct container_params *params, struct container **ret, struct err *err);

/* The child's pid, as seen here; its start time in clock ticks (child_start_time()). */
pid_t container_pid(const struct container *c);
unsigned long long container_start_time(const struct container *c);
/* pidfd of the child, borrowed. */
int container_pidfd(const struct container *c);

/*
 * Has the child set everything up to the point before startContainer hooks; returns when it is parked. state_json:
 * the state document (status creating, pid) for createContainer hooks, one line; may be NULL where the config has
 * none. Errors carry the child's own words (`exec: "foo": executable file not found in $PATH`). On failure the
 * child is dead or dying: container_abort().
 */
int container_setup(struct container *c, const char *state_json, struct err *err);

/* The terminal's master fd after container_setup(), given to the caller (then owned by it); -1: none. */
int container_console(struct container *c);

/*
 * Starts the workload: startContainer hooks, seccomp, execve; returns when execve has succeeded or failed, with
 * its error. state_json: state document with status created. For a rendezvous_fd of -1.
 */
int container_start(struct container *c, const char *state_json, struct err *err);

/*
 * The same from another process, through the socket in the directory rendezvous_fd; removes the socket once
 * started. config is needed for seccomp's listenerPath. -ESRCH "container init is gone" when nobody is parked there
 * any more, -ENOENT when there is no socket (already started).
 */
int container_start_at(int rendezvous_fd, const struct oci_config *config, pid_t pid, unsigned long long start_time,
		       const char *state_json, struct err *err);
/* Is a child parked and not started? Looks for the socket in the directory: 1, 0. */
int container_start_pending(int rendezvous_fd);

/* Entry mode: blocks until the entry function ended with an error (*err is that, negative) or the child ended (0). */
int container_entry_wait(struct container *c, struct err *err);
/* Entry mode: readable (POLLIN or POLLHUP) when container_entry_wait() will not block. Borrowed. */
int container_entry_fd(const struct container *c);

/* Kills (SIGKILL) and reaps the child: the undo of create and setup in the creating process. Repeatable. */
void container_abort(struct container *c);
/* Closes what we hold; never kills, never waits. NULL allowed. */
void container_free(struct container *c);
static inline void cleanup_container_fn(struct container **c)
{
	container_free(*c);
}
#define cleanup_container CLEANUP(cleanup_container_fn)

/* A process in a running container; borrowed until container_exec() returns. Use CONTAINER_EXEC_INIT. */
struct container_exec_params {
	const struct oci_config *config;   /* the container's: which namespaces it has, seccomp */
	const struct oci_process *process; /* what to run */
	pid_t pid;                         /* the container's first process */
	unsigned long long start_time;     /* checked against pid's */
	struct cgroup_manager *cgroup;     /* NULL: ours */
	const char *keyring;               /* as in container_params: joins the container's by name */
	char *const *sub_cgroups;          /* runc exec --cgroup; NULL: the container's */
	int seccomp_cache_fd;
	int stdio[3];
	int console_socket; /* as in container_params */
	unsigned int preserve_fds;
	bool rootless;
	bool ignore_paused; /* clone although the cgroup is frozen (the call then blocks until it is thawed) */
};

#define CONTAINER_EXEC_INIT \
	{ \
		.seccomp_cache_fd = -1, .stdio = { -1, -1, -1 }, .console_socket = -1 \
	}

struct container_exec_result {
	pid_t pid;   /* a direct child of the caller */
	int pidfd;   /* owned */
	int console; /* terminal master when there was no console_socket, else -1; owned */
};

/*
 * Joins the container and runs the process; returns when its execve has succeeded (or failed, with its error: then
 * nothing is left running). The caller waits for ret->pid.
 */
int container_exec(const struct container_exec_params *params, struct container_exec_result *ret, struct err *err);

/* Mounts to add to a container that runs, or to remove; borrowed. */
struct container_mounts_params {
	const struct oci_config *config; /* the container's: which namespaces it has */
	pid_t pid;                       /* the container's first process */
	unsigned long long start_time;
	bool add;                       /* else their destinations are unmounted, the last one first */
	const struct oci_mount *mounts; /* to add: binds and tmpfs, others are refused */
	size_t n_mounts;
};

/* All or, with an error, those before the one that it names. -ESRCH: "container not running". */
int container_mounts(const struct container_mounts_params *params, struct err *err);

/* Is this the living process of that start time? (A zombie is not alive.) 1 or 0. */
int container_alive(pid_t pid, unsigned long long start_time);
/* Signals the process by pidfd after checking its start time. -ESRCH: "container not running". */
int container_kill(pid_t pid, unsigned long long start_time, int sig, struct err *err);
/* Waits for a child of ours; *ret_status as waitpid(2). Blocks. 0 or -errno. */
int container_wait(pid_t pid, int *ret_status, struct err *err);

/* Option words that mounts[].options understands beyond filesystem data (for "features"). NULL-terminated, static. */
const char *const *container_mount_words(void);

#endif
