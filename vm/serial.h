/* SPDX-License-Identifier: Apache-2.0 */
/* An 8250 UART at COM1, output only: the guest's early console and its last words. */
#ifndef VM_SERIAL_H
#define VM_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm/bus.h"

/* What a guest may write in all; the rest is dropped, so that it cannot fill the host's disk. */
#define SERIAL_OUTPUT_MAX (4u << 20)

struct serial {
	pthread_mutex_t lock;
	int out_fd; /* -1: dropped; not owned */
	int irq_fd; /* irq_line(); -1: none; not owned */
	uint64_t written;
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	bool thr_pending; /* transmitter empty interrupt waits to be read */
	unsigned int line_len;
	char line[256]; /* gathered to write whole lines */
	/* Called with each line once it is complete (panic detection); may be NULL. */
	void (*line_seen)(void *arg, const char *line);
	void *line_arg;
};

void serial_init(struct serial *s, int out_fd, int irq_fd);
/* bus_fn for eight ports. */
void serial_access(void *arg, uint64_t off, void *data, unsigned int len, bool write);
/* Writes out an unfinished line. */
void serial_flush(struct serial *s);

#endif
