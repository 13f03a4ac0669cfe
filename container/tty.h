/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals: pty pairs, the console socket of engines, controlling terminal, size and raw mode. */
#ifndef CONTAINER_TTY_H
#define CONTAINER_TTY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#include "base/err.h"

/*
 * Opens a pair: master from ptmx_fd's devpts instance (opens "ptmx" below the directory fd pts_dirfd after checking that it
 * is a devpts), slave by TIOCGPTPEER, never by name. Unlocks; name is "/dev/pts/N" (TTY_NAME_MAX bytes). 0 or -errno.
 */
#define TTY_NAME_MAX 32
int tty_open(int pts_dirfd, int *ret_master, int *ret_slave, char name[TTY_NAME_MAX], struct err *err);
/* Sets the size; zero for both: nothing. 0 or -errno. */
int tty_set_size(int fd, unsigned int rows, unsigned int columns);
int tty_get_size(int fd, unsigned int *ret_rows, unsigned int *ret_columns);
/* Copies the size of one terminal to another; no error where from is no terminal. */
void tty_copy_size(int from, int to);
/*
 * A terminal that is standard input of the process pid, borrowed by pidfd_getfd(2): nothing is opened by name. Owned,
 * or -errno (-ENOTTY).
 */
int tty_of_process(pid_t pid);
/* New session with fd as controlling terminal. 0 or -errno. */
int tty_make_controlling(int fd);
/* Sends the master with its slave's name over a connected unix socket, as engines expect. 0 or -errno. */
int tty_send(int console_socket, int master, const char *name);
/* Is the other end unnamed: a runtime's own that relays in the foreground, and no engine's socket? */
bool tty_is_relayed(int console_socket);
/* A line ends in "\n" alone, as on a pipe: the terminal it is relayed to adds its own "\r". 0 or -errno. */
int tty_plain_lines(int fd);
/* The other side: the master (owned), or -errno. */
int tty_recv(int console_socket);
/* Raw mode for our own terminal; *ret_saved for tty_restore(). 0 or -errno (-ENOTTY). */
int tty_raw(int fd, struct termios *ret_saved);
void tty_restore(int fd, const struct termios *saved);

#endif
