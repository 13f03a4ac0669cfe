/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs in machine mode: a monitor in a jail on this kernel, the container in the machine. */
/*
 * Theory of operation: create makes the jail (container_create() with the monitor as entry function); setup has it
 * set up, joins the namespace's links to taps, boots, and asks the guest's agent to create the container by the
 * same config; the workload's connections then go to the monitor, which relays its stdio and ends with its status.
 * Everything later is one request to the agent over <statedir>/agent.sock; exec leaves a process of ours that relays
 * the command's stdio. Read side by side with backend_container.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "container/cgroup.h"
#include "container/cgroup_stats.h"
#include "container/container.h"
#include "container/tty.h"
#include "network/network.h"
#include "oci/bundle.h"
#include "runtime/jail.h"
#include "runtime/jailview.h"
#include "runtime/libexec.h"
#include "runtime/machine.h"
#include "runtime/machine_network.h"
#include "runtime/monitor.h"
#include "runtime/proxy.h"
#include "runtime/sandbox.h"
#include "runtime/vm_check.h"
#include "runtime/vm_stats.h"
#include "vm/agent.h"
#include "vm/proto.h"

/* How long a killed monitor may take to die. */
#define BACKEND_KILL_TIMEOUT_MS 60000
/* How long a killed workload may take to end: its machine writes back what it holds of the host's files. */
#define BACKEND_KILL_GRACE_MS 10000
#define PAUSED "paused"

static int verb_check(const struct plan *plan, struct err *err)
{
	return vm_check(plan, err);
}

/* The machine's agent: a member of a pod talks to that of its sandbox. */
static char *agent_socket(const struct sandbox *sb)
{
	struct machine *mc = sb->backend_data;
	struct pod pod = { 0 };
	char *path;

	if (mc && mc->pod.sandbox)
		return path_join(mc->pod.dir, "agent.sock");
	machine_saved_pod(sb->globals, sb->rec.machine, &pod);
	path = path_join(pod.sandbox ? pod.dir : sb->dir.path, "agent.sock");
	pod_free(&pod);
	return path;
}

static int not_running(struct err *err)
{
	return err_set(err, -ESRCH, "container not running");
}

/* The decided machine, made on first use (limits comes before create). */
static int machine_data(struct sandbox *sb, struct machine **ret, struct err *err)
{
	int r;

	if (!sb->backend_data) {
		sb->backend_data = xcalloc(1, sizeof(struct machine));
		machine_init(sb->backend_data);
		*ret = sb->backend_data;
		r = pod_find(sb->globals, sb->config, &(*ret)->pod, err);
		if (!r && !(*ret)->pod.sandbox)
			r = machine_decide(*ret, &sb->plan, err);
		if (r < 0)
			return r;
	}
	*ret = sb->backend_data;
	return 0;
}

static int verb_limits(struct sandbox *sb, const struct oci_resources **ret, struct err *err)
{
	struct machine *mc;
	int r = machine_data(sb, &mc, err);

	if (r < 0)
		return r;
	jail_limits(sb->config, mc->config.memory_bytes, mc->qemu, &mc->limits);
	if (mc->pod.sandbox)
		jail_member_limits(&mc->limits);
	*ret = &mc->limits;
	sb->tap_queues = vm_nic_queues(mc->config.vcpus);
	return 0;
}

/* Is the container's user namespace that of the jail? */
static bool own_userns(const struct sandbox *sb)
{
	return sb->plan.rootless && sb->config->linux_.namespaces[OCI_NS_USER].present;
}

static int create_jail(struct sandbox *sb, struct machine *mc, const int stdio[3], const int *keep, size_t n_keep,
		       struct err *err)
{
	struct container_params p = CONTAINER_PARAMS_INIT;
	struct jail_request jail = {
		.config = sb->config,
		.rootfs = mc->pod.sandbox ? NULL : sb->bundle->rootfs,
		.qemu = mc->qemu,
		.kernel = mc->kernel.vmlinux,
		.initrd = mc->kernel.initrd,
		.userns = own_userns(sb),
	};
	cleanup_free char *root = path_join(sb->dir.path, "jail");
	int r;

	if (mkdir(root, 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "%s", root);
	jail.root = root;
	r = jail_mount_points(sb->config, sb->bundle->rootfs, err);
	if (!r)
		r = jail_config(&jail, &mc->jail_config, err);
	if (r < 0)
		return r;
	p.config = mc->jail_config;
	p.rootfs = root;
	p.cgroup = sb->cgroup;
	memcpy(p.stdio, stdio, sizeof(p.stdio));
	p.entry = mc->pod.sandbox ? monitor_member_main : monitor_main;
	p.entry_arg = &mc->monitor;
	p.rootless = sb->plan.rootless;
	if (jail.rootfs) {
		p.entry_root = jailview_attach;
		p.entry_root_arg = (void *)sb->config;
	}
	p.keep_fds = keep;
	p.n_keep_fds = n_keep;
	return container_create(&p, &mc->jail, err);
}

static int verb_create(struct sandbox *sb, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb);
	cleanup_fd int slave = -1, child = -1;
	int stdio[3], sv[2], keep[8], r;
	struct machine *mc;
	size_t n = 0;

	r = machine_data(sb, &mc, err);
	if (!r && mc->pod.sandbox) {
		mc->monitor.spec.name = sb->rec.id;
		mc->monitor.spec.lockdown = machine_lockdown();
	} else if (!r) {
		r = machine_prepare(mc, sb->rec.id, sb->dir.path, sb->globals->debug, err);
	}
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(err, -errno, "socketpair");
	mc->control = sv[0];
	child = sv[1];
	mc->monitor.control = child;
	mc->monitor.terminal = sb->config->process.terminal;
	mc->monitor.limit = mc->limits.has_memory ? (uint64_t)mc->limits.memory.limit : 0;
	if (!mc->pod.sandbox)
		mc->monitor.spec.agent_listen_fd = fd_unix_listen(sock, 128, SOCK_STREAM);
	if (!mc->pod.sandbox && mc->monitor.spec.agent_listen_fd < 0)
		return err_sys(err, mc->monitor.spec.agent_listen_fd, "%s", sock);
	memcpy(stdio, sb->stdio, sizeof(stdio));
	if (mc->monitor.terminal) {
		r = proxy_open_terminal(&sb->config->process, sb->console_socket, &slave, err);
		if (r < 0)
			return r;
		stdio[0] = stdio[1] = stdio[2] = slave;
	}
	keep[n++] = child;
	for (size_t i = 0; i < 5; i++) {
		int fd = (const int[]){ mc->monitor.spec.agent_listen_fd, mc->monitor.spec.kernel_fd,
					mc->monitor.spec.initrd_fd, mc->monitor.spec.kvm_fd,
					mc->monitor.spec.console_fd }[i];

		if (fd >= 0)
			keep[n++] = fd;
	}
	r = create_jail(sb, mc, stdio, keep, n, err);
	if (r < 0)
		return r;
	/* The monitor's alone from now on: with it ends the socket, and whoever waits at it for an answer. */
	if (mc->monitor.spec.agent_listen_fd >= 0)
		close(steal_fd(mc->monitor.spec.agent_listen_fd));
	sb->rec.pid = container_pid(mc->jail);
	sb->rec.start_time = container_start_time(mc->jail);
	if (!mc->pod.sandbox)
		sb->rec.vmm = mc->qemu ? VMM_QEMU : VMM_KVM;
	sb->pidfd = fcntl(container_pidfd(mc->jail), F_DUPFD_CLOEXEC, 3);
	free(sb->rec.machine);
	sb->rec.machine = machine_save(mc);
	return 0;
}

/* CREATE's options: the container whose namespaces a pod's member shares. */
static char *create_options(const struct pod *pod)
{
	struct json_writer w = { 0 };

	if (!pod->sandbox)
		return NULL;
	json_w_object(&w, NULL);
	json_w_string(&w, "sandbox", pod->sandbox);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

/* The parked workload in the machine; its session goes to the process here. */
static int create_workload(struct sandbox *sb, struct machine *mc, const char *sock, struct err *err)
{
	cleanup_free char *dir = mc->pod.sandbox ? pod_guest_dir(&mc->pod) : xstrdup(PROTO_EXPORT_DIR);
	cleanup_free char *config = NULL, *options = create_options(&mc->pod);
	struct agent_session s = AGENT_SESSION_NONE;
	int r = jail_guest_config(sb->config, sb->config_json, sb->config_json_len, dir, own_userns(sb), &config, err);

	if (!r)
		r = agent_create(sock, sb->rec.id, config, strlen(config), options, sb->config->process.terminal, &s,
				 err);
	if (!r)
		r = monitor_hand_over(mc->control, &s, err);
	agent_session_close(&s);
	return r;
}

/* From the running machine to the parked workload in it. */
static int create_in_guest(struct sandbox *sb, struct machine *mc, const struct network_lease *lease, struct err *err)
{
	struct agent_machine am = { .hostname = sb->config->hostname, .set_clock = true, .set_entropy = true };
	cleanup_free char *sock = agent_socket(sb), *net = NULL;
	struct utsname host;
	int r = agent_wait_ready(sock, mc->control, AGENT_BOOT_TIMEOUT_MS, NULL, err);

	/* a container in no UTS namespace of its own has the host's name */
	if (!am.hostname && uname(&host) == 0)
		am.hostname = host.nodename;
	if (r < 0)
		return r;
	if (lease->n_ifaces)
		am.network = net = network_lease_guest(lease);
	r = agent_machine(sock, &am, err);
	if (!r)
		r = machine_network_given(sb, own_userns(sb), lease, err);
	return r < 0 ? r : create_workload(sb, mc, sock, err);
}

/* Setup of a pod's member: its files go into the sandbox's machine, then it is created there. */
static int setup_member(struct sandbox *sb, struct machine *mc, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb);
	int r = pod_attach(&mc->pod, sb->config, sb->bundle->rootfs, err);

	return r < 0 ? r : create_workload(sb, mc, sock, err);
}

static int verb_setup(struct sandbox *sb, struct err *err)
{
	cleanup_network_lease struct network_lease joined = { 0 };
	const struct network_lease *lease = &sb->lease;
	struct machine *mc = sb->backend_data;
	int r = mc->pod.sandbox ? 0 : machine_network_join(sb, own_userns(sb), &joined, &lease, err);

	if (r < 0)
		return r;
	/* from here on nobody but root opens the jail's namespaces */
	r = container_setup(mc->jail, NULL, err);
	if (r < 0)
		return err_wrap(err, "the monitor's jail");
	if (mc->pod.sandbox)
		return setup_member(sb, mc, err);
	r = machine_network_boot(sb, lease, mc->control, err);
	if (!r)
		r = create_in_guest(sb, mc, lease, err);
	if (r == -ENOTCONN)
		r = monitor_failure(mc->control, err);
	return r;
}

static int verb_pending(struct sandbox *sb)
{
	return sb->rec.phase && !strcmp(sb->rec.phase, "created");
}

static int verb_start(struct sandbox *sb, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb), *state = NULL;
	unsigned int rows = 0, cols = 0;
	cleanup_fd int tty = -1;
	int r = sandbox_config(sb, err);

	if (r < 0)
		return r;
	r = machine_network_renew(sb, sock, err);
	if (r < 0)
		return r;
	state = sandbox_state_json(sb, OCI_STATUS_CREATED, true, NULL);
	tty = sb->config->process.terminal ? tty_of_process(sb->rec.pid) : -1;
	if (tty >= 0)
		(void)tty_get_size(tty, &rows, &cols);
	return agent_start(sock, sb->rec.id, state, rows, cols, err);
}

static char *exec_options(const struct exec_request *req)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	if (req->cgroups && *req->cgroups)
		json_w_strv(&w, "cgroup", req->cgroups);
	json_w_bool(&w, "ignorePaused", req->ignore_paused);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

static int verb_exec(struct sandbox *sb, const struct exec_request *req, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb), *options = exec_options(req);
	struct proxy_request proxy = {
		.console_socket = req->console_socket,
		.stdio = { req->stdio[0], req->stdio[1], req->stdio[2] },
		.process = req->process,
	};
	struct agent_session s = AGENT_SESSION_NONE;
	int r;

	if (req->preserve_fds)
		return err_set(err, -ENOTSUP,
			       "option --preserve-fds: descriptors of the host cannot be passed to a machine");
	if (!sandbox_alive(sb))
		return not_running(err);
	r = agent_exec(sock, sb->rec.id, req->process_json, req->process_json_len, options, req->process->terminal, &s,
		       err);
	if (r < 0)
		return r;
	proxy.session = &s;
	r = proxy_start(&proxy, err);
	agent_session_close(&s);
	if (r > 0 && sb->rec.cgroup && sandbox_cgroup(sb, NULL) == 0)
		(void)cgroup_enter_exec(sb->cgroup, r, NULL, sb->rec.pid, NULL);
	return r;
}

/* Waits for the end of the process; false when the time was over first. */
static bool ends_within(const struct sandbox *sb, int ms)
{
	cleanup_fd int pidfd = fd_pidfd_open(sb->rec.pid);
	int r;

	if (pidfd < 0 || !sandbox_alive(sb))
		return true;
	do
		r = poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, ms);
	while (r < 0 && errno == EINTR);
	return r != 0;
}

static int kill_monitor(struct sandbox *sb, struct err *err)
{
	int r = container_kill(sb->rec.pid, sb->rec.start_time, SIGKILL, err);

	return r < 0 ? r : sandbox_thaw_killed(sb, err);
}

/* What a guest cannot end (it does not answer, or its processes wait for a device that is broken) ends with its machine. */
static int verb_kill(struct sandbox *sb, int sig, bool all, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb);
	int r;

	if (!sandbox_alive(sb))
		return all ? 0 : not_running(err);
	r = agent_kill(sock, sb->rec.id, sig, all, err);
	if (r == 0 && sig == SIGKILL && !ends_within(sb, BACKEND_KILL_GRACE_MS))
		(void)kill_monitor(sb, NULL);
	else if ((r == -ENOTCONN || r == -ETIMEDOUT) && sig == SIGKILL)
		r = kill_monitor(sb, err);
	else if (r == -ENOTCONN && !sandbox_alive(sb))
		r = not_running(err);
	return r;
}

static int verb_pause(struct sandbox *sb, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb);
	cleanup_fd int fd = -1;
	int r = agent_pause(sock, sb->rec.id, err);

	if (r < 0)
		return r;
	fd = openat(sb->dir.fd, PAUSED, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(err, -errno, "%s/" PAUSED, sb->dir.path) : 0;
}

static int verb_resume(struct sandbox *sb, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb);
	int r = agent_resume(sock, sb->rec.id, err);

	if (r == 0)
		(void)unlinkat(sb->dir.fd, PAUSED, 0);
	return r;
}

static int verb_paused(struct sandbox *sb, struct err *err)
{
	(void)err;
	return sandbox_alive(sb) && faccessat(sb->dir.fd, PAUSED, F_OK, 0) == 0;
}

static int verb_checkpoint(struct sandbox *sb, const struct criu_options *o, struct err *err)
{
	(void)sb;
	(void)o;
	return err_set(err, ENOTSUP,
		       "checkpoint: not for a machine (--isolation vm): criu saves processes of this kernel");
}

static int verb_mounts(struct sandbox *sb, bool add, const struct oci_mount *v, size_t n, struct err *err)
{
	(void)sb;
	(void)add;
	(void)v;
	(void)n;
	return err_set(err, ENOTSUP,
		       "mounts: not for a machine (--isolation vm): what it may see is settled at create");
}

static int verb_update(struct sandbox *sb, const struct oci_resources *res, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb);
	struct resize_machine m;

	machine_saved_size(sb->rec.machine, &m);
	return resize_apply(sb, sock, res, &m, err);
}

static int verb_stats(struct sandbox *sb, struct cgroup_stats *ret, char **ret_vm, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb), *guest = NULL, *monitor = NULL;
	cleanup_cgroup_stats struct cgroup_stats host = { 0 };
	unsigned int online = 0;
	int r = sandbox_cgroup(sb, err);

	if (!r)
		r = cgroup_stats_read(sb->cgroup, ret, err);
	if (!r)
		r = cgroup_stats_read(sb->cgroup, &host, err);
	if (!r)
		r = agent_stats(sock, sb->rec.id, &guest, &online, err);
	if (!r)
		r = vm_stats_merge(guest, ret, err);
	if (r < 0)
		return sandbox_alive(sb) ? r : err_set(err, -ENOENT, "container not running");
	(void)agent_control(sock, "STATS", &monitor, NULL);
	*ret_vm = vm_stats_object(monitor, online, &host);
	return 0;
}

static int verb_oom_open(struct sandbox *sb, int *ret_fd, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb);

	return agent_events(sock, sb->rec.id, ret_fd, err);
}

static int verb_oom_read(int fd)
{
	return agent_events_read(fd);
}

static int ps_entry(const struct json *v, struct ps_entry *e, struct err *err)
{
	cleanup_free char *tty = NULL, *command = NULL;
	int32_t pid = 0, ppid = 0;

	if (json_opt_i32(v, "pid", &pid, err) < 0 || json_opt_i32(v, "ppid", &ppid, err) < 0 ||
	    json_opt_u32(v, "uid", &e->uid, err) < 0 || json_opt_u64(v, "startTime", &e->start_time_s, err) < 0 ||
	    json_opt_u64(v, "cpuTimeMs", &e->cpu_time_ms, err) < 0 || json_opt_string(v, "tty", &tty, err) < 0 ||
	    json_opt_string(v, "command", &command, err) < 0)
		return -EINVAL;
	e->pid = pid;
	e->ppid = ppid;
	snprintf(e->tty, sizeof(e->tty), "%s", tty ? tty : "?");
	snprintf(e->command, sizeof(e->command), "%s", command ? command : "");
	return 0;
}

static int verb_ps(struct sandbox *sb, struct ps_entry **ret, struct err *err)
{
	cleanup_free char *sock = agent_socket(sb), *text = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	cleanup_free struct ps_entry *v = NULL;
	const struct json *root;
	int r, n = 0;

	if (!sandbox_alive(sb))
		return not_running(err);
	r = agent_ps(sock, sb->rec.id, &text, err);
	if (r < 0)
		return r;
	doc = json_parse(text, strlen(text), "ps", err);
	if (!doc || json_want(root = json_root(doc), JSON_ARRAY, err) < 0)
		return -EPROTO;
	v = xcalloc(root->c.n + 1, sizeof(*v));
	json_for_each(p, root) {
		r = ps_entry(p, &v[n++], err);
		if (r < 0)
			return r;
	}
	*ret = steal_ptr(v);
	return n;
}

static int verb_wait(struct sandbox *sb, int *ret_status, struct err *err)
{
	int r;

	*ret_status = 0;
	if (sb->rec.pid <= 0)
		return 0;
	r = child_wait(sb->rec.pid, ret_status);
	if (r != -ECHILD)
		return r < 0 ? err_sys(err, r, "wait for %d", sb->rec.pid) : 0;
	return ends_within(sb, BACKEND_KILL_TIMEOUT_MS) ?
		0 :
		err_set(err, -ETIMEDOUT, "the monitor, process %d, does not end", sb->rec.pid);
}

/* Undoes what was done outside of the process and its jail. */
static void leave(struct sandbox *sb)
{
	cleanup_free char *sock = agent_socket(sb);
	struct pod pod;

	machine_saved_pod(sb->globals, sb->rec.machine, &pod);
	if (!pod.sandbox) {
		machine_network_leave(sb);
		return;
	}
	/* with the sandbox gone everything of its members is */
	if (pod.pid > 0 && sandbox_config(sb, NULL) == 0) {
		(void)agent_delete(sock, sb->rec.id, NULL);
		pod_detach(&pod, sb->config);
	}
	pod_free(&pod);
}

static int verb_delete(struct sandbox *sb, struct err *err)
{
	struct machine *mc = sb->plan.config ? sb->backend_data : NULL;
	int r, status;

	if (mc && mc->jail) {
		container_abort(mc->jail);
	} else if (sb->rec.pid > 0 && sandbox_alive(sb)) {
		r = kill_monitor(sb, err);
		if (!r)
			r = verb_wait(sb, &status, err);
		if (r < 0 && r != -ESRCH)
			return r;
	}
	if (sb->rec.machine)
		leave(sb);
	return 0;
}

static void verb_release(struct sandbox *sb)
{
	machine_free(sb->backend_data);
	sb->backend_data = NULL;
}

const struct backend backend_vm = {
	.name = "vm",
	.isolation = ISOLATION_VM,
	.check = verb_check,
	.limits = verb_limits,
	.create = verb_create,
	.setup = verb_setup,
	.pending = verb_pending,
	.start = verb_start,
	.exec = verb_exec,
	.kill = verb_kill,
	.pause = verb_pause,
	.resume = verb_resume,
	.paused = verb_paused,
	.checkpoint = verb_checkpoint,
	.mounts = verb_mounts,
	.update = verb_update,
	.stats = verb_stats,
	.oom_open = verb_oom_open,
	.oom_read = verb_oom_read,
	.ps = verb_ps,
	.wait = verb_wait,
	.delete = verb_delete,
	.release = verb_release,
};
