/* SPDX-License-Identifier: Apache-2.0 */
/* cni_plugin: being a CNI plugin: our networks for engines that speak CNI (specification 1.1.0, section 2). */
#ifndef NETWORK_CNI_PLUGIN_H
#define NETWORK_CNI_PLUGIN_H

#include "base/str.h"

/* What the engine said: CNI_* of the environment (NULL: unset) and stdin. */
struct cni_plugin_call {
	const char *command, *container_id, *netns, *ifname, *args;
	const char *config;
	size_t config_len;
};

/* Does what is asked; the answer (result, versions or error document) is added to *out. Returns the exit status. */
int cni_plugin_run(const struct cni_plugin_call *c, struct str *out);

#endif
