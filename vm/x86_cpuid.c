/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID and MSRs. The base is what KVM supports on this host; on top of it:
 *
 *	0x1         APIC id, logical processors, hypervisor bit, TSC deadline timer (we have no PIT), no debug store
 *	0x4         cache sharing and cores of a package (Intel)
 *	0x6         always running APIC timer
 *	0xa         no performance counters
 *	0xb, 0x1f   topology: one thread a core, all cores in one package
 *	0x80000008  number of cores (AMD)
 *	0x8000001d  cache sharing (AMD);  0x8000001e  extended APIC id
 *
 * MSRs: fast strings, and the MTRR default type write-back, without which a guest that honours MTRRs runs uncached.
 */
#include "vm/x86_cpuid.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

#define MSR_MISC_ENABLE 0x1a0
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE 0x800
#define MTRR_WRITE_BACK 6

int x86_cpuid_supported(int kvm_fd, struct x86_cpuid *ret, struct err *err)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->head.nent = X86_CPUID_MAX;
	r = kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, ret);
	return r < 0 ? err_sys(err, r, "KVM_GET_SUPPORTED_CPUID") : 0;
}

static unsigned int log2_up(unsigned int n)
{
	unsigned int bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

static void topology_leaf(struct kvm_cpuid_entry2 *e, unsigned int id, unsigned int vcpus)
{
	e->edx = id; /* x2APIC id */
	switch (e->index) {
	case 0: /* threads of a core */
		e->eax = 0;
		e->ebx = 1;
		e->ecx = 1 << 8 | e->index;
		break;
	case 1: /* cores of the package */
		e->eax = log2_up(vcpus);
		e->ebx = vcpus;
		e->ecx = 2 << 8 | e->index;
		break;
	default:
		e->eax = 0;
		e->ebx = 0;
		e->ecx = e->index;
		break;
	}
}

void x86_cpuid_adjust(struct x86_cpuid *c, unsigned int id, unsigned int vcpus)
{
	for (unsigned int i = 0; i < c->head.nent && i < X86_CPUID_MAX; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];
		unsigned int sharing;

		switch (e->function) {
		case 0x1:
			e->ebx = (e->ebx & 0x0000ffff) | id << 24 | (vcpus & 0xff) << 16;
			e->ecx |= 1u << 31 | 1u << 24;
			e->ecx &= ~(1u << 2 | 1u << 15); /* DTES64, PDCM */
			e->edx &= ~(1u << 21);           /* DS */
			if (vcpus > 1)
				e->edx |= 1u << 28;
			else
				e->edx &= ~(1u << 28);
			break;
		case 0x4:
			if (!(e->eax & 0x1f))
				break;
			/* caches up to level 2 belong to a core, the third to the package */
			sharing = (e->eax >> 5 & 7) >= 3 ? (1u << log2_up(vcpus)) - 1 : 0;
			e->eax = (e->eax & 0x3fff) | sharing << 14 | ((1u << log2_up(vcpus)) - 1) << 26;
			break;
		case 0x6:
			e->eax |= 1u << 2;
			e->ecx &= ~(1u << 3); /* energy-performance bias */
			break;
		case 0xa:
			e->eax = e->ebx = e->ecx = e->edx = 0;
			break;
		case 0xb:
		case 0x1f:
			topology_leaf(e, id, vcpus);
			break;
		case 0x80000008:
			e->ecx = (e->ecx & ~0xf0ffu) | log2_up(vcpus) << 12 | ((vcpus - 1) & 0xff);
			break;
		case 0x8000001d:
			if (!(e->eax & 0x1f))
				break;
			sharing = (e->eax >> 5 & 7) >= 3 ? vcpus - 1 : 0;
			e->eax = (e->eax & ~(0xfffu << 14)) | sharing << 14;
			break;
		case 0x8000001e:
			e->eax = id;
			e->ebx = id & 0xff; /* core id, one thread */
			e->ecx = 0;         /* one node */
			break;
		}
	}
}

int x86_cpuid_apply(int vcpu_fd, struct x86_cpuid *c, struct err *err)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[1];
	} msrs;
	static const struct {
		uint32_t index;
		uint64_t value;
	} boot[] = {
		{ MSR_MISC_ENABLE, 1 },
		{ MSR_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_WRITE_BACK },
	};
	int r = kvm_ioctl(vcpu_fd, KVM_SET_CPUID2, c);

	if (r < 0)
		return err_sys(err, r, "KVM_SET_CPUID2");
	for (unsigned int i = 0; i < sizeof(boot) / sizeof(boot[0]); i++) {
		memset(&msrs, 0, sizeof(msrs));
		msrs.head.nmsrs = 1;
		msrs.e[0].index = boot[i].index;
		msrs.e[0].data = boot[i].value;
		/* A CPU without the register can do without it. */
		if (kvm_ioctl(vcpu_fd, KVM_SET_MSRS, &msrs) != 1)
			log_debug("kvm: MSR %#x not set", boot[i].index);
	}
	return 0;
}
