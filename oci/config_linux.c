/* SPDX-License-Identifier: Apache-2.0 */
/* The linux object of config.json, without resources and seccomp, which have files of their own. */
/*
 * Namespaces become a table indexed by kind, so a duplicate is seen here; everything else keeps the document's
 * order. runtime-spec config-linux.md.
 */
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mount.h>

#include "base/str.h"
#include "oci/config_read.h"

static int read_namespaces(const struct json *linux_obj, struct oci_linux *l, struct err *err)
{
	const struct json *list;
	int r = json_opt_array(linux_obj, "namespaces", &list, err);

	if (r <= 0)
		return r;
	json_for_each(v, list) {
		struct oci_namespace *ns = NULL;
		const struct json *f;
		const char *word;

		OCI_TRY(json_want(v, JSON_OBJECT, err));
		OCI_TRY(oci_req(v, "type", &f, err));
		OCI_TRY(json_string(f, &word, err));
		for (int k = 0; k < OCI_NS_MAX; k++)
			if (!strcmp(word, oci_namespace_word((enum oci_namespace_kind)k)))
				ns = &l->namespaces[k];
		if (!ns)
			return json_error(f, err, "invalid namespace type: namespace \"%.100s\" does not exist", word);
		if (ns->present)
			return json_error(v, err, "malformed spec file: duplicated ns \"%s\"", word);
		ns->present = true;
		OCI_TRY(json_opt_string(v, "path", &ns->path, err));
		if (ns->path && !*ns->path) { /* engines write "" for none */
			free(ns->path);
			ns->path = NULL;
		}
		if (ns->path && *ns->path != '/')
			return json_error(json_get(v, "path"), err, "must be an absolute path");
	}
	return 1;
}

static int read_time_offsets(const struct json *linux_obj, struct oci_linux *l, struct err *err)
{
	const struct json *map;
	int r = json_opt_object(linux_obj, "timeOffsets", &map, err);

	if (r <= 0)
		return r;
	json_for_each(v, map) {
		struct oci_time_offset *t = !strcmp(v->key, "monotonic") ? &l->time_monotonic :
			!strcmp(v->key, "boottime")                      ? &l->time_boottime :
									   NULL;

		if (!t)
			return json_error(v, err, "unknown clock, only monotonic and boottime have offsets");
		if (v->type == JSON_NULL)
			continue;
		OCI_TRY(json_want(v, JSON_OBJECT, err));
		t->present = true;
		OCI_TRY(json_opt_i64(v, "secs", &t->secs, err));
		OCI_TRY(json_opt_u32(v, "nanosecs", &t->nanosecs, err));
		if (t->nanosecs > 999999999)
			return json_error(json_get(v, "nanosecs"), err, "must be below 1000000000");
	}
	return 1;
}

static int read_device(const struct json *v, void *slot, struct err *err)
{
	struct oci_device *d = slot;
	const struct json *f;
	const char *type;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(oci_req(v, "type", &f, err));
	OCI_TRY(json_string(f, &type, err));
	if (strlen(type) != 1 || !strchr("cbup", *type))
		return json_error(f, err, "unknown device type \"%.20s\" (c, b, u or p)", type);
	d->type = *type;
	OCI_TRY(oci_req(v, "path", &f, err));
	OCI_TRY(oci_opt_abs(v, "path", &d->path, err));
	if (d->type != 'p') {
		OCI_TRY(oci_req(v, "major", &f, err));
		OCI_TRY(json_i64(f, &d->major, err));
		if (d->major < 0 || d->major > UINT32_MAX)
			return json_error(f, err, "not a device number");
		OCI_TRY(oci_req(v, "minor", &f, err));
		OCI_TRY(json_i64(f, &d->minor, err));
		if (d->minor < 0 || d->minor > UINT32_MAX)
			return json_error(f, err, "not a device number");
	}
	OCI_TRY(oci_opt_u32(v, "fileMode", &d->has_file_mode, &d->file_mode, err));
	d->file_mode &= 07777; /* engines send the type bits with it */
	OCI_TRY(oci_opt_u32(v, "uid", &d->has_uid, &d->uid, err));
	return oci_opt_u32(v, "gid", &d->has_gid, &d->gid, err);
}

static int read_net_device(const struct json *v, void *slot, struct err *err)
{
	struct oci_net_device *d = slot;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	if (!*v->key || strlen(v->key) > 15 || strchr(v->key, '/'))
		return json_error(v, err, "not an interface name");
	d->host_name = xstrdup(v->key);
	OCI_TRY(json_opt_string(v, "name", &d->name, err));
	if (d->name && !*d->name) {
		free(d->name);
		d->name = NULL;
	}
	if (d->name && (strlen(d->name) > 15 || strpbrk(d->name, "/: \t\n")))
		return json_error(json_get(v, "name"), err, "not an interface name");
	return 0;
}

static int read_intel_rdt(const struct json *linux_obj, struct oci_linux *l, struct err *err)
{
	const struct json *v;
	int r = json_opt_object(linux_obj, "intelRdt", &v, err);

	if (r <= 0)
		return r;
	struct oci_intel_rdt *t = l->intel_rdt = xcalloc(1, sizeof(*t));

	OCI_TRY(json_opt_string(v, "closID", &t->clos_id, err));
	OCI_TRY(json_opt_strv(v, "schemata", &t->schemata, err));
	OCI_TRY(json_opt_string(v, "l3CacheSchema", &t->l3_cache_schema, err));
	OCI_TRY(json_opt_string(v, "memBwSchema", &t->mem_bw_schema, err));
	OCI_TRY(json_opt_bool(v, "enableMonitoring", &t->enable_monitoring, err));
	OCI_TRY(json_opt_bool(v, "enableCMT", &t->enable_cmt, err));
	OCI_TRY(json_opt_bool(v, "enableMBM", &t->enable_mbm, err));
	if (t->clos_id &&
	    (!strcmp(t->clos_id, ".") || !strcmp(t->clos_id, "..") ||
	     (strlen(t->clos_id) > 1 && strchr(t->clos_id, '/'))))
		return json_error(json_get(v, "closID"), err, "not a name of a class of service");
	return 1;
}

static const char *const mempolicy_modes[] = {
	[MPOL_DEFAULT] = "MPOL_DEFAULT",       [MPOL_PREFERRED] = "MPOL_PREFERRED", [MPOL_BIND] = "MPOL_BIND",
	[MPOL_INTERLEAVE] = "MPOL_INTERLEAVE", [MPOL_LOCAL] = "MPOL_LOCAL",         [5] = "MPOL_PREFERRED_MANY",
	[6] = "MPOL_WEIGHTED_INTERLEAVE",
};

static const char *const mempolicy_flags[] = {
	[13] = "MPOL_F_NUMA_BALANCING",
	[14] = "MPOL_F_RELATIVE_NODES",
	[15] = "MPOL_F_STATIC_NODES",
};

static int read_memory_policy(const struct json *linux_obj, struct oci_linux *l, struct err *err)
{
	const struct json *v, *f, *flags;
	int bit, r = json_opt_object(linux_obj, "memoryPolicy", &v, err);

	if (r <= 0)
		return r;
	struct oci_memory_policy *p = l->memory_policy = xcalloc(1, sizeof(*p));

	f = json_get(v, "mode");
	if (!f)
		return json_error(v, err, "invalid memory policy mode: required");
	/* an unknown word is told in runc's words, another type by its path alone as everywhere */
	if (oci_read_word(f, mempolicy_modes, ARRAY_SIZE(mempolicy_modes), &p->mode, err) < 0)
		return f->type == JSON_STRING ? err_wrap(err, "invalid memory policy mode") : -EINVAL;
	OCI_TRY(json_opt_string(v, "nodes", &p->nodes, err));
	r = json_opt_array(v, "flags", &flags, err);
	if (r <= 0)
		return r;
	json_for_each(w, flags) {
		if (oci_read_word(w, mempolicy_flags, ARRAY_SIZE(mempolicy_flags), &bit, err) < 0)
			return w->type == JSON_STRING ? err_wrap(err, "invalid memory policy flag") : -EINVAL;
		p->flags |= 1U << bit;
	}
	return 1;
}

static int read_propagation(const struct json *linux_obj, struct oci_linux *l, struct err *err)
{
	static const struct {
		const char *word;
		unsigned long flags;
	} words[] = {
		{ "", 0 },
		{ "shared", MS_SHARED },
		{ "rshared", MS_SHARED | MS_REC },
		{ "slave", MS_SLAVE },
		{ "rslave", MS_SLAVE | MS_REC },
		{ "private", MS_PRIVATE },
		{ "rprivate", MS_PRIVATE | MS_REC },
		{ "unbindable", MS_UNBINDABLE },
		{ "runbindable", MS_UNBINDABLE | MS_REC },
	};
	const struct json *v = json_get(linux_obj, "rootfsPropagation");
	const char *s;

	if (!v)
		return 0;
	OCI_TRY(json_string(v, &s, err));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(words[i].word, s)) {
			l->rootfs_propagation = words[i].flags;
			return 1;
		}
	}
	return json_error(v, err, "rootfsPropagation=%.50s is not supported", s);
}

static int read_personality(const struct json *linux_obj, struct oci_linux *l, struct err *err)
{
	static const char *const domains[] = { "LINUX", "LINUX32" };
	const struct json *v, *f, *flags;
	int domain, r = json_opt_object(linux_obj, "personality", &v, err);

	if (r <= 0)
		return r;
	OCI_TRY(oci_req(v, "domain", &f, err));
	OCI_TRY(oci_read_word(f, domains, ARRAY_SIZE(domains), &domain, err));
	l->has_personality = true;
	l->personality_linux32 = domain == 1;
	r = json_opt_array(v, "flags", &flags, err);
	if (r > 0 && flags->c.n)
		return json_error(flags, err, "no personality flags are defined");
	return r;
}

static int check_abs_list(const struct json *linux_obj, const char *key, struct err *err)
{
	const struct json *list = json_get(linux_obj, key);

	if (!list)
		return 0;
	json_for_each(v, list)
		if (*v->s != '/')
			return json_error(v, err, "must be an absolute path");
	return 0;
}

/* As with crun, a new user namespace for which no ids are given has the ids of the host. */
static void default_mappings(struct oci_linux *l)
{
	static const struct oci_idmap same = { .size = UINT32_MAX };
	const struct oci_namespace *user = &l->namespaces[OCI_NS_USER];

	if (!user->present || user->path || l->n_uid_mappings || l->n_gid_mappings)
		return;
	l->uid_mappings = xcalloc(1, sizeof(same));
	l->gid_mappings = xcalloc(1, sizeof(same));
	*l->uid_mappings = *l->gid_mappings = same;
	l->n_uid_mappings = l->n_gid_mappings = 1;
}

int oci_linux_read(const struct json *v, struct oci_linux *l, struct err *err)
{
	const struct json *o;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(read_namespaces(v, l, err));
	OCI_TRY(oci_read_array(v, "uidMappings", sizeof(struct oci_idmap), oci_read_idmap, &l->uid_mappings,
			       &l->n_uid_mappings, err));
	OCI_TRY(oci_read_array(v, "gidMappings", sizeof(struct oci_idmap), oci_read_idmap, &l->gid_mappings,
			       &l->n_gid_mappings, err));
	default_mappings(l);
	OCI_TRY(read_time_offsets(v, l, err));
	OCI_TRY(oci_read_array(v, "devices", sizeof(struct oci_device), read_device, &l->devices, &l->n_devices, err));
	OCI_TRY(oci_read_map(v, "netDevices", sizeof(struct oci_net_device), read_net_device, &l->net_devices,
			     &l->n_net_devices, err));
	OCI_TRY(json_opt_string(v, "cgroupsPath", &l->cgroups_path, err));
	if (l->cgroups_path && !*l->cgroups_path) {
		free(l->cgroups_path);
		l->cgroups_path = NULL;
	}
	o = json_get(v, "resources");
	if (o) {
		l->has_resources = true;
		OCI_TRY(oci_resources_read(o, &l->resources, err));
	}
	OCI_TRY(read_intel_rdt(v, l, err));
	OCI_TRY(read_memory_policy(v, l, err));
	OCI_TRY(oci_read_map(v, "sysctl", sizeof(struct oci_pair), oci_read_pair, &l->sysctl, &l->n_sysctl, err));
	o = json_get(v, "seccomp");
	if (o)
		OCI_TRY(oci_seccomp_read(o, &l->seccomp, err));
	OCI_TRY(read_propagation(v, l, err));
	OCI_TRY(json_opt_strv(v, "maskedPaths", &l->masked_paths, err));
	OCI_TRY(check_abs_list(v, "maskedPaths", err));
	OCI_TRY(json_opt_strv(v, "readonlyPaths", &l->readonly_paths, err));
	OCI_TRY(check_abs_list(v, "readonlyPaths", err));
	OCI_TRY(json_opt_string(v, "mountLabel", &l->mount_label, err));
	return read_personality(v, l, err);
}

void oci_linux_clear(struct oci_linux *l)
{
	for (int i = 0; i < OCI_NS_MAX; i++)
		free(l->namespaces[i].path);
	free(l->uid_mappings);
	free(l->gid_mappings);
	for (size_t i = 0; i < l->n_devices; i++)
		free(l->devices[i].path);
	free(l->devices);
	for (size_t i = 0; i < l->n_net_devices; i++) {
		free(l->net_devices[i].host_name);
		free(l->net_devices[i].name);
	}
	free(l->net_devices);
	free(l->cgroups_path);
	oci_resources_clear(&l->resources);
	if (l->intel_rdt) {
		free(l->intel_rdt->clos_id);
		strv_free(l->intel_rdt->schemata);
		free(l->intel_rdt->l3_cache_schema);
		free(l->intel_rdt->mem_bw_schema);
		free(l->intel_rdt);
	}
	if (l->memory_policy)
		free(l->memory_policy->nodes);
	free(l->memory_policy);
	oci_pairs_free(l->sysctl, l->n_sysctl);
	oci_seccomp_free(l->seccomp);
	strv_free(l->masked_paths);
	strv_free(l->readonly_paths);
	free(l->mount_label);
	memset(l, 0, sizeof(*l));
}
