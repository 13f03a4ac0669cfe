/* SPDX-License-Identifier: Apache-2.0 */
/* Address ranges, and the serial port behind one. */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "base/fd.h"
#include "vm/bus.h"
#include "vm/serial.h"

#include "tests/unit/tap.h"

static uint64_t last_off;
static unsigned int calls;

static void handler(void *arg, uint64_t off, void *data, unsigned int len, bool write)
{
	last_off = off;
	calls++;
	if (!write)
		memset(data, *(char *)arg, len);
}

static void test_ranges(void)
{
	struct bus b = { 0 };
	char x = 'x', y = 'y';
	uint8_t data[8];

	is_int(bus_add(&b, 0x1000, 0x100, handler, &x), 0);
	is_int(bus_add(&b, 0x1100, 0x100, handler, &y), 0);
	is_int(bus_add(&b, 0x10ff, 2, handler, &y), -EEXIST);
	is_int(bus_add(&b, UINT64_MAX, 2, handler, &y), -EINVAL);
	is_int(bus_add(&b, 0x5000, 0, handler, &y), -EINVAL);
	ok(bus_access(&b, 0x1000, data, 4, false) && data[3] == 'x' && last_off == 0);
	ok(bus_access(&b, 0x11fc, data, 4, false) && data[0] == 'y' && last_off == 0xfc);
	/* across two ranges, beyond, before: nobody's */
	calls = 0;
	ok(!bus_access(&b, 0x10fe, data, 4, false) && data[0] == 0xff && data[3] == 0xff);
	ok(!bus_access(&b, 0x1200, data, 1, true));
	ok(!bus_access(&b, 0xfff, data, 1, false));
	ok(!bus_access(&b, UINT64_MAX, data, 8, false));
	is_int(calls, 0);
	for (unsigned int i = 2; i < BUS_RANGES_MAX; i++)
		bus_add(&b, 0x10000 + 16 * i, 16, handler, &x);
	is_int(bus_add(&b, 0x90000, 16, handler, &x), -ENOSPC);
}

static uint8_t port(struct serial *s, unsigned int reg, int value)
{
	uint8_t v = (uint8_t)value;

	serial_access(s, reg, &v, 1, value >= 0);
	return v;
}

static char seen[256];

static void line_seen(void *arg, const char *line)
{
	snprintf(seen, sizeof(seen), "%s", line);
}

static void test_serial(void)
{
	int fd = fd_memfd("console", NULL, 0, false);
	char text[64] = "";
	struct serial s;

	serial_init(&s, fd, -1);
	s.line_seen = line_seen;
	/* what a driver's probe looks at */
	port(&s, 7, 0xa5);
	is_int(port(&s, 7, -1), 0xa5);
	port(&s, 3, 0x80);
	port(&s, 0, 12);
	is_int(port(&s, 0, -1), 12);
	port(&s, 3, 0x03);
	is_int(port(&s, 5, -1), 0x60);
	port(&s, 4, 0x1a); /* loop, RTS, OUT2 */
	is_int(port(&s, 6, -1) & 0xf0, 0x90);
	port(&s, 0, 'Z'); /* looped, not written */
	port(&s, 4, 0);
	is_int(port(&s, 2, -1), 0x01);
	port(&s, 1, 0x02);
	is_int(port(&s, 2, -1), 0x02); /* the transmitter is empty */
	is_int(port(&s, 2, -1), 0x01);
	for (const char *p = "panic\nrest"; *p; p++)
		port(&s, 0, *p);
	is_str(seen, "panic\n");
	serial_flush(&s);
	is_int(pread(fd, text, sizeof(text) - 1, 0), 10);
	is_str(text, "panic\nrest");
	/* a guest cannot fill the disk */
	s.written = SERIAL_OUTPUT_MAX;
	port(&s, 0, '\n');
	is_int(lseek(fd, 0, SEEK_END), 10);
	close(fd);
}

int main(void)
{
	test_ranges();
	test_serial();
	return tap_done();
}
