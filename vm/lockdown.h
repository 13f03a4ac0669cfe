/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's own lock-up: no new privileges, capabilities dropped, and one seccomp allow-list per kind of thread.
 * Each thread calls lockdown_thread() first thing, after which it can do its work and nothing else.
 */
#ifndef VM_LOCKDOWN_H
#define VM_LOCKDOWN_H

#include <stdbool.h>

#include "base/err.h"

enum lockdown_kind {
	LOCKDOWN_MAIN,   /* waits for the end, control lines, signals */
	LOCKDOWN_VCPU,   /* KVM_RUN, MMIO, device activation (starts threads) */
	LOCKDOWN_DEVICE, /* net, rng, balloon: read, write, madvise on fds and memory they hold */
	LOCKDOWN_FS,     /* virtio-fs workers: file calls on the export tree, changes its uid/gid per request */
	LOCKDOWN_VSOCK,  /* sockets */
	LOCKDOWN_KIND_MAX,
	LOCKDOWN_REOPEN = LOCKDOWN_KIND_MAX /* no thread: the process of vm/reopen.h */
};

/* How strictly: off (debugging, AMPHI_VM_LOCKDOWN=off), log (only recorded by the audit log), kill (default). */
enum lockdown_mode { LOCKDOWN_OFF, LOCKDOWN_LOG, LOCKDOWN_KILL };

/*
 * Process-wide, before any thread: no_new_privs, not dumpable, keeps only the capabilities virtio-fs needs (chown,
 * dac_override, dac_read_search, fowner, fsetid, setgid, setuid, mknod, setfcap). 0 or -errno.
 */
int lockdown_process(enum lockdown_mode mode, struct err *err);
/* The same for the process of vm/reopen.h: the one capability CAP_DAC_READ_SEARCH, and its list. 0 or -errno. */
int lockdown_reopen(enum lockdown_mode mode, struct err *err);
/* Installs the kind's filter on the calling thread (and, outside LOCKDOWN_FS, drops all capabilities). 0 or -errno. */
int lockdown_thread(enum lockdown_kind kind, struct err *err);
/* The kind's word ("vcpu"). */
const char *lockdown_kind_name(enum lockdown_kind kind);

#endif
