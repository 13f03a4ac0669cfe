/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of config.json that need more than one field. */
/*
 * Called once at the end of parsing, on a document whose every field is good by itself. Three kinds of findings:
 * faults (the first one refuses the document), warnings (kept in the document for the program to log) and
 * nothing else: no field is changed. Rules that depend on this host, on privileges or on the chosen isolation
 * belong to the back ends. runtime-spec config.md, config-linux.md; words after the JSON path as runc's where
 * runc has the rule.
 */
#include <linux/sched.h>
#include <string.h>
#include <sched.h>
#include <sys/resource.h>

#include "base/str.h"
#include "oci/config_read.h"

#define POLICY_FIFO 1
#define POLICY_RR 2
#define POLICY_DEADLINE 6

static int check_scheduler(const struct oci_process *p, const char *at, struct err *err)
{
	const struct oci_scheduler *s = &p->scheduler;

	if (!p->has_scheduler)
		return 0;
	if (s->nice < -20 || s->nice > 19)
		return err_set(err, -EINVAL, "%s.scheduler.nice: invalid scheduler.nice: %d (-20 to 19)", at, s->nice);
	if (s->priority && s->policy != POLICY_FIFO && s->policy != POLICY_RR)
		return err_set(err, -EINVAL,
			       "%s.scheduler.priority: scheduler.priority can only be specified for SCHED_FIFO or "
			       "SCHED_RR policy",
			       at);
	if ((s->policy == POLICY_FIFO || s->policy == POLICY_RR) && (s->priority < 1 || s->priority > 99))
		return err_set(err, -EINVAL, "%s.scheduler.priority: must be between 1 and 99", at);
	if (s->policy != POLICY_DEADLINE && (s->runtime || s->deadline || s->period))
		return err_set(
			err, -EINVAL,
			"%s.scheduler: runtime, deadline and period can only be specified for SCHED_DEADLINE policy",
			at);
	return 0;
}

int oci_process_check(const struct oci_process *p, const char *at, struct err *err)
{
	if (!p->cwd || !*p->cwd)
		return err_set(err, -EINVAL, "%s.cwd: Cwd property must not be empty", at);
	if (*p->cwd != '/')
		return err_set(err, -EINVAL, "%s.cwd: Cwd must be an absolute path", at);
	if (!strv_len(p->args))
		return err_set(err, -EINVAL, "%s.args: args must not be empty", at);
	for (size_t i = 0; i < strv_len(p->env); i++)
		if (!strchr(p->env[i], '=') || *p->env[i] == '=')
			return err_set(err, -EINVAL, "%s.env[%zu]: invalid environment variable: expected NAME=value",
				       at, i);
	for (size_t i = 0; i < p->n_rlimits; i++) {
		const struct oci_rlimit *l = &p->rlimits[i];

		for (size_t j = 0; j < i; j++)
			if (p->rlimits[j].resource == l->resource)
				return err_set(err, -EINVAL, "%s.rlimits[%zu].type: duplicated %s", at, i,
					       oci_rlimit_name(l->resource));
		if (l->soft > l->hard)
			return err_set(err, -EINVAL, "%s.rlimits[%zu].soft: larger than the hard limit", at, i);
	}
	return check_scheduler(p, at, err);
}

static void warn(struct oci_config *c, const char *fmt, const char *word)
{
	struct str s = { 0 };

	str_addf(&s, fmt, word);
	strv_add_take(&c->warnings, str_steal(&s));
}

/* A namespace that will be the container's own: new, or joined by path. */
static bool private_ns(const struct oci_config *c, enum oci_namespace_kind kind)
{
	return c->linux_.namespaces[kind].present;
}

static bool new_ns(const struct oci_config *c, enum oci_namespace_kind kind)
{
	return private_ns(c, kind) && !c->linux_.namespaces[kind].path;
}

static int check_names(const struct oci_config *c, struct err *err)
{
	if (!str_empty(c->hostname) && !private_ns(c, OCI_NS_UTS))
		return err_set(err, -EINVAL, "hostname: unable to set hostname without a private UTS namespace");
	if (!str_empty(c->domainname) && !private_ns(c, OCI_NS_UTS))
		return err_set(err, -EINVAL, "domainname: unable to set domainname without a private UTS namespace");
	if (c->hostname && strlen(c->hostname) > 64)
		return err_set(err, -EINVAL, "hostname: longer than 64 bytes");
	if (c->domainname && strlen(c->domainname) > 64)
		return err_set(err, -EINVAL, "domainname: longer than 64 bytes");
	return 0;
}

static int check_mounts(struct oci_config *c, struct err *err)
{
	for (size_t i = 0; i < c->n_mounts; i++) {
		const struct oci_mount *m = &c->mounts[i];
		bool ids = m->n_uid_mappings || m->n_gid_mappings;
		bool idmap = oci_mount_has(m, "idmap") || oci_mount_has(m, "ridmap");

		if (*m->destination != '/')
			warn(c, "mount destination %s not absolute: taken from / (deprecated)", m->destination);
		if (!m->n_uid_mappings != !m->n_gid_mappings)
			return err_set(
				err, -EINVAL,
				"mounts[%zu]: invalid mount: id-mapped mounts need both uidMappings and gidMappings",
				i);
		if ((ids || idmap) && !oci_mount_is_bind(m))
			return err_set(
				err, -EINVAL,
				"mounts[%zu]: invalid mount: id-mapped mounts are only supported for bind mounts", i);
		if (idmap && !ids && !private_ns(c, OCI_NS_USER))
			return err_set(
				err, -EINVAL,
				"mounts[%zu]: invalid mount: id-mapped mounts without mappings need a user namespace",
				i);
		if (oci_mount_is_bind(m) && str_empty(m->source))
			return err_set(err, -EINVAL, "mounts[%zu].source: invalid mount: required for a bind mount", i);
	}
	return 0;
}

static int check_mappings(const struct oci_idmap *v, size_t n, const char *key, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			uint64_t a = v[i].container_id, b = v[j].container_id;

			if (a < b + v[j].size && b < a + v[i].size)
				return err_set(err, -EINVAL, "linux.%s[%zu].containerID: overlaps entry %zu", key, i,
					       j);
		}
	}
	return 0;
}

static int check_namespaces(const struct oci_config *c, struct err *err)
{
	const struct oci_linux *l = &c->linux_;
	bool maps = l->n_uid_mappings || l->n_gid_mappings;

	if (maps && !private_ns(c, OCI_NS_USER))
		return err_set(
			err, -EINVAL,
			"linux.%s: user namespace mappings specified, but USER namespace isn't enabled in the config",
			l->n_uid_mappings ? "uidMappings" : "gidMappings");
	if (new_ns(c, OCI_NS_USER) && !l->n_uid_mappings != !l->n_gid_mappings)
		return err_set(err, -EINVAL, "linux.%s: required with linux.%s",
			       l->n_uid_mappings ? "gidMappings" : "uidMappings",
			       l->n_uid_mappings ? "uidMappings" : "gidMappings");
	OCI_TRY(check_mappings(l->uid_mappings, l->n_uid_mappings, "uidMappings", err));
	OCI_TRY(check_mappings(l->gid_mappings, l->n_gid_mappings, "gidMappings", err));
	if ((l->time_monotonic.present || l->time_boottime.present) && !private_ns(c, OCI_NS_TIME))
		return err_set(err, -EINVAL,
			       "linux.timeOffsets: time namespace offsets specified, but time namespace isn't enabled "
			       "in the config");
	if ((l->time_monotonic.present || l->time_boottime.present) && !new_ns(c, OCI_NS_TIME))
		return err_set(err, -EINVAL,
			       "linux.timeOffsets: time namespace enabled, but both namespace path and time offsets "
			       "specified -- you may only provide one");
	if (!private_ns(c, OCI_NS_MOUNT) && (strv_len(l->masked_paths) || strv_len(l->readonly_paths)))
		return err_set(err, -EINVAL, "linux.%s: unable to restrict sys entries without a private MNT namespace",
			       strv_len(l->masked_paths) ? "maskedPaths" : "readonlyPaths");
	if (l->n_net_devices && !private_ns(c, OCI_NS_NETWORK))
		return err_set(err, -EINVAL,
			       "linux.netDevices: unable to move network devices without a NET namespace");
	return 0;
}

/* Only what a namespace of the container confines may be set. Both "a.b" and "a/b" are spellings. */
/*
 * Components separated by '.', in which a '/' stands for a dot: an empty one would make the path absolute, one of dots alone
 * ("net/../kernel/panic" is "net.//.kernel.panic" here) would lead to another sysctl than the one that is judged.
 */
static bool sysctl_is_below(const char *name)
{
	for (;;) {
		size_t n = strcspn(name, ".");

		if (strspn(name, "/") >= n)
			return false;
		if (!name[n])
			return true;
		name += n + 1;
	}
}

static int check_sysctls(const struct oci_config *c, struct err *err)
{
	static const char *const ipc[] = {
		"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
		"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"
	};

	for (size_t i = 0; i < c->linux_.n_sysctl; i++) {
		cleanup_free char *k = xstrdup(c->linux_.sysctl[i].key);
		const char *first_sep = strpbrk(k, "./");
		bool is_ipc = str_starts(k, "fs.mqueue.") || str_starts(k, "fs/mqueue/");
		const char *at = c->linux_.sysctl[i].key;

		if (first_sep && *first_sep == '/')
			for (char *s = k; *s; s++)
				*s = *s == '/' ? '.' : *s == '.' ? '/' : *s;
		if (!sysctl_is_below(k))
			return err_set(err, -EINVAL, "linux.sysctl.%s: sysctl \"%s\" contains an invalid path", at, at);
		for (size_t j = 0; j < ARRAY_SIZE(ipc); j++)
			is_ipc = is_ipc || !strcmp(k, ipc[j]);
		if (is_ipc) {
			if (!private_ns(c, OCI_NS_IPC))
				return err_set(
					err, -EINVAL,
					"linux.sysctl.%s: sysctl \"%s\" is not allowed in the hosts ipc namespace", at,
					at);
		} else if (str_starts(k, "net.")) {
			if (!private_ns(c, OCI_NS_NETWORK))
				return err_set(err, -EINVAL,
					       "linux.sysctl.%s: sysctl \"%s\" not allowed in host network namespace",
					       at, at);
		} else if (!strcmp(k, "kernel.domainname")) {
			if (!private_ns(c, OCI_NS_UTS))
				return err_set(
					err, -EINVAL,
					"linux.sysctl.%s: sysctl \"%s\" is not allowed in the hosts UTS namespace", at,
					at);
			if (c->domainname && strcmp(c->domainname, c->linux_.sysctl[i].value) != 0)
				return err_set(
					err, -EINVAL,
					"linux.sysctl.%s: sysctl \"%s\" conflicts with the OCI \"domainname\" field",
					at, at);
		} else if (!strcmp(k, "kernel.hostname")) {
			return err_set(err, -EINVAL,
				       "linux.sysctl.%s: sysctl \"%s\" is not allowed as it conflicts with the OCI "
				       "\"hostname\" field",
				       at, at);
		} else if (str_starts(k, "user.")) {
			if (!private_ns(c, OCI_NS_USER))
				return err_set(
					err, -EINVAL,
					"linux.sysctl.%s: sysctl \"%s\" is not allowed in the hosts user namespace", at,
					at);
		} else {
			return err_set(err, -EINVAL,
				       "linux.sysctl.%s: sysctl \"%s\" is not in a separate kernel namespace", at, at);
		}
	}
	return 0;
}

static int check_resources(const struct oci_resources *r, struct err *err)
{
	const struct oci_memory *m = &r->memory;

	if (m->has_swappiness && m->swappiness > 100)
		return err_set(err, -EINVAL, "linux.resources.memory.swappiness: must be between 0 and 100");
	if (m->has_swap && m->has_limit && m->swap > 0 && m->limit > 0 && m->swap < m->limit)
		return err_set(err, -EINVAL,
			       "linux.resources.memory.swap: memory+swap limit should be >= memory limit");
	return 0;
}

static int check_intel_rdt(const struct oci_intel_rdt *t, struct err *err)
{
	if (!t || !t->clos_id)
		return 0;
	if (!*t->clos_id)
		return err_set(err, -EINVAL, "linux.intelRdt.closID: must not be empty");
	return 0;
}

int oci_config_check(struct oci_config *c, struct err *err)
{
	const struct oci_linux *l = &c->linux_;

	if (c->has_process) {
		OCI_TRY(oci_process_check(&c->process, "process", err));
		for (size_t i = 0; i < strv_len(c->process.capabilities.unknown); i++)
			warn(c, "process.capabilities: ignoring unknown capability %s",
			     c->process.capabilities.unknown[i]);
		if (c->process.has_console_size && !c->process.terminal)
			warn(c, "process.%s: without process.terminal it has no effect", "consoleSize");
	}
	OCI_TRY(check_names(c, err));
	OCI_TRY(check_mounts(c, err));
	OCI_TRY(check_namespaces(c, err));
	OCI_TRY(check_sysctls(c, err));
	OCI_TRY(check_resources(&l->resources, err));
	return check_intel_rdt(l->intel_rdt, err);
}
