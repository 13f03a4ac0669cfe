/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An 8250 as far as Linux's driver looks: registers read back, loopback answers the probe, the transmitter is always
 * empty, nothing is ever received. The FIFO is not offered (IIR says 8250/16450): it would gain nothing, each byte is an
 * exit anyway. Output is gathered into lines; the sum is bounded.
 */
#include "vm/serial.h"

#include <string.h>

#include "base/fd.h"
#include "vm/irq.h"

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_THRI 0x02
#define IIR_NONE 0x01
#define IIR_THRI 0x02
#define LCR_DLAB 0x80
#define LSR_EMPTY 0x60 /* holding and shift register empty */
#define MCR_LOOP 0x10
#define MSR_READY 0xb0 /* carrier, data set ready, clear to send */

void serial_init(struct serial *s, int out_fd, int irq_fd)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->out_fd = out_fd;
	s->irq_fd = irq_fd;
	s->dll = 1;
}

static void write_out(struct serial *s)
{
	if (!s->line_len)
		return;
	if (s->out_fd >= 0 && s->written < SERIAL_OUTPUT_MAX) {
		/* A log that cannot be written (disk full) must not stop the guest. */
		if (fd_write_all(s->out_fd, s->line, s->line_len) < 0)
			s->out_fd = -1;
		s->written += s->line_len;
	}
	s->line[s->line_len] = 0;
	if (s->line_seen)
		s->line_seen(s->line_arg, s->line);
	s->line_len = 0;
}

static void put(struct serial *s, uint8_t c)
{
	s->line[s->line_len++] = (char)c;
	if (c == '\n' || s->line_len == sizeof(s->line) - 1)
		write_out(s);
}

void serial_flush(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	write_out(s);
	pthread_mutex_unlock(&s->lock);
}

static void transmitter_empty(struct serial *s)
{
	if (!(s->ier & IER_THRI))
		return;
	s->thr_pending = true;
	if (s->irq_fd >= 0)
		irq_pulse(s->irq_fd);
}

static void reg_write(struct serial *s, unsigned int reg, uint8_t v)
{
	switch (reg) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB) {
			s->dll = v;
		} else {
			if (!(s->mcr & MCR_LOOP))
				put(s, v);
			s->thr_pending = false;
			transmitter_empty(s);
		}
		break;
	case REG_IER:
		if (s->lcr & LCR_DLAB) {
			s->dlm = v;
		} else {
			uint8_t old = s->ier;

			s->ier = v & 0x0f;
			if (!(old & IER_THRI))
				transmitter_empty(s);
		}
		break;
	case REG_IIR_FCR:
		s->fcr = v;
		break;
	case REG_LCR:
		s->lcr = v;
		break;
	case REG_MCR:
		s->mcr = v & 0x1f;
		break;
	case REG_SCR:
		s->scr = v;
		break;
	}
}

static uint8_t reg_read(struct serial *s, unsigned int reg)
{
	uint8_t v;

	switch (reg) {
	case REG_DATA:
		return s->lcr & LCR_DLAB ? s->dll : 0;
	case REG_IER:
		return s->lcr & LCR_DLAB ? s->dlm : s->ier;
	case REG_IIR_FCR:
		if (!s->thr_pending || !(s->ier & IER_THRI))
			return IIR_NONE;
		s->thr_pending = false;
		return IIR_THRI;
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return LSR_EMPTY;
	case REG_MSR:
		if (!(s->mcr & MCR_LOOP))
			return MSR_READY;
		v = (uint8_t)((s->mcr & 0x0c) << 4); /* OUT1, OUT2 → RI, DCD */
		v |= (s->mcr & 0x02) << 3;           /* RTS → CTS */
		v |= (s->mcr & 0x01) << 5;           /* DTR → DSR */
		return v;
	default:
		return s->scr;
	}
}

void serial_access(void *arg, uint64_t off, void *data, unsigned int len, bool write)
{
	struct serial *s = arg;
	uint8_t *bytes = data;

	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < len; i++) {
		unsigned int reg = (unsigned int)(off + i) & 7;

		if (write)
			reg_write(s, reg, bytes[i]);
		else
			bytes[i] = reg_read(s, reg);
	}
	pthread_mutex_unlock(&s->lock);
}
