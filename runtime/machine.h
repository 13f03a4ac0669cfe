/* SPDX-License-Identifier: Apache-2.0 */
/* What backend_vm knows of one machine while creating it: the decisions, the kernel, the jail. */
#ifndef RUNTIME_MACHINE_H
#define RUNTIME_MACHINE_H

#include <stdbool.h>

#include "base/err.h"
#include "oci/config.h"
#include "runtime/monitor.h"
#include "runtime/pod.h"
#include "runtime/resize.h"
#include "vm/kernel_store.h"
#include "vm/vm_config.h"

struct container;
struct plan;

struct machine {
	/* decided */
	struct vm_config config;
	bool qemu;
	struct pod pod;              /* with a sandbox: no machine of its own but that one's */
	struct oci_resources limits; /* of the monitor's cgroup; members borrowed from the container's config */
	/* owned */
	struct kernel_store_entry kernel;
	struct oci_config *jail_config;
	struct container *jail;
	struct virtio_fs_mount *fs_mounts; /* with their paths */
	size_t n_fs_mounts;
	struct monitor monitor;
	int control; /* our end; -1 */
};

void machine_init(struct machine *mc);
/* vcpus, memory, kernel's name and driver from the plan and the config; touches nothing. 0 or -errno. */
int machine_decide(struct machine *mc, const struct plan *plan, struct err *err);
/*
 * Opens the kernel and what the driver wants from outside the jail. state_dir: takes the initrd of a kernel named by its
 * files, and with log the console's text, console.log.
 */
int machine_prepare(struct machine *mc, const char *id, const char *state_dir, bool log, struct err *err);
/* How tightly monitors are locked up: AMPHI_VM_LOCKDOWN (off, log), else enum lockdown_mode's strictest. */
int machine_lockdown(void);
/* The record for later commands: JSON text, owned. */
char *machine_save(const struct machine *mc);
/* Is the record of a version that this program knows? 0 or -errno. */
int machine_saved_check(const char *record, struct err *err);
/* The machine's size from that record; members it does not tell are 0. */
void machine_saved_size(const char *record, struct resize_machine *ret);
/* The pod's machine that the record names; ret->sandbox NULL: an own machine. */
void machine_saved_pod(const struct globals *g, const char *record, struct pod *ret);
/* NULL allowed. Ends nothing that runs. */
void machine_free(struct machine *mc);

#endif
