/* SPDX-License-Identifier: Apache-2.0 */
/* The child from clone to execve: what it is given, and its main function. */
#ifndef CONTAINER_INIT_H
#define CONTAINER_INIT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "container/caps.h"
#include "container/hook.h"
#include "container/namespace.h"
#include "container/seccomp.h"

struct oci_config;
struct oci_process;

/* Filled by the parent before clone; the child works on its copy. fds -1: none. Pointers are borrowed. */
struct init {
	const struct oci_config *config;
	const struct oci_process *process;
	const char *rootfs;
	const char *keyring;
	const char *notify_dir;
	const struct seccomp_filter *filter; /* NULL: none */
	struct namespace_set ns;             /* what to join and create */
	int sync;                            /* the child's end */
	int listener;                        /* socket to park on; -1: park on sync */
	int console_socket;                  /* -1: send the master over sync */
	int stdio[3];
	unsigned int listen_fds, preserve_fds;
	bool no_pivot;
	bool rootless;    /* the caller is an ordinary user */
	bool wait_mapped; /* begin only after SYNC_MAPPED (maps written, cgroup entered) */
	bool become_root; /* new user namespace: become its root */
	bool joined;      /* namespaces were joined already by the helper */
	bool ack_joined;  /* say SYNC_JOINED */
	int (*entry)(void *arg, struct err *err);
	void *entry_arg;
	int (*entry_root)(void *arg, int rootfd, struct err *err);
	void *entry_root_arg;
	const int *keep_fds;
	size_t n_keep_fds;

	/* exec only */
	int container_pidfd; /* namespaces to enter by setns(2) of join_flags; -1: entered already */
	int join_flags;
	int root_dir; /* exec: the container's root directory, changed to after the namespaces were joined; or -1 */

	/* the child's own: set between clone and execve */
	bool entered; /* SYNC_ENTERED came, the cgroup namespace is made */
	int procfd;
	int rootfd;
	struct caps caps;
	char **env;
	struct hook_output hook_output; /* of startContainer hooks, opened while the host's tree is in reach */
	char *path;                     /* the executable */
};

/* The child of container_create(). Never returns. */
_Noreturn void init_main(struct init *in);
/* The child of container_exec(). Never returns. */
_Noreturn void init_exec_main(struct init *in);

/* Debug builds stop themselves (SIGSTOP), or with "!" before the name die, where AMPHI_STOP_AT names the step. */
#ifdef AMPHI_DEBUG
void init_stop_at(const char *step);
#else
static inline void init_stop_at(const char *step)
{
	(void)step;
}
#endif

#endif
