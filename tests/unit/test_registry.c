/* SPDX-License-Identifier: Apache-2.0 */
/* images/registry: which hosts may be spoken to in plain HTTP, and how long it waits before it tries again. */
#include <time.h>

#include "images/registry.h"
#include "images/registry_call.h"

#include "tests/unit/tap.h"

static unsigned int paused_ms(unsigned int tries, unsigned int retry_after)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	registry_call_pause(tries, retry_after);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (unsigned int)((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
}

int main(void)
{
	/* pauses grow; what the registry asks for counts before that */
	ok(paused_ms(0, 0) >= 99);
	ok(paused_ms(2, 0) >= 399);
	ok(paused_ms(0, 1) >= 999);

	ok(registry_is_loopback("localhost") && registry_is_loopback("localhost:5000"));
	ok(registry_is_loopback("127.0.0.1:5000") && registry_is_loopback("127.9.8.7"));
	ok(registry_is_loopback("[::1]") && registry_is_loopback("[::1]:443"));
	ok(!registry_is_loopback("localhost.example.com") && !registry_is_loopback("localhosts:80"));
	ok(!registry_is_loopback("127.0.0.1.example.com:5000") && !registry_is_loopback("127.example"));
	ok(!registry_is_loopback("128.0.0.1") && !registry_is_loopback("[::1].example") &&
	   !registry_is_loopback("[::2]"));
	return tap_done();
}
