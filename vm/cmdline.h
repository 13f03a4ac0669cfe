/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's kernel command line. Pure. */
#ifndef VM_CMDLINE_H
#define VM_CMDLINE_H

#include "base/err.h"

struct vm_spec;

/*
 * Our parameters for the spec, then spec->cmdline. Owned by the caller; NULL with *err when it is longer than x86
 * kernels accept (2047 bytes) or holds a control character.
 */
char *cmdline_build(const struct vm_spec *spec, struct err *err);

#endif
