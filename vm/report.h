/* SPDX-License-Identifier: Apache-2.0 */
/* The workload's wait status as the guest's agent reports it (vm.h: VM_PORT_EXIT). Used by both drivers. */
#ifndef VM_REPORT_H
#define VM_REPORT_H

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"

/* Connections held at a time; a guest that opens more loses its oldest. */
#define REPORT_CONNECTIONS 4

struct report {
	pthread_mutex_t lock;
	int epoll_fd; /* readable: call report_handle() */
	int fds[REPORT_CONNECTIONS];
	unsigned char buf[REPORT_CONNECTIONS][4];
	unsigned int have[REPORT_CONNECTIONS];
	unsigned int next; /* slot to use next */
	bool has_status;
	int status; /* wait status, guest-written */
};

int report_init(struct report *r, struct err *err);
/* A new connection from the guest: returns the stream fd for the vsock device (owned by it) or -errno. Any thread. */
int report_connect(struct report *r);
/*
 * Reads what is there, without blocking. A complete report is kept and its connection closed, which tells the agent
 * that it arrived.
 */
void report_handle(struct report *r);
void report_free(struct report *r);

#endif
