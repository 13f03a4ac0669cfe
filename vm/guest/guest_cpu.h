/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's processors: how many are online. */
#ifndef VM_GUEST_GUEST_CPU_H
#define VM_GUEST_GUEST_CPU_H

#include "base/err.h"

/* Number of processors online. */
unsigned int guest_cpu_online(void);
/* Brings processors online or offline until n are online; n is bounded by what is present. 0 or -errno. */
int guest_cpu_set(unsigned int n, struct err *err);

#endif
