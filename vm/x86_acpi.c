/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables (ACPI 6.4): RSDP → XSDT → FADT (→ DSDT), MADT.
 *
 * The FADT says hardware-reduced: no PM timer, no fixed events, no SCI, no legacy devices; power-off by the sleep
 * control register, reset by the reset register (both ports). The MADT lists a local APIC for each processor and the
 * I/O APIC. The DSDT is a handful of AML written by hand: a COM1 for the console, and one "LNRO0005" device with its
 * memory window and edge interrupt for each virtio-mmio device, plus \_S5 with the sleep type.
 *
 * AML objects carry their own length in front ("PkgLength"), so they are emitted into the buffer and wrapped
 * afterwards: wrap() moves the body up and writes the length.
 */
#include "vm/x86_acpi.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "vm/layout.h"

#define FADT_LEN 276
#define FADT_HW_REDUCED (1u << 20)
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_PWR_BUTTON (1u << 4)
#define FADT_SLP_BUTTON (1u << 5)
#define BOOT_ARCH_VGA_ABSENT (1u << 2)
#define BOOT_ARCH_MSI_ABSENT (1u << 3)
#define BOOT_ARCH_NO_ASPM (1u << 4)
#define BOOT_ARCH_NO_CMOS (1u << 5)

struct out {
	uint8_t *buf;
	size_t len, used;
	uint64_t base; /* guest address of buf */
	int overflow;
};

static void put(struct out *o, const void *p, size_t n)
{
	if (n > o->len - o->used) {
		o->overflow = 1;
		return;
	}
	memcpy(o->buf + o->used, p, n);
	o->used += n;
}

static void put8(struct out *o, uint8_t v)
{
	put(o, &v, 1);
}

static void put16(struct out *o, uint16_t v)
{
	put(o, &v, 2);
}

static void put32(struct out *o, uint32_t v)
{
	put(o, &v, 4);
}

static void put64(struct out *o, uint64_t v)
{
	put(o, &v, 8);
}

static void put_zero(struct out *o, size_t n)
{
	while (n--)
		put8(o, 0);
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return (uint8_t)-s;
}

/* Common table header; its length and checksum are filled in by finish(). Returns the table's start. */
static size_t begin(struct out *o, const char sig[4], uint8_t revision)
{
	size_t start;

	while (o->used % 16 && !o->overflow)
		put8(o, 0);
	start = o->used;
	put(o, sig, 4);
	put32(o, 0);
	put8(o, revision);
	put8(o, 0);
	put(o, "AMPHI ", 6);
	put(o, "AMPHIVM ", 8);
	put32(o, 1);
	put(o, "AMPH", 4);
	put32(o, 1);
	return start;
}

static void finish(struct out *o, size_t start)
{
	uint32_t n = (uint32_t)(o->used - start);

	if (o->overflow)
		return;
	memcpy(o->buf + start + 4, &n, 4);
	o->buf[start + 9] = sum(o->buf + start, n);
}

/* Generic address structure. */
static void put_gas(struct out *o, uint8_t space, uint8_t bits, uint8_t access, uint64_t addr)
{
	put8(o, space);
	put8(o, bits);
	put8(o, 0);
	put8(o, access);
	put64(o, addr);
}

static uint64_t fadt(struct out *o, uint64_t dsdt)
{
	size_t start = begin(o, "FACP", 6);

	put32(o, 0); /* FACS: none when hardware-reduced */
	put32(o, (uint32_t)dsdt);
	put_zero(o, 109 - 44); /* fixed hardware: not there */
	put16(o, BOOT_ARCH_VGA_ABSENT | BOOT_ARCH_MSI_ABSENT | BOOT_ARCH_NO_ASPM | BOOT_ARCH_NO_CMOS);
	put8(o, 0);
	put32(o, FADT_HW_REDUCED | FADT_RESET_REG_SUP | FADT_PWR_BUTTON | FADT_SLP_BUTTON);
	put_gas(o, 1, 8, 1, LAYOUT_PORT_RESET);
	put8(o, LAYOUT_RESET_VALUE);
	put16(o, 0); /* ARM boot flags */
	put8(o, 4);  /* minor version */
	put64(o, 0); /* X_FACS */
	put64(o, dsdt);
	put_zero(o, 244 - 148); /* X_PM* */
	put_gas(o, 1, 8, 1, LAYOUT_PORT_SLEEP_CONTROL);
	put_gas(o, 1, 8, 1, LAYOUT_PORT_SLEEP_STATUS);
	put(o, "AMPHI\0\0", 8); /* hypervisor vendor */
	finish(o, start);
	return o->base + start;
}

static uint64_t madt(struct out *o, unsigned int vcpus)
{
	size_t start = begin(o, "APIC", 5);

	put32(o, (uint32_t)LAYOUT_LAPIC);
	put32(o, 0); /* no 8259 */
	for (unsigned int i = 0; i < vcpus; i++) {
		put8(o, 0);
		put8(o, 8);
		put8(o, (uint8_t)i); /* processor uid */
		put8(o, (uint8_t)i); /* APIC id */
		put32(o, 1);         /* enabled */
	}
	put8(o, 1);
	put8(o, 12);
	put8(o, 0); /* I/O APIC id */
	put8(o, 0);
	put32(o, (uint32_t)LAYOUT_IOAPIC);
	put32(o, 0); /* first GSI */
	finish(o, start);
	return o->base + start;
}

/* Wraps what was emitted since start into {op bytes, PkgLength}. */
static void wrap(struct out *o, size_t start, const char *op, size_t op_len)
{
	size_t body = o->used - start, total, head;
	uint8_t h[4];

	/* The length counts itself: up to 63 in one byte, else a nibble and up to two more bytes (1 MiB). */
	if (body + 1 <= 63) {
		head = 1;
		h[0] = (uint8_t)(body + 1);
	} else if (body + 2 < 1 << 12) {
		head = 2;
		total = body + 2;
		h[0] = (uint8_t)(0x40 | (total & 0xf));
		h[1] = (uint8_t)(total >> 4);
	} else {
		head = 3;
		total = body + 3;
		h[0] = (uint8_t)(0x80 | (total & 0xf));
		h[1] = (uint8_t)(total >> 4);
		h[2] = (uint8_t)(total >> 12);
	}
	if (o->overflow || op_len + head > o->len - o->used) {
		o->overflow = 1;
		return;
	}
	memmove(o->buf + start + op_len + head, o->buf + start, body);
	memcpy(o->buf + start, op, op_len);
	memcpy(o->buf + start + op_len, h, head);
	o->used += op_len + head;
}

static void aml_name(struct out *o, const char name[4])
{
	put8(o, 0x08); /* NameOp */
	put(o, name, 4);
}

static void aml_byte(struct out *o, uint8_t v)
{
	put8(o, 0x0a);
	put8(o, v);
}

/* Extended interrupt descriptor: consumer, edge, active high, exclusive. */
static void crs_interrupt(struct out *o, uint32_t gsi)
{
	put8(o, 0x89);
	put16(o, 6);
	put8(o, 0x03);
	put8(o, 1);
	put32(o, gsi);
}

/* Buffer (ResourceTemplate) from what was emitted since start. */
static void crs_finish(struct out *o, size_t start)
{
	uint8_t size[2];

	put8(o, 0x79); /* end tag */
	put8(o, 0);
	/* the buffer's size as a byte constant goes in front of the bytes */
	size[0] = 0x0a;
	size[1] = (uint8_t)(o->used - start);
	if (o->overflow || o->len - o->used < 2) {
		o->overflow = 1;
		return;
	}
	memmove(o->buf + start + 2, o->buf + start, o->used - start);
	memcpy(o->buf + start, size, 2);
	o->used += 2;
	wrap(o, start, "\x11", 1); /* BufferOp */
}

static void aml_serial(struct out *o)
{
	size_t dev = o->used, crs;

	put(o, "COM1", 4);
	aml_name(o, "_HID");
	put8(o, 0x0c);
	put32(o, 0x0105d041); /* EisaId("PNP0501") */
	aml_name(o, "_UID");
	put8(o, 0x00);
	aml_name(o, "_CRS");
	crs = o->used;
	put8(o, 0x47); /* I/O port descriptor */
	put8(o, 1);
	put16(o, LAYOUT_PORT_SERIAL);
	put16(o, LAYOUT_PORT_SERIAL);
	put8(o, 1);
	put8(o, 8);
	crs_interrupt(o, LAYOUT_GSI_SERIAL);
	crs_finish(o, crs);
	wrap(o, dev, "\x5b\x82", 2); /* DeviceOp */
}

static void aml_virtio(struct out *o, unsigned int i)
{
	static const char hex[] = "0123456789ABCDEF";
	char name[4] = { 'V', 'R', hex[i >> 4 & 15], hex[i & 15] };
	size_t dev = o->used, crs;

	put(o, name, 4);
	aml_name(o, "_HID");
	put8(o, 0x0d);
	put(o, "LNRO0005", 9);
	aml_name(o, "_UID");
	aml_byte(o, (uint8_t)i);
	aml_name(o, "_CCA");
	put8(o, 0x01);
	aml_name(o, "_CRS");
	crs = o->used;
	put8(o, 0x86); /* Memory32Fixed, read-write */
	put16(o, 9);
	put8(o, 1);
	put32(o, (uint32_t)(LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_SIZE));
	put32(o, (uint32_t)LAYOUT_VIRTIO_SIZE);
	crs_interrupt(o, LAYOUT_GSI_VIRTIO + i);
	crs_finish(o, crs);
	wrap(o, dev, "\x5b\x82", 2);
}

static uint64_t dsdt(struct out *o, unsigned int devices)
{
	size_t start = begin(o, "DSDT", 2), scope, pack;

	/* Name (_S5, Package () {type, type, 0, 0}) */
	aml_name(o, "_S5_");
	pack = o->used;
	put8(o, 4);
	aml_byte(o, LAYOUT_SLEEP_TYPE_S5);
	aml_byte(o, LAYOUT_SLEEP_TYPE_S5);
	put8(o, 0x00);
	put8(o, 0x00);
	wrap(o, pack, "\x12", 1);
	scope = o->used;
	put(o, "\\_SB_", 5);
	aml_serial(o);
	for (unsigned int i = 0; i < devices; i++)
		aml_virtio(o, i);
	wrap(o, scope, "\x10", 1); /* ScopeOp */
	finish(o, start);
	return o->base + start;
}

int x86_acpi_build(const struct x86_acpi_params *p, uint64_t base, uint8_t *buf, size_t len, struct err *err)
{
	struct out o = { .buf = buf, .len = len, .base = base };
	uint64_t tables[2], xsdt;
	uint8_t rsdp[36] = "RSD PTR ";
	uint32_t n = sizeof(rsdp);
	size_t start;

	put(&o, rsdp, sizeof(rsdp)); /* filled below */
	tables[0] = fadt(&o, dsdt(&o, p->devices));
	tables[1] = madt(&o, p->vcpus);
	start = begin(&o, "XSDT", 1);
	put64(&o, tables[0]);
	put64(&o, tables[1]);
	finish(&o, start);
	if (o.overflow)
		return err_set(err, ENOSPC, "ACPI tables: %zu bytes are not enough", len);
	xsdt = base + start;
	memcpy(rsdp + 9, "AMPHI ", 6);
	rsdp[15] = 2;
	memcpy(rsdp + 20, &n, 4);
	memcpy(rsdp + 24, &xsdt, 8);
	rsdp[8] = sum(rsdp, 20);
	rsdp[32] = sum(rsdp, 36);
	memcpy(buf, rsdp, sizeof(rsdp));
	return (int)o.used;
}
