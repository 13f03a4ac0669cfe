/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot state for an x86-64 Linux kernel (Documentation/arch/x86/boot.rst, "64-bit boot protocol"): long mode with 4 GiB
 * mapped one to one, flat segments from a small GDT, RSI at boot_params ("zero page"). The same state starts an ELF
 * vmlinux at its entry point and a bzImage at 0x200 of its protected-mode part. Other vCPUs wait for the guest's INIT and
 * SIPI in KVM and need nothing from us.
 *
 * boot_params fields used, by offset: 0x070 acpi_rsdp_addr, 0x1e8 e820_entries, 0x1f1 the setup header, 0x2d0 e820_table.
 */
#include "vm/x86_boot.h"

#include <errno.h>
#include <string.h>

#include "vm/layout.h"

#define E820_RAM 1
#define E820_RESERVED 2

#define CR0_PE 0x1ULL
#define CR0_PG 0x80000000ULL
#define CR4_PAE 0x20ULL
#define EFER_LME 0x100ULL
#define EFER_LMA 0x400ULL

#define PTE_PRESENT 0x1ULL
#define PTE_WRITE 0x2ULL
#define PTE_LARGE 0x80ULL

static const uint64_t gdt[] = {
	0,
	0, /* the protocol wants code at 0x10 and data at 0x18 */
	0x00af9b000000ffffULL,
	0x00cf93000000ffffULL,
	0x008f8b000000ffffULL, /* TSS at 0x20 */
	0,
};

static void set32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void set64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void e820(uint8_t *params, uint64_t begin, uint64_t end, uint32_t type)
{
	uint8_t *e = params + 0x2d0 + 20u * params[0x1e8];

	set64(e, begin);
	set64(e + 8, end - begin);
	set32(e + 16, type);
	params[0x1e8]++;
}

static int page_tables(const struct vm_memory *m)
{
	uint64_t pml4 = LAYOUT_PDPT | PTE_PRESENT | PTE_WRITE, pdpt[4], pd[512];
	int r = memory_write(m, LAYOUT_PML4, &pml4, sizeof(pml4));

	for (uint64_t g = 0; g < 4 && !r; g++) {
		pdpt[g] = (LAYOUT_PD + g * 4096) | PTE_PRESENT | PTE_WRITE;
		for (uint64_t i = 0; i < 512; i++)
			pd[i] = (g << 30 | i << 21) | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
		r = memory_write(m, LAYOUT_PD + g * 4096, pd, sizeof(pd));
	}
	return r ? r : memory_write(m, LAYOUT_PDPT, pdpt, sizeof(pdpt));
}

int x86_boot_memory(const struct vm_memory *m, const struct x86_boot *b, struct err *err)
{
	uint8_t params[4096] = { 0 };
	size_t cmdline_len = strlen(b->cmdline);
	int r;

	if (b->kernel->setup_len)
		memcpy(params + 0x1f1, b->kernel->setup, b->kernel->setup_len);
	params[0x1fe] = 0x55;
	params[0x1ff] = 0xaa;
	memcpy(params + 0x202, "HdrS", 4);
	if (!b->kernel->setup_len)
		set32(params + 0x230, 0x1000000); /* kernel_alignment */
	params[0x210] = 0xff;                     /* type_of_loader: not registered */
	params[0x211] |= 0x01;                    /* loaded high */
	set32(params + 0x218, (uint32_t)b->initrd);
	set32(params + 0x21c, (uint32_t)b->initrd_len);
	set32(params + 0x228, (uint32_t)LAYOUT_CMDLINE);
	set32(params + 0x238, (uint32_t)LAYOUT_CMDLINE_MAX - 1);
	set64(params + 0x070, b->acpi);
	e820(params, 0, LAYOUT_LOW_END, E820_RAM);
	e820(params, LAYOUT_LOW_END, LAYOUT_HIGH, E820_RESERVED);
	for (unsigned int i = 0; i < m->n; i++) {
		uint64_t begin = m->regions[i].gpa ? m->regions[i].gpa : LAYOUT_HIGH;

		e820(params, begin, m->regions[i].gpa + m->regions[i].len, E820_RAM);
	}
	r = memory_write(m, LAYOUT_GDT, gdt, sizeof(gdt));
	if (!r)
		r = page_tables(m);
	if (!r)
		r = memory_write(m, LAYOUT_CMDLINE, b->cmdline, cmdline_len + 1);
	if (!r)
		r = memory_write(m, LAYOUT_BOOT_PARAMS, params, sizeof(params));
	return r ? err_sys(err, r, "boot parameters") : 0;
}

int x86_boot_registers(int vcpu_fd, gpa_t entry, struct err *err)
{
	struct kvm_segment code = {
		.base = 0, .limit = 0xffffffff, .selector = 0x10, .type = 0xb, .present = 1, .s = 1, .l = 1, .g = 1
	};
	struct kvm_segment data = {
		.base = 0, .limit = 0xffffffff, .selector = 0x18, .type = 0x3, .present = 1, .s = 1, .db = 1, .g = 1
	};
	struct kvm_segment tss = { .base = 0, .limit = 0xfffff, .selector = 0x20, .type = 0xb, .present = 1, .g = 1 };
	struct kvm_regs regs = {
		.rip = entry, .rsp = LAYOUT_BOOT_STACK, .rbp = LAYOUT_BOOT_STACK, .rsi = LAYOUT_BOOT_PARAMS, .rflags = 2
	};
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct kvm_sregs s;
	int r = kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &s);

	if (r < 0)
		return err_sys(err, r, "KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.tr = tss;
	s.gdt.base = LAYOUT_GDT;
	s.gdt.limit = sizeof(gdt) - 1;
	s.idt.base = LAYOUT_IDT + 0x20;
	s.idt.limit = 0;
	s.cr0 = CR0_PE | CR0_PG;
	s.cr3 = LAYOUT_PML4;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	r = kvm_ioctl(vcpu_fd, KVM_SET_SREGS, &s);
	if (r < 0)
		return err_sys(err, r, "KVM_SET_SREGS");
	r = kvm_ioctl(vcpu_fd, KVM_SET_FPU, &fpu);
	if (r < 0)
		return err_sys(err, r, "KVM_SET_FPU");
	r = kvm_ioctl(vcpu_fd, KVM_SET_REGS, &regs);
	return r < 0 ? err_sys(err, r, "KVM_SET_REGS") : 0;
}
