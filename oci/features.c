/* SPDX-License-Identifier: Apache-2.0 */
/* The features document. */
/*
 * What this build understands, not what this kernel has (features.md): only the seccomp lists and the flags in
 * struct oci_features come from the caller. Members in runc's order.
 */
#include "oci/features.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "oci/config.h"

static void strings(struct json_writer *w, const char *key, const char *const *v)
{
	json_w_array(w, key);
	for (; *v; v++)
		json_w_string(w, NULL, *v);
	json_w_array_end(w);
}
#define STRINGS(w, key, ...) strings(w, key, (const char *const[]){ __VA_ARGS__, NULL })

static void enabled(struct json_writer *w, const char *key, bool on)
{
	json_w_object(w, key);
	json_w_bool(w, "enabled", on);
	json_w_object_end(w);
}

static void seccomp(struct json_writer *w, const struct oci_features *f)
{
	json_w_object(w, "seccomp");
	json_w_bool(w, "enabled", true);
	json_w_array(w, "actions");
	for (int a = 0; a < OCI_SCMP_MAX; a++)
		json_w_string(w, NULL, oci_seccomp_action_name((enum oci_seccomp_action)a));
	json_w_array_end(w);
	json_w_array(w, "operators");
	for (int op = 0; op < OCI_OP_MAX; op++)
		json_w_string(w, NULL, oci_seccomp_op_name((enum oci_seccomp_op)op));
	json_w_array_end(w);
	if (f->seccomp_archs)
		json_w_strv(w, "archs", f->seccomp_archs);
	else
		STRINGS(w, "archs", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
			"SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
			"SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390",
			"SCMP_ARCH_S390X", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64");
	STRINGS(w, "knownFlags", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
		"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
	if (f->seccomp_flags_supported)
		json_w_strv(w, "supportedFlags", f->seccomp_flags_supported);
	else
		STRINGS(w, "supportedFlags", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
			"SECCOMP_FILTER_FLAG_LOG");
	json_w_object_end(w);
}

static void linux_features(struct json_writer *w, const struct oci_features *f)
{
	json_w_object(w, "linux");
	json_w_array(w, "namespaces");
	for (int k = 0; k < OCI_NS_MAX; k++)
		json_w_string(w, NULL, oci_namespace_word((enum oci_namespace_kind)k));
	json_w_array_end(w);
	json_w_array(w, "capabilities");
	for (int cap = 0; cap <= OCI_CAP_LAST; cap++)
		json_w_string(w, NULL, oci_capability_name(cap));
	json_w_array_end(w);
	json_w_object(w, "cgroup");
	json_w_bool(w, "v1", true);
	json_w_bool(w, "v2", true);
	json_w_bool(w, "systemd", f->cgroup_systemd);
	json_w_bool(w, "systemdUser", f->cgroup_systemd);
	json_w_bool(w, "rdma", f->cgroup_rdma);
	json_w_object_end(w);
	seccomp(w, f);
	enabled(w, "apparmor", f->apparmor);
	enabled(w, "selinux", f->selinux);
	json_w_object(w, "intelRdt");
	json_w_bool(w, "enabled", f->intel_rdt);
	json_w_bool(w, "schemata", f->intel_rdt);
	json_w_bool(w, "monitoring", f->intel_rdt);
	json_w_object_end(w);
	if (f->memory_policy) {
		json_w_object(w, "memoryPolicy");
		STRINGS(w, "modes", "MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED",
			"MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE");
		STRINGS(w, "flags", "MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES");
		json_w_object_end(w);
	}
	json_w_object(w, "mountExtensions");
	enabled(w, "idmap", f->idmap);
	json_w_object_end(w);
	enabled(w, "netDevices", f->net_devices);
	json_w_object_end(w);
}

char *oci_features_write(const struct oci_features *f)
{
	struct json_writer w = { .indent = 2 };
	struct str s = { 0 };
	cleanup_free char *text = NULL;

	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersionMin", OCI_VERSION_MIN);
	json_w_string(&w, "ociVersionMax", OCI_VERSION);
	json_w_array(&w, "hooks");
	for (int k = 0; k < OCI_HOOK_MAX; k++)
		json_w_string(&w, NULL, oci_hook_word((enum oci_hook_kind)k));
	json_w_array_end(&w);
	json_w_strv(&w, "mountOptions", f->mount_options);
	linux_features(&w, f);
	json_w_object(&w, "annotations");
	if (f->libseccomp_version)
		json_w_string(&w, "io.github.seccomp.libseccomp.version", f->libseccomp_version);
	json_w_string(&w, "org.opencontainers.runc.checkpoint.enabled", f->checkpoint ? "true" : "false");
	json_w_object_end(&w);
	STRINGS(&w, "potentiallyUnsafeConfigAnnotations", "amphi.", "run.oci.");
	json_w_object_end(&w);
	text = json_w_steal(&w);
	str_add(&s, text);
	if (!str_ends(text, "\n"))
		str_addc(&s, '\n');
	return str_steal(&s);
}
