/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security labels: AppArmor profiles and SELinux labels of the process, SELinux labels of files and keyrings.
 * runtime-spec config.md#linux-process (apparmorProfile, selinuxLabel), config-linux.md#mount-label.
 */
#ifndef CONTAINER_LSM_H
#define CONTAINER_LSM_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

/* Is the module active in this kernel? */
bool lsm_apparmor_enabled(void);
bool lsm_selinux_enabled(void);

/*
 * Before any side effect: a profile or label asked for where its module is not active is an error in runc's
 * words ("apparmor is not enabled on the system…", "selinux label is specified in config, but selinux is disabled
 * or not supported"). "" and NULL ask for nothing; "unconfined" is fine everywhere for AppArmor.
 */
int lsm_check(const char *apparmor, const char *selinux, const char *mount_label, struct err *err);

/*
 * Sets the label for the next execve of the calling thread. procfd: a directory fd of a verified procfs (opened
 * before the container's mounts were touched), e.g. from lsm_open_proc(). Failure text holds
 * "write `/proc/thread-self/attr/…/exec`" as engines match it. NULL or "": nothing.
 */
int lsm_apply_exec(int procfd, const char *apparmor, const char *selinux, struct err *err);
/* SELinux label of keyrings made from now on (attr/keycreate); NULL resets. Nothing where SELinux is off. */
int lsm_apply_keyring(int procfd, const char *selinux, struct err *err);
/* Opens /proc after checking that it is procfs at its root. fd or -errno. */
int lsm_open_proc(struct err *err);

/*
 * Appends "context=\"LABEL\"" (or another of the four option names, context_type) to mount data where a label is given and
 * SELinux is on (not for proc, sysfs, cgroups, mqueue).
 */
void lsm_mount_data(struct str *data, const char *fstype, const char *mount_label, const char *context_type);
/* Relabels one path fd (setxattr security.selinux); nothing where SELinux is off or has none there. */
int lsm_label_fd(int fd, const char *label, struct err *err);

#endif
