/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's physical addresses, drawn once.
 *
 *	0x0000_0500  GDT, IDT                        ┐
 *	0x0000_6000  PVH start info, module list     │
 *	0x0000_7000  boot_params ("zero page")       │ written before the first instruction,
 *	0x0000_9000  PML4, PDPT, PD                  │ free for the guest afterwards
 *	0x0002_0000  command line (64 KiB)           ┘
 *	0x0009_fc00  end of low RAM (the hole up to 1 MiB is reserved)
 *	0x000e_0000  ACPI: RSDP first (where firmware would have it), the other tables behind
 *	0x0010_0000  RAM: the kernel at its own address (16 MiB for stock kernels), initrd at the end of low RAM
 *	0xc000_0000  end of RAM below 4 GiB; the 32-bit hole begins
 *	0xd000_0000  virtio-mmio, 4 KiB each
 *	0xfec0_0000  I/O APIC (in the kernel's irqchip)
 *	0xfee0_0000  local APICs
 *	0xfffb_c000  pages that KVM on Intel wants for itself (identity map, TSS)
 *	0x1_0000_0000 RAM goes on
 */
#ifndef VM_LAYOUT_H
#define VM_LAYOUT_H

#define LAYOUT_GDT 0x500ULL
#define LAYOUT_IDT 0x520ULL
#define LAYOUT_PVH_INFO 0x6000ULL
#define LAYOUT_PVH_MODLIST 0x6040ULL
#define LAYOUT_PVH_MEMMAP 0x6100ULL
#define LAYOUT_BOOT_PARAMS 0x7000ULL
#define LAYOUT_BOOT_STACK 0x8ff0ULL
#define LAYOUT_PML4 0x9000ULL
#define LAYOUT_PDPT 0xa000ULL
#define LAYOUT_PD 0xb000ULL /* four pages: 4 GiB identity */
#define LAYOUT_CMDLINE 0x20000ULL
#define LAYOUT_CMDLINE_MAX 0x800ULL /* what x86 kernels accept (COMMAND_LINE_SIZE) */
#define LAYOUT_LOW_END 0x9fc00ULL
#define LAYOUT_ACPI 0xe0000ULL
#define LAYOUT_ACPI_END 0x100000ULL
#define LAYOUT_HIGH 0x100000ULL
#define LAYOUT_HOLE 0xc0000000ULL
#define LAYOUT_HOLE_END 0x100000000ULL
#define LAYOUT_VIRTIO 0xd0000000ULL
#define LAYOUT_VIRTIO_SIZE 0x1000ULL
#define LAYOUT_VIRTIO_MAX 16
#define LAYOUT_IOAPIC 0xfec00000ULL
#define LAYOUT_LAPIC 0xfee00000ULL
#define LAYOUT_IDENTITY_MAP 0xfffbc000ULL
#define LAYOUT_TSS 0xfffbd000ULL

/* Ports. */
#define LAYOUT_PORT_SERIAL 0x3f8
#define LAYOUT_PORT_SLEEP_CONTROL 0x600 /* ACPI sleep control register, then status */
#define LAYOUT_PORT_SLEEP_STATUS 0x601
#define LAYOUT_PORT_RESET 0x602 /* ACPI reset register */
#define LAYOUT_RESET_VALUE 0x42
#define LAYOUT_SLEEP_TYPE_S5 5

/* Global interrupt numbers: 4 is the serial line, virtio-mmio devices have 5 and up. */
#define LAYOUT_GSI_SERIAL 4
#define LAYOUT_GSI_VIRTIO 5
#define LAYOUT_GSI_MAX 24

#endif
