/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor process: the jail's entry function, and how `amphi create` talks to it. */
#ifndef RUNTIME_MONITOR_H
#define RUNTIME_MONITOR_H

#include <stdbool.h>

#include "base/err.h"
#include "vm/agent.h"
#include "vm/vm.h"

/* Known before the jail exists; the child has it as a copy of memory. fds are given as keep_fds. */
struct monitor {
	const struct vm_driver *driver;
	struct vm_spec spec; /* without nics and export_fd */
	int control;         /* the child's end of the control socket (seqpacket) */
	bool terminal;       /* fds 0–2 are the slave of a terminal */
	uint64_t limit;      /* bytes that the cgroup of this process may have; 0: without a limit */
};

/* Entry function of the jail; arg is struct monitor. Returns the workload's exit status. */
int monitor_main(void *arg, struct err *err);

/*
 * The same for a member of a pod: no machine, only the relay of a workload in another one's. Ends with its status, with
 * 255 when that machine goes.
 */
int monitor_member_main(void *arg, struct err *err);

/* The parent's end. Boots the machine with these taps (consumed by the child as copies). 0 or -errno. */
int monitor_boot(int control, const struct vm_nic *nics, unsigned int n, struct err *err);
/* Gives the session of the workload to the monitor and waits until it has it. 0 or -errno. */
int monitor_hand_over(int control, const struct agent_session *s, struct err *err);
/* Why the machine ended while starting, if the monitor said so; else *err is left as it is. Returns err->code. */
int monitor_failure(int control, struct err *err);

#endif
