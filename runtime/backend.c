/* SPDX-License-Identifier: Apache-2.0 */
/* The back ends by isolation. */
#include "runtime/backend.h"

const struct backend *backend_get(enum isolation isolation)
{
	if (isolation == ISOLATION_VM)
		return &backend_vm;
	return isolation == ISOLATION_CONTAINER ? &backend_container : NULL;
}
