/* SPDX-License-Identifier: Apache-2.0 */
/* Can this host's KVM run a kernel natively? */
#ifndef VM_PROBE_H
#define VM_PROBE_H

#include "base/err.h"

/*
 * Runs a tiny ring-0 guest in long mode on /dev/kvm: about a millisecond. 0: usable; -errno with *err saying what is
 * missing (no device, no permission, KVM cannot run kernel code natively). Any process.
 */
int probe_kvm(struct err *err);

#endif
