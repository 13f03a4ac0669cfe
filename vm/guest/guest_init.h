/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of the machine. */
#ifndef VM_GUEST_GUEST_INIT_H
#define VM_GUEST_GUEST_INIT_H

/* Never returns as PID 1; anywhere else it says so on stderr and returns 1. */
int guest_init_main(int argc, char **argv);

#endif
