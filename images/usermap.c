/* SPDX-License-Identifier: Apache-2.0 */
/* Id maps for containers of images. */
/*
 * A layer is unpacked once, with the owners its archive has. A container with a user namespace sees it through
 * idmapped mounts (mount_setattr(2)): one for each layer, and one for the container's own directory, so that what it
 * writes lies on the disk with the image's ids as well and commit has nothing to translate. The user namespace
 * that the mounts borrow their maps from is made by a child that waits to be killed.
 */
#include "images/usermap.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "base/sys.h"
#include "base/userns.h"

static int parse_list(const char *option, char *const *words, struct usermap_range **ret, size_t *ret_n,
		      struct err *err)
{
	for (size_t i = 0; i < strv_len(words); i++) {
		cleanup_strv char **p = strv_split(words[i], ':');
		struct usermap_range m = { 0 };

		if (strv_len(p) != 3 || parse_u32(p[0], &m.inside) < 0 || parse_u32(p[1], &m.outside) < 0 ||
		    parse_u32(p[2], &m.size) < 0 || !m.size || m.inside > UINT32_MAX - m.size ||
		    m.outside > UINT32_MAX - m.size)
			return err_set(err, -EINVAL, "--%s %s: expected CONTAINER:HOST:SIZE", option, words[i]);
		*ret = xreallocarray(*ret, *ret_n + 1, sizeof(**ret));
		(*ret)[(*ret_n)++] = m;
	}
	return 0;
}

int usermap_parse(char *const *uids, char *const *gids, struct usermap *ret, struct err *err)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	r = parse_list(strv_len(uids) ? "uidmap" : "gidmap", strv_len(uids) ? uids : gids, &ret->uids, &ret->n_uids,
		       err);
	if (r >= 0)
		r = parse_list(strv_len(gids) ? "gidmap" : "uidmap", strv_len(gids) ? gids : uids, &ret->gids,
			       &ret->n_gids, err);
	if (r >= 0 && ret->n_uids &&
	    (usermap_outside(ret->uids, ret->n_uids, 0) < 0 || usermap_outside(ret->gids, ret->n_gids, 0) < 0))
		r = err_set(err, -EINVAL, "--uidmap, --gidmap: the container's id 0 is not mapped");
	if (r < 0)
		usermap_clear(ret);
	return r;
}

void usermap_clear(struct usermap *m)
{
	free(m->uids);
	free(m->gids);
	memset(m, 0, sizeof(*m));
}

static void write_list(struct json_writer *w, const char *key, const struct usermap_range *m, size_t n)
{
	json_w_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_object(w, NULL);
		json_w_u64(w, "containerID", m[i].inside);
		json_w_u64(w, "hostID", m[i].outside);
		json_w_u64(w, "size", m[i].size);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

void usermap_write(struct json_writer *w, const struct usermap *m)
{
	write_list(w, "uidMappings", m->uids, m->n_uids);
	write_list(w, "gidMappings", m->gids, m->n_gids);
}

char *usermap_text(const struct usermap_range *m, size_t n)
{
	struct str text = { 0 };

	str_add(&text, "");
	for (size_t i = 0; i < n; i++)
		str_addf(&text, "%u %u %u\n", m[i].inside, m[i].outside, m[i].size);
	return str_steal(&text);
}

int64_t usermap_outside(const struct usermap_range *m, size_t n, uint32_t inside)
{
	for (size_t i = 0; i < n; i++)
		if (inside >= m[i].inside && inside - m[i].inside < m[i].size)
			return (int64_t)m[i].outside + (inside - m[i].inside);
	return -1;
}

/* Entries that name an id (ACL_USER, ACL_GROUP); those of ids without a map go. linux/posix_acl_xattr.h. */
static void map_acl(const struct usermap *m, struct posix_acl_xattr_header *head, size_t *len)
{
	struct posix_acl_xattr_entry *e = (struct posix_acl_xattr_entry *)(head + 1), *to = e;
	size_t n = (*len - sizeof(*head)) / sizeof(*e);

	for (size_t i = 0; i < n; i++) {
		uint32_t id = le32toh(e[i].e_id);
		int64_t mapped = le16toh(e[i].e_tag) == ACL_USER ? usermap_outside(m->uids, m->n_uids, id) :
			le16toh(e[i].e_tag) == ACL_GROUP         ? usermap_outside(m->gids, m->n_gids, id) :
								   id;

		if (mapped < 0)
			continue;
		*to = e[i];
		to++->e_id = htole32((uint32_t)mapped);
	}
	*len = (size_t)((char *)to - (char *)head);
}

void usermap_xattr(const struct usermap *m, const char *name, void **value, size_t *len)
{
	if (!strcmp(name, "security.capability") && *len == XATTR_CAPS_SZ_2) {
		struct vfs_ns_cap_data *caps = xrealloc(*value, sizeof(*caps));

		caps->magic_etc = htole32((le32toh(caps->magic_etc) & VFS_CAP_FLAGS_MASK) | VFS_CAP_REVISION_3);
		caps->rootid = htole32((uint32_t)usermap_outside(m->uids, m->n_uids, 0));
		*value = caps;
		*len = sizeof(*caps);
	} else if (str_starts(name, "system.posix_acl_") && *len >= sizeof(struct posix_acl_xattr_header)) {
		map_acl(m, *value, len);
	}
}

int usermap_namespace(const struct usermap *m, struct err *err)
{
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	cleanup_free char *path = NULL, *uids = usermap_text(m->uids, m->n_uids),
			  *gids = usermap_text(m->gids, m->n_gids);
	pid_t pid = sys_clone3(&args);
	int status, fd, r;

	if (pid < 0)
		return err_sys(err, -errno, "user namespace");
	if (!pid)
		for (;;)
			pause();
	r = userns_write_map(pid, "uid_map", NULL, uids, err);
	if (r >= 0)
		r = userns_write_map(pid, "gid_map", NULL, gids, err);
	path = xasprintf("/proc/%d/ns/user", (int)pid);
	fd = r < 0 ? r : open(path, O_RDONLY | O_CLOEXEC);
	if (r >= 0 && fd < 0)
		fd = err_sys(err, -errno, "user namespace");
	kill(pid, SIGKILL);
	(void)child_wait(pid, &status);
	return fd;
}

int usermap_run(int userns, int (*fn)(void *arg, struct err *err), void *arg, struct err *err)
{
	struct err got = { 0 };
	int sv[2], status;
	pid_t pid;

	if (pipe2(sv, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "pipe");
	pid = fork();
	if (pid == 0) {
		int r = setns(userns, CLONE_NEWUSER) < 0 || setgid(0) < 0 || setuid(0) < 0 ?
			err_sys(&got, -errno, "enter the user namespace") :
			fn(arg, &got);

		got.code = r < 0 ? r : 0;
		_exit(fd_write_all(sv[1], &got, sizeof(got)) < 0);
	}
	close(sv[1]);
	if (pid < 0 || fd_read_all(sv[0], &got, sizeof(got)) != sizeof(got))
		err_set(&got, -EIO, "a child in the user namespace ended early");
	close(sv[0]);
	if (pid > 0)
		(void)child_wait(pid, &status);
	if (got.code < 0 && err)
		*err = got;
	return got.code;
}

int usermap_files_as(const struct usermap *m, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	uint32_t uid = m ? (uint32_t)usermap_outside(m->uids, m->n_uids, 0) : geteuid();
	uint32_t gid = m ? (uint32_t)usermap_outside(m->gids, m->n_gids, 0) : getegid();

	setfsgid(gid);
	setfsuid(uid);
	if ((uint32_t)setfsuid((uid_t)-1) != uid || (uint32_t)setfsgid((gid_t)-1) != gid)
		return err_set(err, -EPERM, "setfsuid %u", uid);
	/* leaving 0 took the file capabilities away */
	if (syscall(SYS_capget, &head, caps) < 0)
		return err_sys(err, -errno, "capget");
	caps[0].effective = caps[0].permitted;
	caps[1].effective = caps[1].permitted;
	return syscall(SYS_capset, &head, caps) < 0 ? err_sys(err, -errno, "capset") : 0;
}

int usermap_tree(int userns, int dirfd, const char *path)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
	cleanup_fd int fd = open_tree(dirfd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return steal_fd(fd);
}
