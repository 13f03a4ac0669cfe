/* SPDX-License-Identifier: Apache-2.0 */
/* Intel RDT: classes of service and monitoring groups in resctrl.
 *
 * Theory: a class is a directory below /sys/fs/resctrl with a `schemata` file of lines and a `tasks` file. closID
 * "/" is the root class, which is never made or removed. A closID without any schema joins a class that must exist
 * already; one with schemata makes it where missing and otherwise demands, as runc does, that nothing contradicts.
 * Monitoring groups live in CLASS/mon_groups/ID. Writes go line by line, L3 first and the free schemata last, so
 * that an error names its line. Host-global: the caller undoes it when create fails. Kernel: x86/resctrl.rst.
 */
#include "container/intelrdt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/config.h"

#define RESCTRL_MAGIC 0x7655821

static const char *resctrl = "/sys/fs/resctrl";
static bool any_filesystem; /* the tests' */

void intelrdt_use(const char *root)
{
	resctrl = root;
	any_filesystem = true;
}

bool intelrdt_enabled(void)
{
	struct statfs st;

	return statfs(resctrl, &st) == 0 && (any_filesystem || st.f_type == RESCTRL_MAGIC);
}

bool intelrdt_has_monitoring(void)
{
	cleanup_free char *groups = path_join(resctrl, "mon_groups");

	return intelrdt_enabled() && access(groups, F_OK) == 0;
}

static bool has_schema(const struct oci_intel_rdt *rdt)
{
	return !str_empty(rdt->l3_cache_schema) || !str_empty(rdt->mem_bw_schema) || (rdt->schemata && *rdt->schemata);
}

static bool wants_monitoring(const struct oci_intel_rdt *rdt)
{
	return rdt->enable_monitoring || rdt->enable_cmt || rdt->enable_mbm;
}

int intelrdt_check(const struct oci_intel_rdt *rdt, struct err *err)
{
	if (!rdt)
		return 0;
	if (rdt->clos_id &&
	    (!strcmp(rdt->clos_id, ".") || !strcmp(rdt->clos_id, "..") ||
	     (strchr(rdt->clos_id, '/') && strcmp(rdt->clos_id, "/")) || !*rdt->clos_id))
		return err_set(err, -EINVAL, "linux.intelRdt.closID: invalid name \"%s\"", rdt->clos_id);
	if (!intelrdt_enabled())
		return err_set(err, -EOPNOTSUPP,
			       "linux.intelRdt: intelRdt is specified in config, but Intel RDT is not enabled");
	if (wants_monitoring(rdt) && !intelrdt_has_monitoring())
		return err_set(err, -EOPNOTSUPP, "linux.intelRdt.enableMonitoring: resctrl has no monitoring here");
	if (rdt->clos_id && strcmp(rdt->clos_id, "/") && !has_schema(rdt)) {
		cleanup_free char *dir = path_join(resctrl, rdt->clos_id);

		if (access(dir, F_OK) < 0)
			return err_sys(err, -errno,
				       "linux.intelRdt.closID: class \"%s\" does not exist and no schema is given",
				       rdt->clos_id);
	}
	return 0;
}

static int write_lines(const char *dir, const char *field, const char *text, struct err *err)
{
	cleanup_free char *file = path_join(dir, "schemata");
	cleanup_strv char **lines = strv_split(text, '\n');

	for (char **l = lines; *l; l++) {
		cleanup_free char *line = xasprintf("%s\n", *l);
		int r = **l ? fd_write_file_at(AT_FDCWD, file, line) : 0;

		if (r < 0)
			return err_sys(err, r, "linux.intelRdt.%s: cannot write \"%s\" to %s", field, *l, file);
	}
	return 0;
}

static int write_schemas(const struct oci_intel_rdt *rdt, const char *dir, struct err *err)
{
	int r = 0;

	if (!str_empty(rdt->l3_cache_schema))
		r = write_lines(dir, "l3CacheSchema", rdt->l3_cache_schema, err);
	if (r == 0 && !str_empty(rdt->mem_bw_schema))
		r = write_lines(dir, "memBwSchema", rdt->mem_bw_schema, err);
	for (size_t i = 0; r == 0 && rdt->schemata && rdt->schemata[i]; i++)
		r = write_lines(dir, "schemata", rdt->schemata[i], err);
	return r;
}

static int add_task(const char *dir, pid_t pid, struct err *err)
{
	cleanup_free char *file = path_join(dir, "tasks");
	cleanup_free char *text = xasprintf("%d", pid);
	int r = fd_write_file_at(AT_FDCWD, file, text);

	return r < 0 ? err_sys(err, r, "linux.intelRdt: cannot add process %d to %s", pid, file) : 0;
}

static int make_group(const char *dir, bool *made, struct err *err)
{
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "linux.intelRdt: cannot create %s", dir);
	*made = errno != EEXIST;
	return 0;
}

void intelrdt_plan(const struct oci_intel_rdt *rdt, const char *id, struct intelrdt_group *ret)
{
	bool root = rdt->clos_id && !strcmp(rdt->clos_id, "/");

	*ret = (struct intelrdt_group){
		.dir = root ? xstrdup(resctrl) : path_join(resctrl, rdt->clos_id ? rdt->clos_id : id),
	};
	ret->made = !root && access(ret->dir, F_OK) < 0;
	if (wants_monitoring(rdt)) {
		cleanup_free char *groups = path_join(ret->dir, "mon_groups");

		ret->mon_dir = path_join(groups, id);
	}
}

int intelrdt_apply(const struct oci_intel_rdt *rdt, const char *id, pid_t pid, struct intelrdt_group *ret,
		   struct err *err)
{
	bool root = rdt && rdt->clos_id && !strcmp(rdt->clos_id, "/");
	int r = 0;

	*ret = (struct intelrdt_group){ 0 };
	if (!rdt)
		return 0;
	ret->dir = root ? xstrdup(resctrl) : path_join(resctrl, rdt->clos_id ? rdt->clos_id : id);
	errno = 0;
	if (!root)
		r = make_group(ret->dir, &ret->made, err);
	r = r < 0 ? r : write_schemas(rdt, ret->dir, err);
	r = r < 0 ? r : add_task(ret->dir, pid, err);
	if (r == 0 && wants_monitoring(rdt)) {
		cleanup_free char *groups = path_join(ret->dir, "mon_groups");
		bool made;

		ret->mon_dir = path_join(groups, id);
		errno = 0;
		r = make_group(ret->mon_dir, &made, err);
		r = r < 0 ? r : add_task(ret->mon_dir, pid, err);
	}
	if (r < 0)
		intelrdt_destroy(ret, NULL);
	return r;
}

int intelrdt_update(const struct intelrdt_group *g, const char *l3_schema, const char *mb_schema, struct err *err)
{
	int r = 0;

	if (!g->dir)
		return err_set(err, -EOPNOTSUPP, "Intel RDT is not enabled for this container");
	if (!str_empty(l3_schema))
		r = write_lines(g->dir, "l3CacheSchema", l3_schema, err);
	if (r == 0 && !str_empty(mb_schema))
		r = write_lines(g->dir, "memBwSchema", mb_schema, err);
	return r;
}

int intelrdt_destroy(struct intelrdt_group *g, struct err *err)
{
	if (g->mon_dir && rmdir(g->mon_dir) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "linux.intelRdt: cannot remove %s", g->mon_dir);
	if (g->dir && g->made && rmdir(g->dir) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "linux.intelRdt: cannot remove %s", g->dir);
	return 0;
}

void intelrdt_free(struct intelrdt_group *g)
{
	free(g->dir);
	free(g->mon_dir);
	*g = (struct intelrdt_group){ 0 };
}

void intelrdt_save(const struct intelrdt_group *g, const char *key, struct json_writer *w)
{
	json_w_object(w, key);
	if (g->dir)
		json_w_string(w, "dir", g->dir);
	if (g->mon_dir)
		json_w_string(w, "monDir", g->mon_dir);
	json_w_bool(w, "made", g->made);
	json_w_object_end(w);
}

int intelrdt_load(const struct json *v, struct intelrdt_group *ret, struct err *err)
{
	int r = json_opt_string(v, "dir", &ret->dir, err);

	r = r < 0 ? r : json_opt_string(v, "monDir", &ret->mon_dir, err);
	r = r < 0 ? r : json_opt_bool(v, "made", &ret->made, err);
	return r < 0 ? r : 0;
}
