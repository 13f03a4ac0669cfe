/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths. Anything below a container's root is reached through these: a directory fd and openat2(2), never by a
 * joined string that another process can change under us.
 */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Opens path below rootfd with symlinks resolved as if rootfd were "/" (RESOLVE_IN_ROOT, no magic links);
 * leading '/' allowed. flags as open(2); O_CLOEXEC implied. Returns the fd or -errno.
 */
int path_open_in(int rootfd, const char *path, int flags, mode_t mode);
/* Like path_open_in(), but a symlink in any component is refused (-ELOOP). */
int path_open_nolink(int rootfd, const char *path, int flags, mode_t mode);
/*
 * Opens (O_PATH) the directory path below rootfd, creating what is missing with mode (owner uid/gid when not
 * -1); existing symlinks are followed inside the root. Returns the fd or -errno.
 */
int path_mkdirs_in(int rootfd, const char *path, mode_t mode, uid_t uid, gid_t gid);
/* Like path_mkdirs_in() for a file as last component (created empty when missing). Returns an O_PATH fd or -errno. */
int path_touch_in(int rootfd, const char *path, mode_t mode);
/* mkdir -p on the host with trusted path. 0 or -errno. */
int path_mkdirs(const char *path, mode_t mode);
/* Lexically cleans "a//b/./../c" to "a/c"; an absolute path never rises above "/". Owned result. */
char *path_clean(const char *path);
/* Joins with exactly one '/'. Owned result. */
char *path_join(const char *a, const char *b);
/* Absolute, cleaned form relative to the working directory (symlinks kept). Owned; NULL with errno. */
char *path_abs(const char *path);
/* Is path (cleaned) equal to or below dir (cleaned)? */
bool path_is_below(const char *path, const char *dir);
/* Writes dirfd/name by a temporary file and rename(2), with mode. No fsync. 0 or -errno. */
int path_write_atomic(int dirfd, const char *name, const void *buf, size_t len, mode_t mode);
/* Removes name below dirfd with everything in it; does not follow symlinks or cross mounts when one_fs. 0 or -errno. */
int path_remove_tree(int dirfd, const char *name, bool one_fs);

#endif
