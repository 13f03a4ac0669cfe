/* SPDX-License-Identifier: Apache-2.0 */
/* base/json: any bytes; what was read is written, read again and written the same. */
#include <stdint.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct json_writer w = { .indent = 0 };
	struct json_doc *d = json_parse((const char *)data, size, "fuzz", &err), *again;
	char *first, *second;

	if (!d) {
		if (!err.code || !err.msg[0])
			__builtin_trap();
		return 0;
	}
	json_w_value(&w, NULL, json_root(d));
	first = json_w_steal(&w);
	json_doc_free(d);
	again = json_parse(first, strlen(first), "again", &err);
	if (!again)
		__builtin_trap();
	json_w_value(&w, NULL, json_root(again));
	second = json_w_steal(&w);
	if (strcmp(first, second))
		__builtin_trap();
	json_doc_free(again);
	free(first);
	free(second);
	return 0;
}
