/* SPDX-License-Identifier: Apache-2.0 */
/* base/str: buffers, vectors, strict numbers. */
#include "base/str.h"

#include <errno.h>

#include "tests/unit/tap.h"

int main(void)
{
	cleanup_str struct str b = { 0 };
	cleanup_strv char **v = NULL, **parts = NULL;
	cleanup_free char *joined = NULL;
	uint64_t u;
	uint32_t w;
	int64_t i;

	is_str(str_get(&b), "");
	str_addf(&b, "%d-%s", 7, "x");
	for (int k = 0; k < 1000; k++)
		str_addc(&b, 'y');
	is_int(b.len, 1003);
	ok(str_starts(b.s, "7-xyyy"));

	for (int k = 0; k < 40; k++) {
		char t[8];

		snprintf(t, sizeof(t), "%d", k);
		strv_add(&v, t);
	}
	is_int(strv_len(v), 40);
	is_str(v[39], "39");
	ok(strv_has(v, "17"));
	ok(!strv_has(v, "40"));
	ok(!strv_has(NULL, "1"));
	parts = strv_split("a,,b", ',');
	is_int(strv_len(parts), 3);
	joined = strv_join(parts, "+");
	is_str(joined, "a++b");

	is_int(parse_u64("18446744073709551615", &u), 0);
	ok(u == UINT64_MAX);
	is_int(parse_u64("18446744073709551616", &u), -ERANGE);
	is_int(parse_u64("", &u), -EINVAL);
	is_int(parse_u64("+1", &u), -EINVAL);
	is_int(parse_u64("1 ", &u), -EINVAL);
	is_int(parse_u32("4294967296", &w), -ERANGE);
	is_int(parse_i64("-9223372036854775808", &i), 0);
	ok(i == INT64_MIN);
	is_int(parse_i64("9223372036854775808", &i), -ERANGE);
	is_int(parse_octal("0644", &w), 0);
	is_int(w, 0644);
	is_int(parse_octal("8", &w), -EINVAL);
	is_int(parse_size("64k", &u), 0);
	is_int(u, 65536);
	is_int(parse_size("2GiB", &u), 0);
	ok(u == 2ULL << 30);
	is_int(parse_size("1x", &u), -EINVAL);
	is_int(parse_size("99999999999t", &u), -ERANGE);
	is_int(parse_duration_ms("1m30s", &u), 0);
	is_int(u, 90000);
	is_int(parse_duration_ms("250ms", &u), 0);
	is_int(u, 250);
	is_int(parse_duration_ms("5", &u), -EINVAL);
	return tap_done();
}
