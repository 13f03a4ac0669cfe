/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a pod and the machine of its sandbox. */
/*
 * Theory of operation: a CRI engine creates the sandbox first and then the containers of the pod, and says so by
 * annotations. The sandbox is a machine like any other. A member has no machine: its process on the host is a small
 * one that relays stdio and ends with the workload's status (monitor_member_main()), and the workload is created by
 * the agent of the sandbox's machine.
 *
 * Its files get there by mounts that are put into the monitor's mount namespace while it runs. The monitor cannot do
 * that, it has neither the capabilities nor the system calls; `amphi create` does it: it clones the trees here
 * (open_tree(2)), makes them read-only and private as asked while nobody sees them, makes the mount points by their host
 * path below the sandbox's state directory (the guest sees that directory read-only), and a child that has joined the
 * monitor's mount namespace moves the trees there. virtio-fs announces them to the guest as it does with the
 * mounts that were there from the beginning. When the member goes the child takes the mounts away, and a word to the monitor (RELEASE) makes its
 * virtio-fs let go of them, or they would live on unseen. Names of slots are random and never used twice: the guest's kernel may remember names.
 */
#include "runtime/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/sys.h"
#include "container/container.h"
#include "container/idmap.h"
#include "oci/config.h"
#include "runtime/jail.h"
#include "runtime/statedir.h"
#include "vm/agent.h"
#include "vm/proto.h"

#define PODS "/pods"

static const struct {
	const char *type, *sandbox;
} engines[] = {
	{ "io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id" },
	{ "io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID" },
};

enum pod_role pod_role(const struct oci_config *config, const char **ret_sandbox)
{
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		const char *type = oci_annotation(config, engines[i].type),
			   *id = oci_annotation(config, engines[i].sandbox);

		if (!type)
			continue;
		if (ret_sandbox)
			*ret_sandbox = id;
		return !strcmp(type, "sandbox")          ? POD_SANDBOX :
			!strcmp(type, "container") && id ? POD_MEMBER :
							   POD_NONE;
	}
	return POD_NONE;
}

static bool same_namespace(const char *path, pid_t pid, const char *file)
{
	cleanup_free char *own = xasprintf("/proc/%d/ns/%s", (int)pid, file);
	struct stat a, b;

	return stat(path, &a) == 0 && stat(own, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* A path must lead to the sandbox's own namespace, which on the host is the one of its monitor. */
static int check_namespaces(const struct pod *p, const struct oci_config *config, struct err *err)
{
	static const struct {
		enum oci_namespace_kind kind;
		const char *file;
	} shared[] = { { OCI_NS_NETWORK, "net" },
		       { OCI_NS_IPC, "ipc" },
		       { OCI_NS_UTS, "uts" },
		       { OCI_NS_PID, "pid" },
		       { OCI_NS_USER, "user" } };

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
		const struct oci_namespace *ns = &config->linux_.namespaces[shared[i].kind];
		const char *word = oci_namespace_word(shared[i].kind);

		if (ns->path && !same_namespace(ns->path, p->pid, shared[i].file))
			return err_set(err, -ENOTSUP,
				       "linux.namespaces: %s: %s is not the namespace of the pod's sandbox %s, "
				       "the only one to join in a machine",
				       word, ns->path, p->sandbox);
		if (shared[i].kind == OCI_NS_NETWORK && !ns->path)
			return err_set(err, -ENOTSUP,
				       "linux.namespaces: network: containers of a pod share its sandbox's "
				       "in a machine, name that by its path");
	}
	return 0;
}

/* A cpuset names the host's processors: those of the machine are the sandbox's affair. */
static int check_cpuset(const struct oci_config *config, struct err *err)
{
	const struct oci_cpu *cpu = &config->linux_.resources.cpu;

	if (!str_empty(cpu->cpus) || !str_empty(cpu->mems))
		return err_set(err, -ENOTSUP,
			       "linux.resources.cpu.%s: not for a container of a pod in a machine, the "
			       "machine has the processors of its sandbox",
			       str_empty(cpu->cpus) ? "mems" : "cpus");
	return 0;
}

/* pid and start time of the sandbox's monitor, from its record. */
static int load_monitor(const struct globals *g, struct pod *p, struct err *err)
{
	struct statedir dir = STATEDIR_INIT;
	struct statedir_record rec = { 0 };
	int r = statedir_open(g, p->sandbox, false, &dir, NULL);

	if (r == 0)
		r = statedir_load(&dir, &rec, NULL);
	if (r == 0 && rec.isolation != ISOLATION_VM)
		r = err_set(err, -EINVAL,
			    "annotations: the pod's sandbox %s is a container, its members cannot be machines",
			    p->sandbox);
	else if (r < 0)
		r = err_set(err, -ENOENT, "annotations: the pod's sandbox %s does not exist", p->sandbox);
	if (r == 0) {
		p->pid = rec.pid;
		p->start_time = rec.start_time;
		if (rec.pid <= 0 || container_alive(rec.pid, rec.start_time) != 1)
			r = err_set(err, -ESRCH, "annotations: the pod's sandbox %s does not run", p->sandbox);
	}
	statedir_record_free(&rec);
	statedir_close(&dir);
	return r;
}

void pod_restore(const struct globals *g, const char *sandbox, const char *slot, struct pod *ret)
{
	*ret = (struct pod){ .sandbox = xstrdup(sandbox), .slot = xstrdup(slot), .dir = path_join(g->root, sandbox) };
	if (load_monitor(g, ret, NULL) < 0)
		ret->pid = 0;
}

int pod_find(const struct globals *g, const struct oci_config *config, struct pod *ret, struct err *err)
{
	const char *sandbox;
	uint64_t random;
	int r;

	*ret = (struct pod){ 0 };
	if (pod_role(config, &sandbox) != POD_MEMBER)
		return 0;
	r = statedir_check_id(sandbox, err);
	if (r < 0)
		return err_wrap(err, "annotations: the pod's sandbox");
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_sys(err, -errno, "getrandom");
	ret->sandbox = xstrdup(sandbox);
	ret->slot = xasprintf("%016llx", (unsigned long long)random);
	ret->dir = path_join(g->root, sandbox);
	r = load_monitor(g, ret, err);
	if (!r)
		r = check_namespaces(ret, config, err);
	if (!r)
		r = check_cpuset(config, err);
	if (r < 0)
		pod_free(ret);
	return r;
}

void pod_free(struct pod *p)
{
	free(p->sandbox);
	free(p->slot);
	free(p->dir);
	*p = (struct pod){ 0 };
}

char *pod_guest_dir(const struct pod *p)
{
	return xasprintf(PROTO_EXPORT_DIR PODS "/%s", p->slot);
}

/* ---- mounts ---------------------------------------------------------------------------------------------- */

/* One tree on its way into the monitor's mount namespace. */
struct tree {
	int fd;
	char *place; /* below the slot: "rootfs", "mounts/3" */
	bool is_dir;
};

/* The mount's own maps, or the container's. */
static int map_tree(int fd, const struct oci_mount *m, const struct oci_linux *l, struct err *err)
{
	bool own = m->n_uid_mappings || m->n_gid_mappings;
	cleanup_fd int maps =
		idmap_userns(own ? m->uid_mappings : l->uid_mappings, own ? m->n_uid_mappings : l->n_uid_mappings,
			     own ? m->gid_mappings : l->gid_mappings, own ? m->n_gid_mappings : l->n_gid_mappings, err);
	struct mount_attr a = { .attr_set = MOUNT_ATTR_IDMAP };

	if (maps < 0)
		return maps;
	a.userns_fd = (uint64_t)maps;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | (oci_mount_has(m, "ridmap") ? AT_RECURSIVE : 0), &a, sizeof(a)) < 0)
		return err_sys(err, -errno, "%s: idmap (does the filesystem support it?)", m->source);
	return 0;
}

static int clone_tree(const char *source, const struct oci_mount *m, const struct oci_linux *l, bool readonly,
		      struct tree *t, struct err *err)
{
	bool rec = !m || !oci_mount_has(m, "bind"),
	     slave = m && (oci_mount_has(m, "rslave") || oci_mount_has(m, "slave"));
	struct mount_attr quiet = { .propagation = slave ? MS_SLAVE : MS_PRIVATE };
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };
	struct stat st;

	t->fd = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (rec ? AT_RECURSIVE : 0));
	if (t->fd < 0 || fstat(t->fd, &st) < 0)
		return err_sys(err, -errno, "%s", source);
	t->is_dir = S_ISDIR(st.st_mode);
	if (m && (oci_mount_has(m, "idmap") || oci_mount_has(m, "ridmap")) && map_tree(t->fd, m, l, err) < 0)
		return err ? err->code : -EINVAL;
	if (mount_setattr(t->fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &quiet, sizeof(quiet)) < 0)
		return err_sys(err, -errno, "%s: propagation", source);
	if (readonly &&
	    mount_setattr(t->fd, "", AT_EMPTY_PATH | (m && oci_mount_has(m, "rro") ? AT_RECURSIVE : 0), &ro,
			  sizeof(ro)) < 0)
		return err_sys(err, -errno, "%s: read-only", source);
	return 0;
}

static void free_trees(struct tree *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].fd >= 0)
			close(v[i].fd);
		free(v[i].place);
	}
	free(v);
}

/* The root and all binds, cloned; *ret_n may be set on failure too. */
static int clone_all(const struct oci_config *c, const char *rootfs, struct tree *v, size_t *ret_n, struct err *err)
{
	int r;

	v[0] = (struct tree){ .fd = -1, .place = xstrdup("rootfs") };
	*ret_n = 1;
	r = clone_tree(rootfs, NULL, &c->linux_, c->root.readonly, &v[0], err);
	if (r < 0)
		return err_wrap(err, "root.path");
	for (size_t i = 0; i < c->n_mounts; i++) {
		if (!oci_mount_is_bind(&c->mounts[i]))
			continue;
		v[*ret_n] = (struct tree){ .fd = -1, .place = xasprintf("mounts/%zu", i) };
		r = clone_tree(c->mounts[i].source, &c->mounts[i], &c->linux_, jail_mount_readonly(&c->mounts[i]),
			       &v[(*ret_n)++], err);
		if (r < 0)
			return err_wrap(err, "mounts[%zu]", i);
	}
	return 0;
}

/* The slot's directory on the host. */
static char *host_dir(const struct pod *p)
{
	return xasprintf("%s/jail" JAIL_EXPORT PODS "/%s", p->dir, p->slot);
}

static int make_points(const struct pod *p, const struct tree *v, size_t n, struct err *err)
{
	cleanup_free char *dir = host_dir(p), *mounts = path_join(dir, "mounts");
	int r = path_mkdirs(mounts, 0755);

	if (r < 0)
		return err_sys(err, r, "%s", mounts);
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *path = path_join(dir, v[i].place);
		cleanup_fd int fd = -1;

		if (v[i].is_dir && mkdir(path, 0755) < 0 && errno != EEXIST)
			return err_sys(err, -errno, "%s", path);
		if (!v[i].is_dir && (fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0)
			return err_sys(err, -errno, "%s", path);
	}
	return 0;
}

/* In a child that may end up in another mount namespace: joins the monitor's. */
static int enter_monitor(const struct pod *p, struct err *err)
{
	cleanup_free char *path = xasprintf("/proc/%d/ns/mnt", (int)p->pid);
	cleanup_free char *root = xasprintf("/proc/%d/root", (int)p->pid);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_fd int rootfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	/* the namespace is the monitor's if it lives after it was opened */
	if (fd < 0 || rootfd < 0 || container_alive(p->pid, p->start_time) != 1)
		return err_set(err, -ESRCH, "the pod's sandbox %s does not run", p->sandbox);
	/* over its root lies what others see (runtime/jailview.h) */
	if (setns(fd, CLONE_NEWNS) < 0 || fchdir(rootfd) < 0 || chroot(".") < 0)
		return err_sys(err, -errno, "join the monitor's mount namespace");
	return 0;
}

static int move_all(const struct pod *p, const struct tree *v, size_t n, struct err *err)
{
	int r = enter_monitor(p, err);

	for (size_t i = 0; i < n && r >= 0; i++) {
		cleanup_free char *to = xasprintf(JAIL_EXPORT PODS "/%s/%s", p->slot, v[i].place);

		if (move_mount(v[i].fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
			r = err_sys(err, -errno, "mount %s for the pod's machine", v[i].place);
	}
	return r;
}

static int remove_all(const struct pod *p, const struct tree *v, size_t n, struct err *err)
{
	int r = enter_monitor(p, err);

	for (size_t i = n; i-- > 0 && r >= 0;) {
		cleanup_free char *path = xasprintf(JAIL_EXPORT PODS "/%s/%s", p->slot, v[i].place);

		(void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	}
	return r;
}

/* Runs fn in a child, since joining a mount namespace has no way back. */
static int in_child(int (*fn)(const struct pod *, const struct tree *, size_t, struct err *), const struct pod *p,
		    const struct tree *v, size_t n, struct err *err)
{
	struct err theirs = { 0 };
	int sv[2], status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(err, -errno, "socketpair");
	pid = fork();
	if (pid == 0) {
		close(sv[0]);
		if (fn(p, v, n, &theirs) >= 0)
			_exit(0);
		(void)err_send(sv[1], &theirs);
		_exit(1);
	}
	close(sv[1]);
	if (pid < 0 || err_recv(sv[0], &theirs) < 0)
		theirs.code = 0;
	close(sv[0]);
	if (pid < 0 || child_wait(pid, &status) < 0)
		return err_sys(err, -errno, "fork");
	if (theirs.code)
		return err_set(err, theirs.code, "%s", theirs.msg);
	return status ? err_set(err, -EIO, "mount for the pod's machine: the child died") : 0;
}

int pod_attach(const struct pod *p, const struct oci_config *config, const char *rootfs, struct err *err)
{
	struct tree *v = xcalloc(config->n_mounts + 1, sizeof(*v));
	size_t n = 0;
	int r = clone_all(config, rootfs, v, &n, err);

	if (!r)
		r = make_points(p, v, n, err);
	if (!r)
		r = in_child(move_all, p, v, n, err);
	free_trees(v, n);
	if (r < 0)
		pod_detach(p, config);
	return r;
}

void pod_detach(const struct pod *p, const struct oci_config *config)
{
	cleanup_free char *pods = xasprintf("%s/jail" JAIL_EXPORT PODS, p->dir);
	struct tree *v = xcalloc(config->n_mounts + 1, sizeof(*v));
	cleanup_fd int dir = open(pods, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *sock = path_join(p->dir, "agent.sock"), *line = NULL;
	struct err err = { 0 };
	size_t n = 0;

	v[n++] = (struct tree){ .fd = -1, .place = xstrdup("rootfs") };
	for (size_t i = 0; i < config->n_mounts; i++)
		if (oci_mount_is_bind(&config->mounts[i]))
			v[n++] = (struct tree){ .fd = -1, .place = xasprintf("mounts/%zu", i) };
	if (dir >= 0) {
		if (p->pid > 0 && in_child(remove_all, p, v, n, &err) < 0)
			log_debug("pod: %s", err.msg);
		line = xasprintf("RELEASE %s/%s", PODS + 1, p->slot);
		if (p->pid > 0 && agent_control(sock, line, NULL, &err) < 0)
			log_debug("pod: %s", err.msg);
		(void)path_remove_tree(dir, p->slot, true);
	}
	free_trees(v, n);
}
