/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's first process from clone3(2) to execve(2), as one recipe: init_main(). Read this first.
 *
 *	clean        no fds and signals of the caller                    [host's mounts, new namespaces]
 *	namespaces   root of the user namespace; join named ones; tell
 *	mounts       propagation, root attached, mounts in order, /dev; tells → container_create() returns
 *	-- waits for the caller (network, createRuntime hooks) --        ← container_setup()
 *	terminal     in the container's devpts
 *	hooks        createContainer: host's files, container's namespaces
 *	protect      sysctls, masked and read-only paths, read-only root
 *	enter        pivot_root: from here on the host's tree is out of reach
 *	user         attributes, limits, capabilities, user, cwd, executable
 *	-- parked: tells, waits on the rendezvous or the socket --       ← container_start()
 *	hooks        startContainer
 *	workload     no_new_privs, seccomp, execve; its error goes to the starter
 *
 * The mounts run while the parent still moves us into the cgroup (slow with many v1 hierarchies), of which only
 * cgroup mounts have to know. createRuntime hooks find the container's mounts in place, as engines' hooks expect.
 * Nothing below /proc is opened after pivot_root. When the creator dies the socket ends and so do we; once parked on
 * a rendezvous we outlive it. Only memory of our own is touched: the parent's copy is not shared.
 */
#include "container/init.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/sys.h"
#include "container/attr.h"
#include "container/become.h"
#include "container/device.h"
#include "container/hook.h"
#include "container/lsm.h"
#include "container/mount.h"
#include "container/netdev.h"
#include "container/rlimit.h"
#include "container/rootfs.h"
#include "container/setup.h"
#include "container/sync.h"
#include "oci/config.h"

/*
 * Some lines of the debug log, here and for exec, are runc's: "nsexec container setup", "child process in init()", "init: closing
 * the pipe to signal completion", "setns_init: about to exec" and the affinity. Its conformance suite looks for them.
 */
#ifdef AMPHI_DEBUG
void init_stop_at(const char *step)
{
	const char *at = getenv("AMPHI_STOP_AT");

	if (!at)
		return;
	if (*at == '!' && !strcmp(at + 1, step))
		raise(SIGKILL);
	if (!strcmp(at, step))
		raise(SIGSTOP);
}
#endif

/* In all namespaces but the cgroup's; says so where the parent waits for it. */
static int enter_namespaces(struct init *in, struct err *err)
{
	int r = 0;

	log_debug("nsexec container setup");
	if (in->wait_mapped)
		r = sync_expect(in->sync, SYNC_MAPPED, NULL, err);
	if (!r && in->become_root)
		r = namespace_become_root(err);
	if (!r && in->ns.late_ipc && unshare(CLONE_NEWIPC) < 0)
		r = err_sys(err, -errno, "unshare the ipc namespace");
	if (!r && !in->joined && in->ns.any_join)
		r = namespace_join(&in->ns, err);
	if (r < 0)
		return r;
	namespace_close(&in->ns);
	(void)setsid();
	if (in->ack_joined)
		r = sync_send(in->sync, SYNC_JOINED, NULL, 0, NULL, 0);
	return r < 0 ? err_sys(err, r, "tell the runtime") : 0;
}

static int host_names(const struct oci_config *c, struct err *err)
{
	if (c->hostname && sethostname(c->hostname, strlen(c->hostname)) < 0)
		return err_sys(err, -errno, "hostname: set \"%s\"", c->hostname);
	if (c->domainname && setdomainname(c->domainname, strlen(c->domainname)) < 0)
		return err_sys(err, -errno, "domainname: set \"%s\"", c->domainname);
	return 0;
}

static bool own_network(const struct oci_config *c)
{
	const struct oci_namespace *net = &c->linux_.namespaces[OCI_NS_NETWORK];

	return net->present && !net->path;
}

/* The parent has moved us: only now the new cgroup namespace shows our cgroup as "/". */
static int wait_entered(void *arg, struct err *err)
{
	struct init *in = arg;
	int r;

	if (in->entered)
		return 0;
	r = sync_expect(in->sync, SYNC_ENTERED, NULL, err);
	if (r < 0)
		return r;
	if (in->ns.cgroup && unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(err, -errno, "unshare the cgroup namespace");
	in->entered = true;
	return 0;
}

static bool has_mounts(const struct init *in)
{
	return in->config->linux_.namespaces[OCI_NS_MOUNT].present;
}

/* Mounts in the listed order; trees the parent opened replace sources. */
static int all_mounts(struct init *in, struct setup_request *q, struct err *err)
{
	const struct oci_config *c = in->config;
	struct mount_context ctx = {
		.rootfd = in->rootfd,
		.mount_label = c->linux_.mount_label,
		.context_type = c->linux_.mount_context_type,
		.systemd_cgroup_v1 = c->linux_.systemd_cgroup_v1,
		.userns = c->linux_.namespaces[OCI_NS_USER].present,
		.cgroupns = c->linux_.namespaces[OCI_NS_CGROUP].present,
		.before_cgroup = wait_entered,
		.arg = in,
	};
	int r = 0;

	if (c->n_mounts && !has_mounts(in))
		return err_set(err, EINVAL, "mounts: need a mount namespace of the container's own (linux.namespaces)");
	for (size_t i = rootfs_is_mounted(c); i < c->n_mounts && r >= 0; i++)
		r = mount_apply(&ctx, &c->mounts[i], setup_take_tree(q, i), err);
	if (!r && in->notify_dir) {
		char *options[] = { "bind", "ro", "nosuid", "nodev", "noexec", NULL };
		struct oci_mount notify = { .destination = "/run/notify",
					    .type = "bind",
					    .source = (char *)in->notify_dir,
					    .options = options };

		r = mount_apply(&ctx, &notify, setup_take_tree(q, c->n_mounts + SETUP_NOTIFY), err);
	}
	if (!r && has_mounts(in) && device_wanted(c)) {
		init_stop_at("devices");
		r = device_setup(c, in->rootfd, ctx.userns, setup_take_tree(q, c->n_mounts + SETUP_DEVICES), err);
	}
	if (!r && has_mounts(in) && in->process->terminal && !in->entry) {
		cleanup_fd int console = device_console_file(in->rootfd, err); /* while /dev is writable */

		r = console < 0 ? console : 0;
	}
	if (!r)
		r = mount_late(&ctx, err);
	str_free(&ctx.late);
	return r;
}

static int terminal(struct init *in, struct err *err)
{
	cleanup_fd int pts = -1;
	cleanup_fd int slave = -1;
	int r;

	if (!in->process->terminal || in->entry)
		return 0;
	pts = path_open_in(in->rootfd, "/dev/pts", O_PATH | O_DIRECTORY, 0);
	if (pts < 0)
		return err_sys(err, pts, "process.terminal: open /dev/pts");
	r = become_terminal(in, pts, &slave, err);
	if (!r && has_mounts(in))
		r = device_console(in->rootfd, slave, err);
	return r;
}

/* The working directory is made when the image lacks it. */
static int make_cwd(struct init *in, struct err *err)
{
	cleanup_fd int fd = -1;

	if (str_empty(in->process->cwd) || !strcmp(in->process->cwd, "/"))
		return 0;
	fd = path_open_in(in->rootfd, in->process->cwd, O_PATH, 0);
	if (fd != -ENOENT)
		return 0; /* there, or chdir's error to tell */
	fd = path_mkdirs_in(in->rootfd, in->process->cwd, 0755, (uid_t)-1, (gid_t)-1);
	if (fd < 0)
		log_debug("init: cwd %s cannot be made: %s", in->process->cwd, strerrordesc_np(-fd));
	return 0;
}

static int build_root(struct init *in, struct err *err)
{
	cleanup_setup_request struct setup_request q = { 0 };
	const struct oci_config *c = in->config;
	int r;

	r = setup_recv(in->sync, c->n_mounts, &q, err);
	if (r < 0)
		return r;
	init_stop_at("mounts");
	in->rootfd = has_mounts(in) ?
		rootfs_prepare(c, in->rootfs, setup_take_tree(&q, c->n_mounts + SETUP_ROOT), err) :
		open(in->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (in->rootfd < 0)
		return err->code ? err->code : err_sys(err, -errno, "root.path: open %s", in->rootfs);
	r = all_mounts(in, &q, err);
	return !r && in->entry_root ? in->entry_root(in->entry_root_arg, in->rootfd, err) : r;
}

/*
 * The kernel then lets nobody but the host's root trace us or open our fds and namespaces. An ordinary user's container is
 * left open until become.c shuts it: pasta, run by that user, must open its namespaces, and in a user and a pid namespace
 * of its own there is nobody yet whom that serves.
 */
static int shut(const struct init *in, struct err *err)
{
	const uint64_t own = CLONE_NEWUSER | CLONE_NEWPID;
	bool open = in->rootless && (in->ns.create & own) == own;

	return prctl(PR_SET_DUMPABLE, open, 0, 0, 0) < 0 ? err_sys(err, -errno, "set dumpable") : 0;
}

/* First half: everything that needs nothing from the caller. */
static int prepare(struct init *in, struct err *err)
{
	int r;

	child_title("amphi:[init]");
	r = shut(in, err);
	if (r < 0)
		return r;
	in->procfd = lsm_open_proc(err);
	if (in->procfd < 0)
		return in->procfd;
	r = lsm_apply_keyring(in->procfd, in->process->selinux_label, err);
	if (!r)
		r = attr_keyring(in->keyring, err);
	if (!r)
		r = host_names(in->config, err);
	if (!r && own_network(in->config))
		r = netdev_loopback(err);
	if (!r)
		r = build_root(in, err);
	if (!r)
		r = wait_entered(in, err);
	if (r < 0)
		return r;
	r = sync_send(in->sync, SYNC_MOUNTED, NULL, 0, NULL, 0);
	return r < 0 ? err_sys(err, r, "tell the runtime") : 0;
}

static int protect(struct init *in, struct err *err)
{
	int r;

	if (!has_mounts(in))
		return 0;
	init_stop_at("protect");
	r = rootfs_protect(in->config, in->rootfd, err);
	return r < 0 ? r : rootfs_readonly(in->config, in->rootfd, err);
}

/* The pid that hooks in the container are told is the one they see. NULL without a document. */
static char *state_seen_inside(const char *state_json)
{
	static const char key[] = "\"pid\":";
	const char *at = state_json ? strstr(state_json, key) : NULL; /* ids have no quotes: the first is the member */

	if (!at)
		return state_json ? xstrdup(state_json) : NULL;
	at += strlen(key);
	return xasprintf("%.*s%d%s", (int)(at - state_json), state_json, (int)getpid(), at + strspn(at, "0123456789"));
}

static int create_container_hooks(struct init *in, const char *state_json, struct err *err)
{
	cleanup_free char *inside = state_seen_inside(state_json);

	init_stop_at("createContainer");
	if (!hook_any(in->config, OCI_HOOK_CREATE_CONTAINER))
		return 0;
	/* where runc runs them: paths like ./lib are the container's */
	if (fchdir(in->rootfd) < 0)
		return err_sys(err, -errno, "root.path: change directory");
	return hook_run(in->config, OCI_HOOK_CREATE_CONTAINER, inside, err);
}

/* Second half: from the caller's word to the moment before start. */
static int set_up(struct init *in, struct err *err)
{
	cleanup_sync_msg struct sync_msg m = { 0 };
	int r;

	r = sync_expect(in->sync, SYNC_SETUP, &m, err);
	if (r < 0)
		return r;
	init_stop_at("setup");
	attr_affinity_reset();
	r = terminal(in, err);
	if (!r)
		r = create_container_hooks(in, m.data, err);
	if (!r && hook_any(in->config, OCI_HOOK_START_CONTAINER))
		r = hook_open_output(in->config, &in->hook_output, err);
	if (!r)
		r = rlimit_sysctl(in->config, in->procfd, err);
	if (!r)
		r = make_cwd(in, err);
	if (!r)
		r = protect(in, err);
	if (!r) {
		init_stop_at("pivot");
		r = rootfs_enter(in->config, in->rootfd, in->no_pivot, has_mounts(in), err);
	}
	if (!r) {
		init_stop_at("user");
		r = become_user(in, err);
	}
	return r;
}

static void end_by_signal(int sig)
{
	_exit(128 + sig);
}

/* Process 1 of a pid namespace has no default actions: without a handler what is only created would outlive SIGTERM. */
static void let_signals_end_us(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

	for (size_t i = 0; i < ARRAY_SIZE(signals) && getpid() == 1; i++)
		(void)signal(signals[i], end_by_signal);
}

/* Waits for the starter. *ret_sock is where it listens; *ret_state the state document or NULL. */
static int park(struct init *in, int *ret_sock, char **ret_state, struct err *err)
{
	struct sync_msg m;
	int sock = in->sync, r;

	log_debug("init: closing the pipe to signal completion");
	let_signals_end_us();
	r = sync_send(in->sync, SYNC_PARKED, NULL, 0, NULL, 0);
	if (r < 0)
		return err_sys(err, r, "tell the runtime");
	if (in->listener >= 0) {
		close(steal_fd(in->sync));
		do
			sock = accept4(in->listener, NULL, NULL, SOCK_CLOEXEC);
		while (sock < 0 && (errno == EINTR || errno == ECONNABORTED));
		if (sock < 0)
			return err_sys(err, -errno, "wait for start");
		close(steal_fd(in->listener));
	}
	*ret_sock = sock;
	r = sync_expect(sock, SYNC_START, &m, err);
	if (r < 0)
		return r;
	*ret_state = m.len ? m.data : NULL;
	return 0;
}

static int start(struct init *in, int sock, const char *state_json, struct err *err)
{
	cleanup_free char *inside = state_seen_inside(state_json);
	int r;

	init_stop_at("startContainer");
	/* they run with the filter applied, as with runc */
	r = hook_any(in->config, OCI_HOOK_START_CONTAINER) ? become_confined(in, err) : 0;
	if (r < 0)
		return r;
	r = hook_run_env(in->config, OCI_HOOK_START_CONTAINER, inside, in->env, &in->hook_output, err);
	hook_close_output(&in->hook_output);
	if (r < 0)
		return r;
	init_stop_at("workload");
	return become_workload(in, sock, err);
}

static _Noreturn void run_entry(struct init *in, struct err *err)
{
	int r = sync_send(in->sync, SYNC_PARKED, NULL, 0, NULL, 0);

	if (r < 0)
		_exit(1);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	r = in->entry(in->entry_arg, err);
	if (r < 0) {
		if (!err->code)
			err_sys(err, r, "the entry function ended");
		sync_send_err(in->sync, err);
		_exit(1);
	}
	_exit(r);
}

_Noreturn void init_main(struct init *in)
{
	struct err err = { 0 };
	char *state = NULL;
	int sock = in->sync, r;

	r = become_clean(in, &err);
	if (!r) {
		init_stop_at("namespaces");
		r = enter_namespaces(in, &err);
	}
	if (!r) {
		log_debug("child process in init()");
		r = prepare(in, &err);
	}
	if (!r)
		r = set_up(in, &err);
	if (!r && in->entry)
		run_entry(in, &err);
	if (!r)
		r = park(in, &sock, &state, &err);
	if (!r)
		r = start(in, sock, state, &err);
	if (!err.code)
		err_sys(&err, r, "container init");
	sync_send_err(sock, &err);
	_exit(err.code == -ENOENT ? 127 : 126);
}

/* An exec'd process: the container exists, it only has to go in. */
static int exec_enter(struct init *in, struct err *err)
{
	int r = 0;

	log_debug("nsexec container setup");
	if (log_enabled(LOG_DEBUG_))
		log_debug("nsexec: affinity: %#lx", attr_affinity_first());
	if (in->wait_mapped)
		r = sync_expect(in->sync, SYNC_MAPPED, NULL, err);
	if (r < 0)
		return r;
	in->procfd = lsm_open_proc(err);
	if (in->procfd < 0)
		return in->procfd;
	(void)setsid();
	if (!str_empty(in->process->exec_cpu_affinity_final))
		r = attr_affinity(in->process->exec_cpu_affinity_final, "process.execCPUAffinity.final", err);
	else if (str_empty(in->process->exec_cpu_affinity_initial))
		attr_affinity_reset();
	if (!r)
		r = lsm_apply_keyring(in->procfd, in->process->selinux_label, err);
	if (r < 0)
		return r;
	if (in->container_pidfd >= 0 && in->join_flags && setns(in->container_pidfd, in->join_flags) < 0)
		return errno == ESRCH ? err_set(err, ESRCH, "container not running") :
					err_sys(err, -errno, "join the container's namespaces");
	/* its name is looked up in the user namespace that we are in now */
	r = attr_keyring(in->keyring, err);
	if (r < 0)
		return r;
	if (in->root_dir >= 0 && (fchdir(in->root_dir) < 0 || chroot(".") < 0))
		return err_sys(err, -errno, "enter the container's root");
	if (in->root_dir >= 0)
		close(steal_fd(in->root_dir)); /* no descriptor of a directory is left for process.cwd to name */
	in->rootfd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return in->rootfd < 0 ? err_sys(err, -errno, "open the container's root") : 0;
}

_Noreturn void init_exec_main(struct init *in)
{
	cleanup_fd int pts = -1;
	struct err err = { 0 };
	int r, slave = -1;

	r = become_clean(in, &err);
	if (!r)
		r = exec_enter(in, &err);
	log_debug("child process in init()");
	if (!r && in->process->terminal) {
		pts = path_open_in(in->rootfd, "/dev/pts", O_PATH | O_DIRECTORY, 0);
		r = pts < 0 ? err_sys(&err, pts, "process.terminal: open /dev/pts") :
			      become_terminal(in, pts, &slave, &err);
		close(steal_fd(pts));
		close(slave);
	}
	if (!r)
		r = become_user(in, &err);
	log_debug("setns_init: about to exec");
	if (!r)
		r = become_workload(in, in->sync, &err);
	if (!err.code)
		err_sys(&err, r, "exec in container");
	sync_send_err(in->sync, &err);
	_exit(err.code == -ENOENT ? 127 : 126);
}
