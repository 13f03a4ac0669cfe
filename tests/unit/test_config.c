/* SPDX-License-Identifier: Apache-2.0 */
/* oci/config*: what a document with every property becomes; rules across fields; writing back. */
#include "oci/config.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "base/str.h"
#include "tests/unit/config_full.h"
#include "tests/unit/tap.h"

static void full(void)
{
	cleanup_oci_config struct oci_config *c = NULL;
	struct err err = { 0 };
	const struct oci_linux *l;
	const struct oci_resources *r;
	const struct oci_process *p;

	if (oci_config_parse(FULL_CONFIG, strlen(FULL_CONFIG), &c, &err) < 0)
		printf("# %s\n", err.msg);
	need(c);
	p = &c->process;
	l = &c->linux_;
	r = &l->resources;
	is_str(c->root.path, "rootfs");
	ok(c->root.readonly && p->terminal && p->has_console_size && p->no_new_privileges);
	is_int(p->console_height, 25);
	ok(p->user.gid == 4294967294u && p->user.umask == 077 && p->user.n_additional_gids == 2);
	ok(p->capabilities.bounding == (1ULL | 1ULL << 40) && p->capabilities.ambient == 1ULL << 5);
	ok(p->rlimits[0].resource == RLIMIT_NOFILE && p->rlimits[0].hard == UINT64_MAX);
	is_int(p->oom_score_adj, -500);
	is_int(p->scheduler.policy, 6);
	is_int(p->scheduler.flags, 0x41);
	is_int(p->io_priority_class, OCI_IOPRIO_IDLE);
	is_str(p->exec_cpu_affinity_final, "0-1");
	ok(oci_mount_is_bind(&c->mounts[0]) && c->mounts[0].uid_mappings[0].host_id == 1000);
	is_str(c->hooks[OCI_HOOK_POSTSTOP].v[0].path, "/bin/f");
	is_int(c->hooks[OCI_HOOK_START_CONTAINER].v[0].timeout, 30);
	is_str(oci_annotation(c, "a.key"), "value");
	is_str(oci_annotation(c, "nothing"), NULL);
	is_str(l->namespaces[OCI_NS_NETWORK].path, "/run/netns/x");
	ok(l->namespaces[OCI_NS_TIME].present && !l->namespaces[OCI_NS_TIME].path);
	is_int(l->time_monotonic.secs, 172800);
	is_int(l->time_boottime.secs, -5);
	is_int(l->devices[0].file_mode, 0666);
	is_str(l->net_devices[0].name, "net%d");
	ok(r->n_devices == 2 && r->devices[0].type == 'a' && !r->devices[1].has_minor && !r->devices[1].m);
	ok(r->memory.swap == -1 && r->memory.limit == 536870912 && r->memory.check_before_update);
	ok(r->cpu.shares == UINT64_MAX && r->cpu.has_idle && r->has_pids_limit && r->pids_limit == 0);
	is_int(r->block_io.write_iops.v[0].rate, 603);
	ok(r->hugepage_limits[0].limit == INT64_MAX);
	is_str(r->unified[0].key, "memory.high");
	is_str(l->intel_rdt->clos_id, "guaranteed");
	is_int(l->memory_policy->mode, MPOL_INTERLEAVE);
	is_int(l->memory_policy->flags, 1 << 15);
	ok(l->seccomp->syscalls[1].args[0].value_two == UINT64_MAX);
	is_int(l->seccomp->syscalls[1].args[0].op, OCI_OP_MASKED_EQ);
	ok(l->rootfs_propagation == (MS_SLAVE | MS_REC));
	ok(l->has_personality && l->personality_linux32);
	ok(c->vm->memory == 4294967296 && c->vm->vcpus == 2 && c->vm->irqs[1] == 112);
	ok(!c->warnings);
}

/* The document with just this process member list and top-level rest. */
static void with(const char *process, const char *rest, const char *want)
{
	cleanup_oci_config struct oci_config *c = NULL;
	cleanup_str struct str s = { 0 };
	struct err err = { 0 };
	int r;

	str_addf(&s, "{\"ociVersion\":\"1.0.2\",\"process\":{\"cwd\":\"/\",\"args\":[\"x\"]%s}%s}", process, rest);
	r = oci_config_parse(str_get(&s), s.len, &c, &err);
	if (want) {
		is_int(r, -EINVAL);
		is_str(err.msg, want);
	} else {
		is_int(r, 0);
		is_str(err.msg, "");
	}
}

static void rules(void)
{
	/* judged by their first words, they would be written to kernel.panic of the host or outside /proc/sys */
	static const char *const elsewhere[] = { "net/../kernel/panic",
						 "net.//.kernel.panic",
						 "net/./core/somaxconn",
						 "fs/mqueue/../../kernel/panic",
						 "net/..//kernel/panic",
						 "/net/core/somaxconn",
						 ".net.core.somaxconn",
						 "net.core.",
						 "net..core",
						 "." };

	with("", "", NULL);
	with("",
	     ",\"future\":{\"x\":[1]},\"windows\":{\"a\":1},\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"\"}"
	     "]}",
	     NULL);
	with(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":-1,\"hard\":2}]", "",
	     "process.rlimits[0].soft: expected an unsigned 64-bit integer");
	with(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":2},{\"type\":\"RLIMIT_CPU\",\"soft\":1,"
	     "\"hard\":2}]",
	     "", "process.rlimits[1].type: duplicated RLIMIT_CPU");
	with(",\"rlimits\":[{\"type\":\"RLIMIT_FOO\",\"soft\":1,\"hard\":2}]", "",
	     "process.rlimits[0].type: invalid rlimit type: RLIMIT_FOO");
	with(",\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"priority\":3}", "",
	     "process.scheduler.priority: scheduler.priority can only be specified for SCHED_FIFO or SCHED_RR policy");
	with(",\"env\":[\"A=b\",\"B\"]", "", "process.env[1]: invalid environment variable: expected NAME=value");
	with("", ",\"hostname\":\"h\"", "hostname: unable to set hostname without a private UTS namespace");
	with("", ",\"hostname\":\"\"", NULL);
	with("", ",\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\",\"path\":\"/x\"}]}",
	     "linux.namespaces[1]: malformed spec file: duplicated ns \"pid\"");
	with("", ",\"linux\":{\"namespaces\":[{\"type\":\"foo\"}]}",
	     "linux.namespaces[0].type: invalid namespace type: namespace \"foo\" does not exist");
	with("", ",\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]}",
	     "linux.uidMappings: user namespace mappings specified, but USER namespace isn't enabled in the config");
	with("", ",\"linux\":{\"namespaces\":[{\"type\":\"user\"}]}", NULL);
	with("",
	     ",\"linux\":{\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[{\"containerID\":0,\"hostID\":0,"
	     "\"size\":4294967295},"
	     "{\"containerID\":9,\"hostID\":9,\"size\":1}],\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}"
	     "]}",
	     "linux.uidMappings[1].containerID: overlaps entry 0");
	with("", ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"sysctl\":{\"net.core.somaxconn\":\"1\"}}",
	     "linux.sysctl.net.core.somaxconn: sysctl \"net.core.somaxconn\" not allowed in host network namespace");
	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
		cleanup_free char *rest =
			xasprintf(",\"linux\":{\"namespaces\":[{\"type\":\"network\"},{\"type\":\"ipc\"}],"
				  "\"sysctl\":{\"%s\":\"1\"}}",
				  elsewhere[i]);
		cleanup_free char *words = xasprintf("linux.sysctl.%s: sysctl \"%s\" contains an invalid path",
						     elsewhere[i], elsewhere[i]);

		with("", rest, words);
	}
	with("",
	     ",\"domainname\":\"a\",\"linux\":{\"namespaces\":[{\"type\":\"uts\"}],\"sysctl\":{\"kernel.domainname\":"
	     "\"a\"}}",
	     NULL);
	with("",
	     ",\"domainname\":\"a\",\"linux\":{\"namespaces\":[{\"type\":\"uts\"}],\"sysctl\":{\"kernel.domainname\":"
	     "\"b\"}}",
	     "linux.sysctl.kernel.domainname: sysctl \"kernel.domainname\" conflicts with the OCI \"domainname\" "
	     "field");
	with("", ",\"linux\":{\"sysctl\":{\"vm.swappiness\":\"1\"}}",
	     "linux.sysctl.vm.swappiness: sysctl \"vm.swappiness\" is not in a separate kernel namespace");
	with("",
	     ",\"linux\":{\"namespaces\":[{\"type\":\"network\"}],\"sysctl\":{\"net/ipv4/conf/eth0.1/"
	     "forwarding\":\"1\"}}",
	     NULL);
	with("", ",\"linux\":{\"maskedPaths\":[\"/proc/kcore\"]}",
	     "linux.maskedPaths: unable to restrict sys entries without a private MNT namespace");
	with("", ",\"linux\":{\"maskedPaths\":[],\"readonlyPaths\":[]}", NULL);
	with("",
	     ",\"mounts\":[{\"destination\":\"/m\",\"source\":\"/"
	     "s\",\"options\":[\"bind\",\"idmap=uids=0-1-1#1-7-10;gids=0-1-1\"]}]",
	     NULL);
	with("",
	     ",\"mounts\":[{\"destination\":\"/m\",\"source\":\"/"
	     "s\",\"options\":[\"bind\",\"idmap=uids=0-1;gids=0-1-1\"]}]",
	     "mounts[0].options: \"idmap=uids=0-1;gids=0-1-1\": \"0-1\" is not FIRST-HOST-COUNT");
	with("", ",\"mounts\":[{\"destination\":\"/m\",\"source\":\"/s\",\"options\":[\"bind\",\"idmap=x=0-1-1\"]}]",
	     "mounts[0].options: \"idmap=x=0-1-1\": neither uids= nor gids=");
	with("",
	     ",\"mounts\":[{\"destination\":\"/m\",\"source\":\"/s\",\"options\":[\"bind\",\"ridmap=uids=@5-5-5\"]}]",
	     "mounts[0].options: \"ridmap=uids=@5-5-5\": \"@5-5-5\" is not mapped in the container's user namespace");
	with("", ",\"mounts\":[{\"destination\":\"/m\",\"source\":\"/s\",\"options\":[\"bind\",\"idmap=uids=0-1-1\"]}]",
	     "mounts[0]: invalid mount: id-mapped mounts need both uidMappings and gidMappings");
	with("", ",\"linux\":{\"memoryPolicy\":{}}", "linux.memoryPolicy: invalid memory policy mode: required");
	with("", ",\"linux\":{\"memoryPolicy\":{\"nodes\":\"0\"}}",
	     "linux.memoryPolicy: invalid memory policy mode: required");
	with("", ",\"linux\":{\"memoryPolicy\":{\"mode\":\"INTERLEAVE\",\"nodes\":\"0\"}}",
	     "invalid memory policy mode: linux.memoryPolicy.mode: unknown value \"INTERLEAVE\"");
	with("", ",\"linux\":{\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":[\"x\"]}}",
	     "invalid memory policy flag: linux.memoryPolicy.flags[0]: unknown value \"x\"");
	with("", ",\"linux\":{\"timeOffsets\":{\"monotonic\":{\"secs\":1}}}",
	     "linux.timeOffsets: time namespace offsets specified, but time namespace isn't enabled in the config");
	with("", ",\"linux\":{\"timeOffsets\":{\"realtime\":{\"secs\":1}}}",
	     "linux.timeOffsets.realtime: unknown clock, only monotonic and boottime have offsets");
	with("", ",\"linux\":{\"resources\":{\"unified\":{\"../x\":\"1\"}}}",
	     "linux.resources.unified.../x: unified resource must be a file name, without /");
	with("", ",\"linux\":{\"resources\":{\"blockIO\":{\"weight\":65536}}}",
	     "linux.resources.blockIO.weight: expected an unsigned 16-bit integer");
	with("", ",\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\"}]",
	     "mounts[0].source: invalid mount: required for a bind mount");
	with("", ",\"mounts\":[{\"source\":\"/a\"}]", "mounts[0].destination: required");
	with("", ",\"hooks\":{\"poststart\":[{\"path\":\"/a\",\"timeout\":0}]}",
	     "hooks.poststart[0].timeout: must be greater than zero");
	with("", ",\"hooks\":{\"poststop\":[{\"path\":\"a\"}]}", "hooks.poststop[0].path: must be an absolute path");
	with("", ",\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}}",
	     "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action");
	with("", ",\"vm\":{\"kernel\":{\"path\":\"vmlinuz\"}}", "vm.kernel.path: must be an absolute path");
	with("", ",\"vm\":{\"kernel\":{}}", "vm.kernel.path: required");
}

static void documents(void)
{
	static const struct {
		const char *text, *want;
	} bad[] = {
		{ "", "config.json: " },
		{ "[]", "config.json: expected an object" },
		{ "{\"ociVersion\":\"1.0.0\",\"ociVersion\":\"1.0.0\"}", "ociVersion: duplicate key" },
		{ "{}", "ociVersion: required" },
		{ "{\"ociVersion\":\"2.0.0\"}", "ociVersion: version 2.0.0 is not supported" },
		{ "{\"ociVersion\":\"one\"}", "ociVersion: \"one\" is not a version" },
		{ "{\"ociVersion\":\"1.0.0\",\"process\":{\"cwd\":\"/\"}}", "process.args: args must not be empty" },
		{ "{\"ociVersion\":\"1.0.0\",\"process\":{\"args\":[\"a\"],\"cwd\":\"a\"}}",
		  "process.cwd: Cwd must be an absolute path" },
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct oci_config *c = NULL;

		memset(&err, 0, sizeof(err));
		is_int(oci_config_parse(bad[i].text, strlen(bad[i].text), &c, &err), -EINVAL);
		has_str(err.msg, bad[i].want);
	}
}

static void warnings(void)
{
	static const char text[] =
		"{\"ociVersion\":\"1.0.2-dev\",\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],\"capabilities\":"
		"{\"bounding\":[\"CAP_NEW_ONE\",\"CAP_KILL\"],\"permitted\":[\"CAP_NEW_ONE\"]}},"
		"\"mounts\":[{\"destination\":\"rel\",\"type\":\"tmpfs\"}]}";
	cleanup_oci_config struct oci_config *c = NULL;

	is_int(oci_config_parse(text, strlen(text), &c, NULL), 0);
	need(c);
	is_int(strv_len(c->warnings), 2);
	has_str(c->warnings[0], "unknown capability CAP_NEW_ONE");
	has_str(c->warnings[1], "mount destination rel not absolute");
}

static void processes(void)
{
	struct oci_process *p = NULL, *copy;
	struct err err = { 0 };

	is_int(oci_process_parse(FULL_PROCESS, strlen(FULL_PROCESS), &p, &err), 0);
	need(p);
	copy = oci_process_dup(p);
	cleanup_free char *a = oci_process_write(p), *b = oci_process_write(copy);

	is_str(a, b);
	ok(copy->capabilities.bounding == p->capabilities.bounding && copy->scheduler.flags == p->scheduler.flags);
	is_int(copy->user.umask, 077);
	oci_process_free(p);
	oci_process_free(copy);
	is_int(oci_process_parse("{\"args\":[1]}", 12, &p, &err), -EINVAL);
	is_str(err.msg, "process.args[0]: expected a string");
	is_int(oci_process_parse("{\"args\":[\"a\"]}", 14, &p, &err), -EINVAL);
	is_str(err.msg, "process.cwd: Cwd property must not be empty");
	is_int(oci_process_parse("{", 1, &p, &err), -EINVAL);
	has_str(err.msg, "process: ");
}

static void resources(void)
{
	struct oci_resources *r = NULL, *again = NULL;
	struct err err = { 0 };

	is_int(oci_resources_parse(FULL_RESOURCES, strlen(FULL_RESOURCES), &r, &err), 0);
	need(r);
	cleanup_free char *a = oci_resources_write(r), *b = NULL;

	is_int(oci_resources_parse(a, strlen(a), &again, &err), 0);
	need(again);
	b = oci_resources_write(again);
	is_str(a, b);
	oci_resources_free(r);
	oci_resources_free(again);
	is_int(oci_resources_parse("{\"cpu\":{\"quota\":\"x\"}}", 21, &r, &err), -EINVAL);
	is_str(err.msg, "resources.cpu.quota: expected a signed 64-bit integer");
}

static void all_devices(void)
{
	static const struct {
		const char *text;
		bool all;
	} cases[] = {
		{ "{}", false },
		{ "{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]}", true },
		{ "{\"devices\":[{\"allow\":false},{\"allow\":true}]}", true },
		{ "{\"devices\":[{\"allow\":true},{\"allow\":false,\"type\":\"c\",\"major\":1}]}", false },
		{ "{\"devices\":[{\"allow\":true,\"access\":\"rwma\"}]}", true },
		{ "{\"devices\":[{\"allow\":true,\"access\":\"m\"}]}", false },
		{ "{\"devices\":[{\"allow\":true,\"type\":\"c\",\"access\":\"rwm\"}]}", false },
		{ "{\"devices\":[{\"allow\":true,\"major\":5,\"access\":\"rwm\"}]}", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct oci_resources *r = NULL;
		struct err err = { 0 };

		is_int(oci_resources_parse(cases[i].text, strlen(cases[i].text), &r, &err), 0);
		need(r);
		is_int(oci_resources_all_devices(r), cases[i].all);
		oci_resources_free(r);
	}
}

/* A limit of no processes is one since 1.3; older documents mean that there is none. */
static void pids_limits(void)
{
	static const struct {
		const char *version;
		int limit;
		int64_t want;
	} cases[] = {
		{ "1.0.2-dev", 0, -1 }, { "1.2.1", 0, -1 }, { "1.2.1", 7, 7 }, { "1.3.0", 0, 0 }, { "1.3.0", -1, -1 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_oci_config struct oci_config *c = NULL;
		cleanup_free char *text = NULL;
		struct err err = { 0 };

		text = xasprintf("{\"ociVersion\":\"%s\",\"linux\":{\"resources\":{\"pids\":{\"limit\":%d}}}}",
				 cases[i].version, cases[i].limit);
		is_int(oci_config_parse(text, strlen(text), &c, &err), 0);
		need(c);
		ok(c->linux_.resources.has_pids_limit);
		is_int(c->linux_.resources.pids_limit, cases[i].want);
	}
}

static void rewriting(void)
{
	static const char text[] =
		"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\",\"x\":1},\"mounts\":[{\"destination\":\"/"
		"a\",\"source\":\"s\"},"
		"{\"destination\":\"/b\"},{\"destination\":\"/c\",\"source\":\"keep\"},"
		"{\"destination\":\"/d\",\"type\":\"overlay\",\"source\":\"o\",\"options\":[\"lowerdir=/"
		"l\"]}],\"own\":[18446744073709551615]}";
	char *sources[] = { (char *)"/m/0", (char *)"/m/1", NULL, (char *)"/m/3" };
	cleanup_free char *out = NULL;
	struct err err = { 0 };

	is_int(oci_config_rewrite(text, strlen(text), "/rootfs", sources, 4, &out, &err), 0);
	is_str(out,
	       "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"/rootfs\",\"x\":1},\"mounts\":[{\"destination\":\"/"
	       "a\",\"source\":\"/m/0\"},"
	       "{\"destination\":\"/b\",\"source\":\"/m/1\"},{\"destination\":\"/c\",\"source\":\"keep\"},"
	       "{\"destination\":\"/d\",\"type\":\"bind\",\"source\":\"/m/"
	       "3\",\"options\":[\"rbind\"]}],\"own\":[18446744073709551615]}");
	is_int(oci_config_rewrite(text, strlen(text), NULL, sources, 2, &out, &err), -EINVAL);
}

static void words(void)
{
	for (int i = 0; i <= OCI_CAP_LAST; i++)
		if (oci_capability_number(oci_capability_name(i)) != i)
			ok(!"capability table");
	is_int(oci_capability_number("sys_admin"), 21);
	is_int(oci_capability_number("CAP_NOPE"), -1);
	is_str(oci_capability_name(41), NULL);
	is_int(oci_rlimit_number("RLIMIT_STACK"), RLIMIT_STACK);
	is_str(oci_namespace_file(OCI_NS_MOUNT), "mnt");
	ok(oci_namespace_flag(OCI_NS_PID) == CLONE_NEWPID);
}

int main(void)
{
	full();
	rules();
	documents();
	warnings();
	processes();
	resources();
	all_devices();
	pids_limits();
	rewriting();
	words();
	return tap_done();
}
