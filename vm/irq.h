/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts: the in-kernel controllers and edge-triggered lines fed by eventfds. */
#ifndef VM_IRQ_H
#define VM_IRQ_H

#include <stdint.h>

#include "base/err.h"
#include "vm/kvm.h"

/* Local APICs and the 24-pin I/O APIC in the kernel, no PIT. Before the first vCPU. 0 or -errno. */
int irq_setup(const struct kvm *k, struct err *err);
/* A new eventfd whose writes pulse the GSI (1..23). fd (owned by the caller) or -errno. */
int irq_line(const struct kvm *k, uint32_t gsi, struct err *err);
/* Raises the GSI and lowers it again. Any thread, but one at a time for a GSI, and none of its irqfd's meanwhile. */
void irq_edge(const struct kvm *k, uint32_t gsi);
/* Pulses a line made by irq_line(). Any thread; never blocks. */
void irq_pulse(int line_fd);

#endif
