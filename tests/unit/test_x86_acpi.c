/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables: checksums, pointers, what a kernel will read; AML lengths that add up. */
#include <errno.h>
#include <stdint.h>

#include "vm/layout.h"
#include "vm/x86_acpi.h"

#include "tests/unit/tap.h"

static uint8_t buf[LAYOUT_ACPI_END - LAYOUT_ACPI];

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

/* The table at a guest address, or NULL when its checksum or place is wrong. */
static const uint8_t *table(uint64_t gpa, const char *sig)
{
	const uint8_t *t = buf + (gpa - LAYOUT_ACPI);
	uint32_t len;

	if (gpa < LAYOUT_ACPI || gpa + 36 > LAYOUT_ACPI_END || memcmp(t, sig, 4))
		return NULL;
	len = get32(t + 4);
	return gpa + len <= LAYOUT_ACPI_END && !sum(t, len) ? t : NULL;
}

/* Length of an AML package at p, in *ret_head the bytes its length field takes. */
static size_t pkg_length(const uint8_t *p, size_t *ret_head)
{
	size_t follow = p[0] >> 6, len = follow ? p[0] & 15 : p[0] & 63;

	for (size_t i = 0; i < follow; i++)
		len |= (size_t)p[1 + i] << (4 + 8 * i);
	*ret_head = 1 + follow;
	return len;
}

static unsigned int count(const uint8_t *p, size_t n, const char *what)
{
	unsigned int found = 0;
	size_t len = strlen(what);

	for (size_t i = 0; i + len <= n; i++)
		found += !memcmp(p + i, what, len);
	return found;
}

static void check(unsigned int vcpus, unsigned int devices)
{
	struct x86_acpi_params p = { .vcpus = vcpus, .devices = devices };
	struct err err = { 0 };
	const uint8_t *xsdt, *fadt, *madt, *dsdt, *aml;
	size_t head, len, dsdt_len, walked = 0, want_devices = devices + 1;

	memset(buf, 0xee, sizeof(buf));
	need(x86_acpi_build(&p, LAYOUT_ACPI, buf, sizeof(buf), &err) > 0);
	ok(!memcmp(buf, "RSD PTR ", 8) && !sum(buf, 20) && !sum(buf, 36));
	xsdt = table(get64(buf + 24), "XSDT");
	need(xsdt != NULL);
	is_int(get32(xsdt + 4), 36 + 2 * 8);
	fadt = table(get64(xsdt + 36), "FACP");
	madt = table(get64(xsdt + 44), "APIC");
	need(fadt && madt);
	is_int(get32(fadt + 4), 276);
	ok(get32(fadt + 112) & 1u << 20); /* hardware-reduced */
	is_int(get64(fadt + 120), LAYOUT_PORT_RESET);
	is_int(get64(fadt + 248), LAYOUT_PORT_SLEEP_CONTROL);
	dsdt = table(get64(fadt + 140), "DSDT");
	need(dsdt && get32(fadt + 40) == get64(fadt + 140));
	is_int(get32(madt + 4), 44 + 8 * vcpus + 12);
	is_int(madt[44 + 8 * (vcpus - 1) + 3], vcpus - 1);
	is_int(get32(madt + 44 + 8 * vcpus + 4), LAYOUT_IOAPIC);

	/* \_S5, then one scope that fills the rest and holds nothing but devices */
	dsdt_len = get32(dsdt + 4);
	aml = dsdt + 36;
	ok(!memcmp(aml, "\x08_S5_\x12", 6));
	aml += 6;
	aml += pkg_length(aml, &head);
	is_int(*aml, 0x10);
	aml++;
	len = pkg_length(aml, &head);
	is_int(aml + len - dsdt, dsdt_len);
	aml += head + 5;
	while (aml < dsdt + dsdt_len && aml[0] == 0x5b && aml[1] == 0x82) {
		aml += 2;
		aml += pkg_length(aml, &head);
		walked++;
	}
	is_int(walked, want_devices);
	ok(aml == dsdt + dsdt_len);
	is_int(count(dsdt, dsdt_len, "LNRO0005"), devices);
}

int main(void)
{
	struct x86_acpi_params big = { .vcpus = 32, .devices = 16 };
	struct err err = { 0 };

	check(1, 0);
	check(2, 5);
	check(32, 16);
	is_int(x86_acpi_build(&big, LAYOUT_ACPI, buf, 600, &err), -ENOSPC);
	is_int(x86_acpi_build(&big, LAYOUT_ACPI, buf, 10, &err), -ENOSPC);
	return tap_done();
}
