/* SPDX-License-Identifier: Apache-2.0 */
/* What this process can do with owners, devices and mounts, and how an ordinary user comes to more. */
#ifndef IMAGES_RIGHTS_H
#define IMAGES_RIGHTS_H

#include <sys/types.h>

#include "base/err.h"

struct usermap;

enum rights {
	RIGHTS_ROOT,   /* everything */
	RIGHTS_RANGES, /* root of a user namespace with many ids: owners, but no devices and no trusted. xattrs */
	RIGHTS_ONE_ID, /* one id: no owners either */
};

enum rights rights_now(void);

/*
 * Who is not root of the machine becomes root of a user namespace with all the ids that are the user's (/etc/subuid and
 * /etc/subgid by newuidmap; of root in a user namespace: all of that) or with the user's one id, and gets a mount
 * namespace of its own. This process must have one thread. 0 also where the kernel does not let users do it: then
 * nothing has changed. Negative: the process is of no use any more.
 */
int rights_enter(struct err *err);
/* The user that runs this program, as seen by who started it. */
uid_t rights_caller(void);
/* After rights_enter(): our maps, as the caller of this program would write them; empty for root of the machine. */
int rights_map(struct usermap *ret, struct err *err);

#endif
