/* SPDX-License-Identifier: Apache-2.0 */
/* struct cgroup_manager: one container's control groups.
 *
 * Theory: cgroup_new() turns cgroupsPath into one directory for each hierarchy of the host, compiles the limits to a
 * list of writes and checks all that can be checked: nothing was touched when it refuses. cgroup_create() makes the
 * directories from the list, enables controllers (v2), fills cpusets (v1), writes limits and device rules; on
 * failure it removes what it made. The child is then born inside (v2, CLONE_INTO_CGROUP) or moved in (v1, and
 * systemd, whose scope can only be started around a living process). The manager is plain data: it is saved as JSON
 * and every later command works from that. All of it runs in the runtime's (or the guest agent's) process, never
 * in the container. runtime-spec config-linux.md#cgroups-path; files of both versions are the kernel's
 * cgroup-v2.rst and cgroup-v1/.
 */
#include "container/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "container/cgroup_apply.h"
#include "container/cgroup_device.h"
#include "container/cgroup_dir.h"
#include "container/cgroup_fs.h"
#include "container/cgroup_host.h"
#include "container/cgroup_limits.h"
#include "container/cgroup_plan.h"
#include "container/cgroup_systemd.h"
#include "container/cgroup_v1.h"
#include "oci/config.h"

#define DESTROY_TIMEOUT_MS 10000

static const char *const driver_names[] = {
	[CGROUP_DRIVER_FS] = "cgroupfs",
	[CGROUP_DRIVER_SYSTEMD] = "systemd",
	[CGROUP_DRIVER_DISABLED] = "disabled",
};
_Static_assert(ARRAY_SIZE(driver_names) == CGROUP_DRIVER_MAX, "a word for each driver");

int cgroup_driver_parse(const char *word, enum cgroup_driver *ret)
{
	for (int i = 0; i < CGROUP_DRIVER_MAX; i++)
		if (!strcmp(word, driver_names[i])) {
			*ret = (enum cgroup_driver)i;
			return 0;
		}
	return -EINVAL;
}

const char *cgroup_driver_name(enum cgroup_driver driver)
{
	return driver_names[driver];
}

enum cgroup_mode cgroup_mode(void)
{
	return cgroup_host_get()->mode;
}

bool cgroup_systemd_booted(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

int cgroup_new(const struct cgroup_params *params, struct cgroup_manager **ret, struct err *err)
{
	cleanup_cgroup struct cgroup_manager *m = xcalloc(1, sizeof(*m));
	int r;

	m->id = xstrdup(params->id);
	m->driver = params->driver;
	m->rootless = params->rootless;
	m->params = *params;
	r = cgroup_plan_dirs(m, err);
	r = r < 0 ? r : cgroup_plan_check_limits(m, err);
	r = r < 0 ? r : cgroup_plan_in_use(m, err);
	if (r < 0)
		return r;
	*ret = steal_ptr(m);
	return 0;
}

void cgroup_free(struct cgroup_manager *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_dirs; i++)
		cgroup_dir_release(&m->dirs[i]);
	free(m->dirs);
	free(m->id);
	free(m->slice);
	free(m->scope);
	free(m);
}

static void drop_dir(struct cgroup_manager *m, size_t i)
{
	cgroup_dir_release(&m->dirs[i]);
	memmove(&m->dirs[i], &m->dirs[i + 1], (m->n_dirs - i - 1) * sizeof(*m->dirs));
	m->n_dirs--;
}

/* Without privileges a hierarchy that is not ours to change is left out, unless limits need it. */
static int make_dirs(struct cgroup_manager *m, struct err *err)
{
	for (size_t i = 0; i < m->n_dirs;) {
		int r = cgroup_dir_make(&m->dirs[i], err);

		if (r == 0 && m->rootless && access(m->dirs[i].path, W_OK) < 0)
			r = err_set(err, -errno, "cgroup: %s is not writable", m->dirs[i].path);
		if (r == 0) {
			i++;
			continue;
		}
		if (!m->rootless || (r != -EACCES && r != -EPERM && r != -EROFS))
			return r;
		if (cgroup_plan_limits_asked(m))
			return err_wrap(err, "rootless container with limits needs a delegated cgroup");
		log_debug("%s: going on without it", err ? err->msg : "cgroup");
		drop_dir(m, i);
		if (err)
			*err = (struct err){ 0 };
	}
	return 0;
}

static int apply_devices(struct cgroup_manager *m, const struct oci_resources *res, struct err *err)
{
	struct cgroup_dir *d = cgroup_dir_find(m, "devices");
	struct cgroup_device_rules rules;
	int r = 0;

	cgroup_device_rules(res, &rules);
	if (d) {
		r = cgroup_device_write_v1(d, &rules, err);
	} else if ((d = cgroup_dir_find(m, NULL))) {
		r = cgroup_device_attach(d, &rules, err);
	}
	cgroup_device_free(&rules);
	if (r < 0 && m->rootless && (r == -EPERM || r == -EACCES)) {
		/* a user namespace cannot open host devices anyway: it has no nodes but those bound in */
		log_debug("%s: going on, rootless", err ? err->msg : "cgroup: devices");
		if (err)
			*err = (struct err){ 0 };
		return 0;
	}
	return r;
}

/*
 * Is it the container's alone: a directory that we made, or the scope made for it? Another one outlives the container:
 * cgroup.kill would spoil it for who is cloned into it later (clone_killed_at_birth()).
 */
static bool is_own(const struct cgroup_manager *m, const struct cgroup_dir *d)
{
	return d->made || m->scope;
}

static int delegate(struct cgroup_manager *m, struct err *err)
{
	struct cgroup_dir *d = cgroup_dir_find(m, NULL);
	int r;

	if (!m->params.delegate || !d || !is_own(m, d))
		return 0;
	r = cgroup_dir_chown(d, m->params.owner_uid);
	if (r == -EPERM && m->rootless) {
		log_debug("cgroup: %s stays ours: uid %u is another user's", d->path, m->params.owner_uid);
		return 0;
	}
	return r < 0 ? err_sys(err, r, "cgroup: cannot give %s to the container's user", d->path) : 0;
}

/* Limits and rules into directories that exist. */
static int configure(struct cgroup_manager *m, struct err *err)
{
	const struct cgroup_host *host = cgroup_host_get();
	struct cgroup_dir *v2 = cgroup_dir_find(m, NULL), *cpuset = cgroup_dir_find(m, "cpuset");
	struct cgroup_limits limits = { 0 };
	int r = 0;

	if (!m->n_dirs)
		return 0;
	r = cgroup_limits_build(m->params.resources, host, "linux.resources", NULL, &limits, err);
	if (r == 0 && v2) {
		cleanup_strv char **required = cgroup_limits_controllers(&limits);
		char **available = NULL;

		for (size_t i = 0; i < host->n; i++)
			available = host->hiers[i].v2 ? host->hiers[i].controllers : available;
		r = cgroup_fs_enable(v2, available, required, err);
	}
	if (r == 0 && cpuset)
		r = cgroup_v1_cpuset_init(cpuset, err);
	if (r == 0)
		r = cgroup_apply_limits(&limits, m, err);
	if (r == 0)
		r = apply_devices(m, m->params.resources, err);
	if (r == 0)
		r = delegate(m, err);
	cgroup_limits_free(&limits);
	return r;
}

int cgroup_create(struct cgroup_manager *m, struct err *err)
{
	int r;

	if (m->driver != CGROUP_DRIVER_FS)
		return 0;
	r = make_dirs(m, err);
	r = r < 0 ? r : configure(m, err);
	if (r < 0)
		cgroup_destroy(m, NULL);
	return r;
}

int cgroup_fd(struct cgroup_manager *m)
{
	struct cgroup_dir *d = cgroup_dir_find(m, NULL);

	if (m->driver != CGROUP_DRIVER_FS || !d || cgroup_dir_open(d) < 0)
		return -1;
	/* pids.max 0 is a limit that lets processes move in, but not be born there */
	if (m->params.resources && m->params.resources->has_pids_limit && m->params.resources->pids_limit == 0)
		return -1;
	m->fd_lent = true;
	return d->fd;
}

/* Is pid in the directory's cgroup already? proc_cgroup: the text of /proc/PID/cgroup. */
static bool inside(const struct cgroup_dir *d, const char *proc_cgroup)
{
	cleanup_free char *at = proc_cgroup ? cgroup_host_lookup(proc_cgroup, d->name) : NULL;

	/* the path may be relative to another root than the mount's: its end decides */
	return at && strcmp(at, "/") && str_ends(d->path, at);
}

int cgroup_enter(struct cgroup_manager *m, pid_t pid, struct err *err)
{
	cleanup_free char *file = xasprintf("/proc/%d/cgroup", pid);
	cleanup_free char *text = NULL;
	int r;

	if (m->driver == CGROUP_DRIVER_SYSTEMD) {
		r = cgroup_systemd_start(m, pid, err);
		r = r < 0 ? r : make_dirs(m, err); /* hierarchies that systemd does not use */
		r = r < 0 ? r : configure(m, err);
		if (r < 0)
			return r;
	}
	if (m->fd_lent || m->driver == CGROUP_DRIVER_SYSTEMD)
		fd_slurp_at(AT_FDCWD, file, 65536, &text, NULL);
	for (size_t i = 0; i < m->n_dirs; i++) {
		struct cgroup_dir *d = &m->dirs[i];

		if (text && inside(d, text))
			continue;
		r = cgroup_dir_enter(d, NULL, pid);
		if (r < 0)
			return err_sys(err, r, "cgroup: error adding pid %d to cgroups: %s%s", pid, d->path,
				       r == -EACCES && d->v2 && m->rootless ?
					       " (only from inside the cgroup that was delegated)" :
					       "");
	}
	return 0;
}

/* Does this hierarchy go by that name in --cgroup? */
static bool dir_answers(const struct cgroup_dir *d, const char *word)
{
	return cgroup_dir_has(d, word) || (!strcmp(word, "systemd") && !strcmp(d->name, "name=systemd"));
}

static bool has_controller(const struct cgroup_manager *m, const char *name)
{
	for (size_t i = 0; i < m->n_dirs; i++)
		if (dir_answers(&m->dirs[i], name))
			return true;
	return false;
}

/* Every controller that --cgroup names has to be one of this host's hierarchies. */
static int check_controllers(const struct cgroup_manager *m, char *const *sub, struct err *err)
{
	for (; sub && *sub; sub++) {
		const char *colon = strchr(*sub, ':');
		cleanup_free char *names = colon ? xstrndup(*sub, (size_t)(colon - *sub)) : NULL;
		cleanup_strv char **words = names ? strv_split(names, ',') : NULL;

		for (char **w = words; w && *w; w++)
			if (!has_controller(m, *w))
				return err_set(err, -EINVAL, "--cgroup %s: unknown controller %s", *sub, *w);
	}
	return 0;
}

static bool climbs(const char *path)
{
	cleanup_strv char **words = strv_split(path, '/');

	return strv_has(words, "..");
}

/* The part of --cgroup that concerns this hierarchy: *ret the path or NULL. */
static int sub_for(const struct cgroup_dir *d, char *const *sub, char **ret, struct err *err)
{
	for (; sub && *sub; sub++) {
		const char *colon = strchr(*sub, ':');
		cleanup_free char *names = colon ? xstrndup(*sub, (size_t)(colon - *sub)) : NULL;
		cleanup_free char *clean = path_clean(colon ? colon + 1 : *sub);
		bool ours = !colon;

		cleanup_strv char **words = names ? strv_split(names, ',') : NULL;

		for (char **w = words; w && *w; w++)
			ours = ours || dir_answers(d, *w);
		if (climbs(colon ? colon + 1 : *sub))
			return err_set(err, -EINVAL, "--cgroup: bad sub cgroup path: %s is not a sub cgroup path",
				       colon ? colon + 1 : *sub);
		if (ours) {
			free(*ret);
			*ret = xstrdup(clean);
		}
	}
	return 0;
}

int cgroup_enter_exec(struct cgroup_manager *m, pid_t pid, char *const *sub, pid_t init_pid, struct err *err)
{
	cleanup_free char *init_file = xasprintf("/proc/%d/cgroup", init_pid);
	cleanup_free char *file = xasprintf("/proc/%d/cgroup", pid);
	cleanup_free char *text = NULL;
	int r;

	r = check_controllers(m, sub, err);
	if (r < 0)
		return r;
	fd_slurp_at(AT_FDCWD, file, 65536, &text, NULL);
	for (size_t i = 0; i < m->n_dirs; i++) {
		struct cgroup_dir *d = &m->dirs[i];
		cleanup_free char *below = NULL;

		r = sub_for(d, sub, &below, err);
		if (r < 0)
			return r;
		if (!below && text && inside(d, text))
			continue;
		r = cgroup_dir_enter(d, below, pid);
		if ((r == -EACCES || r == -EPERM) && d->v2 && m->scope)
			/* between two cgroups of a user only systemd moves processes */
			r = cgroup_systemd_attach(m, below, pid, err);
		if (r == -EBUSY && d->v2 && !below) {
			/* the container passed controllers to children (systemd inside): only leaves take processes */
			cleanup_free char *init_text = NULL, *at = NULL;

			if (fd_slurp_at(AT_FDCWD, init_file, 65536, &init_text, NULL) == 0)
				at = cgroup_host_lookup(init_text, d->name);
			cleanup_free char *rel = at ? path_join(d->mount, at) : NULL;

			if (rel && path_is_below(rel, d->path))
				r = cgroup_dir_enter(d, rel + strlen(d->path), pid);
		}
		if (r < 0)
			return err_sys(err, r, "cgroup: error adding pid %d to cgroups: %s%s%s/cgroup.procs", pid,
				       d->path, below ? "/" : "", below ? below : "");
	}
	return 0;
}

int cgroup_exec_fd(struct cgroup_manager *m, pid_t init_pid)
{
	struct cgroup_dir *d = cgroup_dir_find(m, NULL);
	cleanup_free char *file = xasprintf("/proc/%d/cgroup", init_pid);
	cleanup_free char *text = NULL, *at = NULL, *path = NULL;
	int fd, r;

	if (!d)
		return -ENOENT;
	/* beside init, which may have moved to a child of the container's cgroup */
	r = fd_slurp_at(AT_FDCWD, file, 65536, &text, NULL);
	if (r < 0)
		return r;
	at = cgroup_host_lookup(text, d->name);
	path = at ? path_join(d->mount, at) : NULL;
	if (!path || !path_is_below(path, d->path))
		path = xstrdup(d->path);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

bool cgroup_exists(const struct cgroup_manager *m)
{
	return m->n_dirs > 0;
}

const char *cgroup_dir(const struct cgroup_manager *m, const char *controller)
{
	const struct cgroup_dir *d = cgroup_dir_find(m, controller);

	d = d ? d : cgroup_dir_find(m, NULL);
	return d ? d->path : NULL;
}

const char *cgroup_scope(const struct cgroup_manager *m)
{
	return m->scope;
}

int cgroup_update(struct cgroup_manager *m, const struct oci_resources *res, struct err *err)
{
	struct cgroup_limits limits = { 0 };
	struct cgroup_limits_now now;
	int r;

	cgroup_apply_now(m, &now);
	r = cgroup_limits_build(res, cgroup_host_get(), "resources", &now, &limits, err);
	if (r == 0 && res->has_memory && res->memory.has_check_before_update && res->memory.check_before_update &&
	    res->memory.has_limit)
		r = cgroup_apply_check_memory(m, res->memory.limit, err);
	if (r == 0 && m->driver == CGROUP_DRIVER_SYSTEMD)
		r = cgroup_systemd_update(m, res, err);
	if (r == 0)
		r = cgroup_apply_limits(&limits, m, err);
	if (r == 0 && res->n_devices)
		r = apply_devices(m, res, err);
	cgroup_limits_free(&limits);
	return r;
}

static int no_freezer(struct err *err)
{
	return err_set(err, -EOPNOTSUPP, "cgroup: no freezer: this container has no cgroup");
}

int cgroup_freeze(struct cgroup_manager *m, struct err *err)
{
	struct cgroup_dir *v1 = cgroup_dir_find(m, "freezer"), *v2 = cgroup_dir_find(m, NULL);

	return v1 ? cgroup_v1_freeze(v1, err) : v2 ? cgroup_fs_freeze(v2, true, err) : no_freezer(err);
}

int cgroup_thaw(struct cgroup_manager *m, struct err *err)
{
	struct cgroup_dir *v1 = cgroup_dir_find(m, "freezer"), *v2 = cgroup_dir_find(m, NULL);

	return v1 ? cgroup_v1_thaw(v1, false, err) : v2 ? cgroup_fs_freeze(v2, false, err) : no_freezer(err);
}

int cgroup_thaw_killed(struct cgroup_manager *m, pid_t pid, struct err *err)
{
	struct cgroup_dir *v1 = cgroup_dir_find(m, "freezer");
	cleanup_free char *file = xasprintf("/proc/%d/cgroup", pid);
	cleanup_free char *text = NULL, *at = NULL, *path = NULL, *by = NULL;
	int r;

	if (!v1)
		return cgroup_frozen(m) > 0 ? cgroup_thaw(m, err) : 0;
	r = cgroup_v1_thaw(v1, true, err);
	if (r < 0 || fd_slurp_at(AT_FDCWD, file, 65536, &text, NULL) < 0)
		return r;
	at = cgroup_host_lookup(text, v1->name);
	path = at ? path_join(v1->mount, at) : NULL;
	by = path ? cgroup_v1_frozen_by(v1->mount, path) : NULL;
	/* somebody moved it to a cgroup that is not ours to thaw: it comes back */
	if (by && !path_is_below(path, v1->path) && cgroup_dir_enter(v1, NULL, pid) == 0)
		return 0;
	return by ? err_set(err, -EBUSY, "cgroup: process %d cannot end: %s is frozen", pid, by) : 0;
}

int cgroup_frozen(const struct cgroup_manager *m)
{
	const struct cgroup_dir *d = cgroup_dir_find(m, "freezer");
	cleanup_free char *text = NULL;
	unsigned long long n;

	if (d)
		return cgroup_dir_read(d, "freezer.state", &text) == 0 && str_starts(text, "FR");
	d = cgroup_dir_find(m, NULL);
	if (!d || cgroup_dir_read(d, "cgroup.events", &text) < 0)
		return 0;
	if (cgroup_dir_key(text, "frozen", &n) < 0)
		return 0;
	if (n)
		return 1;
	/* a freeze that is still under way counts */
	free(steal_ptr(text));
	return cgroup_dir_read(d, "cgroup.freeze", &text) == 0 && !strcmp(text, "1");
}

static int signal_all(struct cgroup_manager *m, int sig, struct err *err)
{
	cleanup_free pid_t *pids = NULL;
	size_t n;
	int r = cgroup_procs(m, &pids, &n, err);

	for (size_t i = 0; i < n && r == 0; i++)
		if (kill(pids[i], sig) < 0 && errno != ESRCH)
			r = err_sys(err, -errno, "cgroup: signal %d to process %d", sig, pids[i]);
	return r;
}

int cgroup_kill(struct cgroup_manager *m, int sig, struct err *err)
{
	struct cgroup_dir *freezer = cgroup_dir_find(m, "freezer"), *v2 = cgroup_dir_find(m, NULL);
	struct err thaw_err = { 0 };
	int r, thawed;

	if (sig != SIGKILL)
		return signal_all(m, sig, err);
	if (v2 && is_own(m, v2) && cgroup_fs_kill(v2) == 0)
		return freezer ? cgroup_v1_thaw(freezer, true, err) : 0;
	if (!freezer && !v2)
		return signal_all(m, sig, err);
	/* frozen, nothing forks between the list and the signals */
	if (!cgroup_frozen(m))
		(void)cgroup_freeze(m, NULL);
	r = signal_all(m, sig, err);
	thawed = freezer ? cgroup_v1_thaw(freezer, true, &thaw_err) : cgroup_thaw(m, &thaw_err);
	if (r == 0 && thawed < 0 && thawed != -ENOENT && thawed != -ENODEV)
		r = err_set(err, thawed, "%s", thaw_err.msg);
	return r;
}

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

int cgroup_procs(const struct cgroup_manager *m, pid_t **ret, size_t *ret_n, struct err *err)
{
	/* one hierarchy is enough: cgroup2 where all of them move together, else a controller nobody shares */
	const struct cgroup_dir *d = cgroup_dir_find(m, NULL);

	*ret = NULL;
	*ret_n = 0;
	d = d ? d : cgroup_dir_find(m, "freezer");
	d = d ? d : cgroup_dir_find(m, "pids");
	d = d || !m->n_dirs ? d : &m->dirs[0];
	if (!d)
		return 0;
	int r = cgroup_dir_procs(d, ret, ret_n);

	if (r < 0)
		return err_sys(err, r, "cgroup: processes of %s", d->path);
	if (*ret_n)
		qsort(*ret, *ret_n, sizeof(**ret), by_number);
	return 0;
}

int cgroup_populated(const struct cgroup_manager *m)
{
	for (size_t i = 0; i < m->n_dirs; i++) {
		int r = cgroup_dir_populated(&m->dirs[i]);

		if (r != 0)
			return r;
	}
	return 0;
}

int cgroup_destroy(struct cgroup_manager *m, struct err *err)
{
	int ret = 0;

	if (m->scope)
		ret = cgroup_systemd_stop(m, err);
	for (size_t i = 0; i < m->n_dirs; i++) {
		struct cgroup_dir *d = &m->dirs[i];
		int r;

		if (d->fd >= 0)
			close(steal_fd(d->fd));
		r = cgroup_dir_remove(d, DESTROY_TIMEOUT_MS);
		if (r < 0 && ret == 0)
			ret = err_sys(err, r, "cgroup: cannot remove %s", d->path);
	}
	return ret;
}

void cgroup_save(const struct cgroup_manager *m, const char *key, struct json_writer *w)
{
	json_w_object(w, key);
	json_w_string(w, "id", m->id);
	json_w_string(w, "driver", driver_names[m->driver]);
	json_w_bool(w, "rootless", m->rootless);
	if (m->scope) {
		json_w_string(w, "slice", m->slice);
		json_w_string(w, "scope", m->scope);
		json_w_bool(w, "userBus", m->user_bus);
	}
	json_w_array(w, "dirs");
	for (size_t i = 0; i < m->n_dirs; i++) {
		const struct cgroup_dir *d = &m->dirs[i];

		json_w_object(w, NULL);
		json_w_string(w, "hierarchy", d->name);
		json_w_string(w, "mount", d->mount);
		json_w_string(w, "path", d->path);
		if (d->made)
			json_w_string(w, "made", d->made);
		json_w_object_end(w);
	}
	json_w_array_end(w);
	json_w_object_end(w);
}

static int load_dir(const struct json *v, struct cgroup_dir *d, struct err *err)
{
	int r = json_req_string(v, "hierarchy", &d->name, err);

	d->fd = -1;
	r = r < 0 ? r : json_req_string(v, "mount", &d->mount, err);
	r = r < 0 ? r : json_req_string(v, "path", &d->path, err);
	r = r < 0 ? r : json_opt_string(v, "made", &d->made, err);
	if (r < 0)
		return r;
	d->v2 = !*d->name;
	if (d->path[0] != '/' || !path_is_below(d->path, d->mount) || (d->made && !path_is_below(d->path, d->made)))
		return json_error(v, err, "inconsistent paths");
	return 0;
}

int cgroup_load(const struct json *v, struct cgroup_manager **ret, struct err *err)
{
	cleanup_cgroup struct cgroup_manager *m = xcalloc(1, sizeof(*m));
	cleanup_free char *driver = NULL;
	const struct json *dirs = NULL;
	int r = json_want(v, JSON_OBJECT, err);

	r = r < 0 ? r : json_req_string(v, "id", &m->id, err);
	r = r < 0 ? r : json_req_string(v, "driver", &driver, err);
	r = r < 0 ? r : json_opt_bool(v, "rootless", &m->rootless, err);
	r = r < 0 ? r : json_opt_string(v, "slice", &m->slice, err);
	r = r < 0 ? r : json_opt_string(v, "scope", &m->scope, err);
	r = r < 0 ? r : json_opt_bool(v, "userBus", &m->user_bus, err);
	r = r < 0 ? r : json_opt_array(v, "dirs", &dirs, err);
	if (r < 0)
		return r;
	if (cgroup_driver_parse(driver, &m->driver) < 0)
		return json_error(json_get(v, "driver"), err, "unknown driver \"%s\"", driver);
	if (dirs) {
		m->dirs = xcalloc(dirs->c.n + 1, sizeof(*m->dirs));
		json_for_each(c, dirs) {
			r = load_dir(c, &m->dirs[m->n_dirs++], err);
			if (r < 0)
				return r;
		}
	}
	*ret = steal_ptr(m);
	return 0;
}
