/* SPDX-License-Identifier: Apache-2.0 */
/* Planning a manager: cgroupsPath becomes directories, limits are checked.
 *
 * Theory: an absolute cgroupsPath is below each hierarchy's mount point. A relative one, or the container's id
 * where there is none, is below our own cgroup on v1; on v2 our own cgroup holds processes and so cannot have
 * limited children, therefore it is beside it. With systemd the directories follow from the unit's names. Limits are
 * compiled here once to see that they can be had; the list is made again when it is written. Runs in the parent
 * before any side effect. runtime-spec config-linux.md#cgroups-path.
 */
#include "container/cgroup_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "container/cgroup_device.h"
#include "container/cgroup_dir.h"
#include "container/cgroup_host.h"
#include "container/cgroup_limits.h"
#include "container/cgroup_systemd.h"
#include "container/idmap.h"
#include "oci/config.h"

/* The mount that counts is the last one there. */
static bool writable_cgroups(const struct oci_config *c)
{
	bool ret = false;

	for (size_t i = 0; i < c->n_mounts; i++) {
		const struct oci_mount *m = &c->mounts[i];

		if (!strcmp(m->destination, "/sys/fs/cgroup"))
			ret = !str_empty(m->type) && str_starts(m->type, "cgroup") && !oci_mount_has(m, "ro");
	}
	return ret;
}

bool cgroup_plan_owner(const struct oci_config *config, uid_t *ret)
{
	const struct oci_linux *l = &config->linux_;
	const struct oci_namespace *ns = &l->namespaces[OCI_NS_CGROUP];
	int64_t uid =
		idmap_to_host(l->uid_mappings, l->n_uid_mappings, config->has_process ? config->process.user.uid : 0);

	if (!ns->present || ns->path || uid < 0 || !writable_cgroups(config))
		return false;
	*ret = (uid_t)uid;
	return true;
}

static int check_path(const char *path, struct err *err)
{
	cleanup_strv char **parts = strv_split(path, '/');

	for (char **p = parts; *p; p++)
		if (!strcmp(*p, ".."))
			return err_set(err, -EINVAL, "linux.cgroupsPath: \"%s\" contains \"..\"", path);
	cleanup_free char *clean = path_clean(path);

	if (!strcmp(clean, "/") || !strcmp(clean, "."))
		return err_set(err, -EINVAL, "linux.cgroupsPath: \"%s\" names no cgroup below the root", path);
	if (strchr(path, '\n'))
		return err_set(err, -EINVAL, "linux.cgroupsPath: contains a newline");
	return 0;
}

/* The directory below one hierarchy's mount point. */
static char *dir_path(const struct cgroup_hier *h, const char *path)
{
	cleanup_free char *base = NULL, *rel = NULL;

	if (path[0] == '/') {
		rel = path_clean(path);
	} else {
		base = xstrdup(h->own);
		/* v2: our own cgroup holds processes, so limited children can only be beside it */
		if (h->v2 && strrchr(base, '/') != NULL)
			*strrchr(base, '/') = '\0';
		cleanup_free char *joined = path_join(*base ? base : "/", path);

		rel = path_clean(joined);
	}
	return path_join(h->mount, rel[0] == '/' ? rel + 1 : rel);
}

static void make_plan(struct cgroup_manager *m, const char *path)
{
	const struct cgroup_host *host = cgroup_host_get();

	m->dirs = xcalloc(host->n + 1, sizeof(*m->dirs));
	for (size_t i = 0; i < host->n; i++) {
		struct cgroup_dir *d = &m->dirs[m->n_dirs++];

		*d = (struct cgroup_dir){
			.name = xstrdup(host->hiers[i].name),
			.v2 = host->hiers[i].v2,
			.mount = xstrdup(host->hiers[i].mount),
			.path = dir_path(&host->hiers[i], path),
			.fd = -1,
		};
		cgroup_dir_plan(d);
	}
}

/* The directories' path for a scope: slices expanded, below the user manager's cgroup when that is who makes it. */
static int systemd_path(struct cgroup_manager *m, char **ret, struct err *err)
{
	cleanup_free char *root = NULL;
	cleanup_free char *slices = cgroup_systemd_expand(m->slice);

	if (!slices)
		return err_set(err, -EINVAL, "linux.cgroupsPath: invalid slice name \"%s\"", m->slice);
	if (m->user_bus) {
		int r = cgroup_systemd_user_root(&root, err);

		if (r < 0)
			return r;
	}
	*ret = xasprintf("%s%s/%s", root ? root : "", slices, m->scope);
	return 0;
}

int cgroup_plan_in_use(const struct cgroup_manager *m, struct err *err)
{
	const struct cgroup_dir *freezer = cgroup_dir_find(m, "freezer");

	freezer = freezer ? freezer : cgroup_dir_find(m, NULL);
	if (freezer && cgroup_dir_frozen(freezer))
		return err_set(err, -EBUSY, "container's cgroup unexpectedly frozen: %s", freezer->path);
	for (size_t i = 0; i < m->n_dirs; i++)
		if (!m->dirs[i].made && cgroup_dir_populated(&m->dirs[i]) > 0)
			return err_set(err, -EBUSY, "container's cgroup is not empty: %s has processes in it",
				       m->dirs[i].path);
	return 0;
}

bool cgroup_plan_limits_asked(const struct cgroup_manager *m)
{
	struct cgroup_limits limits = { 0 };
	bool any = cgroup_limits_build(m->params.resources, cgroup_host_get(), "linux.resources", NULL, &limits, NULL) <
			0 ||
		limits.n > 0;

	cgroup_limits_free(&limits);
	return any;
}

/* Everything about the limits that can be wrong without looking at the cgroup. */
int cgroup_plan_check_limits(const struct cgroup_manager *m, struct err *err)
{
	struct cgroup_limits limits = { 0 };
	int r = cgroup_limits_build(m->params.resources, cgroup_host_get(), "linux.resources", NULL, &limits, err);

	if (r == 0 && cgroup_dir_find(m, "devices")) {
		struct cgroup_device_rules rules;

		cgroup_device_rules(m->params.resources, &rules);
		r = cgroup_device_check_v1(&rules, err);
		cgroup_device_free(&rules);
	}
	if (r == 0 && m->driver == CGROUP_DRIVER_DISABLED && limits.n)
		r = err_set(err, -EOPNOTSUPP, "%s: cannot be limited with --cgroup-manager disabled",
			    limits.v[0].field);
	cgroup_limits_free(&limits);
	return r;
}

int cgroup_plan_dirs(struct cgroup_manager *m, struct err *err)
{
	const struct cgroup_params *p = &m->params;
	cleanup_free char *scope_path = NULL;
	const char *path = str_empty(p->cgroups_path) ? p->id : p->cgroups_path;
	int r = 0;

	if (m->driver == CGROUP_DRIVER_DISABLED)
		return 0;
	if (m->driver == CGROUP_DRIVER_SYSTEMD) {
		if (!cgroup_systemd_booted())
			return err_set(err, -EOPNOTSUPP,
				       "systemd cgroup driver asked for, but systemd not running on this host");
		m->user_bus = m->rootless;
		r = cgroup_systemd_names(p->cgroups_path, p->id, m->user_bus, &m->slice, &m->scope, err);
		r = r < 0 ? r : systemd_path(m, &scope_path, err);
		path = scope_path;
	}
	r = r < 0 ? r : check_path(path, err);
	if (r == 0)
		make_plan(m, path);
	return r;
}
