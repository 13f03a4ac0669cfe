/* SPDX-License-Identifier: Apache-2.0 */
/* The links of a machine: of networks of ours, or in a namespace that somebody else made. */
#ifndef RUNTIME_MACHINE_NETWORK_H
#define RUNTIME_MACHINE_NETWORK_H

#include <stdbool.h>

#include "base/err.h"

struct network_lease;
struct sandbox;

/*
 * What the machine's interfaces are: *ret is the sandbox's lease, or joined (the caller's) with the links that an engine put
 * into the namespace of the monitor's process. own_userns: the namespace belongs to a user namespace of the jail's.
 */
int machine_network_join(struct sandbox *sb, bool own_userns, struct network_lease *joined,
			 const struct network_lease **ret, struct err *err);
/* Boots the machine on them, with vhost-net where the host has it; control: the monitor's socket. Waits for the monitor. */
int machine_network_boot(struct sandbox *sb, const struct network_lease *lease, int control, struct err *err);
/* Keeps in the state directory what the guest was told of joined links; networks of ours and pasta's do not change. */
int machine_network_given(struct sandbox *sb, bool own_userns, const struct network_lease *lease, struct err *err);
/* Tells the agent behind sock what joined links have now, if that is not what it was told. */
int machine_network_renew(struct sandbox *sb, const char *sock, struct err *err);
/* Gives the links back to a namespace that lives on. A failure is logged for debugging. */
void machine_network_leave(struct sandbox *sb);

#endif
