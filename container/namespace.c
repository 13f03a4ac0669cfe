/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces: new ones come with the child's clone3(2), named ones are joined.
 *
 * The order of joining matters. A network namespace that engines made before belongs to the user namespace they
 * run in, which a child that is in a new user namespace has no power over: so such joins come before the user
 * namespace. One that belongs to the user namespace to be joined can be entered only after it. Hence: try all, then
 * the user namespace, then the rest again. The mount namespace comes last since it takes root and working
 * directory with it. Pid and time namespaces are entered by children only.
 */
#include "container/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"

int namespace_open(const struct oci_config *config, struct namespace_set *ret, struct err *err)
{
	struct namespace_set n = { 0 };
	const struct oci_linux *l = &config->linux_;

	for (int k = 0; k < OCI_NS_MAX; k++)
		n.fd[k] = -1;
	for (int k = 0; k < OCI_NS_MAX; k++) {
		const struct oci_namespace *ns = &l->namespaces[k];
		unsigned long flag = oci_namespace_flag(k);
		int type;

		if (!ns->present)
			continue;
		if (!ns->path) {
			if (k == OCI_NS_CGROUP)
				n.cgroup = true;
			else
				n.create |= flag;
			continue;
		}
		n.any_join = true;
		n.fd[k] = open(ns->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		type = n.fd[k] < 0 ? -1 : ioctl(n.fd[k], NS_GET_NSTYPE);
		if (n.fd[k] < 0)
			err_sys(err, -errno, "linux.namespaces: open %s namespace %s", oci_namespace_word(k), ns->path);
		else if (type < 0 || (unsigned long)type != flag)
			err_set(err, EINVAL, "linux.namespaces: %s is not a %s namespace", ns->path,
				oci_namespace_word(k));
		else
			continue;
		namespace_close(&n);
		return err ? err->code : -EINVAL;
	}
	n.late_ipc = (n.create & CLONE_NEWUSER) && (n.create & CLONE_NEWIPC);
	if (n.late_ipc)
		n.create &= ~(uint64_t)CLONE_NEWIPC;
	n.time_offsets = (n.create & CLONE_NEWTIME) && (l->time_monotonic.present || l->time_boottime.present);
	*ret = n;
	return 0;
}

void namespace_close(struct namespace_set *n)
{
	for (int k = 0; k < OCI_NS_MAX; k++) {
		if (n->fd[k] >= 0)
			close(n->fd[k]);
		n->fd[k] = -1;
	}
}

bool namespace_needs_helper(const struct namespace_set *n)
{
	return n->fd[OCI_NS_USER] >= 0 || n->fd[OCI_NS_PID] >= 0 || n->fd[OCI_NS_TIME] >= 0 || n->time_offsets ||
		((n->create & CLONE_NEWUSER) && n->any_join);
}

/* The first id of a map of ours ("inside outside count"), where 0 is not in it. */
static long first_mapped(const char *file)
{
	char text[64] = "";
	cleanup_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
	char *end;
	long id;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	id = strtol(text, &end, 10);
	return end > text && id >= 0 && id < UINT32_MAX ? id : -1;
}

/* Capabilities stay: an unmapped 0 is nobody's root, so that no change of ids drops them. */
static int become_id(long call, const char *what, const char *map, struct err *err)
{
	long id;

	if (syscall(call, 0, 0, 0) == 0)
		return 0;
	id = errno == EINVAL ? first_mapped(map) : -1;
	if (id < 0 || syscall(call, id, id, id) < 0)
		return err_sys(err, -errno, "become %s 0 of the user namespace (is it mapped?)", what);
	return 0;
}

int namespace_become_root(struct err *err)
{
	int r;

	/* denied where a gid map was written without privilege */
	if (syscall(SYS_setgroups, 0, NULL) < 0 && errno != EPERM)
		return err_sys(err, -errno, "setgroups");
	r = become_id(SYS_setresgid, "gid", "/proc/self/gid_map", err);
	return r < 0 ? r : become_id(SYS_setresuid, "uid", "/proc/self/uid_map", err);
}

int namespace_join(const struct namespace_set *n, struct err *err)
{
	static const enum oci_namespace_kind order[] = { OCI_NS_NETWORK, OCI_NS_IPC,  OCI_NS_UTS,  OCI_NS_PID,
							 OCI_NS_CGROUP,  OCI_NS_TIME, OCI_NS_MOUNT };
	bool done[OCI_NS_MAX] = { false };

	for (int round = n->fd[OCI_NS_USER] >= 0 ? 0 : 1; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
			enum oci_namespace_kind k = order[i];

			if (n->fd[k] < 0 || done[k] || (round == 0 && k == OCI_NS_MOUNT))
				continue;
			done[k] = setns(n->fd[k], (int)oci_namespace_flag(k)) == 0;
			if (!done[k] && (round || errno != EPERM))
				return err_sys(err, -errno, "linux.namespaces: join %s namespace",
					       oci_namespace_word(k));
		}
		if (round == 0) {
			if (setns(n->fd[OCI_NS_USER], CLONE_NEWUSER) < 0)
				return err_sys(err, -errno, "linux.namespaces: join user namespace");
			if (namespace_become_root(err) < 0)
				return err ? err->code : -EPERM;
		}
	}
	return 0;
}

static void add_offset(struct str *b, const char *clock, const struct oci_time_offset *o)
{
	if (o->present)
		str_addf(b, "%s %lld %u\n", clock, (long long)o->secs, o->nanosecs);
}

int namespace_write_time_offsets(const struct oci_config *config, int fd, struct err *err)
{
	cleanup_str struct str b = { 0 };
	int r;

	add_offset(&b, "monotonic", &config->linux_.time_monotonic);
	add_offset(&b, "boottime", &config->linux_.time_boottime);
	r = fd_write_all(fd, b.s, b.len);
	return r < 0 ? err_sys(err, r, "linux.timeOffsets: write timens_offsets") : 0;
}

uint64_t namespace_flags(const struct oci_config *config)
{
	uint64_t flags = 0;

	for (int k = 0; k < OCI_NS_MAX; k++)
		if (config->linux_.namespaces[k].present)
			flags |= oci_namespace_flag(k);
	return flags;
}
