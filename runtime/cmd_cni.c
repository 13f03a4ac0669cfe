/* SPDX-License-Identifier: Apache-2.0 */
/*
 * amphi cni: this program as a CNI plugin.
 *
 * Theory of operation: engines run a plugin by its type: a link "amphi-cni" to this program in a plugin directory.
 * The protocol's own error document goes to stdout, so nothing is reported through struct err.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"
#include "network/cni_plugin.h"
#include "runtime/commands.h"

static int cni_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct cni_plugin_call c = {
		.command = getenv("CNI_COMMAND"),
		.container_id = getenv("CNI_CONTAINERID"),
		.netns = getenv("CNI_NETNS"),
		.ifname = getenv("CNI_IFNAME"),
		.args = getenv("CNI_ARGS"),
	};
	cleanup_free char *config = NULL;
	cleanup_str struct str out = { 0 };
	int r, status;

	if (argc > 1)
		return err_set(err, -EINVAL,
			       "cni: takes no arguments; it is run by engines (CNI_COMMAND, configuration on stdin)");
	r = fd_slurp(0, 4 << 20, &config, &c.config_len);
	if (r < 0)
		return err_sys(err, r, "cni: read the configuration from stdin");
	c.config = config;
	status = cni_plugin_run(&c, &out);
	r = commands_print(str_get(&out), err);
	return r < 0 ? r : status;
}

const struct command cmd_cni = {
	.name = "cni",
	.main = cni_main,
	.synopsis = "",
	.help = "be a CNI plugin (run by engines)",
};
