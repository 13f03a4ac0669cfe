/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts. KVM models the controllers; every device owns one GSI. Lines are edges: a pulse that arrives
 * while the guest handles the last one stays pending, and device handlers acknowledge before they look for work, so
 * none is lost. There is no PIT: guests have the TSC deadline timer.
 *
 * An irqfd of an I/O APIC's line hands each pulse to a worker of the kernel; who can make the call raises the line itself.
 * #syscalls ioctl:KVM_IRQ_LINE write
 */
#include "vm/irq.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm/layout.h"

int irq_setup(const struct kvm *k, struct err *err)
{
	uint64_t identity = LAYOUT_IDENTITY_MAP;
	int r;

	/* Intel only; elsewhere these are accepted or unknown, and not needed. */
	r = kvm_ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (r < 0)
		log_debug("kvm: KVM_SET_IDENTITY_MAP_ADDR: %d", r);
	r = kvm_ioctl_val(k->vm_fd, KVM_SET_TSS_ADDR, LAYOUT_TSS);
	if (r < 0)
		log_debug("kvm: KVM_SET_TSS_ADDR: %d", r);
	r = kvm_ioctl_val(k->vm_fd, KVM_CREATE_IRQCHIP, 0);
	return r < 0 ? err_sys(err, r, "KVM_CREATE_IRQCHIP") : 0;
}

int irq_line(const struct kvm *k, uint32_t gsi, struct err *err)
{
	cleanup_fd int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r;

	if (fd < 0)
		return err_sys(err, -errno, "interrupt line %u", gsi);
	r = kvm_irqfd(k, fd, gsi, true, err);
	return r < 0 ? r : steal_fd(fd);
}

void irq_edge(const struct kvm *k, uint32_t gsi)
{
	struct kvm_irq_level line = { .irq = gsi, .level = 1 };
	int r = kvm_ioctl(k->vm_fd, KVM_IRQ_LINE, &line);

	line.level = 0;
	if (r >= 0)
		r = kvm_ioctl(k->vm_fd, KVM_IRQ_LINE, &line);
	if (r < 0)
		log_debug("interrupt line %u: %d", gsi, r);
}

void irq_pulse(int line_fd)
{
	uint64_t one = 1;

	if (write(line_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_debug("interrupt line: %m");
}
