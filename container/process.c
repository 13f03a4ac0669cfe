/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the workload is and where it begins. Runs inside the container's root, partly with privilege, partly as the
 * user: the executable is looked up as the user, so "permission denied" is found at create.
 *
 * Users are numbers here: a name is never looked up in a file of the image (CVE-2016-3697); only HOME, a
 * string for the environment, comes from its passwd, by number. The working directory is checked after the change: a
 * directory outside the root has no name inside (CVE-2024-21626).
 */
#include "container/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/sys.h"
#include "oci/config.h"

#define PASSWD_MAX (1 << 20)

char *process_home(const char *passwd, unsigned int uid)
{
	const char *line = passwd;

	while (line && *line) {
		const char *end = strchrnul(line, '\n'), *field[7];
		uint32_t number;
		size_t n = 0;

		for (const char *p = line; n < ARRAY_SIZE(field);) {
			field[n++] = p;
			p = memchr(p, ':', (size_t)(end - p));
			if (!p)
				break;
			p++;
		}
		if (n >= 6) {
			cleanup_free char *id = xstrndup(field[2], (size_t)(field[3] - field[2] - 1));
			const char *stop = n == 7 ? field[6] - 1 : end;

			if (!parse_u32(id, &number) && number == uid && stop > field[5])
				return xstrndup(field[5], (size_t)(stop - field[5]));
		}
		line = *end ? end + 1 : NULL;
	}
	return xstrdup("/");
}

static char *home_of(int rootfd, unsigned int uid)
{
	cleanup_fd int fd = path_open_in(rootfd, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	cleanup_free char *text = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fd_slurp(fd, PASSWD_MAX, &text, NULL) < 0)
		return xstrdup("/");
	return process_home(text, uid);
}

static size_t name_len(const char *var)
{
	return (size_t)(strchrnul(var, '=') - var);
}

static bool has_later(char *const *env, size_t i)
{
	size_t n = name_len(env[i]);

	for (size_t k = i + 1; env[k]; k++)
		if (!strncmp(env[k], env[i], n + 1) || (name_len(env[k]) == n && !strncmp(env[k], env[i], n)))
			return true;
	return false;
}

static bool named_in(char *const *vars, const char *var)
{
	for (; vars && *vars; vars++)
		if (name_len(*vars) == name_len(var) && !strncmp(*vars, var, name_len(var)))
			return true;
	return false;
}

char **process_env(const struct oci_process *p, int rootfd, char *const *also)
{
	char **env = xcalloc(strv_len(p->env) + strv_len(also) + 2, sizeof(*env));
	bool home = false;
	size_t n = 0;

	for (size_t i = 0; p->env && p->env[i]; i++) {
		bool is_home = str_starts(p->env[i], "HOME=");

		if (has_later(p->env, i) || named_in(also, p->env[i]) || (is_home && !p->env[i][5]))
			continue;
		home |= is_home;
		env[n++] = xstrdup(p->env[i]);
	}
	for (size_t i = 0; also && also[i]; i++)
		env[n++] = xstrdup(also[i]);
	if (!home) {
		cleanup_free char *dir = home_of(rootfd, p->user.uid);

		env[n++] = xasprintf("HOME=%s", dir);
	}
	return env;
}

void process_own_stdio(unsigned int uid)
{
	for (int fd = 0; fd < 3; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0 || st.st_uid == uid)
			continue;
		/* /dev/null is everybody's */
		if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
			continue;
		if (fchown(fd, uid, (gid_t)-1) < 0)
			log_debug("process: fd %d stays with its owner: %s", fd, strerrordesc_np(errno));
	}
}

void process_own_null(int rootfd)
{
	cleanup_fd int null = -1;

	for (int fd = 0; fd < 3; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
			continue;
		if (null < 0)
			null = path_open_in(rootfd, "/dev/null", O_RDWR | O_NONBLOCK | O_NOCTTY, 0);
		/* the image's may be anything */
		if (null < 0 || fstat(null, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
			return;
		(void)fd_set_nonblock(null, false);
		(void)dup2(null, fd);
	}
}

int process_user(const struct oci_process *p, bool keep_groups, struct err *err)
{
	const struct oci_user *u = &p->user;

	/* the bare calls: glibc's would tell other threads, and there are none */
	if (!keep_groups && syscall(SYS_setgroups, u->n_additional_gids, u->additional_gids) < 0) {
		if (errno == EPERM && u->n_additional_gids)
			return err_set(err, EPERM,
				       "process.user.additionalGids: cannot set any additional groups in a rootless "
				       "container");
		if (errno != EPERM)
			return err_sys(err, -errno, "process.user.additionalGids: setgroups%s",
				       errno == EINVAL ? " (a group that is not mapped?)" : "");
	}
	if (syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0)
		return err_sys(err, -errno, "process.user.gid: set gid %u%s", u->gid,
			       errno == EINVAL ? " (not mapped in the user namespace)" : "");
	if (syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
		return err_sys(err, -errno, "process.user.uid: set uid %u%s", u->uid,
			       errno == EINVAL ? " (not mapped in the user namespace)" : "");
	umask(u->has_umask ? (mode_t)u->umask : 0022);
	return 0;
}

int process_chdir(const struct oci_process *p, struct err *err)
{
	const char *cwd = str_empty(p->cwd) ? "/" : p->cwd;
	char buf[PATH_MAX];

	if (chdir(cwd) < 0)
		return err_sys(err, -errno, "chdir to cwd (\"%s\") set in config.json failed", cwd);
	/* the bare call: glibc's getcwd() would walk the tree instead of telling that the name is unreachable */
	if (syscall(SYS_getcwd, buf, sizeof(buf)) < 0)
		return err_sys(err, -errno, "chdir to cwd (\"%s\") set in config.json failed: getcwd", cwd);
	if (*buf != '/')
		return err_set(
			err, ENOENT,
			"chdir to cwd (\"%s\") set in config.json failed: current working directory is outside of "
			"container mount namespace root -- possible container breakout detected",
			cwd);
	return 0;
}

/* Can the current user execute this file? 0 or -errno in Go's sense of exec.LookPath. */
static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return -errno;
	return st.st_mode & 0111 ? 0 : -EACCES;
}

int process_find(const char *name, char *const *env, char **ret, struct err *err)
{
	cleanup_strv char **dirs = NULL;
	int r;

	if (!*name)
		return err_set(err, ENOENT, "exec: \"\": executable file not found in $PATH");
	if (strchr(name, '/')) {
		r = executable(name);
		if (r == -EISDIR || r == -EACCES)
			return err_sys(err, r, "exec: \"%s\"", name);
		if (r < 0)
			return err_sys(err, r, "exec: \"%s\": stat %s", name, name);
		*ret = xstrdup(name);
		return 0;
	}
	for (size_t i = 0; env && env[i]; i++)
		if (str_starts(env[i], "PATH="))
			dirs = strv_split(env[i] + 5, ':');
	for (size_t i = 0; dirs && dirs[i]; i++) {
		cleanup_free char *path = NULL;

		if (*dirs[i] != '/')
			continue; /* never the working directory */
		path = path_join(dirs[i], name);
		if (!executable(path)) {
			*ret = steal_ptr(path);
			return 0;
		}
	}
	return err_set(err, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}
