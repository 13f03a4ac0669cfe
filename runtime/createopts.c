/* SPDX-License-Identifier: Apache-2.0 */
/* Options that create and run have in common, turned into a request. */
#include "runtime/createopts.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/path.h"

int createopts_request(struct createopts *o, const char *id, struct create_request *ret, struct err *err)
{
	/* a conflist is one more kind of network, by its absolute path */
	if (o->cni_config) {
		cleanup_free char *path = path_abs(o->cni_config);

		strv_add_take(&o->networks, xasprintf("cni:%s", path ? path : o->cni_config));
	}
	*ret = (struct create_request){
		.id = id,
		.bundle = o->bundle && *o->bundle ? o->bundle : ".",
		.config = o->config,
		.console_socket = o->console_socket && *o->console_socket ? o->console_socket : NULL,
		.pid_file = o->pid_file,
		.pidfd_socket = o->pidfd_socket,
		.preserve_fds = o->preserve_fds,
		.no_pivot = o->no_pivot,
		.no_new_keyring = o->no_new_keyring,
		.detach = o->detach,
		.keep = o->keep,
		.dry_run = o->dry_run,
		.networks = o->networks,
		.publish = o->publish,
		.dns = o->dns,
		.add_hosts = o->add_hosts,
		.hostname = o->hostname,
		.cni_config = o->cni_config,
		.kernel = o->kernel,
		.vcpus = o->vcpus,
	};
	if (o->memory && (parse_size(o->memory, &ret->memory_bytes) < 0 || !ret->memory_bytes))
		return err_set(err, EINVAL, "option --memory: \"%s\" is not a size", o->memory);
	return 0;
}

void createopts_free(struct createopts *o)
{
	strv_free(o->networks);
	strv_free(o->publish);
	strv_free(o->dns);
	strv_free(o->add_hosts);
}
