/* SPDX-License-Identifier: Apache-2.0 */
/* amphi create: everything up to the parked process. */
#include <stdlib.h>

#include "container/selfexe.h"
#include "runtime/commands.h"
#include "runtime/createopts.h"
#include "runtime/sandbox.h"

static const struct option_def create_defs[] = {
	CREATEOPTS_COMMON,
	OPTION_NOTHING("no-subreaper", "accepted; create never is a subreaper"),
	OPTION_END,
};

static int create_main(const struct globals *globals, const struct command *self, int argc, char **argv,
		       struct err *err)
{
	cleanup_createopts struct createopts o = { .detach = true };
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	struct create_request req;
	struct globals g;
	int r, i = commands_options(self, &o, argc, argv, 1, 1, err);

	if (i < 0)
		return commands_end(i);
	r = createopts_globals(&o, globals, &g, err);
	if (!r)
		r = createopts_request(&o, argv[i], &req, err);
	if (r < 0)
		return r;
	if (req.dry_run) {
		cleanup_free char *text = NULL;

		r = sandbox_dry_run(&g, &req, &text, err);
		return r < 0 ? r : commands_print(text, err);
	}
	r = selfexe_protect(g.argv, err);
	return r < 0 ? r : sandbox_create(&g, &req, &sb, err);
}

const struct command cmd_create = {
	.name = "create",
	.main = create_main,
	.options = create_defs,
	.synopsis = "[OPTIONS] ID",
	.help = "create a container and leave it waiting for start",
};
