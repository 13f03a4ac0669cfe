/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of the machine: the verbs of struct backend, by the container room.
 *
 * One process a connection (forked by PID 1), single threaded. A container has a directory RECORD_DIR/<id> with its
 * config.json and a record of its first process and cgroup, so that the verbs meet through files as the commands do
 * on the host. CREATE and EXEC turn their connection into a session (guest_session.c) and stay the parent of their
 * process. The config was made for the host and rewritten there for its mounts; here only that is changed which the
 * machine stands for itself: the network namespace (the machine's own), hooks that ran on the host, the cgroup's
 * place.
 */
#include "vm/guest/guest_agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <linux/random.h>
#include <linux/vm_sockets.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "container/cgroup.h"
#include "container/container.h"
#include "container/tty.h"
#include "oci/config.h"
#include "vm/guest/guest_mount.h"
#include "vm/guest/guest_net.h"
#include "vm/guest/guest_ps.h"
#include "vm/guest/guest_session.h"
#include "vm/proto.h"

#define RECORD_DIR "/run/amphi/containers"
#define ROOTFS PROTO_EXPORT_DIR "/rootfs"
#define PODS_DIR PROTO_EXPORT_DIR "/pods/"
#define ID_MAX 1024u

/* A container of this machine, loaded for one verb. */
struct record {
	char *id;
	char *sandbox; /* of a pod's member: the container whose namespaces it shares; NULL */
	int dirfd;
	struct oci_config *config;
	struct cgroup_manager *cgroup;
	pid_t pid;
	unsigned long long start_time;
};

static void record_free(struct record *r)
{
	free(r->id);
	free(r->sandbox);
	if (r->dirfd >= 0)
		close(r->dirfd);
	oci_config_free(r->config);
	cgroup_free(r->cgroup);
}
#define cleanup_record CLEANUP(record_free)

int guest_agent_listen(struct err *err)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PROTO_PORT };
	cleanup_fd int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 128) < 0)
		return err_sys(err, -errno, "listen on vsock port %u", PROTO_PORT);
	return steal_fd(fd);
}

/* ---- records -------------------------------------------------------------------------------------------- */

static bool id_valid(const char *id)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-";

	return *id && *id != '.' && strlen(id) <= ID_MAX && strspn(id, set) == strlen(id);
}

static int take_id(const struct proto_msg *m, char **ret, struct err *err)
{
	int r = proto_get_string(m, PROTO_F_ID, ret, err);

	if (r < 0)
		return r;
	return id_valid(*ret) ? 0 : err_set(err, -EINVAL, "invalid container id");
}

/* What the machine itself stands for; see the head of the file. */
static void adapt_config(struct oci_config *c, const char *id)
{
	struct oci_namespace *net = &c->linux_.namespaces[OCI_NS_NETWORK];

	free(net->path);
	*net = (struct oci_namespace){ 0 };
	for (int k = 0; k < OCI_HOOK_MAX; k++)
		if (k != OCI_HOOK_START_CONTAINER)
			c->hooks[k].n = 0;
	free(c->linux_.cgroups_path);
	c->linux_.cgroups_path = xasprintf("/%s", id);
}

/* The host has seen to it that a namespace with a path is the sandbox's: here it is the one of its first process. */
static void share_namespaces(struct oci_config *c, pid_t sandbox)
{
	static const struct {
		enum oci_namespace_kind kind;
		const char *file;
	} shared[] = { { OCI_NS_IPC, "ipc" }, { OCI_NS_UTS, "uts" }, { OCI_NS_PID, "pid" } };

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
		struct oci_namespace *ns = &c->linux_.namespaces[shared[i].kind];

		if (!ns->path)
			continue;
		free(ns->path);
		ns->path = xasprintf("/proc/%d/ns/%s", (int)sandbox, shared[i].file);
	}
}

static int new_cgroup(const struct oci_config *c, const char *id, struct cgroup_manager **ret, struct err *err)
{
	struct cgroup_params p = {
		.id = id,
		.cgroups_path = c->linux_.cgroups_path,
		.driver = CGROUP_DRIVER_FS,
		.resources = c->linux_.has_resources ? &c->linux_.resources : NULL,
		.delegate = c->linux_.namespaces[OCI_NS_CGROUP].present,
	};
	int r = cgroup_new(&p, ret, err);

	return r < 0 ? r : cgroup_create(*ret, err);
}

static int save_record(const struct record *rec, struct err *err)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;
	int r;

	json_w_object(&w, NULL);
	json_w_i64(&w, "pid", rec->pid);
	json_w_u64(&w, "startTime", rec->start_time);
	cgroup_save(rec->cgroup, "cgroup", &w);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	r = path_write_atomic(rec->dirfd, "record.json", text, strlen(text), 0600);
	return r < 0 ? err_sys(err, r, "%s/record.json", rec->id) : 0;
}

static int open_record_dir(const char *id)
{
	cleanup_free char *path = xasprintf(RECORD_DIR "/%s", id);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int load_record_of(struct record *rec, struct err *err)
{
	cleanup_free char *text = NULL, *config = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	const struct json *cgroup;
	size_t len, config_len;
	int64_t pid = 0;
	uint64_t start = 0;
	int r;

	rec->dirfd = open_record_dir(rec->id);
	if (rec->dirfd < 0 || fd_slurp_at(rec->dirfd, "record.json", 1 << 20, &text, &len) < 0 ||
	    fd_slurp_at(rec->dirfd, "config.json", PROTO_MSG_MAX, &config, &config_len) < 0)
		return err_set(err, -ESRCH, "container not running");
	doc = json_parse(text, len, "record.json", err);
	if (!doc || json_opt_i64(json_root(doc), "pid", &pid, err) < 0 ||
	    json_opt_u64(json_root(doc), "startTime", &start, err) < 0)
		return -EINVAL;
	rec->pid = (pid_t)pid;
	rec->start_time = start;
	cgroup = json_get(json_root(doc), "cgroup");
	r = cgroup ? cgroup_load(cgroup, &rec->cgroup, err) : err_set(err, -EINVAL, "record.json: no cgroup");
	if (r < 0)
		return r;
	r = oci_config_parse(config, config_len, &rec->config, err);
	if (r < 0)
		return r;
	adapt_config(rec->config, rec->id);
	return 0;
}

static int load_record(const struct proto_msg *m, struct record *rec, struct err *err)
{
	int r = take_id(m, &rec->id, err);

	return r < 0 ? r : load_record_of(rec, err);
}

/* What a pod's member had of the host's tree: the host takes its mounts away when nobody holds them. */
static void leave_export(const struct oci_config *c)
{
	for (size_t i = 0; i < c->n_mounts; i++)
		if (oci_mount_is_bind(&c->mounts[i]) && str_starts(c->mounts[i].source, PODS_DIR))
			(void)umount2(c->mounts[i].source, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (c->has_root && str_starts(c->root.path, PODS_DIR))
		(void)umount2(c->root.path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* The container is over: nothing of it may run on, its cgroup and record go. */
static void forget(struct record *rec)
{
	struct err err = { 0 };
	cleanup_fd int dir = open(RECORD_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (rec->cgroup) {
		(void)cgroup_kill(rec->cgroup, SIGKILL, &err);
		(void)cgroup_destroy(rec->cgroup, &err);
	}
	if (rec->config)
		leave_export(rec->config);
	if (dir >= 0 && rec->id)
		(void)path_remove_tree(dir, rec->id, true);
}

static void ended(void *arg)
{
	forget(arg);
}

/* ---- verbs that open a session -------------------------------------------------------------------------- */

static int make_record(struct record *rec, const struct proto_field *config, struct err *err)
{
	cleanup_free char *path = xasprintf(RECORD_DIR "/%s", rec->id);
	int r = path_mkdirs(RECORD_DIR, 0700);

	if (r < 0)
		return err_sys(err, r, RECORD_DIR);
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? err_set(err, -EEXIST, "container with given ID already exists") :
					 err_sys(err, -errno, "%s", path);
	rec->dirfd = open_record_dir(rec->id);
	if (rec->dirfd < 0)
		return err_sys(err, rec->dirfd, "%s", path);
	r = path_write_atomic(rec->dirfd, "config.json", config->data, config->len, 0600);
	return r < 0 ? err_sys(err, r, "%s/config.json", path) : 0;
}

/* Everything of CREATE up to the parked process. */
static int create_container(struct record *rec, struct guest_session *s, const char *rootfs, struct container **ret,
			    struct err *err)
{
	struct container_params p = CONTAINER_PARAMS_INIT;
	int r = new_cgroup(rec->config, rec->id, &rec->cgroup, err);

	if (r < 0)
		return r;
	p.config = rec->config;
	p.rootfs = rootfs;
	p.cgroup = rec->cgroup;
	memcpy(p.stdio, s->child, sizeof(p.stdio));
	p.rendezvous_fd = rec->dirfd;
	r = container_create(&p, ret, err);
	if (r < 0)
		return r;
	guest_session_close_child(s);
	rec->pid = container_pid(*ret);
	rec->start_time = container_start_time(*ret);
	r = save_record(rec, err);
	if (r < 0)
		return r;
	r = container_setup(*ret, NULL, err);
	if (r < 0)
		return r;
	if (s->terminal)
		s->ours[1] = container_console(*ret);
	return 0;
}

/* CREATE's options: {"sandbox": ID} of a pod's member. */
static int take_sandbox(const struct proto_msg *m, struct record *rec, struct err *err)
{
	const struct proto_field *f = proto_get(m, PROTO_F_OPTIONS);
	cleanup_record struct record sandbox = { .dirfd = -1 };
	cleanup_json_doc struct json_doc *doc = NULL;
	int r;

	if (!f)
		return 0;
	doc = json_parse((const char *)f->data, f->len, "options", err);
	if (!doc)
		return -EINVAL;
	r = json_opt_string(json_root(doc), "sandbox", &rec->sandbox, err);
	if (r <= 0)
		return r;
	sandbox.id = xstrdup(rec->sandbox);
	r = id_valid(sandbox.id) ? load_record_of(&sandbox, err) : err_set(err, -EINVAL, "invalid container id");
	if (r < 0)
		return err_wrap(err, "the pod's sandbox %s", rec->sandbox);
	share_namespaces(rec->config, sandbox.pid);
	return 0;
}

static int serve_create(int fd, const struct proto_msg *m, struct err *err)
{
	cleanup_record struct record rec = { .dirfd = -1 };
	const struct proto_field *config = proto_get(m, PROTO_F_CONFIG);
	cleanup_container struct container *c = NULL;
	cleanup_free char *rootfs = NULL;
	struct guest_session s;
	int r = take_id(m, &rec.id, err);

	if (r < 0)
		return r;
	if (!config)
		return err_set(err, -EPROTO, "agent: create: no config");
	r = oci_config_parse((const char *)config->data, config->len, &rec.config, err);
	if (r < 0)
		return r;
	adapt_config(rec.config, rec.id);
	r = take_sandbox(m, &rec, err);
	if (r < 0)
		return r;
	if (!rec.config->has_process)
		return err_set(err, -EINVAL, "process: required");
	r = guest_mount_export(err);
	if (r < 0)
		return r;
	r = make_record(&rec, config, err);
	if (r < 0)
		return r;
	rootfs = xstrdup(rec.config->has_root ? rec.config->root.path : ROOTFS);
	r = guest_session_open(&s, fd, rec.config->process.terminal, err);
	if (r == 0)
		r = create_container(&rec, &s, rootfs, &c, err);
	if (r < 0) {
		if (c)
			container_abort(c);
		guest_session_close(&s);
		forget(&rec);
		return r;
	}
	if (guest_session_announce(&s, rec.pid) < 0) {
		container_abort(c);
		forget(&rec);
		return 0;
	}
	child_title("amphi-init: session");
	(void)guest_session_run(&s, rec.pid, container_pidfd(c), ended, &rec);
	return 0;
}

static int sub_cgroups(const struct proto_msg *m, char ***ret, struct err *err)
{
	const struct proto_field *f = proto_get(m, PROTO_F_OPTIONS);
	cleanup_json_doc struct json_doc *doc = NULL;
	int r;

	if (!f)
		return 0;
	doc = json_parse((const char *)f->data, f->len, "options", err);
	if (!doc)
		return -EINVAL;
	r = json_opt_strv(json_root(doc), "cgroup", ret, err);
	return r < 0 ? r : 0;
}

static int serve_exec(int fd, const struct proto_msg *m, struct err *err)
{
	struct container_exec_params p = CONTAINER_EXEC_INIT;
	struct container_exec_result res = { .pidfd = -1, .console = -1 };
	cleanup_record struct record rec = { .dirfd = -1 };
	const struct proto_field *process = proto_get(m, PROTO_F_PROCESS);
	struct oci_process *proc = NULL;
	cleanup_strv char **sub = NULL;
	struct guest_session s;
	int r = load_record(m, &rec, err);

	if (r < 0)
		return r;
	if (!process)
		return err_set(err, -EPROTO, "agent: exec: no process");
	r = sub_cgroups(m, &sub, err);
	if (r < 0)
		return r;
	r = oci_process_parse((const char *)process->data, process->len, &proc, err);
	if (r < 0)
		return r;
	r = guest_session_open(&s, fd, proc->terminal, err);
	if (r == 0) {
		p.config = rec.config;
		p.process = proc;
		p.pid = rec.pid;
		p.start_time = rec.start_time;
		p.cgroup = rec.cgroup;
		p.sub_cgroups = sub;
		memcpy(p.stdio, s.child, sizeof(p.stdio));
		r = container_exec(&p, &res, err);
	}
	oci_process_free(proc);
	if (r < 0) {
		guest_session_close(&s);
		return r;
	}
	guest_session_close_child(&s);
	if (s.terminal)
		s.ours[1] = res.console;
	if (guest_session_announce(&s, res.pid) < 0)
		(void)fd_pidfd_kill(res.pidfd, SIGKILL);
	child_title("amphi-init: exec session");
	(void)guest_session_run(&s, res.pid, res.pidfd, NULL, NULL);
	return 0;
}

/* ---- verbs of one answer -------------------------------------------------------------------------------- */

static int send_text(int fd, const char *text)
{
	struct proto_writer w = { 0 };

	proto_begin(&w, PROTO_DATA);
	proto_add_string(&w, PROTO_F_TEXT, text);
	return proto_send(fd, &w);
}

static int serve_hello(int fd)
{
	struct utsname u;

	return uname(&u) < 0 ? -errno : send_text(fd, u.release);
}

static int add_entropy(const struct proto_field *f, struct err *err)
{
	cleanup_fd int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	cleanup_free struct rand_pool_info *info = NULL;

	if (f->len == 0 || f->len > 4096)
		return err_set(err, -EPROTO, "agent: machine: entropy of %u bytes", f->len);
	info = xcalloc(1, sizeof(*info) + f->len);
	info->entropy_count = (int)f->len * 8;
	info->buf_size = (int)f->len;
	memcpy(info->buf, f->data, f->len);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, info) < 0)
		return err_sys(err, -errno, "entropy");
	(void)ioctl(fd, RNDRESEEDCRNG);
	return 0;
}

static int serve_machine(const struct proto_msg *m, struct err *err)
{
	const struct proto_field *f;
	uint64_t ns;
	int r;

	if (proto_get_u64(m, PROTO_F_CLOCK, &ns, NULL) == 0) {
		struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };

		if (clock_settime(CLOCK_REALTIME, &ts) < 0)
			return err_sys(err, -errno, "clock");
	}
	if ((f = proto_get(m, PROTO_F_ENTROPY)) && (r = add_entropy(f, err)) < 0)
		return r;
	if ((f = proto_get(m, PROTO_F_HOSTNAME)) && sethostname((const char *)f->data, f->len) < 0)
		return err_sys(err, -errno, "hostname");
	if ((f = proto_get(m, PROTO_F_NETWORK)))
		return guest_net_apply((const char *)f->data, f->len, err);
	return 0;
}

/* The size the terminal has on the host now: the session's RESIZE may still be on its way. */
static void size_before_start(const struct proto_msg *m, pid_t pid)
{
	uint32_t rows = proto_u32_or(m, PROTO_F_ROWS, 0), cols = proto_u32_or(m, PROTO_F_COLS, 0);
	cleanup_fd int tty = rows && cols ? tty_of_process(pid) : -1;

	if (tty >= 0)
		(void)tty_set_size(tty, rows, cols);
}

static int serve_start(const struct proto_msg *m, struct err *err)
{
	cleanup_record struct record rec = { .dirfd = -1 };
	cleanup_free char *state = NULL;
	int r = load_record(m, &rec, err);

	if (r < 0)
		return r;
	if (proto_get(m, PROTO_F_TEXT) && (r = proto_get_string(m, PROTO_F_TEXT, &state, err)) < 0)
		return r;
	size_before_start(m, rec.pid);
	return container_start_at(rec.dirfd, rec.config, rec.pid, rec.start_time, state, err);
}

static int serve_kill(const struct proto_msg *m, struct err *err)
{
	cleanup_record struct record rec = { .dirfd = -1 };
	uint32_t sig;
	int r = load_record(m, &rec, err);

	if (r < 0)
		return r;
	r = proto_get_u32(m, PROTO_F_SIGNAL, &sig, err);
	if (r < 0)
		return r;
	if (sig > 64)
		return err_set(err, -EINVAL, "invalid signal %u", sig);
	if (proto_u32_or(m, PROTO_F_ALL, 0))
		return cgroup_kill(rec.cgroup, (int)sig, err);
	return container_kill(rec.pid, rec.start_time, (int)sig, err);
}

static int serve_ps(int fd, const struct proto_msg *m, struct err *err)
{
	cleanup_record struct record rec = { .dirfd = -1 };
	cleanup_free char *text = NULL;
	cleanup_free pid_t *pids = NULL;
	size_t n = 0;
	int r = load_record(m, &rec, err);

	if (r < 0)
		return r;
	r = cgroup_procs(rec.cgroup, &pids, &n, err);
	if (r < 0)
		return r;
	text = guest_ps_json(pids, n);
	return send_text(fd, text) < 0 ? 0 : 1;
}

static int serve_cgroup(const struct proto_msg *m, struct err *err)
{
	cleanup_record struct record rec = { .dirfd = -1 };
	const struct proto_field *f = proto_get(m, PROTO_F_CONFIG);
	struct oci_resources *res = NULL;
	int r = load_record(m, &rec, err);

	if (r < 0)
		return r;
	switch (m->type) {
	case PROTO_PAUSE:
		return cgroup_freeze(rec.cgroup, err);
	case PROTO_RESUME:
		return cgroup_thaw(rec.cgroup, err);
	case PROTO_DELETE:
		forget(&rec);
		return 0;
	default:
		break;
	}
	if (!f)
		return err_set(err, -EPROTO, "agent: update: no resources");
	r = oci_resources_parse((const char *)f->data, f->len, &res, err);
	if (r < 0)
		return r;
	r = cgroup_update(rec.cgroup, res, err);
	oci_resources_free(res);
	return r;
}

/* Serves one request. Returns 1 when it has answered itself, 0 for OK, negative for ERROR. */
static int serve(int fd, const struct proto_msg *m, struct err *err)
{
	int r;

	switch (m->type) {
	case PROTO_HELLO:
		return serve_hello(fd) < 0 ? -EIO : 1;
	case PROTO_MACHINE:
		return serve_machine(m, err);
	case PROTO_CREATE:
		r = serve_create(fd, m, err);
		return r < 0 ? r : 1;
	case PROTO_EXEC:
		r = serve_exec(fd, m, err);
		return r < 0 ? r : 1;
	case PROTO_START:
		return serve_start(m, err);
	case PROTO_KILL:
		return serve_kill(m, err);
	case PROTO_PS:
		return serve_ps(fd, m, err);
	case PROTO_PAUSE:
	case PROTO_RESUME:
	case PROTO_UPDATE:
	case PROTO_DELETE:
		return serve_cgroup(m, err);
	case PROTO_POWEROFF:
		(void)proto_send_type(fd, PROTO_OK);
		sync();
		(void)kill(1, SIGTERM);
		reboot(RB_POWER_OFF);
		return 1;
	default:
		return err_set(err, -EOPNOTSUPP, "agent: '%s' is not a request", proto_type_name(m->type));
	}
}

_Noreturn void guest_agent_serve(int fd)
{
	for (;;) {
		cleanup_proto_msg struct proto_msg m = { 0 };
		struct err err = { 0 };
		int r = proto_recv(fd, -1, &m, &err);

		if (r == 0)
			_exit(0);
		if (r > 0)
			r = serve(fd, &m, &err);
		if (r < 0 && !err.code)
			err_sys(&err, r, "agent");
		r = r < 0 ? proto_send_err(fd, &err) : r == 0 ? proto_send_type(fd, PROTO_OK) : 0;
		if (r < 0 || m.type == PROTO_CREATE || m.type == PROTO_EXEC || err.code == -EPROTO) {
			/* what was said must arrive before the connection goes */
			struct pollfd pfd = { .fd = fd, .events = POLLIN };

			shutdown(fd, SHUT_WR);
			(void)poll(&pfd, 1, 5000);
			_exit(r < 0);
		}
	}
}
