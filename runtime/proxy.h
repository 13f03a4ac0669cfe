/* SPDX-License-Identifier: Apache-2.0 */
/* A process of ours that stands for one in a machine: its stdio here, its wait status. */
#ifndef RUNTIME_PROXY_H
#define RUNTIME_PROXY_H

#include "base/err.h"
#include "vm/agent.h"

struct oci_process;

struct proxy_request {
	const struct agent_session *session;
	const struct oci_process *process;
	int console_socket; /* takes the terminal's master when process->terminal; -1 else */
	int stdio[3];       /* -1: ours */
};

/* Forks the proxy, which holds nothing but its stdio and the session. Its pid (> 0) or -errno. */
int proxy_start(const struct proxy_request *req, struct err *err);

/*
 * The terminal of a process in a machine: its master goes to console_socket, the slave is ours to relay (owned by
 * the caller). Its size is the process's consoleSize where there is one. 0 or negative with *err.
 */
int proxy_open_terminal(const struct oci_process *p, int console_socket, int *ret_slave, struct err *err);

#endif
