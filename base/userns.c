/* SPDX-License-Identifier: Apache-2.0 */
/* User namespaces and their id maps. */
/*
 * The kernel takes a map once and whole, in one write(2), from who has CAP_SETUID over the parent namespace, or a single line
 * with the writer's own id. Everything else needs the setuid helpers newuidmap and newgidmap, which look at
 * /etc/subuid and /etc/subgid. user_namespaces(7).
 */
#include "base/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

/* Inode of the initial user namespace in nsfs (PROC_USER_INIT_INO), fixed since Linux 3.8. */
#define INITIAL_INO 0xEFFFFFFDU

static int write_proc(pid_t pid, const char *file, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return fd_write_file_at(AT_FDCWD, path, text);
}

/* newuidmap PID INSIDE OUTSIDE COUNT ... */
static int run_helper(const char *helper, pid_t pid, const char *text, struct err *err)
{
	struct child_io io = { .want_out = 1, .want_err = 1, .timeout_ms = 60000 };
	cleanup_free char *copy = xstrdup(text);
	cleanup_strv char **argv = NULL;
	char *save;
	int r;

	strv_add(&argv, helper);
	strv_add_take(&argv, xasprintf("%d", (int)pid));
	for (char *p = strtok_r(copy, " \n", &save); p; p = strtok_r(NULL, " \n", &save))
		strv_add(&argv, p);
	r = child_run(argv, &io, err);
	if (r < 0)
		err_wrap(err, "%s", helper);
	else if (r > 0) {
		if (io.errout)
			io.errout[strcspn(io.errout, "\n")] = '\0';
		r = err_set(err, EPERM, "%s: exit status %d: %s", helper, r, io.errout ? io.errout : "");
	}
	free(io.out);
	free(io.errout);
	return r;
}

int userns_write_map(pid_t pid, const char *file, const char *helper, const char *text, struct err *err)
{
	int r = write_proc(pid, file, text);

	if (r == -EPERM && helper) {
		log_debug("idmap: %s not writable, trying %s", file, helper);
		return run_helper(helper, pid, text, err);
	}
	if (r == -EINVAL)
		return err_set(
			err, r,
			"write %s: the kernel refuses the mappings (overlapping, too many, or beyond our own): %.*s",
			file, (int)strcspn(text, "\n"), text);
	return r < 0 ? err_sys(err, r, "write %s", file) : 0;
}

int userns_deny_setgroups(pid_t pid, struct err *err)
{
	int r = write_proc(pid, "setgroups", "deny");

	return r < 0 && r != -ENOENT ? err_sys(err, r, "write setgroups") : 0;
}

bool userns_is_initial(void)
{
	struct stat st;

	return !stat("/proc/self/ns/user", &st) && st.st_ino == INITIAL_INO;
}
