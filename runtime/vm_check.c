/* SPDX-License-Identifier: Apache-2.0 */
/* What cannot exist in a machine. */
/*
 * Theory of operation: a machine has a kernel of its own, so whatever names an object of the host's kernel (a
 * namespace to join, a device, a hook that runs in between, a propagation back to the host) cannot be honoured in it. Each
 * such property is refused here by its JSON path. What can be had another way is not refused: the network namespace
 * (the monitor lives in it), cgroup limits (inside, and on the monitor), block I/O limits (on the monitor).
 */
#include "runtime/vm_check.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/str.h"
#include "container/rootfs.h"
#include "oci/config.h"
#include "runtime/plan.h"
#include "runtime/pod.h"

static int refuse(struct err *err, const char *path, const char *why)
{
	return err_set(err, -ENOTSUP, "%s: %s in a machine (--isolation vm)", path, why);
}

/* member: of a pod; pod_find() sees to it that what it joins is its sandbox's. */
static int check_namespaces(const struct oci_linux *l, bool member, struct err *err)
{
	for (int k = 0; k < OCI_NS_MAX; k++) {
		const struct oci_namespace *ns = &l->namespaces[k];
		char path[64];

		snprintf(path, sizeof(path), "linux.namespaces: %s", oci_namespace_word((enum oci_namespace_kind)k));
		bool shared = k == OCI_NS_NETWORK ||
			(member && (k == OCI_NS_IPC || k == OCI_NS_UTS || k == OCI_NS_PID || k == OCI_NS_USER));

		if (!shared && ns->path)
			return refuse(err, path, "a namespace of the host cannot be joined");
		if ((k == OCI_NS_NETWORK || k == OCI_NS_PID || k == OCI_NS_IPC || k == OCI_NS_MOUNT) && !ns->present)
			return refuse(err, path, "the host's own namespace cannot be shared");
	}
	return 0;
}

/* An overlay of the host's directories is mounted there, but not into a machine that runs already. */
static int check_mounts(const struct oci_config *c, bool member, struct err *err)
{
	static const char *const types[] = { "proc",   "sysfs",   "tmpfs", "devpts", "mqueue",
					     "cgroup", "cgroup2", "ramfs", NULL };
	static const char *const options[] = { "shared", "rshared", NULL };
	/* who cannot mount has nothing to share: buildah's cache mounts are shared */
	bool may_mount = !c->process.has_capabilities || c->process.capabilities.bounding & 1ULL << CAP_SYS_ADMIN;

	if (rootfs_is_mounted(c))
		return refuse(err, "mounts[0].destination: /", "the root is a directory of the host");
	for (size_t i = 0; i < c->n_mounts; i++) {
		const struct oci_mount *m = &c->mounts[i];
		char path[64];

		snprintf(path, sizeof(path), "mounts[%zu]", i);
		for (const char *const *o = options; *o; o++) {
			cleanup_free char *p = xasprintf("%s.options: %s", path, *o);

			if (may_mount && oci_mount_has(m, *o))
				return refuse(err, p, "it cannot be honoured");
		}
		if ((member ? !oci_mount_is_bind(m) : !oci_mount_exported(m)) &&
		    (!m->type || !strv_has((char **)types, m->type))) {
			cleanup_free char *p = xasprintf("%s.type: %s", path, m->type ? m->type : "(none)");

			return refuse(err, p, "this file system cannot be mounted");
		}
	}
	return 0;
}

/*
 * Devices that every kernel has under the same numbers. Who may use all devices (--privileged of engines) gets those of the
 * machine (guest_record.c).
 */
static int check_devices(const struct oci_linux *l, struct err *err)
{
	static const struct {
		char type;
		unsigned int major, minor;
	} known[] = { { 'c', 1, 3 }, { 'c', 1, 5 }, { 'c', 1, 7 }, { 'c', 1, 8 },    { 'c', 1, 9 },   { 'c', 1, 11 },
		      { 'c', 5, 0 }, { 'c', 5, 1 }, { 'c', 5, 2 }, { 'c', 10, 229 }, { 'c', 10, 200 } };

	if (l->has_resources && oci_resources_all_devices(&l->resources))
		return 0;
	for (size_t i = 0; i < l->n_devices; i++) {
		const struct oci_device *d = &l->devices[i];
		bool found = d->type == 'p';
		char path[64];

		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			found = found ||
				((d->type == known[k].type || (d->type == 'u' && known[k].type == 'c')) &&
				 d->major == known[k].major && d->minor == known[k].minor);
		snprintf(path, sizeof(path), "linux.devices[%zu]", i);
		if (!found) {
			cleanup_free char *p = xasprintf("%s: %s", path, d->path);

			return refuse(err, p, "a device of the host does not exist");
		}
	}
	return 0;
}

static int check_resources(const struct oci_resources *r, struct err *err)
{
	if (r->n_hugepage_limits)
		return refuse(err, "linux.resources.hugepageLimits", "they cannot be honoured");
	if (r->n_rdma)
		return refuse(err, "linux.resources.rdma", "it cannot be honoured");
	if (r->has_net_class_id || r->n_net_priorities)
		return refuse(err, "linux.resources.network", "it cannot be honoured");
	return 0;
}

static int check_linux(const struct oci_linux *l, bool member, struct err *err)
{
	int r = check_namespaces(l, member, err);

	if (!r)
		r = check_devices(l, err);
	if (!r && l->has_resources)
		r = check_resources(&l->resources, err);
	if (r < 0)
		return r;
	if (l->intel_rdt)
		return refuse(err, "linux.intelRdt", "it cannot be honoured");
	if (l->n_net_devices)
		return refuse(err, "linux.netDevices", "a link of the host cannot be moved");
	if (l->memory_policy)
		return refuse(err, "linux.memoryPolicy", "it cannot be honoured");
	if (l->mount_label)
		return refuse(err, "linux.mountLabel", "SELinux labels cannot be honoured");
	if (l->seccomp && l->seccomp->listener_path)
		return refuse(err, "linux.seccomp.listenerPath", "a listener of the host cannot be told");
	if (l->rootfs_propagation & (MS_SHARED | MS_UNBINDABLE))
		return refuse(err, "linux.rootfsPropagation", "mounts do not propagate to the host");
	return 0;
}

static int check_annotations(const struct oci_config *c, struct err *err)
{
	if (c->keep_groups)
		return refuse(err, "annotations[run.oci.keep_original_groups]", "groups of the host do not exist");
	if (c->hooks_stdout || c->hooks_stderr)
		return refuse(err, "annotations[run.oci.hooks]", "a file of the host cannot be written by hooks");
	if (c->linux_.systemd_cgroup_v1)
		return refuse(err, "annotations[run.oci.systemd.force_cgroup_v1]", "there is no such hierarchy");
	return 0;
}

/* A user without root: the monitor's jail is made in the user namespace of config.json, and nothing of others' is entered. */
static int check_user(const struct plan *plan, struct err *err)
{
	const struct oci_config *c = plan->config;
	char **networks = plan->request ? plan->request->networks : NULL;

	if (!c->linux_.namespaces[OCI_NS_USER].present)
		return err_set(err, -ENOTSUP,
			       "linux.namespaces: user: required for a machine (--isolation vm) without root");
	if (c->linux_.namespaces[OCI_NS_NETWORK].path ||
	    (networks && networks[0] && strcmp(networks[0], "none") && strcmp(networks[0], "pasta")))
		return err_set(err, -ENOTSUP,
			       "linux.namespaces: network: a machine (--isolation vm) without root has no network but "
			       "pasta (--network pasta) or its own loopback (--network none)");
	if (pod_role(c, NULL) == POD_MEMBER)
		return err_set(err, -ENOTSUP, "annotations: containers of a pod in one machine need root");
	return 0;
}

int vm_check(const struct plan *plan, struct err *err)
{
	const struct oci_config *c = plan->config;
	int r;

	if (!c->has_process || !c->process.args || !c->process.args[0])
		return err_set(err, -EINVAL, "process.args: required to create a container");
	if (!c->has_root)
		return err_set(err, -EINVAL, "root: required to create a container");
	if (plan->rootless && geteuid() != 0) {
		r = check_user(plan, err);
		if (r < 0)
			return r;
	}
	if (plan->request && plan->request->restore)
		return refuse(err, "restore", "images of criu cannot be restored");
	if (plan->listen_fds)
		return refuse(err, "environment LISTEN_FDS", "sockets of the host cannot be passed");
	if (plan->notify)
		return refuse(err, "environment NOTIFY_SOCKET", "a socket of the host cannot be reached");
	if (plan->request && plan->request->preserve_fds)
		return refuse(err, "option --preserve-fds", "descriptors of the host cannot be passed");
	if (c->process.apparmor_profile && strcmp(c->process.apparmor_profile, "unconfined"))
		return refuse(err, "process.apparmorProfile", "profiles of the host do not exist");
	if (c->process.selinux_label)
		return refuse(err, "process.selinuxLabel", "SELinux labels cannot be honoured");
	if (c->hooks[OCI_HOOK_CREATE_CONTAINER].n)
		return refuse(err, "hooks.createContainer", "a program of the host cannot run");
	r = check_annotations(c, err);
	if (!r)
		r = check_mounts(c, pod_role(c, NULL) == POD_MEMBER, err);
	return r < 0 ? r : check_linux(&c->linux_, pod_role(c, NULL) == POD_MEMBER, err);
}
