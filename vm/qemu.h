/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fallback driver: the same machine under the system's qemu-system-x86_64 (microvm with ACPI, KVM where it works,
 * else TCG), with our virtio-fs and virtio-vsock cores served to it over vhost-user from threads of the monitor. QEMU
 * is a child of the monitor and dies with it.
 *
 * Environment: AMPHI_QEMU names another binary, AMPHI_QEMU_ACCEL forces "kvm" or "tcg".
 */
#ifndef VM_QEMU_H
#define VM_QEMU_H

#include "vm/vm.h"

/*
 * build() needs spec->kernel_path (and initrd_path) reachable at run() time, and the host paths below: QEMU is a
 * dynamically linked program with data files. run() starts QEMU; a death of QEMU without a guest's report is "the machine
 * was lost" with its last line on stderr. pause() stops QEMU's process, so the guest's clock jumps at resume.
 */
extern const struct vm_driver qemu_driver;

/*
 * Host directories and files that a jail must show read-only at the same place for QEMU to run (missing ones skipped), NULL
 * at the end. Besides them: /proc, /dev/null, /dev/urandom, and /dev/kvm when it is to be used.
 */
extern const char *const qemu_host_paths[];

#endif
