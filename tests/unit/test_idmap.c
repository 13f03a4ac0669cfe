/* SPDX-License-Identifier: Apache-2.0 */
/* Id maps; writing them needs root. */
#include "container/idmap.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "oci/config.h"
#include "tap.h"

static void test_write(void)
{
	struct oci_idmap ids[] = { { 0, 100000, 1000 }, { 1000, 500000, 1 } };
	struct oci_linux l = { .uid_mappings = ids, .n_uid_mappings = 2, .gid_mappings = ids, .n_gid_mappings = 1 };
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	char path[64], *text;
	struct err err = { 0 };
	uint64_t a[3];
	pid_t pid;
	int fd;

	pid = sys_clone3(&args);
	if (pid < 0) {
		skip("no user namespaces here");
		return;
	}
	if (pid == 0)
		for (;;)
			pause();
	is_int(idmap_write(pid, &l, &err), 0);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	need(fd_slurp_at(AT_FDCWD, path, 4096, &text, NULL) == 0);
	is_int(sscanf(text, "%lu %lu %lu", &a[0], &a[1], &a[2]), 3);
	ok(a[0] == 0 && a[1] == 100000 && a[2] == 1000);
	/* a map can be written once only */
	ok(idmap_write(pid, &l, &err) < 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	fd = idmap_userns(ids, 1, ids, 1, &err);
	ok(fd >= 0);
	close(fd);
	ids[0].size = 0;
	ok(idmap_userns(ids, 1, ids, 1, &err) < 0);
	is_int(waitpid(-1, NULL, WNOHANG), -1); /* nothing left behind */
}

int main(void)
{
	const struct oci_idmap m[] = { { 0, 1000, 1 }, { 1, 100000, 65536 } };
	cleanup_free char *text = idmap_text(m, 2);

	is_str(text, "0 1000 1\n1 100000 65536\n");
	is_int(idmap_to_host(m, 2, 0), 1000);
	is_int(idmap_to_host(m, 2, 1), 100000);
	is_int(idmap_to_host(m, 2, 65536), 165535);
	is_int(idmap_to_host(m, 2, 65537), -1);
	is_int(idmap_to_host(NULL, 0, 42), 42);
	if (geteuid() == 0)
		test_write();
	else
		skip("needs root");
	return tap_done();
}
