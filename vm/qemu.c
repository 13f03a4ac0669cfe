/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fallback driver: a machine under the system's QEMU.
 *
 * build() makes the device cores; run() locks the process down, starts a vhost-user thread for each core and QEMU as a
 * child (killed with the thread that calls run(), no descriptors but its own, stdout the console, which goes where stderr
 * does when it has no file) and supervises it from one poll loop: the child's end, its stderr (last line kept, all of it in
 * the debug log, a panic of the guest in the log), QMP, the agent's report, orders from other threads, stop_fd.
 *
 * How it ends: QMP's SHUTDOWN event says whether the guest powered off or reset itself; a reset without a report is a
 * crash (reboot=t, panic=-1). QEMU ending in any other way without a report is VM_EXIT_FAILED, "the machine was lost".
 *
 * Pausing is SIGSTOP: QMP's "stop" would make QEMU give the rings back, and with them everything the guest has open.
 *
 * Orders come from the vsock thread, whose seccomp filter allows neither signals nor files: the poll loop does them.
 */
#include "vm/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/lockdown.h"
#include "vm/probe.h"
#include "vm/qemu_args.h"
#include "vm/report.h"
#include "vm/vhost_user.h"
#include "vm/virtio.h"
#include "vm/virtio_fs.h"
#include "vm/virtio_vsock.h"

const char *const qemu_host_paths[] = {
	"/usr", "/lib", "/lib64", "/lib32", "/libx32", "/bin", "/etc/ld.so.cache", "/etc/alternatives", NULL,
};

static const char *const binaries[] = {
	"/usr/bin/qemu-system-x86_64",
	"/usr/local/bin/qemu-system-x86_64",
	"/usr/libexec/qemu-kvm",
	NULL,
};

enum order { ORDER_NONE, ORDER_PAUSE, ORDER_RESUME, ORDER_BALLOON, ORDER_STATS, ORDER_STOP };

#define LINE_MAX_ 4096

struct qemu {
	const struct vm_spec *spec;
	char *binary; /* owned */
	bool kvm;
	struct virtio_device *fs_dev, *vsock_dev; /* owned until served */
	struct vhost_user *fs, *vsock;
	struct virtio_device *fs_core; /* the same, also while it is served */
	struct report report;
	int fs_fd, vsock_fd, qmp_fd; /* QEMU's ends until it runs */
	/* running */
	pid_t pid;
	int pidfd, stderr_fd, qmp, event_fd;
	struct str err_line, last_line, qmp_line;
	bool qmp_ready, ended, stopping;
	bool guest_shutdown, guest_reset;
	bool panicked;   /* seen on the console */
	struct err fail; /* why run() gave up */
	/* orders, under lock */
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool loop_runs;
	enum order order;
	uint64_t order_value;
	int order_result;
	uint64_t balloon_bytes, rss_bytes;
};

static struct qemu *self(struct vm *vm)
{
	return (struct qemu *)vm;
}

static const char *find_binary(void)
{
	const char *env = getenv("AMPHI_QEMU");

	if (env && *env)
		return env;
	for (size_t n = 0; binaries[n]; n++)
		if (access(binaries[n], X_OK) == 0)
			return binaries[n];
	return NULL;
}

static int qemu_probe(struct err *err)
{
	const char *binary = find_binary();

	if (!binary || access(binary, X_OK) < 0)
		return err_set(err, ENOENT, "QEMU: %s: not found; install qemu-system-x86",
			       binary ? binary : "qemu-system-x86_64");
	return 0;
}

static int qemu_prepare(struct vm_spec *spec, struct err *err)
{
	return qemu_probe(err);
}

static int guest_connect(void *arg, uint32_t port)
{
	struct qemu *q = arg;

	if (port == VM_PORT_EXIT)
		return report_connect(&q->report);
	if (q->spec->guest_connect)
		return q->spec->guest_connect(q->spec->guest_connect_arg, port);
	return -ECONNREFUSED;
}

static void control(void *arg, const char *line, char *reply, size_t reply_len)
{
	vm_control_line(&qemu_driver, arg, line, reply, reply_len);
}

static int pair(int *ret_ours, int *ret_theirs, struct err *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_sys(err, -errno, "QEMU: socketpair");
	*ret_ours = fds[0];
	*ret_theirs = fds[1];
	return 0;
}

/* Serves *dev (taken) to QEMU's end *ret_fd, if there is one. */
static int serve(struct virtio_device **dev, unsigned int nqueues, struct vhost_user **ret, int *ret_fd,
		 struct err *err)
{
	int ours = -1, r;

	if (!*dev)
		return 0;
	r = pair(&ours, ret_fd, err);
	if (r < 0)
		return r;
	*ret = vhost_user_start(*dev, ours, nqueues, err);
	if (!*ret) {
		close(ours);
		return err->code;
	}
	*dev = NULL;
	return 0;
}

static int build_vsock(struct qemu *q, struct err *err)
{
	struct virtio_vsock_params p = {
		.listen_fd = fcntl(q->spec->agent_listen_fd, F_DUPFD_CLOEXEC, 3),
		.guest_cid = VM_GUEST_CID,
		.guest_connect = guest_connect,
		.control = control,
		.arg = q,
	};

	if (p.listen_fd < 0)
		return err_sys(err, -errno, "QEMU: agent socket");
	q->vsock_dev = virtio_vsock_new(&p, err);
	if (!q->vsock_dev)
		close(p.listen_fd);
	return q->vsock_dev ? 0 : err->code;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void qemu_free(struct vm *vm)
{
	struct qemu *q = self(vm);

	if (!q)
		return;
	close_fd(&q->fs_fd);
	close_fd(&q->vsock_fd);
	close_fd(&q->qmp_fd);
	close_fd(&q->qmp);
	vhost_user_stop(q->vsock);
	vhost_user_stop(q->fs);
	virtio_free(q->vsock_dev);
	virtio_free(q->fs_dev);
	report_free(&q->report);
	close_fd(&q->event_fd);
	str_free(&q->err_line);
	str_free(&q->last_line);
	str_free(&q->qmp_line);
	pthread_cond_destroy(&q->done);
	pthread_mutex_destroy(&q->lock);
	free(q->binary);
	free(q);
}

static int qemu_build(const struct vm_spec *spec, struct vm **ret, struct err *err)
{
	const char *accel = getenv("AMPHI_QEMU_ACCEL");
	struct err ignored = { 0 };
	struct qemu *q;
	int r = qemu_probe(err);

	if (r < 0)
		return r;
	if (!spec->kernel_path)
		return err_set(err, EINVAL, "QEMU: no kernel");
	if (!spec->vcpus || spec->n_nics > VM_NICS_MAX)
		return err_set(err, EINVAL, "QEMU: %u vCPUs and %u network interfaces", spec->vcpus, spec->n_nics);
	q = xcalloc(1, sizeof(*q));
	q->spec = spec;
	q->fs_fd = q->vsock_fd = q->qmp_fd = q->pidfd = q->stderr_fd = q->qmp = q->event_fd = -1;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->done, NULL);
	q->binary = xstrdup(find_binary());
	q->kvm = accel ? strcmp(accel, "kvm") == 0 : probe_kvm(&ignored) == 0;
	r = report_init(&q->report, err);
	if (r == 0) {
		q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = q->event_fd < 0 ? err_sys(err, -errno, "QEMU: eventfd") : pair(&q->qmp, &q->qmp_fd, err);
	}
	if (r == 0 && spec->export_fd >= 0) {
		q->fs_core = q->fs_dev = vm_fs_new(spec, err);
		r = q->fs_dev ? 0 : err->code;
	}
	if (r == 0 && spec->agent_listen_fd >= 0)
		r = build_vsock(q, err);
	if (r < 0) {
		qemu_free((struct vm *)q);
		return r;
	}
	*ret = (struct vm *)q;
	return 0;
}

/* The host's TSC rate against the raw clock, within a few parts in 10^5. 0 where there is none. */
static unsigned long tsc_khz(void)
{
	struct timespec a, b, wait = { .tv_nsec = 20000000 };
	unsigned long long from, to;
	double ns;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	from = __rdtsc();
	nanosleep(&wait, NULL);
	clock_gettime(CLOCK_MONOTONIC_RAW, &b);
	to = __rdtsc();
	ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
	return ns > 0 && to > from ? (unsigned long)((double)(to - from) * 1e6 / ns) : 0;
}

/* In the child: nothing but system calls from here on. */
static void child(struct qemu *q, char *const argv[], int err_fd, pid_t parent)
{
	const int keep[] = { q->qmp_fd, q->fs_fd, q->vsock_fd };
	int in = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The console first: it may be one of 0..2. */
	if (dup2(q->spec->console_fd >= 0 ? q->spec->console_fd : err_fd, 1) < 0 || dup2(in, 0) < 0 ||
	    dup2(err_fd, 2) < 0)
		_exit(127);
	fd_cloexec_from(3);
	for (size_t n = 0; n < ARRAY_SIZE(keep); n++)
		if (keep[n] >= 0)
			fcntl(keep[n], F_SETFD, 0);
	for (unsigned int n = 0; n < q->spec->n_nics; n++)
		for (unsigned int k = 0; k < q->spec->nics[n].queues; k++)
			fcntl(q->spec->nics[n].tap_fds[k], F_SETFD, 0);
	execv(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int start(struct qemu *q, struct err *err)
{
	struct qemu_args a = {
		.binary = q->binary,
		.kvm = q->kvm,
		.tsc_khz = q->kvm ? 0 : tsc_khz(),
		.qmp_fd = q->qmp_fd,
		.fs_fd = q->fs_fd,
		.vsock_fd = q->vsock_fd,
		.sandbox = true,
	};
	cleanup_strv char **argv = qemu_args_build(q->spec, &a, err);
	cleanup_free char *line = NULL;
	pid_t parent = getpid();
	int pipe_fds[2];

	if (!argv)
		return err->code;
	line = strv_join(argv, " ");
	log_debug("QEMU: %s", line);
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, -errno, "QEMU: pipe");
	q->pid = fork();
	if (q->pid == 0)
		child(q, argv, pipe_fds[1], parent);
	close(pipe_fds[1]);
	q->stderr_fd = pipe_fds[0];
	close_fd(&q->qmp_fd);
	close_fd(&q->fs_fd);
	close_fd(&q->vsock_fd);
	if (q->pid < 0)
		return err_sys(err, -errno, "QEMU: fork");
	q->pidfd = fd_pidfd_open(q->pid);
	return q->pidfd < 0 ? err_sys(err, q->pidfd, "QEMU: pidfd") : 0;
}

static void stderr_ready(struct qemu *q)
{
	char buf[1024];
	ssize_t n = read(q->stderr_fd, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_fd(&q->stderr_fd);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != '\n') {
			if (q->err_line.len < ERR_MSG_MAX / 2)
				str_addc(&q->err_line, buf[i]);
			continue;
		}
		if (!q->err_line.len)
			continue;
		log_debug("QEMU: %s", str_get(&q->err_line));
		vm_console_line(str_get(&q->err_line), &q->panicked);
		str_free(&q->last_line);
		q->last_line = q->err_line;
		q->err_line = (struct str){ 0 };
	}
}

static void qmp_send(struct qemu *q, const char *text)
{
	if (send(q->qmp, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("QEMU: QMP: %m");
}

/* What the guest has given, which it takes back when it runs out of memory. */
static void balloon_changed(struct qemu *q, const struct json *data)
{
	struct err ignored = { 0 };
	uint64_t left = 0;

	if (json_opt_u64(data, "actual", &left, &ignored) <= 0 || left > q->spec->memory_bytes)
		return;
	pthread_mutex_lock(&q->lock);
	q->balloon_bytes = q->spec->memory_bytes - left;
	pthread_mutex_unlock(&q->lock);
}

static void qmp_event(struct qemu *q, const struct json *root)
{
	cleanup_free char *event = NULL;
	cleanup_free char *reason = NULL;
	struct err ignored = { 0 };

	if (json_get(root, "QMP")) {
		qmp_send(q, "{\"execute\":\"qmp_capabilities\"}\n");
		q->qmp_ready = true;
	}
	json_opt_string(root, "event", &event, &ignored);
	if (!event || !json_get(root, "data"))
		return;
	if (strcmp(event, "BALLOON_CHANGE") == 0) {
		balloon_changed(q, json_get(root, "data"));
		return;
	}
	if (strcmp(event, "SHUTDOWN") != 0)
		return;
	json_opt_string(json_get(root, "data"), "reason", &reason, &ignored);
	log_debug("QEMU: shutdown: %s", reason ? reason : "?");
	if (reason && strcmp(reason, "guest-shutdown") == 0)
		q->guest_shutdown = true;
	else if (reason && (strcmp(reason, "guest-reset") == 0 || strcmp(reason, "guest-panic") == 0))
		q->guest_reset = true;
}

static void qmp_text(struct qemu *q)
{
	struct err ignored = { 0 };
	cleanup_json_doc struct json_doc *doc = NULL;

	if (!q->qmp_line.len)
		return;
	doc = json_parse(q->qmp_line.s, q->qmp_line.len, "QMP", &ignored);
	if (doc && json_root(doc)->type == JSON_OBJECT)
		qmp_event(q, json_root(doc));
	str_free(&q->qmp_line);
	q->qmp_line = (struct str){ 0 };
}

static void qmp_readable(struct qemu *q)
{
	char buf[1024];
	ssize_t n = recv(q->qmp, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_fd(&q->qmp);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n')
			qmp_text(q);
		else if (buf[i] != '\r' && q->qmp_line.len < LINE_MAX_)
			str_addc(&q->qmp_line, buf[i]);
	}
}

/* Resident pages of a process in bytes; 0 when it is gone. */
static uint64_t rss(pid_t pid)
{
	cleanup_free char *path = xasprintf("/proc/%d/statm", (int)pid);
	cleanup_free char *text = NULL;
	unsigned long long pages = 0;
	size_t len;

	if (fd_slurp_at(AT_FDCWD, path, 4096, &text, &len) < 0 || sscanf(text, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int do_order(struct qemu *q)
{
	char text[128];

	switch (q->order) {
	case ORDER_PAUSE:
		return fd_pidfd_kill(q->pidfd, SIGSTOP);
	case ORDER_RESUME:
		return fd_pidfd_kill(q->pidfd, SIGCONT);
	case ORDER_STATS:
		q->rss_bytes = rss(q->pid) + rss(getpid());
		return 0;
	case ORDER_STOP:
		q->stopping = true;
		return fd_pidfd_kill(q->pidfd, SIGKILL);
	case ORDER_BALLOON:
		if (!q->qmp_ready || q->order_value > q->spec->memory_bytes)
			return -EINVAL;
		/* QMP counts what is left to the guest. */
		snprintf(text, sizeof(text), "{\"execute\":\"balloon\",\"arguments\":{\"value\":%llu}}\n",
			 (unsigned long long)(q->spec->memory_bytes - q->order_value));
		qmp_send(q, text);
		return 0;
	default:
		return 0;
	}
}

static void orders(struct qemu *q)
{
	uint64_t n;

	if (read(q->event_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&q->lock);
	if (q->order) {
		q->order_result = do_order(q);
		q->order = ORDER_NONE;
		pthread_cond_broadcast(&q->done);
	}
	pthread_mutex_unlock(&q->lock);
}

static void supervise(struct qemu *q)
{
	enum { CHILD, ERRORS, QMP, REPORT, ORDERS, STOP, N };
	struct pollfd p[N];

	for (;;) {
		const int fds[N] = { q->pidfd,           q->stderr_fd, q->qmp,
				     q->report.epoll_fd, q->event_fd,  q->stopping ? -1 : q->spec->stop_fd };

		for (int n = 0; n < N; n++)
			p[n] = (struct pollfd){ .fd = fds[n], .events = POLLIN };
		if (poll(p, N, -1) < 0)
			continue;
		if (p[ERRORS].revents)
			stderr_ready(q);
		if (p[QMP].revents)
			qmp_readable(q);
		if (p[REPORT].revents)
			report_handle(&q->report);
		if (p[ORDERS].revents)
			orders(q);
		if (p[STOP].revents) {
			q->stopping = true;
			fd_pidfd_kill(q->pidfd, SIGKILL);
		}
		if (p[CHILD].revents)
			return;
	}
}

/* What is still in the pipes when QEMU is gone. */
static void drain(struct qemu *q)
{
	struct pollfd p[2];

	for (;;) {
		p[0] = (struct pollfd){ .fd = q->stderr_fd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = q->qmp, .events = POLLIN };
		if (poll(p, 2, 0) <= 0)
			break;
		if (p[0].revents)
			stderr_ready(q);
		if (p[1].revents)
			qmp_readable(q);
	}
	if (q->err_line.len) {
		str_free(&q->last_line);
		q->last_line = q->err_line;
		q->err_line = (struct str){ 0 };
	}
}

static int conclude(struct qemu *q, int status, struct vm_exit *ret, struct err *err)
{
	bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	report_handle(&q->report);
	ret->has_status = q->report.has_status;
	ret->status = q->report.status;
	if (q->stopping) {
		ret->reason = VM_EXIT_STOPPED;
		return 0;
	}
	if (clean) {
		ret->reason =
			q->guest_reset && !q->guest_shutdown && !ret->has_status ? VM_EXIT_CRASH : VM_EXIT_POWEROFF;
		return 0;
	}
	ret->reason = VM_EXIT_FAILED;
	if (ret->has_status)
		return 0;
	if (WIFSIGNALED(status))
		return err_set(err, EIO, "the machine was lost: QEMU was killed by signal %d%s%s", WTERMSIG(status),
			       q->last_line.len ? ": " : "", str_get(&q->last_line));
	return err_set(err, EIO, "the machine was lost: QEMU ended with status %d%s%s", WEXITSTATUS(status),
		       q->last_line.len ? ": " : "", str_get(&q->last_line));
}

static int qemu_run(struct vm *vm, struct vm_exit *ret, struct err *err)
{
	struct qemu *q = self(vm);
	int status = 0, r;

	memset(ret, 0, sizeof(*ret));
	ret->reason = VM_EXIT_FAILED;
	/* This thread only when QEMU runs: its filter would be QEMU's too, which brings its own. */
	r = lockdown_process((enum lockdown_mode)q->spec->lockdown, err);
	/* QEMU keeps the event queue of vsock. */
	if (r == 0)
		r = serve(&q->fs_dev, vm_fs_queues(q->spec), &q->fs, &q->fs_fd, err);
	if (r == 0)
		r = serve(&q->vsock_dev, 2, &q->vsock, &q->vsock_fd, err);
	if (r == 0)
		r = start(q, err);
	if (r == 0)
		r = lockdown_thread(LOCKDOWN_MAIN, err);
	if (r < 0) {
		if (q->pid > 0) {
			kill(q->pid, SIGKILL);
			child_wait(q->pid, &status);
		}
		return r;
	}
	pthread_mutex_lock(&q->lock);
	q->loop_runs = true;
	pthread_mutex_unlock(&q->lock);
	supervise(q);
	pthread_mutex_lock(&q->lock);
	q->loop_runs = false;
	q->order_result = -ESRCH;
	q->order = ORDER_NONE;
	pthread_cond_broadcast(&q->done);
	pthread_mutex_unlock(&q->lock);
	child_wait(q->pid, &status);
	drain(q);
	close_fd(&q->pidfd);
	close_fd(&q->stderr_fd);
	return conclude(q, status, ret, err);
}

/* Has the poll loop do it, and waits for that. */
static int give_order(struct qemu *q, enum order order, uint64_t value)
{
	uint64_t one = 1;
	int r = -ESRCH;

	pthread_mutex_lock(&q->lock);
	while (q->loop_runs && q->order)
		pthread_cond_wait(&q->done, &q->lock);
	if (q->loop_runs) {
		q->order = order;
		q->order_value = value;
		if (write(q->event_fd, &one, sizeof(one)) < 0)
			log_debug("QEMU: event: %m");
		while (q->loop_runs && q->order)
			pthread_cond_wait(&q->done, &q->lock);
		r = q->order_result;
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}

static void qemu_stop(struct vm *vm)
{
	give_order(self(vm), ORDER_STOP, 0);
}

static int qemu_pause(struct vm *vm, bool paused, struct err *err)
{
	int r = give_order(self(vm), paused ? ORDER_PAUSE : ORDER_RESUME, 0);

	return r < 0 ? err_sys(err, r, "machine: %s", paused ? "pause" : "resume") : 0;
}

static int qemu_set_balloon(struct vm *vm, uint64_t bytes, struct err *err)
{
	struct qemu *q = self(vm);
	int r;

	if (q->spec->no_balloon)
		return err_set(err, EOPNOTSUPP, "machine: it has no balloon");
	r = give_order(q, ORDER_BALLOON, bytes);
	return r < 0 ? err_sys(err, r, "machine: balloon") : 0;
}

static int qemu_release(struct vm *vm, const char *path, struct err *err)
{
	int r = virtio_fs_release(self(vm)->fs_core, path);

	return r < 0 ? err_sys(err, r, "machine: %s", path) : 0;
}

static int qemu_stats(struct vm *vm, struct vm_stats *ret, struct err *err)
{
	struct qemu *q = self(vm);

	*ret = (struct vm_stats){ .memory_bytes = q->spec->memory_bytes };
	give_order(q, ORDER_STATS, 0);
	pthread_mutex_lock(&q->lock);
	ret->balloon_bytes = q->balloon_bytes;
	ret->rss_bytes = q->rss_bytes;
	pthread_mutex_unlock(&q->lock);
	ret->vcpus = q->spec->vcpus_max > q->spec->vcpus ? q->spec->vcpus_max : q->spec->vcpus;
	return 0;
}

const struct vm_driver qemu_driver = {
	.name = "qemu",
	.probe = qemu_probe,
	.prepare = qemu_prepare,
	.build = qemu_build,
	.run = qemu_run,
	.stop = qemu_stop,
	.pause = qemu_pause,
	.set_balloon = qemu_set_balloon,
	.release = qemu_release,
	.stats = qemu_stats,
	.free = qemu_free,
};
