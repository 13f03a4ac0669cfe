/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit loop. A vCPU thread lives in KVM_RUN; it comes out for register and port accesses nobody handled in the
 * kernel, for the guest's end, and for a signal.
 *
 * Stopping and pausing: the caller sets the flag under the group's lock, sets immediate_exit in every run page (KVM
 * leaves, or does not even enter, the guest) and sends the kick signal to those already inside. A vCPU that finds -EINTR
 * takes the lock, clears its immediate_exit, and looks at the flags; as both sides hold the lock, no kick is lost.
 * All other signals are blocked in these threads.
 */
#include "vm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "vm/kvm_stats.h"
#include "vm/lockdown.h"

#define KICK_SIGNAL (SIGRTMIN + 2)

static void on_kick(int sig)
{
	(void)sig;
}

void vcpu_group_init(struct vcpu_group *g)
{
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->changed, NULL);
	g->stop = g->paused = false;
	g->parked = 0;
}

int vcpu_create(struct vcpu *v, const struct kvm *k, unsigned int id, struct vcpu_group *g, struct err *err)
{
	memset(v, 0, sizeof(*v));
	v->id = id;
	v->group = g;
	v->run_size = k->run_size;
	v->stats_fd = -1;
	v->fd = kvm_ioctl_val(k->vm_fd, KVM_CREATE_VCPU, id);
	if (v->fd < 0)
		return err_sys(err, v->fd, "KVM_CREATE_VCPU %u", id);
	v->stats_fd = kvm_stats_open(v->fd);
	v->run = mmap(NULL, (size_t)v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return err_sys(err, -errno, "vCPU %u: mapping its state", id);
	}
	return 0;
}

/* After -EINTR: waits while paused. False: the vCPU is to end. */
static bool gate(struct vcpu *v)
{
	struct vcpu_group *g = v->group;
	bool go_on;

	pthread_mutex_lock(&g->lock);
	v->run->immediate_exit = 0;
	if (g->paused && !g->stop) {
		g->parked++;
		pthread_cond_broadcast(&g->changed);
		while (g->paused && !g->stop)
			pthread_cond_wait(&g->changed, &g->lock);
		/* the guest's soft-lockup watchdog is told that time stood still; not every guest has kvmclock */
		if (!g->stop)
			kvm_ioctl_val(v->fd, KVM_KVMCLOCK_CTRL, 0);
		g->parked--;
		pthread_cond_broadcast(&g->changed);
	}
	go_on = !g->stop;
	pthread_mutex_unlock(&g->lock);
	return go_on;
}

static void port_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
		bus_access(v->group->pio, run->io.port, data, run->io.size, run->io.direction == KVM_EXIT_IO_OUT);
}

enum vcpu_end vcpu_loop(struct vcpu *v, const char **ret_text)
{
	struct kvm_run *run = v->run;
	const char *text = NULL;
	enum vcpu_end end;

	for (;;) {
		if (ioctl(v->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN) {
				if (gate(v))
					continue;
				end = VCPU_STOPPED;
				break;
			}
			log_error("vCPU %u: KVM_RUN: %m", v->id);
			text = "KVM_RUN failed";
			end = VCPU_FAILED;
			break;
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			port_io(v);
			continue;
		case KVM_EXIT_MMIO:
			bus_access(v->group->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
				   run->mmio.is_write);
			continue;
		case KVM_EXIT_INTR:
			continue;
		case KVM_EXIT_SHUTDOWN:
			end = VCPU_SHUTDOWN;
			break;
		case KVM_EXIT_SYSTEM_EVENT:
			end = run->system_event.type == KVM_SYSTEM_EVENT_CRASH ? VCPU_CRASHED : VCPU_SHUTDOWN;
			break;
		case KVM_EXIT_HLT: /* only without an in-kernel APIC: nothing will ever wake it */
			end = VCPU_SHUTDOWN;
			break;
		case KVM_EXIT_INTERNAL_ERROR:
			log_error("vCPU %u: KVM internal error, suberror %u", v->id, run->internal.suberror);
			text = run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ?
				"this host's KVM cannot run an instruction of the guest's kernel" :
				"KVM internal error";
			end = VCPU_FAILED;
			break;
		case KVM_EXIT_FAIL_ENTRY:
			log_error("vCPU %u: the hardware refused to enter the guest, reason %#llx", v->id,
				  (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
			text = "the hardware refused to enter the guest";
			end = VCPU_FAILED;
			break;
		default:
			log_error("vCPU %u: exit reason %u is not known", v->id, run->exit_reason);
			text = "unknown exit of the guest";
			end = VCPU_FAILED;
			break;
		}
		break;
	}
	if (ret_text)
		*ret_text = text;
	return end;
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	struct err err = { 0 };
	enum vcpu_end end;
	const char *text;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", v->id);
	pthread_setname_np(pthread_self(), name);
	if (lockdown_thread(LOCKDOWN_VCPU, &err) < 0) {
		log_error("vCPU %u: %s", v->id, err.msg);
		v->group->ended(v->group->arg, VCPU_FAILED, "its thread could not be locked down");
		return NULL;
	}
	end = vcpu_loop(v, &text);
	v->group->ended(v->group->arg, end, text);
	return NULL;
}

int vcpu_start(struct vcpu *v, struct err *err)
{
	struct sigaction sa = { .sa_handler = on_kick };
	sigset_t all, old;
	int r;

	sigemptyset(&sa.sa_mask);
	if (sigaction(KICK_SIGNAL, &sa, NULL))
		return err_sys(err, -errno, "sigaction");
	sigfillset(&all);
	sigdelset(&all, KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&v->thread, NULL, vcpu_main, v);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return err_sys(err, -r, "vCPU %u: thread", v->id);
	v->started = true;
	return 0;
}

/* With the group's lock held: everybody out of the guest. */
static void kick_all(struct vcpu *v, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!v[i].started)
			continue;
		__atomic_store_n(&v[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(v[i].thread, KICK_SIGNAL);
	}
}

void vcpu_stop_all(struct vcpu *v, unsigned int n, struct vcpu_group *g)
{
	pthread_mutex_lock(&g->lock);
	g->stop = true;
	kick_all(v, n);
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

int vcpu_pause_all(struct vcpu *v, unsigned int n, struct vcpu_group *g, bool paused)
{
	unsigned int running = 0;
	struct timespec limit;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 10;
	pthread_mutex_lock(&g->lock);
	if (paused && !g->paused && !g->stop) {
		for (unsigned int i = 0; i < n; i++)
			running += v[i].started;
		g->paused = true;
		kick_all(v, n);
		while (g->parked < running && !g->stop && !r)
			r = pthread_cond_timedwait(&g->changed, &g->lock, &limit);
		if (r)
			g->paused = false;
	} else if (!paused) {
		g->paused = false;
	}
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
	return -r;
}

void vcpu_join(struct vcpu *v)
{
	if (!v->started)
		return;
	pthread_join(v->thread, NULL);
	v->started = false;
}

void vcpu_free(struct vcpu *v)
{
	if (v->run)
		munmap(v->run, (size_t)v->run_size);
	if (v->stats_fd >= 0)
		close(v->stats_fd);
	if (v->fd >= 0)
		close(v->fd);
	v->run = NULL;
	v->fd = v->stats_fd = -1;
}
