/* SPDX-License-Identifier: Apache-2.0 */
/* D-Bus messages of a hostile peer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "container/dbus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dbus_message m;
	const char *text;
	uint32_t n;
	char *copy = malloc(size ? size : 1);

	memcpy(copy, data, size);
	if (dbus_message_parse(copy, size, &m) < 0) {
		free(copy);
		return 0;
	}
	/* as cgroup_systemd.c reads JobRemoved, and as an error's text */
	if (dbus_get_u32(&m, &n) == 0 && dbus_get_string(&m, &text) == 0 && dbus_get_string(&m, &text) == 0)
		dbus_get_string(&m, &text);
	m.pos = m.body;
	if (dbus_get_variant_string(&m, &text) == 0 && strlen(text) > size)
		abort();
	dbus_message_free(&m);
	return 0;
}
