/* SPDX-License-Identifier: Apache-2.0 */
/* amphi features: what this runtime can do, as the specification's document. */
/*
 * Theory of operation: asks each room for its words and prints. Nothing but the document may be written: cri-o reads
 * stdout and stderr together.
 */
#include <stdlib.h>

#include "container/cgroup.h"
#include "container/container.h"
#include "container/seccomp.h"
#include "oci/features.h"
#include "runtime/commands.h"

static const struct option_def features_defs[] = { OPTION_END };

static int features_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	const char *flags[8];
	struct oci_features f = {
		.mount_options = (char *const *)container_mount_words(),
		.seccomp_archs = (char *const *)seccomp_archs(),
		.seccomp_flags_supported = (char *const *)flags,
		.libseccomp_version = seccomp_library_version(),
		.cgroup_systemd = true,
		.cgroup_rdma = true,
		.apparmor = true,
		.selinux = true,
		.intel_rdt = true,
		.idmap = true,
		.net_devices = true,
		.memory_policy = true,
		.checkpoint = commands_find("checkpoint") != NULL,
	};
	cleanup_free char *text = NULL;
	int i = commands_options(self, NULL, argc, argv, 0, 0, err);

	(void)g;
	if (i < 0)
		return commands_end(i);
	seccomp_supported_flags(flags);
	text = oci_features_write(&f);
	return commands_print(text, err);
}

const struct command cmd_features = {
	.name = "features",
	.main = features_main,
	.options = features_defs,
	.synopsis = "",
	.help = "print the features of this runtime as JSON",
};
