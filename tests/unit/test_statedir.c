/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory: ids, create, lock, record, list, removal. */
#include "runtime/statedir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/path.h"
#include "tests/unit/tap.h"

static char root[] = "/tmp/amphi-statedir.XXXXXX";
static struct globals g = { .root = root, .root_given = true };

static void ids(void)
{
	static const char *const good[] = { "a", "A-b_c.d+e", "0", "-x", "_", "+" };
	static const char *const bad[] = { "", ".", "..", ".a", "a/b", "/", "a b", "a\n", "\xc3\xa4", "a:b" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		is_int(statedir_check_id(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		is_int(statedir_check_id(bad[i], NULL), -EINVAL);
}

static void record(void)
{
	struct statedir d = STATEDIR_INIT, again = STATEDIR_INIT;
	struct err err = { 0 };
	struct statedir_record rec = {
		.id = "one",
		.bundle = "/b \"quoted\"",
		.rootfs = "/b/rootfs",
		.created = "2026-01-02T03:04:05.000000006Z",
		.owner = 12,
		.isolation = ISOLATION_VM,
		.vmm = VMM_QEMU,
		.cgroup_driver = CGROUP_DRIVER_SYSTEMD,
		.rootless = true,
		.networks = (char *[]){ "net", "other:ip=10.0.0.2", NULL },
		.image = "/img",
		.cgroup = "{\"a\":[1,2],\"b\":null}",
		.network = "{}",
		.phase = "creating",
		.pid = 4711,
		.start_time = 18446744073709551615ULL,
	}, back;

	is_int(statedir_create(&g, "one", &d, &err), 0);
	ok(d.locked);
	is_int(statedir_load(&d, &back, &err), -ENODATA);
	is_int(statedir_save(&d, &rec, &err), 0);
	is_int(statedir_create(&g, "one", &again, &err), -EEXIST);
	is_str(err.msg, "container with given ID already exists");
	is_int(statedir_open(&g, "one", false, &again, &err), 0);
	is_int(statedir_load(&again, &back, &err), 0);
	is_str(back.id, rec.id);
	is_str(back.bundle, rec.bundle);
	is_str(back.rootfs, rec.rootfs);
	is_str(back.created, rec.created);
	is_int(back.owner, 12);
	is_int(back.isolation, ISOLATION_VM);
	is_int(back.vmm, VMM_QEMU);
	is_int(back.cgroup_driver, CGROUP_DRIVER_SYSTEMD);
	ok(back.rootless);
	is_int(strv_len(back.networks), 2);
	is_str(back.networks ? back.networks[1] : NULL, "other:ip=10.0.0.2");
	is_str(back.image, "/img");
	has_str(back.cgroup, "\"a\"");
	ok(back.machine == NULL);
	is_str(back.phase, "creating");
	is_int(back.pid, 4711);
	ok(back.start_time == rec.start_time);
	statedir_record_free(&back);

	/* another version is refused, broken text too */
	is_int(path_write_atomic(d.fd, "state.json", "{\"version\":99}", 14, 0600), 0);
	is_int(statedir_load(&d, &back, &err), -EINVAL);
	has_str(err.msg, "version 99");
	is_int(path_write_atomic(d.fd, "state.json", "{", 1, 0600), 0);
	ok(statedir_load(&d, &back, &err) < 0);

	is_int(statedir_remove(&d, &err), 0);
	is_int(statedir_remove(&d, &err), 0);
	statedir_close(&again);
	is_int(statedir_open(&g, "one", false, &again, &err), -ENOENT);
	is_str(err.msg, "container does not exist");
	statedir_close(&d);
}

/* Whoever waits for the lock of a directory that is then removed hears that it does not exist. */
static void lock_of_removed(void)
{
	struct statedir d = STATEDIR_INIT;
	int pipefd[2], status = 0;
	char c;
	pid_t pid;

	is_int(statedir_create(&g, "two", &d, NULL), 0);
	ok(pipe(pipefd) == 0);
	pid = fork();
	if (!pid) {
		struct statedir mine = STATEDIR_INIT;
		struct err err = { 0 };

		if (statedir_open(&g, "two", false, &mine, &err) < 0)
			_exit(1);
		(void)!write(pipefd[1], "x", 1);
		_exit(statedir_lock(&mine, &err) == -ENOENT ? 0 : 2);
	}
	ok(read(pipefd[0], &c, 1) == 1);
	is_int(statedir_remove(&d, NULL), 0);
	statedir_close(&d);
	ok(waitpid(pid, &status, 0) == pid);
	is_int(status, 0);
}

static void listing(void)
{
	struct statedir d = STATEDIR_INIT, e = STATEDIR_INIT;
	struct globals missing = { .root = "/nonexistent/amphi", .root_given = true };
	struct globals quiet = { .root = "/nonexistent/amphi" };
	char **v = NULL;

	is_int(statedir_create(&g, "b", &d, NULL), 0);
	is_int(statedir_create(&g, "a", &e, NULL), 0);
	is_int(statedir_list(&g, &v, NULL), 0);
	is_int(strv_len(v), 2);
	is_str(v ? v[0] : NULL, "a");
	strv_free(v);
	v = NULL;
	ok(statedir_list(&missing, &v, NULL) < 0);
	is_int(statedir_list(&quiet, &v, NULL), 0);
	is_int(strv_len(v), 0);
	is_int(statedir_remove(&d, NULL), 0);
	is_int(statedir_remove(&e, NULL), 0);
	statedir_close(&d);
	statedir_close(&e);
}

int main(void)
{
	if (!mkdtemp(root))
		return 1;
	ids();
	record();
	lock_of_removed();
	listing();
	ok(rmdir(root) == 0);
	return tap_done();
}
