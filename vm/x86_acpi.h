/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables a stock kernel needs to find virtio-mmio devices and processors and to power off (ACPI 6.4). Pure. */
#ifndef VM_X86_ACPI_H
#define VM_X86_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct x86_acpi_params {
	unsigned int vcpus;   /* APIC ids 0 .. vcpus-1 */
	unsigned int devices; /* virtio-mmio devices at layout.h's addresses and interrupts */
};

/*
 * Writes the tables as they are to stand at guest address base (the RSDP first) into buf. Returns the bytes used or
 * -ENOSPC.
 */
int x86_acpi_build(const struct x86_acpi_params *p, uint64_t base, uint8_t *buf, size_t len, struct err *err);

#endif
