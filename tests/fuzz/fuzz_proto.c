/* SPDX-License-Identifier: Apache-2.0 */
/* Agent messages as a hostile guest (or host) would send them. */
#include <stdlib.h>

#include "vm/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proto_msg m = { 0 };
	struct err err = { 0 };
	char *s = NULL;
	uint64_t v;

	if (proto_parse(data, size, &m, &err) == 0) {
		(void)proto_get_string(&m, PROTO_F_ID, &s, &err);
		(void)proto_get_u64(&m, PROTO_F_CLOCK, &v, &err);
		(void)proto_u32_or(&m, PROTO_F_STATUS, 0);
		(void)proto_get_err(&m, &err);
		free(s);
	}
	proto_msg_free(&m);
	return 0;
}
