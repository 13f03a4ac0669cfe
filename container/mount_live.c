/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts of a container that runs: added and removed.
 *
 * The sources of binds are opened here, on the host, as detached trees (mount_source()). A child then joins the
 * container's user and mount namespaces, is root there and puts them in place with mount_apply(), as the first process would
 * have; a tmpfs is made detached too, so that nothing needs a path below the container's /proc, which may be anything.
 * Other file systems would be those of the host's network, IPC and pid namespaces: they are refused. Targets are
 * resolved inside the container's root; what the container changes there meanwhile hurts nobody else. crun's
 * commands "mounts add" and "mounts remove".
 */
#include "container/mount_live.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "container/container.h"
#include "container/mount.h"
#include "container/mount_words.h"
#include "container/namespace.h"
#include "container/sync.h"
#include "oci/config.h"

struct live {
	const struct container_mounts_params *p;
	int user, mnt; /* the container's namespaces; user -1: none of its own */
	int *trees;    /* of binds, or -1 */
};

static bool is_tmpfs(const struct oci_mount *m)
{
	return !oci_mount_is_bind(m) && m->type && !strcmp(m->type, "tmpfs");
}

static int set_data(int fs, const char *data)
{
	cleanup_strv char **words = strv_split(data, ',');

	for (size_t i = 0; words[i]; i++) {
		char *value = strchr(words[i], '=');
		int r;

		if (!*words[i])
			continue;
		if (value)
			*value++ = '\0';
		r = value ? fsconfig(fs, FSCONFIG_SET_STRING, words[i], value, 0) :
			    fsconfig(fs, FSCONFIG_SET_FLAG, words[i], NULL, 0);
		if (r < 0)
			return -errno;
	}
	return 0;
}

static int tmpfs_tree(const struct oci_mount *m, struct err *err)
{
	cleanup_mount_words struct mount_words w = { 0 };
	cleanup_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int tree = -1, r = mount_words_parse(m, &w, err);

	if (r < 0)
		return r;
	r = fs < 0 ? -errno : set_data(fs, str_get(&w.data));
	if (!r && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		r = -errno;
	if (!r) {
		tree = fsmount(fs, FSMOUNT_CLOEXEC, 0);
		r = tree < 0 ? -errno : tree;
	}
	return r < 0 ? err_sys(err, r, "mount \"tmpfs\" to \"%s\"", m->destination) : r;
}

static int add_one(struct live *l, struct mount_context *c, size_t i, struct err *err)
{
	const struct oci_mount *m = &l->p->mounts[i];
	struct oci_mount attached = *m;

	if (!is_tmpfs(m))
		return mount_apply(c, m, steal_fd(l->trees[i]), err);
	l->trees[i] = tmpfs_tree(m, err);
	if (l->trees[i] < 0)
		return l->trees[i];
	/* it is a tree like any other now */
	attached.type = "bind";
	attached.source = m->source ? m->source : m->type;
	return mount_apply(c, &attached, steal_fd(l->trees[i]), err);
}

static int remove_one(const struct oci_mount *m, struct err *err)
{
	cleanup_free char *path = xasprintf("/%s", m->destination);

	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		return err_sys(err, -errno, "unmount \"%s\"%s", m->destination,
			       errno == EINVAL ? " (nothing is mounted there)" : "");
	return 0;
}

static int child(struct live *l, struct err *err)
{
	struct mount_context c = { .rootfd = -1, .userns = l->user >= 0 };
	int r = 0;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, -errno, "set dumpable");
	if (l->user >= 0) {
		if (setns(l->user, CLONE_NEWUSER) < 0)
			return err_sys(err, -errno, "join the container's user namespace");
		r = namespace_become_root(err);
		if (r < 0)
			return r;
	}
	if (setns(l->mnt, CLONE_NEWNS) < 0)
		return err_sys(err, -errno, "join the container's mount namespace");
	c.rootfd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (c.rootfd < 0)
		return err_sys(err, -errno, "open the container's root");
	umask(0);
	for (size_t i = 0; i < l->p->n_mounts && !r; i++)
		r = l->p->add ? add_one(l, &c, i, err) : remove_one(&l->p->mounts[l->p->n_mounts - 1 - i], err);
	return r;
}

/* What needs the host's tree; user's namespace for idmaps. */
static int open_sources(struct live *l, struct err *err)
{
	for (size_t i = 0; i < l->p->n_mounts; i++) {
		const struct oci_mount *m = &l->p->mounts[i];

		if (is_tmpfs(m))
			continue;
		if (!oci_mount_is_bind(m) || oci_mount_has(m, "copy-symlink"))
			return err_set(
				err, ENOTSUP,
				"mount to \"%s\": only a bind mount or a tmpfs can be added to a container that runs",
				m->destination);
		l->trees[i] = mount_source(m, true, l->user, err);
		if (l->trees[i] == -ENOTSUP && !err->code)
			return err_set(err, EPERM, "mount \"%s\" to \"%s\": not permitted", m->source, m->destination);
		if (l->trees[i] < 0)
			return l->trees[i];
	}
	return 0;
}

static int open_namespaces(struct live *l, struct err *err)
{
	const struct container_mounts_params *p = l->p;
	char path[64];

	if (!p->config->linux_.namespaces[OCI_NS_MOUNT].present)
		return err_set(err, ENOTSUP, "the container has no mount namespace of its own");
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)p->pid);
	l->mnt = open(path, O_RDONLY | O_CLOEXEC);
	if (l->mnt >= 0 && p->config->linux_.namespaces[OCI_NS_USER].present) {
		snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)p->pid);
		l->user = open(path, O_RDONLY | O_CLOEXEC);
	}
	/* the start time last: they are those of this process */
	if (l->mnt < 0 || !container_alive(p->pid, p->start_time))
		return err_set(err, ESRCH, "container not running");
	return 0;
}

static int run(struct live *l, struct err *err)
{
	int pair[2], status = 0, r = sync_pair(pair);
	cleanup_sync_msg struct sync_msg m = { 0 };
	pid_t pid = r < 0 ? -1 : fork();

	if (pid < 0)
		return err_sys(err, r < 0 ? r : -errno, "fork");
	if (pid == 0) {
		struct err own = { 0 };

		r = child(l, &own);
		if (r < 0)
			sync_send_err(pair[1], &own);
		_exit(r < 0);
	}
	close(pair[1]);
	r = sync_recv(pair[0], &m);
	close(pair[0]);
	(void)child_wait(pid, &status);
	if (!r)
		return sync_take_err(&m, err);
	return status ? err_set(err, EIO, "the helper in the container's namespaces died") : 0;
}

int mount_live_change(const struct container_mounts_params *p, struct err *err)
{
	struct live l = { .p = p, .user = -1, .mnt = -1, .trees = xcalloc(p->n_mounts + 1, sizeof(int)) };
	int r;

	for (size_t i = 0; i < p->n_mounts; i++)
		l.trees[i] = -1;
	r = open_namespaces(&l, err);
	if (!r && p->add)
		r = open_sources(&l, err);
	if (!r)
		r = run(&l, err);
	for (size_t i = 0; i < p->n_mounts; i++)
		if (l.trees[i] >= 0)
			close(l.trees[i]);
	if (l.user >= 0)
		close(l.user);
	if (l.mnt >= 0)
		close(l.mnt);
	free(l.trees);
	return r;
}
