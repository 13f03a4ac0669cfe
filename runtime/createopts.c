/* SPDX-License-Identifier: Apache-2.0 */
/* Options that create and run have in common, turned into a request. */
#include "runtime/createopts.h"

#include <errno.h>
#include <stdlib.h>

int createopts_globals(const struct createopts *o, const struct globals *g, struct globals *ret, struct err *err)
{
	*ret = *g;
	return commands_choose(o->isolation, o->vmm, ret, err);
}

int createopts_request(const struct createopts *o, const char *id, struct create_request *ret, struct err *err)
{
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
