/* SPDX-License-Identifier: Apache-2.0 */
/* The agent: serves one connection of the host by the verbs of the container room. */
#ifndef VM_GUEST_GUEST_AGENT_H
#define VM_GUEST_GUEST_AGENT_H

#include "base/err.h"

/* Listens on the agent's vsock port. fd or -errno. */
int guest_agent_listen(struct err *err);
/* Serves the connection to its end and exits; runs in a process of its own, forked by PID 1. */
_Noreturn void guest_agent_serve(int fd);

#endif
