/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual CPUs: one thread each, the exit loop, stopping and pausing. */
#ifndef VM_VCPU_H
#define VM_VCPU_H

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"
#include "vm/bus.h"
#include "vm/kvm.h"

/* Why a vCPU's loop ended. */
enum vcpu_end {
	VCPU_STOPPED,  /* vcpu_set_stop() */
	VCPU_SHUTDOWN, /* triple fault: how guests reboot */
	VCPU_CRASHED,  /* KVM says the guest asked for a crash, or the guest cannot go on */
	VCPU_FAILED    /* KVM_RUN failed or the host's KVM cannot run this guest */
};

/* What all vCPUs of a machine share. Zero it, then vcpu_group_init(). */
struct vcpu_group {
	const struct bus *mmio, *pio;
	/* Called from a vCPU's thread when the guest is over; text says why when it failed. Does not block. */
	void (*ended)(void *arg, enum vcpu_end end, const char *text);
	void *arg;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop, paused;
	unsigned int parked; /* vCPUs that wait because of paused */
};

struct vcpu {
	unsigned int id;
	int fd;
	int stats_fd; /* KVM's counters; -errno where it has none */
	struct kvm_run *run;
	int run_size;
	struct vcpu_group *group;
	pthread_t thread;
	bool started;
};

void vcpu_group_init(struct vcpu_group *g);
/* Creates vCPU id (its APIC id). 0 or -errno. */
int vcpu_create(struct vcpu *v, const struct kvm *k, unsigned int id, struct vcpu_group *g, struct err *err);
/* Starts its thread. 0 or -errno. */
int vcpu_start(struct vcpu *v, struct err *err);
/* Makes all n leave the guest and end. Does not wait. */
void vcpu_stop_all(struct vcpu *v, unsigned int n, struct vcpu_group *g);
/* Makes all wait outside the guest (returns when they do; -ETIMEDOUT when one does not within 10 s) or go on. */
int vcpu_pause_all(struct vcpu *v, unsigned int n, struct vcpu_group *g, bool paused);
/* Waits for the thread. */
void vcpu_join(struct vcpu *v);
void vcpu_free(struct vcpu *v);
/*
 * Runs the loop in the calling thread (vcpu_start() does so in its own): for tiny guests in tests and the probe.
 * *ret_text (may be NULL) is set to a static text when it failed.
 */
enum vcpu_end vcpu_loop(struct vcpu *v, const char **ret_text);

#endif
