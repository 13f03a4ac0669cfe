/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct backend: the verbs that both isolations answer, no NULL entries. backend_container.c and backend_vm.c have
 * the same functions in the same order, to be read side by side. Every verb: 0 (or positive) or a negative errno with
 * *err; none prints or exits. create/setup/start/exec run without threads in the calling process.
 */
#ifndef RUNTIME_BACKEND_H
#define RUNTIME_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "runtime/commands.h"

struct sandbox;
struct plan;
struct oci_process;
struct oci_mount;
struct oci_resources;
struct cgroup_stats;
struct criu_options;

/* What exec is asked for. */
struct exec_request {
	const struct oci_process *process; /* complete: config's process overlaid with the options, or --process */
	const char *process_json;          /* the same as compact JSON text (for the agent) */
	size_t process_json_len;
	int console_socket; /* connected socket for the pty master when process->terminal; -1 */
	int stdio[3];
	uint32_t preserve_fds; /* fds 3.. that stay open in the process */
	bool ignore_paused;    /* go on in a frozen cgroup: the call blocks until it is thawed */
	char *const *cgroups;  /* --cgroup: sub-cgroups relative to the container's (cgroup_enter_exec), or NULL */
};

/* One process of ps. Host pids in container mode, the guest's own in VM mode. */
struct ps_entry {
	pid_t pid, ppid;
	uid_t uid;
	uint64_t start_time_s; /* wall clock, seconds since the epoch */
	uint64_t cpu_time_ms;
	char tty[16];      /* "pts/0" or "?" */
	char command[256]; /* command line with blanks, or [comm] */
};

struct backend {
	const char *name; /* "container", "vm" */
	enum isolation isolation;

	/* Refuses what this isolation cannot honour, by the JSON path or option's name, before anything is touched. */
	int (*check)(const struct plan *plan, struct err *err);
	/*
	 * What sb->cgroup on the host shall limit, before anything is touched: container: the config's resources; VM:
	 * those of the monitor (a memory limit needs room for it). NULL in *ret: nothing. Lives as long as sb.
	 */
	int (*limits)(struct sandbox *sb, const struct oci_resources **ret, struct err *err);
	/*
	 * Makes the process: in its cgroup (sb->cgroup, already created) and namespaces, parked, before pivot_root.
	 * Sets sb->rec.pid, rec.start_time and sb->pidfd (the caller saves the record). The pid is a direct child of this
	 * process. VM: the jail and monitor exist, the machine is built, nothing booted; sb->lease holds its taps.
	 */
	int (*create)(struct sandbox *sb, struct err *err);
	/*
	 * After the network is attached and createRuntime hooks ran: mounts, pivot_root, createContainer hooks,
	 * everything up to the parked exec. VM: boots, and the agent has done the same in the guest. "executable
	 * file not found in $PATH" is found here.
	 */
	int (*setup)(struct sandbox *sb, struct err *err);
	/* 1: created and parked, not started yet; 0: started (or gone). By the state directory, any process. */
	int (*pending)(struct sandbox *sb);
	/* Lets the parked process exec; returns when execve succeeded or with its error. Any process may call it. */
	int (*start)(struct sandbox *sb, struct err *err);
	/*
	 * Runs a further process; returns its host pid (> 0), a direct child of the caller whose wait status is the
	 * command's (VM: a proxy), after its execve succeeded.
	 */
	int (*exec)(struct sandbox *sb, const struct exec_request *req, struct err *err);
	/* Signals the init process, or every process with all. -ESRCH: "container not running". */
	int (*kill)(struct sandbox *sb, int sig, bool all, struct err *err);
	int (*pause)(struct sandbox *sb, struct err *err);
	int (*resume)(struct sandbox *sb, struct err *err);
	/* 1 paused, 0 not (also when the process is gone). */
	int (*paused)(struct sandbox *sb, struct err *err);
	/*
	 * Saves what runs into criu's images (container/criu_dump.h); it is gone afterwards unless the options say
	 * otherwise. Restore is create and setup with sb->request->restore set.
	 */
	int (*checkpoint)(struct sandbox *sb, const struct criu_options *o, struct err *err);
	/* Adds mounts to what runs, or removes those at their destinations. */
	int (*mounts)(struct sandbox *sb, bool add, const struct oci_mount *v, size_t n, struct err *err);
	/* Applies the resources that are set, leaves the others. */
	int (*update)(struct sandbox *sb, const struct oci_resources *res, struct err *err);
	/*
	 * Fills the statistics of container/cgroup.h (VM: as the guest counts them, block I/O as the host does). *ret_vm: the
	 * object "vm" as JSON text, owned; NULL where there is no machine.
	 */
	int (*stats)(struct sandbox *sb, struct cgroup_stats *ret, char **ret_vm, struct err *err);
	/*
	 * Out-of-memory kills that the host's cgroup does not know of: *ret_fd becomes readable, then oom_read() gives 1 for a
	 * kill, 0 at the end. Owned; -1: there are none. -errno.
	 */
	int (*oom_open)(struct sandbox *sb, int *ret_fd, struct err *err);
	int (*oom_read)(int fd);
	/* All processes, in *ret (owned by the caller, free()); returns their number. */
	int (*ps)(struct sandbox *sb, struct ps_entry **ret, struct err *err);
	/* Waits until rec.pid ended; its wait status in *ret_status when it is our child (else 0). */
	int (*wait)(struct sandbox *sb, int *ret_status, struct err *err);
	/*
	 * Undoes create and setup, from the saved record alone, repeatable: kills rec.pid and waits for its end, removes
	 * what the back end made outside the state directory. The cgroup (with what is left in it), the network, the
	 * image's mount and the state directory are the sandbox's.
	 */
	int (*delete)(struct sandbox *sb, struct err *err);
	/* Frees sb->backend_data. */
	void (*release)(struct sandbox *sb);
};

extern const struct backend backend_container;
extern const struct backend backend_vm;

/* By isolation; NULL: not part of this build. */
const struct backend *backend_get(enum isolation isolation);

#endif
