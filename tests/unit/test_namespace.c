/* SPDX-License-Identifier: Apache-2.0 */
/* Which namespaces are made, which joined, and by whom. */
#include "container/namespace.h"

#include <sched.h>
#include <string.h>

#include "tap.h"

int main(void)
{
	struct oci_config c = { 0 };
	struct oci_namespace *ns = c.linux_.namespaces;
	struct namespace_set n;
	struct err err = { 0 };

	is_int(namespace_open(&c, &n, &err), 0);
	is_int(n.create, 0);
	ok(!n.any_join && !n.cgroup && !namespace_needs_helper(&n));

	ns[OCI_NS_PID].present = ns[OCI_NS_MOUNT].present = ns[OCI_NS_CGROUP].present = ns[OCI_NS_USER].present = true;
	is_int(namespace_open(&c, &n, &err), 0);
	is_int(n.create, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUSER);
	ok(n.cgroup);
	ok(!namespace_needs_helper(&n));
	is_int(namespace_flags(&c), CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWCGROUP);

	/* a named network namespace must be joined before the new user namespace exists */
	ns[OCI_NS_NETWORK] = (struct oci_namespace){ .present = true, .path = "/proc/self/ns/net" };
	is_int(namespace_open(&c, &n, &err), 0);
	ok(n.any_join && n.fd[OCI_NS_NETWORK] >= 0);
	ok(namespace_needs_helper(&n));
	namespace_close(&n);
	is_int(n.fd[OCI_NS_NETWORK], -1);
	ns[OCI_NS_USER].present = false;
	is_int(namespace_open(&c, &n, &err), 0);
	ok(!namespace_needs_helper(&n));
	namespace_close(&n);

	ns[OCI_NS_PID].path = "/proc/self/ns/pid";
	is_int(namespace_open(&c, &n, &err), 0);
	ok(namespace_needs_helper(&n));
	namespace_close(&n);
	ns[OCI_NS_PID].path = NULL;

	ns[OCI_NS_TIME].present = true;
	c.linux_.time_boottime.present = true;
	is_int(namespace_open(&c, &n, &err), 0);
	ok(n.time_offsets && namespace_needs_helper(&n));
	namespace_close(&n);
	ns[OCI_NS_TIME].present = false;

	ns[OCI_NS_NETWORK].path = "/proc/self/ns/uts";
	is_int(namespace_open(&c, &n, &err), -EINVAL);
	has_str(err.msg, "/proc/self/ns/uts is not a network namespace");
	ns[OCI_NS_NETWORK].path = "/etc/passwd";
	is_int(namespace_open(&c, &n, &err), -EINVAL);
	ns[OCI_NS_NETWORK].path = "/no/such";
	is_int(namespace_open(&c, &n, &err), -ENOENT);
	has_str(err.msg, "no such file or directory");
	return tap_done();
}
