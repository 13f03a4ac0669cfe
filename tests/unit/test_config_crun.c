/* SPDX-License-Identifier: Apache-2.0 */
/* crun's annotations: what they become, what is refused, what is left alone. */
#include "base/str.h"
#include "oci/config.h"
#include "tests/unit/tap.h"

#define NAMESPACES "\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"time\"}],"

static struct oci_config *parse(const char *members, const char *annotations, struct err *err)
{
	cleanup_free char *text =
		xasprintf("{\"ociVersion\":\"1.2.0\",\"linux\":{%s\"rootfsPropagation\":\"\"},\"annotations\":{%s}}",
			  members, annotations);
	struct oci_config *c = NULL;

	*err = (struct err){ 0 };
	return oci_config_parse(text, strlen(text), &c, err) < 0 ? NULL : c;
}

static void refused(const char *annotation, const char *words)
{
	struct err err;
	struct oci_config *c = parse(NAMESPACES, annotation, &err);

	ok(!c);
	has_str(err.msg, words);
	oci_config_free(c);
}

int main(void)
{
	const char *seccomp = NAMESPACES "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"},";
	struct oci_config *c;
	struct err err;

	c = parse(seccomp,
		  "\"run.oci.keep_original_groups\":\"1\",\"run.oci.hooks.stdout\":\"/o\",\"run.oci.hooks.stderr\":\"/"
		  "e\","
		  "\"run.oci.pidfd_receiver\":\"/p\",\"run.oci.seccomp.receiver\":\"/s\","
		  "\"run.oci.seccomp_fail_unknown_syscall\":\"1\",\"run.oci.mount_context_type\":\"rootcontext\","
		  "\"run.oci.systemd.force_cgroup_v1\":\"/sys/fs/cgroup\",\"run.oci.systemd.subgroup\":\"\","
		  "\"run.oci.timens_offset\":\"monotonic 100 7\\nboottime -5\",\"run.oci.whatever\":\"x\"",
		  &err);
	need(c);
	ok(c->keep_groups && c->linux_.seccomp->fail_unknown);
	is_str(c->hooks_stdout, "/o");
	is_str(c->hooks_stderr, "/e");
	is_str(c->pidfd_receiver, "/p");
	is_str(c->linux_.seccomp->listener_path, "/s");
	is_str(c->linux_.mount_context_type, "rootcontext");
	is_str(c->linux_.systemd_cgroup_v1, "/sys/fs/cgroup");
	ok(c->linux_.time_monotonic.present && c->linux_.time_boottime.present);
	is_int(c->linux_.time_monotonic.secs, 100);
	is_int(c->linux_.time_monotonic.nanosecs, 7);
	is_int(c->linux_.time_boottime.secs, -5);
	oci_config_free(c);

	/* the document's own field wins */
	c = parse(NAMESPACES "\"timeOffsets\":{\"boottime\":{\"secs\":1}},", "\"run.oci.timens_offset\":\"boottime 9\"",
		  &err);
	need(c);
	is_int(c->linux_.time_boottime.secs, 1);
	oci_config_free(c);

	refused("\"run.oci.handler\":\"krun\"", "annotations[run.oci.handler]: not supported");
	refused("\"run.oci.seccomp.plugins\":\"x\"", "annotations[run.oci.seccomp.plugins]");
	refused("\"run.oci.seccomp_bpf_data\":\"x\"", "annotations[run.oci.seccomp_bpf_data]");
	refused("\"run.oci.delegate-cgroup\":\"x\"", "annotations[run.oci.delegate-cgroup]");
	refused("\"run.oci.systemd.subgroup\":\"x\"", "only the empty name");
	refused("\"run.oci.timens_offset\":\"monotonic\"", "CLOCK SECONDS");
	refused("\"run.oci.timens_offset\":\"realtime 1 1\"", "CLOCK SECONDS");
	refused("\"run.oci.mount_context_type\":\"x\"", "rootcontext");
	refused("\"run.oci.keep_original_groups\":\"yes\"", "neither 0 nor 1");
	refused("\"run.oci.hooks.stdout\":\"relative\"", "not an absolute path");
	return tap_done();
}
