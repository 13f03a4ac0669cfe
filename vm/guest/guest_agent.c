/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of the machine: the verbs of struct backend, by the container room.
 *
 * One process a connection (forked by PID 1), single threaded; containers are records (guest_record.c), so that the verbs
 * meet through files as the commands do on the host. CREATE and EXEC turn their connection into a session
 * (guest_session.c) and stay the parent of their process.
 */
#include "vm/guest/guest_agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <linux/random.h>
#include <linux/vm_sockets.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "container/cgroup.h"
#include "container/cgroup_oom.h"
#include "container/cgroup_stats.h"
#include "container/container.h"
#include "container/tty.h"
#include "oci/config.h"
#include "vm/guest/guest_cpu.h"
#include "vm/guest/guest_mount.h"
#include "vm/guest/guest_net.h"
#include "vm/guest/guest_ps.h"
#include "vm/guest/guest_record.h"
#include "vm/guest/guest_session.h"
#include "vm/proto.h"

#define ROOTFS PROTO_EXPORT_DIR "/rootfs"
#define OOM_SCORE "-1000"

int guest_agent_listen(struct err *err)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PROTO_PORT };
	cleanup_fd int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 128) < 0)
		return err_sys(err, -errno, "listen on vsock port %u", PROTO_PORT);
	return steal_fd(fd);
}

/* Was a process of the container killed for want of memory? */
static bool ended(void *arg)
{
	struct guest_record *rec = arg;
	bool oom = rec->cgroup && cgroup_oom_kills(rec->cgroup);

	guest_record_forget(rec);
	if (!rec->sandbox)
		guest_record_end_members(rec);
	return oom;
}

/* ---- verbs that open a session -------------------------------------------------------------------------- */

/* The agent survives what its workloads do not: memory that the machine lacks is taken from them. */
static void oom_score(const char *score)
{
	(void)fd_write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", score);
}

/* Everything of CREATE up to the parked process. */
static int create_container(struct guest_record *rec, struct guest_session *s, const char *rootfs,
			    struct container **ret, struct err *err)
{
	struct container_params p = CONTAINER_PARAMS_INIT;
	int r = guest_record_cgroup(rec, err);

	if (r < 0)
		return r;
	p.config = rec->config;
	p.rootfs = rootfs;
	p.cgroup = rec->cgroup;
	memcpy(p.stdio, s->child, sizeof(p.stdio));
	p.rendezvous_fd = rec->dirfd;
	oom_score("0");
	r = container_create(&p, ret, err);
	oom_score(OOM_SCORE);
	if (r < 0)
		return r;
	guest_session_close_child(s);
	rec->pid = container_pid(*ret);
	rec->start_time = container_start_time(*ret);
	r = guest_record_save(rec, err);
	if (r < 0)
		return r;
	r = container_setup(*ret, NULL, err);
	if (r < 0)
		return r;
	if (s->terminal)
		s->ours[1] = container_console(*ret);
	return 0;
}

static int serve_create(int fd, const struct proto_msg *m, struct err *err)
{
	cleanup_guest_record struct guest_record rec = { .dirfd = -1 };
	const struct proto_field *config = proto_get(m, PROTO_F_CONFIG);
	cleanup_container struct container *c = NULL;
	cleanup_free char *rootfs = NULL;
	struct guest_session s;
	int r = guest_record_take(m, &rec, err);

	if (r < 0)
		return r;
	if (!rec.config->has_process)
		return err_set(err, -EINVAL, "process: required");
	r = guest_mount_export(err);
	if (r < 0)
		return r;
	r = guest_record_make(&rec, config, err);
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
		guest_record_forget(&rec);
		return r;
	}
	if (rec.sandbox)
		guest_record_hold();
	if (guest_session_announce(&s, rec.pid) < 0) {
		container_abort(c);
		guest_record_forget(&rec);
		return 0;
	}
	child_title("amphi-init: session");
	(void)guest_session_run(&s, rec.pid, container_pidfd(c), ended, &rec);
	return 0;
}

/* EXEC's options: {"cgroup": [PATH…], "ignorePaused": BOOL}. */
static int exec_options(const struct proto_msg *m, char ***ret_cgroups, bool *ret_ignore_paused, struct err *err)
{
	const struct proto_field *f = proto_get(m, PROTO_F_OPTIONS);
	cleanup_json_doc struct json_doc *doc = NULL;
	int r;

	if (!f)
		return 0;
	doc = json_parse((const char *)f->data, f->len, "options", err);
	if (!doc)
		return -EINVAL;
	r = json_opt_strv(json_root(doc), "cgroup", ret_cgroups, err);
	if (r >= 0)
		r = json_opt_bool(json_root(doc), "ignorePaused", ret_ignore_paused, err);
	return r < 0 ? r : 0;
}

static int serve_exec(int fd, const struct proto_msg *m, struct err *err)
{
	struct container_exec_params p = CONTAINER_EXEC_INIT;
	struct container_exec_result res = { .pidfd = -1, .console = -1 };
	cleanup_guest_record struct guest_record rec = { .dirfd = -1 };
	const struct proto_field *process = proto_get(m, PROTO_F_PROCESS);
	struct oci_process *proc = NULL;
	cleanup_strv char **sub = NULL;
	struct guest_session s;
	int r = guest_record_load(m, &rec, err);

	if (r < 0)
		return r;
	if (!process)
		return err_set(err, -EPROTO, "agent: exec: no process");
	r = exec_options(m, &sub, &p.ignore_paused, err);
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
		oom_score("0");
		r = container_exec(&p, &res, err);
		oom_score(OOM_SCORE);
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
	uint32_t vcpus;
	uint64_t ns;
	int r;

	if (proto_get_u32(m, PROTO_F_VCPUS, &vcpus, NULL) == 0 && (r = guest_cpu_set(vcpus, err)) < 0)
		return r;

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
	cleanup_guest_record struct guest_record rec = { .dirfd = -1 };
	cleanup_free char *state = NULL;
	int r = guest_record_load(m, &rec, err);

	if (r < 0)
		return r;
	if (proto_get(m, PROTO_F_TEXT) && (r = proto_get_string(m, PROTO_F_TEXT, &state, err)) < 0)
		return r;
	size_before_start(m, rec.pid);
	return container_start_at(rec.dirfd, rec.config, rec.pid, rec.start_time, state, err);
}

static int serve_kill(const struct proto_msg *m, struct err *err)
{
	cleanup_guest_record struct guest_record rec = { .dirfd = -1 };
	uint32_t sig;
	int r = guest_record_load(m, &rec, err);

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
	cleanup_guest_record struct guest_record rec = { .dirfd = -1 };
	cleanup_free char *text = NULL;
	cleanup_free pid_t *pids = NULL;
	size_t n = 0;
	int r = guest_record_load(m, &rec, err);

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
	cleanup_guest_record struct guest_record rec = { .dirfd = -1 };
	const struct proto_field *f = proto_get(m, PROTO_F_CONFIG);
	struct oci_resources *res = NULL;
	int r = guest_record_load(m, &rec, err);

	if (r < 0)
		return r;
	switch (m->type) {
	case PROTO_PAUSE:
		return cgroup_freeze(rec.cgroup, err);
	case PROTO_RESUME:
		return cgroup_thaw(rec.cgroup, err);
	case PROTO_DELETE:
		guest_record_forget(&rec);
		return 0;
	default:
		break;
	}
	if (!f)
		return err_set(err, -EPROTO, "agent: update: no resources");
	r = oci_resources_parse((const char *)f->data, f->len, &res, err);
	if (r < 0)
		return r;
	guest_record_drop_host(res);
	r = cgroup_update(rec.cgroup, res, err);
	oci_resources_free(res);
	return r;
}

static int serve_stats(int fd, const struct proto_msg *m, struct err *err)
{
	cleanup_guest_record struct guest_record rec = { .dirfd = -1 };
	cleanup_cgroup_stats struct cgroup_stats s = { 0 };
	struct proto_writer w = { 0 };
	cleanup_free char *text = NULL;
	struct json_writer j = { 0 };
	int r = guest_record_load(m, &rec, err);

	if (r >= 0)
		r = cgroup_stats_read(rec.cgroup, &s, err);
	if (r < 0)
		return r;
	json_w_object(&j, NULL);
	cgroup_stats_write(&s, &j);
	json_w_object_end(&j);
	text = json_w_steal(&j);
	proto_begin(&w, PROTO_DATA);
	proto_add_string(&w, PROTO_F_TEXT, text);
	proto_add_u32(&w, PROTO_F_VCPUS, guest_cpu_online());
	return proto_send(fd, &w) < 0 ? 0 : 1;
}

/* Lasts until the container or the host's connection ends. */
static int serve_events(int fd, const struct proto_msg *m, struct err *err)
{
	cleanup_guest_record struct guest_record rec = { .dirfd = -1 };
	unsigned long long seen = 0;
	cleanup_fd int oom = -1;
	int r = guest_record_load(m, &rec, err);

	if (r < 0)
		return r;
	oom = cgroup_oom_open(rec.cgroup, err);
	if (oom < 0)
		return oom;
	child_title("amphi-init: events");
	if (proto_send_type(fd, PROTO_OK) < 0)
		return 1;
	for (;;) {
		struct pollfd pfd[2] = { { .fd = oom, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

		if (poll(pfd, 2, -1) < 0 && errno != EINTR)
			return 1;
		r = pfd[0].revents ? cgroup_oom_read(rec.cgroup, oom, &seen) : 0;
		if (r < 0 || pfd[1].revents || (r > 0 && send_text(fd, "oom") < 0))
			return 1;
	}
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
	case PROTO_STATS:
		return serve_stats(fd, m, err);
	case PROTO_EVENTS:
		return serve_events(fd, m, err);
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
	oom_score(OOM_SCORE);
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
		if (r < 0 || m.type == PROTO_CREATE || m.type == PROTO_EXEC || m.type == PROTO_EVENTS ||
		    err.code == -EPROTO) {
			/* what was said must arrive before the connection goes */
			struct pollfd pfd = { .fd = fd, .events = POLLIN };

			shutdown(fd, SHUT_WR);
			(void)poll(&pfd, 1, 5000);
			_exit(r < 0);
		}
	}
}
