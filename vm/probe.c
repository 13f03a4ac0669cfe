/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe guest: long mode, ring 0, a locked 16-byte compare-exchange and a bit count, halt. On a KVM with hardware behind it the
 * guest reaches HLT at once. A KVM that interprets ring-0 code in software gives up with an internal error at the
 * first instruction its interpreter lacks, as it would in any stock kernel. No interrupt controllers: HLT comes out.
 */
#include "vm/probe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "vm/bus.h"
#include "vm/kvm.h"
#include "vm/layout.h"
#include "vm/memory.h"
#include "vm/vcpu.h"
#include "vm/x86_boot.h"
#include "vm/x86_cpuid.h"

static const uint8_t guest_code[] = {
	0x31, 0xc0,                   /* xor eax, eax */
	0x31, 0xd2,                   /* xor edx, edx */
	0x31, 0xdb,                   /* xor ebx, ebx */
	0x31, 0xc9,                   /* xor ecx, ecx */
	0xbe, 0x00, 0x80, 0x00, 0x00, /* mov esi, 0x8000 */
	0xf0, 0x48, 0x0f, 0xc7, 0x0e, /* lock cmpxchg16b [rsi] */
	0xf3, 0x0f, 0xb8, 0xc0,       /* popcnt eax, eax */
	0xf4,                         /* hlt */
};

static int run_guest(struct kvm *k, struct vm_memory *m, struct vcpu *v, struct err *err)
{
	cleanup_free struct x86_cpuid *cpuid = xcalloc(1, sizeof(*cpuid));
	struct kernel_image kernel = { .entry = LAYOUT_HIGH };
	struct x86_boot boot = { .kernel = &kernel, .cmdline = "" };
	struct bus none = { 0 };
	struct vcpu_group group = { .mmio = &none, .pio = &none };
	int r;

	vcpu_group_init(&group);
	r = memory_alloc(m, 4 << 20, err);
	if (r >= 0)
		r = kvm_add_memory(k, 0, m->regions[0].len, m->regions[0].host, false, err);
	if (r >= 0)
		r = x86_boot_memory(m, &boot, err);
	if (r >= 0)
		r = memory_write(m, LAYOUT_HIGH, guest_code, sizeof(guest_code));
	if (r >= 0)
		r = vcpu_create(v, k, 0, &group, err);
	if (r >= 0)
		r = x86_cpuid_supported(k->fd, cpuid, err);
	if (r >= 0)
		r = x86_cpuid_apply(v->fd, cpuid, err);
	if (r >= 0)
		r = x86_boot_registers(v->fd, kernel.entry, err);
	if (r < 0)
		return r;
	r = kvm_ioctl_val(v->fd, KVM_RUN, 0);
	if (r < 0)
		return err_sys(err, r, "/dev/kvm: KVM_RUN");
	if (v->run->exit_reason != KVM_EXIT_HLT)
		return err_set(err, ENOTSUP,
			       "/dev/kvm: cannot run a kernel natively on this host (exit %u, suberror %u)",
			       v->run->exit_reason,
			       v->run->exit_reason == KVM_EXIT_INTERNAL_ERROR ? v->run->internal.suberror : 0);
	return 0;
}

int probe_kvm(struct err *err)
{
	cleanup_fd int fd = kvm_open(err);
	struct vm_memory m = { 0 };
	struct vcpu v = { .fd = -1 };
	struct kvm k = KVM_NONE;
	int r;

	if (fd < 0)
		return fd;
	r = kvm_create(fd, &k, err);
	if (r >= 0)
		r = run_guest(&k, &m, &v, err);
	vcpu_free(&v);
	kvm_close(&k);
	memory_free(&m);
	return r;
}
