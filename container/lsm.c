/* SPDX-License-Identifier: Apache-2.0 */
/* Security labels: AppArmor and SELinux.
 *
 * Theory: both modules take the label of the next execve as a write to a file below /proc/thread-self/attr. A
 * container could mount something else over /proc, so the write goes through a descriptor of the host's procfs that
 * was checked by fstatfs(2) and opened before, and the attribute file is checked once more to be procfs. AppArmor has a
 * directory of its own (attr/apparmor) since 5.8, which is preferred because with stacked modules the shared
 * file belongs to only one of them. Errors carry the path in back quotes: podman tells a label failure by that. Runs
 * in the child, shortly before execve.
 */
#include "container/lsm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

bool lsm_apparmor_enabled(void)
{
	cleanup_free char *text = NULL;

	return fd_slurp_at(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &text, NULL) == 0 &&
		text[0] == 'Y' && access("/sys/kernel/security/apparmor", F_OK) == 0;
}

bool lsm_selinux_enabled(void)
{
	cleanup_free char *own = NULL;
	struct statfs st;

	/* without a policy there are no labels: every process is "kernel" */
	return statfs("/sys/fs/selinux", &st) == 0 && (unsigned long)st.f_type == SELINUX_MAGIC &&
		fd_slurp_at(AT_FDCWD, "/proc/self/attr/current", 4096, &own, NULL) == 0 && strcmp(own, "kernel");
}

static bool wants_apparmor(const char *profile)
{
	return !str_empty(profile);
}

int lsm_check(const char *apparmor, const char *selinux, const char *mount_label, struct err *err)
{
	if (wants_apparmor(apparmor) && strcmp(apparmor, "unconfined") && !lsm_apparmor_enabled())
		return err_set(err, -EOPNOTSUPP,
			       "process.apparmorProfile: apparmor profile specified in config, but apparmor is not "
			       "enabled on the system");
	if (!str_empty(selinux) && !lsm_selinux_enabled())
		return err_set(err, -EOPNOTSUPP,
			       "process.selinuxLabel: selinux label is specified in config, but selinux is disabled or "
			       "not supported");
	if (!str_empty(mount_label) && !lsm_selinux_enabled())
		return err_set(err, -EOPNOTSUPP,
			       "linux.mountLabel: selinux label is specified in config, but selinux is disabled or not "
			       "supported");
	return 0;
}

int lsm_open_proc(struct err *err)
{
	cleanup_fd int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs st;

	if (fd < 0)
		return err_sys(err, -errno, "/proc");
	if (fstatfs(fd, &st) < 0 || st.f_type != PROC_SUPER_MAGIC)
		return err_set(err, -EINVAL, "/proc: is not procfs");
	return steal_fd(fd);
}

/* Writes text to thread-self/attr/NAME; -ENOENT when there is no such file. */
static int write_attr(int procfd, const char *name, const char *text, struct err *err)
{
	cleanup_free char *path = xasprintf("thread-self/attr/%s", name);
	cleanup_fd int fd = openat(procfd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	struct statfs st;
	int r;

	if (fd < 0)
		return err_sys(err, -errno, "open `/proc/%s`", path);
	if (fstatfs(fd, &st) < 0 || st.f_type != PROC_SUPER_MAGIC)
		return err_set(err, -EINVAL, "`/proc/%s`: is not on procfs", path);
	r = fd_write_all(fd, text, strlen(text));
	return r < 0 ? err_sys(err, r, "write `/proc/%s`", path) : 0;
}

int lsm_apply_exec(int procfd, const char *apparmor, const char *selinux, struct err *err)
{
	int r = 0;

	if (!str_empty(selinux)) {
		r = write_attr(procfd, "exec", selinux, err);
		if (r < 0)
			return err_wrap(err, "unable to set selinux label \"%s\"", selinux);
	}
	if (wants_apparmor(apparmor) && (strcmp(apparmor, "unconfined") || lsm_apparmor_enabled())) {
		cleanup_free char *text = xasprintf("exec %s", apparmor);

		r = write_attr(procfd, "apparmor/exec", text, err);
		if (r == -ENOENT)
			r = write_attr(procfd, "exec", text, err);
		if (r < 0)
			return err_wrap(err, "unable to apply apparmor profile \"%s\"", apparmor);
		if (err)
			*err = (struct err){ 0 };
	}
	return 0;
}

int lsm_apply_keyring(int procfd, const char *selinux, struct err *err)
{
	if (!lsm_selinux_enabled())
		return 0;
	int r = write_attr(procfd, "keycreate", selinux ? selinux : "", err);

	return r < 0 ? err_wrap(err, "unable to set selinux label \"%s\"", selinux ? selinux : "") : 0;
}

void lsm_mount_data(struct str *data, const char *fstype, const char *mount_label, const char *context_type)
{
	if (str_empty(mount_label) || !lsm_selinux_enabled())
		return;
	if (fstype &&
	    (!strcmp(fstype, "proc") || !strcmp(fstype, "sysfs") || !strcmp(fstype, "cgroup") ||
	     !strcmp(fstype, "cgroup2") || !strcmp(fstype, "mqueue")))
		return;
	str_addf(data, "%s%s=\"%s\"", data->len ? "," : "", context_type ? context_type : "context", mount_label);
}

int lsm_label_fd(int fd, const char *label, struct err *err)
{
	char path[FD_PATH_MAX];

	if (str_empty(label) || !lsm_selinux_enabled())
		return 0;
	/* by the magic link, because the descriptor may be O_PATH */
	if (setxattr(fd_path(fd, path), "security.selinux", label, strlen(label) + 1, 0) < 0 && errno != EOPNOTSUPP)
		return err_sys(err, -errno, "cannot set the selinux label \"%s\"", label);
	return 0;
}
