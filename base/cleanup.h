/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-owned resources: a variable marked cleanup_x is released when its scope ends; steal_ptr() and
 * steal_fd() hand ownership out of the scope.
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_fn(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_fd_fn(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void cleanup_dir_fn(DIR **d)
{
	if (*d)
		closedir(*d);
}

static inline void cleanup_file_fn(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline int steal_fd_fn(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define cleanup_free CLEANUP(cleanup_free_fn)
#define cleanup_fd CLEANUP(cleanup_fd_fn)
#define cleanup_dir CLEANUP(cleanup_dir_fn)
#define cleanup_file CLEANUP(cleanup_file_fn)

#define steal_ptr(p) \
	({ \
		__typeof__(p) stolen_ = (p); \
		(p) = NULL; \
		stolen_; \
	})
#define steal_fd(fd) steal_fd_fn(&(fd))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

#endif
