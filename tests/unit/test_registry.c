/* SPDX-License-Identifier: Apache-2.0 */
/* images/registry: which hosts may be spoken to in plain HTTP. */
#include "images/registry.h"

#include "tests/unit/tap.h"

int main(void)
{
	ok(registry_is_loopback("localhost") && registry_is_loopback("localhost:5000"));
	ok(registry_is_loopback("127.0.0.1:5000") && registry_is_loopback("127.9.8.7"));
	ok(registry_is_loopback("[::1]") && registry_is_loopback("[::1]:443"));
	ok(!registry_is_loopback("localhost.example.com") && !registry_is_loopback("localhosts:80"));
	ok(!registry_is_loopback("127.0.0.1.example.com:5000") && !registry_is_loopback("127.example"));
	ok(!registry_is_loopback("128.0.0.1") && !registry_is_loopback("[::1].example") &&
	   !registry_is_loopback("[::2]"));
	return tap_done();
}
