/* SPDX-License-Identifier: Apache-2.0 */
/* amphi state: the state document of one container. */
#include <errno.h>
#include <stdlib.h>

#include "runtime/commands.h"
#include "runtime/sandbox.h"

static const struct option_def state_defs[] = { OPTION_END };

static int state_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	cleanup_free char *text = NULL;
	enum oci_status status;
	int r, i = commands_options(self, NULL, argc, argv, 1, 1, err);

	if (i < 0)
		return commands_end(i);
	r = sandbox_load(g, argv[i], false, &sb, err);
	if (r == -ENODATA)
		return err_set(err, ENOENT, "container does not exist");
	if (r < 0)
		return r;
	r = sandbox_status(&sb, &status, err);
	if (r < 0)
		return r;
	text = sandbox_state_json(&sb, status, false, "");
	return commands_print(text, err);
}

const struct command cmd_state = {
	.name = "state",
	.main = state_main,
	.options = state_defs,
	.synopsis = "ID",
	.help = "print a container's state as JSON",
};
