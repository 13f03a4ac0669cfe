/* SPDX-License-Identifier: Apache-2.0 */
/* Hierarchies from /proc/self/cgroup and mountinfo. */
#include "container/cgroup_host.h"

#include "base/str.h"
#include "tests/unit/tap.h"

static const char mounts[] = "30 23 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
			     "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
			     "32 23 0:28 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd\n"
			     "33 23 0:29 / /elsewhere rw shared:1 master:2 - cgroup2 cgroup2 rw\n";

int main(void)
{
	struct cgroup_host *h = cgroup_host_parse(
		"4:memory:/a/b\n3:cpu,cpuacct:/\n2:freezer:/x\n1:name=systemd:/../out\n0::/u\n", mounts);
	const struct cgroup_hier *c;

	is_int(h->mode, CGROUP_MODE_HYBRID);
	is_int(h->n, 4); /* the freezer is not mounted */
	c = cgroup_host_find(h, "memory");
	need(c);
	is_str(c->mount, "/sys/fs/cgroup/memory");
	is_str(c->own, "/a/b");
	c = cgroup_host_find(h, "cpuacct");
	need(c);
	is_str(c->name, "cpu,cpuacct");
	ok(!cgroup_host_find(h, "freezer"));
	is_str(h->hiers[2].own, "/");
	is_str(h->hiers[3].mount, "/elsewhere");
	ok(h->hiers[3].v2);
	cgroup_host_free(h);

	h = cgroup_host_parse("0::/user.slice\n", mounts);
	is_int(h->mode, CGROUP_MODE_V2);
	cgroup_host_free(h);
	h = cgroup_host_parse("garbage\n1:\n::", mounts);
	is_int(h->mode, CGROUP_MODE_V2); /* "::" is the cgroup2 line without path */
	cgroup_host_free(h);
	h = cgroup_host_parse("", mounts);
	is_int(h->mode, CGROUP_MODE_NONE);
	cgroup_host_free(h);

	char *p = cgroup_host_lookup("4:memory:/a/b\n0::/u v\n", "");

	is_str(p, "/u v");
	free(p);
	p = cgroup_host_lookup("4:memory:/a/b\n0::/u\n", "memory");
	is_str(p, "/a/b");
	free(p);
	ok(!cgroup_host_lookup("4:memory:/a/b\n", "mem"));
	/* this host, whatever it has */
	ok(cgroup_host_get() == cgroup_host_get());
	return tap_done();
}
