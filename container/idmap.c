/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Id maps of user namespaces.
 *
 * A map is written once, from outside, before the process inside does anything (base/userns.c: directly, or by
 * newuidmap and newgidmap). For one id of our own setgroups must be denied first. For idmapped mounts a
 * namespace is made by a short-lived child only for its maps.
 */
#include "container/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/userns.h"
#include "base/str.h"
#include "base/sys.h"
#include "oci/config.h"

char *idmap_text(const struct oci_idmap *maps, size_t n)
{
	struct str b = { 0 };

	for (size_t i = 0; i < n; i++)
		str_addf(&b, "%u %u %u\n", maps[i].container_id, maps[i].host_id, maps[i].size);
	return str_steal(&b);
}

int64_t idmap_to_host(const struct oci_idmap *maps, size_t n, uint32_t id)
{
	if (!n)
		return id;
	for (size_t i = 0; i < n; i++)
		if (id >= maps[i].container_id && id - maps[i].container_id < maps[i].size)
			return (int64_t)maps[i].host_id + (id - maps[i].container_id);
	return -1;
}

static bool only_self(const struct oci_idmap *maps, size_t n, uint32_t self)
{
	return n == 1 && maps[0].size == 1 && maps[0].host_id == self;
}

static int write_map(pid_t pid, const char *file, const char *helper, const struct oci_idmap *maps, size_t n, bool self,
		     struct err *err)
{
	cleanup_free char *text = idmap_text(maps, n);

	return userns_write_map(pid, file, self ? NULL : helper, text, err);
}

int idmap_write(pid_t pid, const struct oci_linux *linux_, struct err *err)
{
	bool self_uid = only_self(linux_->uid_mappings, linux_->n_uid_mappings, geteuid());
	bool self_gid = only_self(linux_->gid_mappings, linux_->n_gid_mappings, getegid());
	int r;

	if (linux_->n_uid_mappings) {
		r = write_map(pid, "uid_map", "newuidmap", linux_->uid_mappings, linux_->n_uid_mappings, self_uid, err);
		if (r < 0)
			return r;
	}
	if (!linux_->n_gid_mappings)
		return 0;
	/* without privilege the kernel takes a gid map only when the namespace has given up setgroups(2) */
	if (self_gid && geteuid() != 0) {
		r = userns_deny_setgroups(pid, err);
		if (r < 0)
			return r;
	}
	return write_map(pid, "gid_map", "newgidmap", linux_->gid_mappings, linux_->n_gid_mappings, self_gid, err);
}

static int userns_of(pid_t pid, struct err *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, -errno, "open %s", path) : fd;
}

int idmap_userns(const struct oci_idmap *uids, size_t n_uids, const struct oci_idmap *gids, size_t n_gids,
		 struct err *err)
{
	struct oci_linux maps = { .uid_mappings = (struct oci_idmap *)uids,
				  .n_uid_mappings = n_uids,
				  .gid_mappings = (struct oci_idmap *)gids,
				  .n_gid_mappings = n_gids };
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	int status, fd, r;
	pid_t pid;

	pid = sys_clone3(&args);
	if (pid < 0)
		return err_sys(err, -errno, "clone a user namespace for an idmapped mount");
	if (pid == 0)
		for (;;)
			pause();
	r = idmap_write(pid, &maps, err);
	fd = r < 0 ? r : userns_of(pid, err);
	kill(pid, SIGKILL);
	(void)child_wait(pid, &status);
	return fd;
}
