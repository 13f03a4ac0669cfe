/* SPDX-License-Identifier: Apache-2.0 */
/* The back ends by isolation. */
#include "runtime/backend.h"

const struct backend *backend_get(enum isolation isolation)
{
#if __has_include("runtime/backend_vm.c")
	if (isolation == ISOLATION_VM)
		return &backend_vm;
#endif
	return isolation == ISOLATION_CONTAINER ? &backend_container : NULL;
}
