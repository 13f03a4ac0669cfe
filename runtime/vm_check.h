/* SPDX-License-Identifier: Apache-2.0 */
/* What cannot exist in a machine is refused by name, before anything is touched. */
#ifndef RUNTIME_VM_CHECK_H
#define RUNTIME_VM_CHECK_H

#include "base/err.h"

struct plan;

/* 0, or a negative errno naming the JSON path or the option. */
int vm_check(const struct plan *plan, struct err *err);

#endif
