/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods: several containers of one pod in one machine. What a CRI engine says by annotations, which machine a member joins,
 * and how its files reach that machine's monitor.
 */
#ifndef RUNTIME_POD_H
#define RUNTIME_POD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "runtime/commands.h"

struct oci_config;

enum pod_role {
	POD_NONE,
	POD_SANDBOX, /* the machine is this container's */
	POD_MEMBER,  /* runs in the machine of its sandbox */
};

/*
 * By io.kubernetes.cri.container-type or io.kubernetes.cri-o.ContainerType. *ret_sandbox (may be NULL): the sandbox's
 * id of a member, borrowed.
 */
enum pod_role pod_role(const struct oci_config *config, const char **ret_sandbox);

/* The machine that a member runs in. */
struct pod {
	char *sandbox; /* id; NULL: no member */
	char *slot;    /* directory of this member's files in the export tree */
	char *dir;     /* state directory of the sandbox */
	pid_t pid;     /* its monitor; 0: gone */
	unsigned long long start_time;
};

/*
 * Finds the member's machine, which must run, and checks that what the config shares is shared with its sandbox and
 * nothing else. 0 with ret (pod_free()), or -errno naming the annotation or namespace.
 */
int pod_find(const struct globals *g, const struct oci_config *config, struct pod *ret, struct err *err);
/* From what machine_save() recorded. pid is 0 when the machine does not run (any more). */
void pod_restore(const struct globals *g, const char *sandbox, const char *slot, struct pod *ret);
void pod_free(struct pod *p);
/* Where the guest finds the member's files: PROTO_EXPORT_DIR/pods/SLOT. Owned. */
char *pod_guest_dir(const struct pod *p);
/* Puts the root and the bind mounts into the monitor's export tree. Undone by pod_detach(). 0 or -errno. */
int pod_attach(const struct pod *p, const struct oci_config *config, const char *rootfs, struct err *err);
/* Takes them out; whatever is not there (any more) is no error. The monitor may be gone. */
void pod_detach(const struct pod *p, const struct oci_config *config);

#endif
