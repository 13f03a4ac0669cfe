/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor process. */
/*
 * Theory of operation: one process in the jail, PID 1 of its pid namespace, whose exit status is the workload's. Its
 * main thread waits for word of `amphi create` over a control socket, builds the machine, lets a second thread run
 * it, and then relays the workload's stdio. Messages on the socket, in order: BOOT with the taps → (the machine runs;
 * create talks to the agent by the agent socket) → SESSION with the workload's connections → READY back. A create
 * that dies before the hand-over closes the socket, and the monitor ends with it. FAILED tells why the machine could
 * not run. When the guest reports the exit, the process exits: what the guest wrote is on the host by then, and
 * everything else (vCPUs, devices, QEMU by its pid namespace) ends with the process.
 *
 * A member of a pod has a process of the same kind without a machine: it knows SESSION and READY only.
 */
#include "runtime/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "container/tty.h"
#include "runtime/jail.h"
#include "runtime/oomfill.h"
#include "vm/lockdown.h"
#include "vm/reopen.h"
#include "vm/streams.h"

#define EXIT_LOST 255 /* the machine was lost: never 0, and no signal's number */

/* What BOOT can carry. */
#define BOOT_FDS_MAX (VM_NICS_MAX * VM_NIC_QUEUES_MAX * 2)

enum message_type { MESSAGE_BOOT = 1, MESSAGE_SESSION, MESSAGE_READY, MESSAGE_FAILED };

struct message {
	uint32_t type;
	uint32_t n_nics;
	struct {
		uint8_t mac[6];
		uint16_t mtu;
		uint8_t queues;
		bool vhost; /* so many descriptors of the tap, and behind them of vhost-net */
	} nics[VM_NICS_MAX];
	uint32_t terminal;
	int32_t guest_pid;
	struct err err;
};

/* The machine's thread and what it leaves. */
struct machine {
	struct monitor *m;
	struct vm *vm;
	int lost_fd; /* eventfd: run() returned */
	struct err err;
	struct vm_exit exit;
	int result;
};

static void *run_machine(void *arg)
{
	struct machine *mc = arg;
	uint64_t one = 1;

	mc->result = mc->m->driver->run(mc->vm, &mc->exit, &mc->err);
	(void)!write(mc->lost_fd, &one, sizeof(one));
	return NULL;
}

static void tell_failure(int control, const struct err *err)
{
	struct message msg = { .type = MESSAGE_FAILED, .err = *err };

	(void)send(control, &msg, sizeof(msg), MSG_NOSIGNAL);
}

/* Receives one message with its fds; 0 at the end of the peer. */
static ssize_t receive(int control, struct message *msg, int *fds, size_t *n)
{
	ssize_t r = fd_recv(control, msg, sizeof(*msg), fds, n);

	if (r > 0 && r != (ssize_t)sizeof(*msg))
		return -EPROTO;
	return r;
}

static int take_boot(struct monitor *m, struct err *err)
{
	int fds[BOOT_FDS_MAX];
	size_t n = BOOT_FDS_MAX, at = 0;
	struct message msg;
	ssize_t r = receive(m->control, &msg, fds, &n);

	if (r <= 0 || msg.type != MESSAGE_BOOT)
		return err_set(err, -ECANCELED, "create ended before the machine was started");
	for (size_t i = 0; i < msg.n_nics; i++) {
		struct vm_nic *nic = &m->spec.nics[i];
		size_t len = msg.nics[i].queues * sizeof(fds[0]);

		if (at + msg.nics[i].queues * (msg.nics[i].vhost ? 2 : 1) > n)
			return err_set(err, -EPROTO, "the machine's taps did not arrive");
		nic->queues = msg.nics[i].queues;
		memcpy(nic->mac, msg.nics[i].mac, sizeof(msg.nics[i].mac));
		nic->mtu = msg.nics[i].mtu;
		memcpy(nic->tap_fds, fds + at, len);
		at += nic->queues;
		if (msg.nics[i].vhost) {
			memcpy(nic->vhost_fds, fds + at, len);
			at += nic->queues;
		}
	}
	m->spec.n_nics = msg.n_nics;
	return 0;
}

/* Waits for the workload's session. 0, or negative when create or the machine went away first. */
static int take_session(struct monitor *m, struct machine *mc, struct agent_session *s, struct err *err)
{
	struct pollfd pfd[2] = { { .fd = m->control, .events = POLLIN }, { .fd = mc->lost_fd, .events = POLLIN } };
	struct message msg;
	int fds[4];
	size_t n = 4;

	while (poll(pfd, 2, -1) < 0)
		if (errno != EINTR)
			return err_sys(err, -errno, "poll");
	if (pfd[1].revents) {
		if (mc->err.code)
			return err_set(err, mc->err.code, "the machine ended while starting: %s", mc->err.msg);
		return err_set(err, -ENOTCONN, "the machine ended while starting (%s)", vm_exit_name(mc->exit.reason));
	}
	if (receive(m->control, &msg, fds, &n) <= 0 || msg.type != MESSAGE_SESSION || n != (msg.terminal ? 2 : 4))
		return err_set(err, -ECANCELED, "create ended before the workload was created");
	*s = AGENT_SESSION_NONE;
	s->terminal = msg.terminal;
	s->guest_pid = msg.guest_pid;
	s->control = fds[0];
	if (s->terminal) {
		s->out = fds[1];
	} else {
		s->in = fds[1];
		s->out = fds[2];
		s->errout = fds[3];
	}
	msg = (struct message){ .type = MESSAGE_READY };
	(void)send(m->control, &msg, sizeof(msg), MSG_NOSIGNAL);
	return 0;
}

static int relay(struct monitor *m, struct machine *mc, struct agent_session *s)
{
	struct streams st = { .session = s,
			      .in = 0,
			      .out = 1,
			      .errout = m->terminal ? -1 : 2,
			      .terminal = m->terminal,
			      .signals = true,
			      .lost_fd = mc->lost_fd };
	struct err err = { 0 };
	int r = streams_run(&st, &err);

	if (r >= 0 && st.oom)
		oomfill(m->limit, mc->lost_fd);
	if (r >= 0)
		return r;
	log_error("%s: %s", m->spec.name, mc->err.code ? mc->err.msg : err.msg);
	return EXIT_LOST;
}

/* What both kinds of process begin with. */
static int begin(struct monitor *m, const char *title, struct err *err)
{
	sigset_t set;
	int r;

	child_title(title);
	(void)signal(SIGPIPE, SIG_IGN);
	/* what streams_run() forwards later must wait until then */
	sigemptyset(&set);
	for (size_t i = 0; i < 6; i++)
		sigaddset(&set, ((const int[]){ SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 })[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	r = m->terminal ? tty_make_controlling(0) : 0;
	return r < 0 ? err_sys(err, r, "make the terminal the controlling one") : 0;
}

int monitor_member_main(void *arg, struct err *err)
{
	struct monitor *m = arg;
	struct machine mc = { .m = m, .lost_fd = -1 };
	struct agent_session s = AGENT_SESSION_NONE;
	int r = begin(m, "amphi:[pod]", err);

	if (!r)
		r = lockdown_process((enum lockdown_mode)m->spec.lockdown, err);
	if (!r)
		r = lockdown_thread(LOCKDOWN_MAIN, err);
	if (!r)
		r = take_session(m, &mc, &s, err);
	if (r < 0) {
		tell_failure(m->control, err);
		return r;
	}
	close(m->control);
	return relay(m, &mc, &s);
}

int monitor_main(void *arg, struct err *err)
{
	struct monitor *m = arg;
	struct machine mc = { .m = m, .lost_fd = -1 };
	struct agent_session s = AGENT_SESSION_NONE;
	pthread_t thread;
	int r = begin(m, "amphi:[vmm]", err);

	if (r < 0)
		return r;
	r = take_boot(m, err);
	if (r < 0)
		return r;
	/* before any other thread: capabilities and no_new_privs are each thread's own */
	m->spec.reopen = reopen_start((enum lockdown_mode)m->spec.lockdown, err);
	if (!m->spec.reopen)
		return err->code ? err->code : -EIO;
	r = lockdown_process((enum lockdown_mode)m->spec.lockdown, err);
	if (r < 0)
		return r;
	m->spec.export_fd = open(JAIL_EXPORT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mc.lost_fd = eventfd(0, EFD_CLOEXEC);
	if (m->spec.export_fd < 0 || mc.lost_fd < 0)
		r = err_sys(err, -errno, "the monitor's jail");
	if (r == 0)
		r = m->driver->build(&m->spec, &mc.vm, err);
	if (r == 0 && m->spec.kvm_fd >= 0) { /* one machine is all this process may make */
		close(m->spec.kvm_fd);
		m->spec.kvm_fd = -1;
	}
	if (r == 0 && (errno = pthread_create(&thread, NULL, run_machine, &mc)))
		r = err_sys(err, -errno, "thread of the machine");
	if (r == 0)
		r = take_session(m, &mc, &s, err);
	if (r < 0) {
		tell_failure(m->control, err);
		return r;
	}
	close(m->control);
	/* from here on this thread only relays; the machine's threads are locked already */
	r = lockdown_thread(LOCKDOWN_MAIN, err);
	return r < 0 ? r : relay(m, &mc, &s);
}

int monitor_boot(int control, const struct vm_nic *nics, unsigned int n, struct err *err)
{
	struct message msg = { .type = MESSAGE_BOOT, .n_nics = n };
	int fds[BOOT_FDS_MAX], r;
	size_t at = 0;

	for (unsigned int i = 0; i < n; i++) {
		size_t len = nics[i].queues * sizeof(fds[0]);

		memcpy(msg.nics[i].mac, nics[i].mac, sizeof(msg.nics[i].mac));
		msg.nics[i].mtu = nics[i].mtu;
		msg.nics[i].queues = (uint8_t)nics[i].queues;
		msg.nics[i].vhost = nics[i].vhost_fds[0] >= 0;
		memcpy(fds + at, nics[i].tap_fds, len);
		at += nics[i].queues;
		if (msg.nics[i].vhost) {
			memcpy(fds + at, nics[i].vhost_fds, len);
			at += nics[i].queues;
		}
	}
	r = fd_send(control, &msg, sizeof(msg), fds, at);
	return r < 0 ? err_sys(err, r, "boot the machine") : 0;
}

int monitor_hand_over(int control, const struct agent_session *s, struct err *err)
{
	struct message msg = { .type = MESSAGE_SESSION, .terminal = s->terminal, .guest_pid = s->guest_pid };
	int fds[4] = { s->control, s->terminal ? s->out : s->in, s->out, s->errout }, r;
	size_t n = 0;

	r = fd_send(control, &msg, sizeof(msg), fds, s->terminal ? 2 : 4);
	if (r < 0)
		return err_sys(err, r, "the monitor");
	if (receive(control, &msg, NULL, &n) <= 0)
		return err_set(err, -ENOTCONN, "the monitor ended while the workload was created");
	if (msg.type == MESSAGE_FAILED)
		return err_set(err, msg.err.code ? msg.err.code : -EIO, "%s", msg.err.msg);
	return msg.type == MESSAGE_READY ? 0 : err_set(err, -EPROTO, "the monitor: unexpected message");
}

int monitor_failure(int control, struct err *err)
{
	struct pollfd pfd = { .fd = control, .events = POLLIN };
	struct message msg;
	size_t n = 0;

	if (poll(&pfd, 1, 2000) > 0 && receive(control, &msg, NULL, &n) > 0 && msg.type == MESSAGE_FAILED &&
	    msg.err.code)
		err_set(err, msg.err.code, "%s", msg.err.msg);
	return err && err->code ? err->code : -EIO;
}
