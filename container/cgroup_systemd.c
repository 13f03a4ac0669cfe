/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's systemd half: names, and transient scopes over D-Bus.
 *
 * Theory: systemd owns the tree, so it is asked: StartTransientUnit makes a scope around a process that exists
 * already (the parked child), in a slice, with Delegate=yes so that what systemd cannot express may be written to
 * the scope's files afterwards. The call only queues a job; the manager's JobRemoved signal says that the scope
 * stands. Limits are given as properties too, because systemd writes its own idea of them back at the next reload.
 * The private socket of systemd is tried before the bus: it works without a bus daemon and saves a hop. Rootless
 * containers ask the user's manager. A scope ends by itself when its last process does; stop is for those left over,
 * and forgets a failed one so that its name is free again. Runs in the parent. org.freedesktop.systemd1(5),
 * systemd.resource-control(5).
 */
#include "container/cgroup_systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "container/cgroup_dir.h"
#include "container/cgroup_host.h"
#include "container/cgroup_property.h"
#include "container/dbus.h"
#include "oci/config.h"

#define SERVICE "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define JOB_TIMEOUT_MS 30000

int cgroup_systemd_names(const char *cgroups_path, const char *id, bool rootless, char **ret_slice, char **ret_scope,
			 struct err *err)
{
	const char *default_slice = rootless ? "user.slice" : "system.slice";
	cleanup_strv char **parts = NULL;

	if (str_empty(cgroups_path)) {
		*ret_slice = xstrdup(default_slice);
		*ret_scope = xasprintf("amphi-%s.scope", id);
		return 0;
	}
	parts = strv_split(cgroups_path, ':');
	if (strv_len(parts) != 3)
		return err_set(
			err, -EINVAL,
			"linux.cgroupsPath: expected cgroupsPath to be of format \"slice:prefix:name\" for systemd "
			"cgroups, got \"%s\" instead",
			cgroups_path);
	if (strchr(cgroups_path, '/') || !*parts[2])
		return err_set(err, -EINVAL, "linux.cgroupsPath: \"%s\" is not made of unit names", cgroups_path);
	if (str_ends(parts[2], ".slice"))
		return err_set(err, -EOPNOTSUPP, "linux.cgroupsPath: \"%s\": a container cannot be a slice", parts[2]);
	*ret_slice = xstrdup(*parts[0] ? parts[0] : default_slice);
	*ret_scope = *parts[1] ? xasprintf("%s-%s.scope", parts[1], parts[2]) : xasprintf("%s.scope", parts[2]);
	return 0;
}

char *cgroup_systemd_expand(const char *slice)
{
	cleanup_str struct str out = { 0 };
	size_t len = strlen(slice);

	if (!strcmp(slice, "-.slice"))
		return xstrdup("");
	if (!str_ends(slice, ".slice") || len == strlen(".slice") || strchr(slice, '/'))
		return NULL;
	len -= strlen(".slice");
	/* every dash ends the name of an ancestor */
	for (size_t i = 0; i <= len; i++) {
		if (i < len && slice[i] != '-')
			continue;
		if (i == 0 || slice[i - 1] == '-')
			return NULL;
		str_addf(&out, "/%.*s.slice", (int)i, slice);
	}
	return str_steal(&out);
}

/* Connects to the system's or the user's manager. */
static int connect_manager(bool user, struct dbus *d, struct err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *address = getenv("DBUS_SESSION_BUS_ADDRESS");
	int r;

	cleanup_free char *private = user ? xasprintf("%s/systemd/private", runtime ? runtime : "/nonexistent") :
					    xstrdup("/run/systemd/private");
	cleanup_free char *bus = !user                       ? xstrdup("/run/dbus/system_bus_socket") :
		address && str_starts(address, "unix:path=") ? xstrndup(address + 10, strcspn(address + 10, ",;")) :
							       xasprintf("%s/bus", runtime ? runtime : "/nonexistent");

	if (dbus_connect(private, false, JOB_TIMEOUT_MS, d, NULL) == 0)
		return 0;
	r = dbus_connect(bus, true, JOB_TIMEOUT_MS, d, err);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return err_wrap(err,
				user ? "no systemd of this user (a session, or loginctl enable-linger; "
				       "XDG_RUNTIME_DIR)" :
				       "no systemd");
	return r;
}

int cgroup_systemd_user_root(char **ret, struct err *err)
{
	cleanup_dbus struct dbus d = { .fd = -1 };
	cleanup_dbus_message struct dbus_message m = { 0 };
	struct dbus_body body = { 0 };
	const char *path;
	int r = connect_manager(true, &d, err);

	if (r < 0)
		return r;
	dbus_put_string(&body, MANAGER);
	dbus_put_string(&body, "ControlGroup");
	r = dbus_call(&d, SERVICE, OBJECT, "org.freedesktop.DBus.Properties", "Get", "ss", &body, &m, NULL, NULL, err);
	str_free(&body.data);
	if (r < 0)
		return r;
	if (dbus_get_variant_string(&m, &path) < 0)
		return err_set(err, -EBADMSG, "D-Bus: ControlGroup: unexpected answer");
	*ret = xstrdup(path);
	return 0;
}

/* Waits for the end of jobs on one unit. */
struct job {
	const char *unit;
	bool done;
	char result[32]; /* "done", "failed", ... */
};

/* JobRemoved(u id, o job, s unit, s result) */
static void on_signal(struct dbus_message *m, void *arg)
{
	struct job *job = arg;
	const char *path, *unit, *result;
	uint32_t id;

	if (!m->member || strcmp(m->member, "JobRemoved"))
		return;
	if (dbus_get_u32(m, &id) < 0 || dbus_get_string(m, &path) < 0 || dbus_get_string(m, &unit) < 0 ||
	    dbus_get_string(m, &result) < 0 || strcmp(unit, job->unit))
		return;
	job->done = true;
	snprintf(job->result, sizeof(job->result), "%s", result);
}

static int subscribe(struct dbus *d, struct err *err)
{
	struct dbus_body body = { 0 };
	int r;

	if (!d->bus)
		return 0; /* a private connection gets every signal */
	dbus_put_string(&body, "type='signal',interface='" MANAGER "',member='JobRemoved'");
	r = dbus_call(d, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s",
		      &body, NULL, NULL, NULL, err);
	str_free(&body.data);
	return r < 0 ? r : dbus_call(d, SERVICE, OBJECT, MANAGER, "Subscribe", NULL, NULL, NULL, NULL, NULL, err);
}

static int wait_job(struct dbus *d, struct job *job, struct err *err)
{
	while (!job->done) {
		cleanup_dbus_message struct dbus_message m = { 0 };
		int r = dbus_receive(d, &m, err);

		if (r < 0)
			return err_wrap(err, "systemd: %s", job->unit);
		if (m.type == DBUS_SIGNAL)
			on_signal(&m, job);
	}
	if (strcmp(job->result, "done"))
		return err_set(err, -EIO, "systemd: job for %s: %s", job->unit, job->result);
	return 0;
}

/* A method whose only argument is the unit's name, or the name and a mode. */
static int unit_call(struct dbus *d, const char *member, const char *unit, const char *mode, struct job *job,
		     struct err *err)
{
	struct dbus_body body = { 0 };
	int r;

	dbus_put_string(&body, unit);
	if (mode)
		dbus_put_string(&body, mode);
	r = dbus_call(d, SERVICE, OBJECT, MANAGER, member, mode ? "ss" : "s", &body, NULL, job ? on_signal : NULL, job,
		      err);
	str_free(&body.data);
	return r;
}

static void scope_properties(const struct cgroup_manager *m, pid_t pid, struct dbus_body *b)
{
	bool v2 = cgroup_host_get()->mode == CGROUP_MODE_V2;
	static const char *const accounting[] = { "MemoryAccounting", "CPUAccounting", "TasksAccounting" };
	cleanup_free char *description = xasprintf("amphi container %s", m->id);
	uint32_t id = (uint32_t)pid;

	cgroup_property_string(b, "Description", description);
	cgroup_property_string(b, "Slice", m->slice);
	cgroup_property_u32s(b, "PIDs", &id, 1);
	cgroup_property_bool(b, "Delegate", true);
	cgroup_property_bool(b, "DefaultDependencies", false);
	for (size_t i = 0; i < ARRAY_SIZE(accounting); i++)
		cgroup_property_bool(b, accounting[i], true);
	cgroup_property_bool(b, v2 ? "IOAccounting" : "BlockIOAccounting", true);
}

static int start_once(struct dbus *d, struct cgroup_manager *m, pid_t pid, struct job *job, struct err *err)
{
	struct dbus_body body = { 0 };
	size_t mark;
	int r;

	dbus_put_string(&body, m->scope);
	dbus_put_string(&body, "replace");
	mark = dbus_array_begin(&body, 8);
	scope_properties(m, pid, &body);
	cgroup_property_resources(&body, m->params.resources, cgroup_host_get()->mode == CGROUP_MODE_V2, NULL);
	r = cgroup_property_annotations(&body, m->params.annotations, m->params.n_annotations, err);
	dbus_array_end(&body, mark, 8);
	mark = dbus_array_begin(&body, 8); /* no auxiliary units */
	dbus_array_end(&body, mark, 8);
	if (r == 0)
		r = dbus_call(d, SERVICE, OBJECT, MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body, NULL,
			      on_signal, job, err);
	str_free(&body.data);
	return r;
}

int cgroup_systemd_start(struct cgroup_manager *m, pid_t pid, struct err *err)
{
	cleanup_dbus struct dbus d = { .fd = -1 };
	struct job job = { .unit = m->scope };
	int r = connect_manager(m->user_bus, &d, err);

	r = r < 0 ? r : subscribe(&d, err);
	if (r < 0)
		return r;
	r = start_once(&d, m, pid, &job, err);
	if (r == -EEXIST) {
		/* left over in state failed: it can be forgotten; a living one cannot, and refuses again */
		unit_call(&d, "ResetFailedUnit", m->scope, NULL, NULL, NULL);
		r = start_once(&d, m, pid, &job, err);
	}
	if (r == -EEXIST) {
		/* somebody else's: our undo must neither stop it nor kill what is in it */
		free(m->scope);
		m->scope = NULL;
		while (m->n_dirs)
			cgroup_dir_release(&m->dirs[--m->n_dirs]);
	}
	r = r < 0 ? r : wait_job(&d, &job, err);
	for (size_t i = 0; r == 0 && i < m->n_dirs; i++) {
		/* the scope's directories are systemd's; those of other hierarchies are made by the manager */
		free(m->dirs[i].made);
		m->dirs[i].made = access(m->dirs[i].path, F_OK) == 0 ? NULL : xstrdup(m->dirs[i].path);
	}
	return r;
}

int cgroup_systemd_attach(struct cgroup_manager *m, const char *sub, pid_t pid, struct err *err)
{
	cleanup_dbus struct dbus d = { .fd = -1 };
	struct dbus_body body = { 0 };
	cleanup_free char *below = !sub ? xstrdup("") : sub[0] == '/' ? xstrdup(sub) : xasprintf("/%s", sub);
	size_t mark;
	int r = connect_manager(m->user_bus, &d, err);

	if (r < 0)
		return r;
	dbus_put_string(&body, m->scope);
	dbus_put_string(&body, below);
	mark = dbus_array_begin(&body, 4);
	dbus_put_u32(&body, (uint32_t)pid);
	dbus_array_end(&body, mark, 4);
	r = dbus_call(&d, SERVICE, OBJECT, MANAGER, "AttachProcessesToUnit", "ssau", &body, NULL, NULL, NULL, err);
	str_free(&body.data);
	return r;
}

int cgroup_systemd_update(struct cgroup_manager *m, const struct oci_resources *res, struct err *err)
{
	cleanup_dbus struct dbus d = { .fd = -1 };
	struct dbus_body body = { 0 };
	size_t mark, n = 0;
	int r = connect_manager(m->user_bus, &d, err);

	if (r < 0)
		return r;
	dbus_put_string(&body, m->scope);
	dbus_put_bool(&body, true); /* runtime: not on disk */
	mark = dbus_array_begin(&body, 8);
	cgroup_property_resources(&body, res, cgroup_host_get()->mode == CGROUP_MODE_V2, &n);
	dbus_array_end(&body, mark, 8);
	if (n)
		r = dbus_call(&d, SERVICE, OBJECT, MANAGER, "SetUnitProperties", "sba(sv)", &body, NULL, NULL, NULL,
			      err);
	str_free(&body.data);
	return r;
}

static bool scope_there(const struct cgroup_manager *m)
{
	for (size_t i = 0; i < m->n_dirs; i++)
		if (access(m->dirs[i].path, F_OK) == 0)
			return true;
	return false;
}

int cgroup_systemd_stop(struct cgroup_manager *m, struct err *err)
{
	cleanup_dbus struct dbus d = { .fd = -1 };
	struct job job = { .unit = m->scope };
	struct err why = { 0 };
	int r = connect_manager(m->user_bus, &d, err);

	/* a manager that ended took its units along */
	if (r < 0 && !scope_there(m)) {
		if (err)
			*err = (struct err){ 0 };
		return 0;
	}
	r = r < 0 ? r : subscribe(&d, err);
	if (r < 0)
		return r;
	r = unit_call(&d, "StopUnit", m->scope, "replace", &job, &why);
	if (r == 0)
		r = wait_job(&d, &job, &why);
	unit_call(&d, "ResetFailedUnit", m->scope, NULL, NULL, NULL);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? err_set(err, r, "%s", why.msg) : 0;
}
