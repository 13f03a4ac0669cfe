/* SPDX-License-Identifier: Apache-2.0 */
/* images/ref: names as people write them. */
#include "images/ref.h"

#include "tests/unit/tap.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void good(const char *text, const char *name)
{
	cleanup_ref struct ref r = { 0 };
	struct err err = { 0 };

	is_int(ref_parse(text, "docker.io", &r, &err), 0);
	is_str(r.name, name);
}

static void bad(const char *text)
{
	struct ref r;
	struct err err = { 0 };

	is_int(ref_parse(text, "docker.io", &r, &err), -EINVAL);
	has_str(err.msg, "image name \"");
}

int main(void)
{
	good("busybox", "docker.io/library/busybox:latest");
	good("busybox:1.36", "docker.io/library/busybox:1.36");
	good("a/b", "docker.io/a/b:latest");
	good("index.docker.io/a", "docker.io/library/a:latest");
	good("localhost/x", "localhost/x:latest");
	good("localhost:5000/x/y:T_1.2-3", "localhost:5000/x/y:T_1.2-3");
	good("r.example/a@sha256:" HEX, "r.example/a@sha256:" HEX);
	good("r.example/a:t@sha256:" HEX, "r.example/a@sha256:" HEX);
	good("[::1]:5000/a", "[::1]:5000/a:latest");
	good("a__b--c.d_e", "docker.io/library/a__b--c.d_e:latest");
	bad("");
	bad("UPPER");
	bad("a:");
	bad("a:-x");
	bad("a@sha256:123");
	bad("a//b");
	bad("/a");
	bad("a/");
	bad("a..b");
	bad("a___b");
	bad("-a");
	bad("ho st.example/a");
	bad("r.example:99999999/a");
	bad("a b");
	return tap_done();
}
