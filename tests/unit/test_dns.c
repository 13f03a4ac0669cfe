/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of resolv.conf and hosts. */
#include "base/str.h"
#include "network/dns.h"
#include "tests/unit/tap.h"

int main(void)
{
	static char *servers[] = { "192.0.2.1", "2001:db8::1", NULL }, *search[] = { "a.example", "b.example", NULL },
		    *options[] = { "ndots:2", NULL };
	static const char host[] =
		"# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch corp.example\noptions edns0\nbogus\n";
	struct str s = { 0 };
	struct rtnl_addr a[2];
	char *t;

	dns_resolv(&s, NULL, NULL, NULL, host);
	is_str(s.s, "nameserver 192.0.2.53\nsearch corp.example\noptions edns0\n");
	str_free(&s);
	s = (struct str){ 0 };
	dns_resolv(&s, servers, search, options, host);
	is_str(s.s, "search a.example b.example\nnameserver 192.0.2.1\nnameserver 2001:db8::1\noptions ndots:2\n");
	str_free(&s);
	s = (struct str){ 0 };
	dns_resolv(&s, NULL, NULL, NULL, "");
	is_str(str_get(&s), "");
	rtnl_addr_parse("10.0.0.2", false, &a[0]);
	rtnl_addr_parse("fd00::2", false, &a[1]);
	t = dns_hosts_without(
		"127.0.0.1\tlocalhost\n10.0.0.2\tweb\n10.0.0.20\tother\nfd00::2 web\n# 10.0.0.2 mine\nlast", a, 2);
	is_str(t, "127.0.0.1\tlocalhost\n10.0.0.20\tother\n# 10.0.0.2 mine\nlast");
	free(t);
	t = dns_hosts_without("", a, 2);
	is_str(t, "");
	free(t);
	return tap_done();
}
