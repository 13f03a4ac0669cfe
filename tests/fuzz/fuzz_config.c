/* SPDX-License-Identifier: Apache-2.0 */
/* oci/config*: any bytes as config.json, process.json and resources; what is accepted survives writing and copying. */
#include <stdint.h>
#include <string.h>

#include "oci/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct oci_resources *res = NULL, *res2 = NULL;
	struct oci_process *p = NULL;
	struct oci_config *c = NULL;
	struct err err = { 0 };
	char *a, *b;

	if (oci_config_parse(text, size, &c, &err) < 0 && !err.msg[0])
		__builtin_trap();
	oci_config_free(c);
	err = (struct err){ 0 };
	if (oci_process_parse(text, size, &p, &err) == 0) {
		struct oci_process *copy = oci_process_dup(p);

		a = oci_process_write(p);
		b = oci_process_write(copy);
		if (strcmp(a, b))
			__builtin_trap();
		free(a);
		free(b);
		oci_process_free(copy);
	} else if (!err.msg[0]) {
		__builtin_trap();
	}
	oci_process_free(p);
	if (oci_resources_parse(text, size, &res, &err) == 0) {
		a = oci_resources_write(res);
		if (oci_resources_parse(a, strlen(a), &res2, &err) < 0)
			__builtin_trap();
		free(a);
	}
	oci_resources_free(res);
	oci_resources_free(res2);
	return 0;
}
