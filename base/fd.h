/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: whole reads and writes, passing over sockets, ranges, pidfds. All new fds are CLOEXEC. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

/* Reads up to len bytes until end of file; returns the count or -errno. Retries EINTR. Blocks. */
ssize_t fd_read_all(int fd, void *buf, size_t len);
/* Writes all len bytes; 0 or -errno. Retries EINTR; waits with poll on EAGAIN. */
int fd_write_all(int fd, const void *buf, size_t len);
/* Reads a whole file (at most max bytes, -EFBIG beyond) into an owned, NUL-terminated buffer. 0 or -errno. */
int fd_slurp(int fd, size_t max, char **ret_buf, size_t *ret_len);
/* fd_slurp() of the file at dirfd/path (dirfd AT_FDCWD allowed). */
int fd_slurp_at(int dirfd, const char *path, size_t max, char **ret_buf, size_t *ret_len);
/* Opens dirfd/path for writing without creating it and writes the text by one write(2). 0 or -errno. */
int fd_write_file_at(int dirfd, const char *path, const char *text);
/* Sends len bytes (at least 1) with n fds over a unix socket. 0 or -errno. */
int fd_send(int sock, const void *buf, size_t len, const int *fds, size_t n);
/*
 * Receives at most len bytes and up to *n fds (CLOEXEC); *n becomes the number received; surplus fds are
 * closed. Returns the byte count, 0 at end of file, or -errno.
 */
ssize_t fd_recv(int sock, void *buf, size_t len, int *fds, size_t *n);
/* Sets or clears CLOEXEC / O_NONBLOCK. 0 or -errno. */
int fd_set_cloexec(int fd, bool on);
int fd_set_nonblock(int fd, bool on);
/* Marks every fd >= first CLOEXEC (or closes them). 0 or -errno. */
int fd_cloexec_from(int first);
int fd_close_from(int first);
/* Of the n fds from first on: how many there are up to the last that an execve left us (open and not CLOEXEC). */
unsigned int fd_inherited(unsigned int first, unsigned int n);
/* pidfd of a process; -errno. */
int fd_pidfd_open(pid_t pid);
/* Sends a signal by pidfd; 0 or -errno. */
int fd_pidfd_kill(int pidfd, int sig);
/* "/proc/self/fd/N" in buf. */
#define FD_PATH_MAX 32
const char *fd_path(int fd, char buf[FD_PATH_MAX]);
/* Connects to / listens on a unix stream socket; paths longer than sun_path work. fd or -errno. */
int fd_unix_connect(const char *path);
int fd_unix_listen(const char *path, int backlog, int type);
/* A memfd with the given content, sealed against change when seal is set. fd or -errno. */
int fd_memfd(const char *name, const void *buf, size_t len, bool seal);

#endif
