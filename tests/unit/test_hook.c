/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: argv, environment, state on stdin, failures, time limit. */
#include "container/hook.h"

#include "base/str.h"
#include "tap.h"

static struct oci_config with(struct oci_hook *h, size_t n)
{
	struct oci_config c = { 0 };

	c.hooks[OCI_HOOK_CREATE_RUNTIME] = (struct oci_hook_list){ .v = h, .n = n };
	return c;
}

int main(void)
{
	char *env[] = { "PATH=/bin:/usr/bin", "WANT=hello", NULL };
	char *good[] = { "named", "-c",
			 "read x; [ \"$x\" = '{\"id\":\"x\"}' ] && [ \"$WANT\" = hello ] && [ -z \"$HOME\" ]", NULL };
	char *bad[] = { "sh", "-c", "echo out; echo complaint >&2; exit 4", NULL };
	char *slow[] = { "sleep", "1000", NULL };
	struct oci_hook h[] = { { .path = "/bin/sh", .args = good, .env = env },
				{ .path = "/bin/sh", .args = bad },
				{ .path = "/bin/sleep", .args = slow, .has_timeout = true, .timeout = 1 },
				{ .path = "/no/such/hook" } };
	struct oci_config c = with(h, 1);
	struct err err = { 0 };
	cleanup_free char *big = xmalloc(1 << 20);

	ok(hook_any(&c, OCI_HOOK_CREATE_RUNTIME));
	ok(!hook_any(&c, OCI_HOOK_POSTSTOP));
	is_int(hook_run(&c, OCI_HOOK_CREATE_RUNTIME, "{\"id\":\"x\"}", &err), 0);
	c = with(h + 1, 1);
	is_int(hook_run(&c, OCI_HOOK_CREATE_RUNTIME, "{}", &err), -EIO);
	is_str(err.msg, "error running createRuntime hook #0: exit status 4, stdout: out, stderr: complaint");
	c = with(h + 2, 1);
	is_int(hook_run(&c, OCI_HOOK_CREATE_RUNTIME, "{}", &err), -ETIMEDOUT);
	has_str(err.msg, "timed out after 1 s");
	c = with(h + 3, 1);
	is_int(hook_run(&c, OCI_HOOK_CREATE_RUNTIME, "{}", &err), -ENOENT);
	has_str(err.msg, "no such file or directory");
	/* the first failure ends the list */
	c = with(h, 4);
	is_int(hook_run(&c, OCI_HOOK_CREATE_RUNTIME, "{\"id\":\"x\"}", &err), -EIO);
	has_str(err.msg, "hook #1");
	/* a hook that reads nothing of much */
	memset(big, 'x', 1 << 20);
	big[(1 << 20) - 1] = '\0';
	h[0] = (struct oci_hook){ .path = "/bin/true" };
	c = with(h, 1);
	is_int(hook_run(&c, OCI_HOOK_CREATE_RUNTIME, big, &err), 0);
	/* environment for those without one */
	h[0] = (struct oci_hook){ .path = "/bin/sh", .args = (char *[]){ "sh", "-c", "[ \"$WANT\" = hello ]", NULL } };
	is_int(hook_run_env(&c, OCI_HOOK_CREATE_RUNTIME, "{}", env, &HOOK_OUTPUT_INIT, &err), 0);
	ok(hook_run(&c, OCI_HOOK_CREATE_RUNTIME, "{}", &err) < 0);
	/* or else the caller's; an empty list is an empty environment */
	setenv("WANT", "hello", 1);
	is_int(hook_run(&c, OCI_HOOK_CREATE_RUNTIME, "{}", &err), 0);
	h[0].env = (char *[]){ NULL };
	ok(hook_run(&c, OCI_HOOK_CREATE_RUNTIME, "{}", &err) < 0);
	return tap_done();
}
