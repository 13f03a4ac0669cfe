/* SPDX-License-Identifier: Apache-2.0 */
/* A manager on this host's hierarchies: planned, made, entered, frozen, killed, saved, removed. */
#include "container/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/config.h"
#include "tests/unit/tap.h"

static char name[64];

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static struct oci_resources *resources(const char *json)
{
	struct oci_resources *r = NULL;
	struct err err = { 0 };

	if (oci_resources_parse(json, strlen(json), &r, &err) < 0)
		printf("# %s\n", err.msg);
	return r;
}

static char *value(const struct cgroup_manager *m, const char *controller, const char *file)
{
	cleanup_free char *path = path_join(cgroup_dir(m, controller), file);
	char *text = NULL;

	if (fd_slurp_at(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static struct cgroup_manager *again(const struct cgroup_manager *m)
{
	struct json_writer w = { 0 };
	struct cgroup_manager *ret = NULL;
	struct err err = { 0 };

	json_w_object(&w, NULL);
	cgroup_save(m, "cgroup", &w);
	json_w_object_end(&w);
	cleanup_free char *text = json_w_steal(&w);
	cleanup_json_doc struct json_doc *doc = json_parse(text, strlen(text), "state", &err);

	if (!doc || cgroup_load(json_get(json_root(doc), "cgroup"), &ret, &err) < 0)
		printf("# %s\n%s\n", err.msg, text);
	return ret;
}

static void test_paths(void)
{
	struct cgroup_manager *m = NULL;
	struct err err = { 0 };
	struct cgroup_params p = { .id = "x", .cgroups_path = "/a/../b" };

	is_int(cgroup_new(&p, &m, &err), -EINVAL);
	has_str(err.msg, "linux.cgroupsPath");
	p.cgroups_path = "/";
	is_int(cgroup_new(&p, &m, &err), -EINVAL);
	p = (struct cgroup_params){ .id = "x", .driver = CGROUP_DRIVER_DISABLED };
	is_int(cgroup_new(&p, &m, &err), 0);
	ok(!cgroup_exists(m));
	ok(!cgroup_dir(m, NULL));
	is_int(cgroup_fd(m), -1);
	is_int(cgroup_create(m, &err), 0);
	is_int(cgroup_kill(m, SIGKILL, &err) == 0 || err.code, 1);
	is_int(cgroup_destroy(m, &err), 0);
	cgroup_free(m);
	struct oci_resources *r = resources("{\"pids\":{\"limit\":20}}");

	p.resources = r;
	if (cgroup_mode() != CGROUP_MODE_NONE)
		is_int(cgroup_new(&p, &m, &err), -EOPNOTSUPP);
	oci_resources_free(r);
}

static void test_life(void)
{
	struct oci_resources *r = resources("{\"pids\":{\"limit\":20},\"memory\":{\"limit\":33554432},"
					    "\"cpu\":{\"shares\":512,\"quota\":50000,\"period\":100000}}");
	struct cgroup_params p = { .id = name, .cgroups_path = name, .resources = r };
	struct cgroup_manager *m = NULL, *other = NULL;
	struct err err = { 0 };
	pid_t pid = sleeper(), *pids = NULL;
	char *path = xasprintf("/%s/sub/leaf", name);
	int status;
	size_t n = 0;

	p.cgroups_path = path;
	if (!ok(cgroup_new(&p, &m, &err) == 0)) {
		printf("# %s\n", err.msg);
		goto out;
	}
	if (!ok(cgroup_create(m, &err) == 0)) {
		printf("# %s\n", err.msg);
		goto out;
	}
	if (!ok(cgroup_enter(m, pid, &err) == 0))
		printf("# %s\n", err.msg);
	is_int(cgroup_procs(m, &pids, &n, &err), 0);
	is_int(n, 1);
	is_int(n ? pids[0] : 0, pid);
	free(pids);
	is_int(cgroup_populated(m), 1);
	char *max = value(m, "pids", "pids.max");

	is_str(max, "20");
	free(max);

	/* a second container may not have it */
	is_int(cgroup_new(&p, &other, &err), -EBUSY);
	has_str(err.msg, "container's cgroup is not empty");

	/* everything below works on the saved form */
	struct cgroup_manager *saved = again(m);

	need(saved);
	is_int(cgroup_frozen(saved), 0);
	is_int(cgroup_freeze(saved, &err), 0);
	is_int(cgroup_frozen(saved), 1);
	is_int(cgroup_new(&p, &other, &err), -EBUSY);
	has_str(err.msg, "unexpectedly frozen");
	is_int(cgroup_thaw(saved, &err), 0);
	is_int(cgroup_frozen(saved), 0);

	struct oci_resources *change = resources("{\"pids\":{\"limit\":-1},\"memory\":{\"limit\":67108864}}");

	is_int(cgroup_update(saved, change, &err), 0);
	max = value(saved, "pids", "pids.max");
	is_str(max, "max");
	free(max);
	oci_resources_free(change);

	/* a child cgroup of the container's own, and a kill while frozen */
	char *child = path_join(cgroup_dir(saved, NULL) ? cgroup_dir(saved, NULL) : cgroup_dir(saved, "pids"), "child");

	is_int(mkdir(child, 0755), 0);
	is_int(cgroup_freeze(saved, &err), 0);
	is_int(cgroup_kill(saved, SIGKILL, &err), 0);
	is_int(waitpid(pid, &status, 0), pid);
	pid = -1;
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	is_int(cgroup_destroy(saved, &err), 0);
	ok(access(child, F_OK) < 0);
	char *top = xstrdup(child);

	*strstr(top, "/sub/") = '\0';
	ok(access(top, F_OK) < 0); /* ancestors that were made for it, too */
	is_int(cgroup_destroy(saved, &err), 0);
	is_int(cgroup_procs(saved, &pids, &n, &err), 0);
	is_int(n, 0);
	free(top);
	free(child);
	cgroup_free(saved);
out:
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (m)
		cgroup_destroy(m, NULL);
	cgroup_free(m);
	oci_resources_free(r);
	free(path);
}

/* What was there before stays, and a create that fails leaves nothing. */
static void test_undo(void)
{
	struct oci_resources *bad = resources("{\"cpu\":{\"cpus\":\"9000\"}}");
	struct cgroup_params p = { .id = name };
	struct cgroup_manager *m = NULL;
	struct err err = { 0 };
	char *path = xasprintf("/%s-undo", name);

	p.cgroups_path = path;
	is_int(cgroup_new(&p, &m, &err), 0);
	is_int(mkdir(cgroup_dir(m, "pids"), 0755), 0);
	char *dir = xstrdup(cgroup_dir(m, "pids"));

	cgroup_free(m);
	is_int(cgroup_new(&p, &m, &err), 0);
	is_int(cgroup_create(m, &err), 0);
	is_int(cgroup_destroy(m, &err), 0);
	ok(access(dir, F_OK) == 0);
	is_int(rmdir(dir), 0);
	cgroup_free(m);

	p.resources = bad;
	is_int(cgroup_new(&p, &m, &err), 0);
	ok(cgroup_create(m, &err) < 0);
	has_str(err.msg, "linux.resources.cpu.cpus");
	ok(access(dir, F_OK) < 0);
	cgroup_free(m);
	oci_resources_free(bad);
	free(dir);
	free(path);
}

int main(void)
{
	enum cgroup_driver d;

	snprintf(name, sizeof(name), "amphi-unit-%d", getpid());
	is_int(cgroup_driver_parse("systemd", &d), 0);
	is_int(d, CGROUP_DRIVER_SYSTEMD);
	is_int(cgroup_driver_parse("foo", &d), -EINVAL);
	test_paths();
	if (geteuid() != 0 || cgroup_mode() == CGROUP_MODE_NONE) {
		skip("root and cgroups");
		return tap_done();
	}
	test_life();
	test_undo();
	return tap_done();
}
