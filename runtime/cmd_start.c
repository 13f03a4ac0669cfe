/* SPDX-License-Identifier: Apache-2.0 */
/* amphi start: lets the parked process run. */
#include <stdlib.h>

#include "runtime/commands.h"
#include "runtime/sandbox.h"

static const struct option_def start_defs[] = { OPTION_END };

static int start_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	int r, i = commands_options(self, NULL, argc, argv, 1, 1, err);

	if (i < 0)
		return commands_end(i);
	r = sandbox_load(g, argv[i], true, &sb, err);
	if (!r)
		r = sandbox_start(&sb, err);
	return r < 0 ? r : sandbox_ready(&sb, false, err);
}

const struct command cmd_start = {
	.name = "start",
	.main = start_main,
	.options = start_defs,
	.synopsis = "ID",
	.help = "start a created container",
};
