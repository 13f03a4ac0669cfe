/* SPDX-License-Identifier: Apache-2.0 */
/* User namespaces: are we in one, and writing the id maps of a new one from outside. */
#ifndef BASE_USERNS_H
#define BASE_USERNS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Writes text ("INSIDE OUTSIDE COUNT\n" ...) into file ("uid_map" or "gid_map") of process pid: directly where allowed,
 * else by the helper ("newuidmap", "newgidmap"; NULL: never). 0 or negative; errors name the file or the helper.
 */
int userns_write_map(pid_t pid, const char *file, const char *helper, const char *text, struct err *err);
/* The namespace of pid gives up setgroups(2), without which the kernel takes no gid map from who has no privilege. */
int userns_deny_setgroups(pid_t pid, struct err *err);

/* Are we in the initial user namespace (by its inode; a full identity map may lie)? */
bool userns_is_initial(void);

#endif
