/* SPDX-License-Identifier: Apache-2.0 */
/* amphi pause, amphi resume: freeze and thaw everything in a container. */
#include <errno.h>

#include "runtime/commands.h"
#include "runtime/sandbox.h"

static const struct option_def pause_defs[] = { OPTION_END };

/* Loads the container with its lock and present status. */
static int pause_load(const struct globals *g, const char *id, struct sandbox *sb, enum oci_status *status,
		      struct err *err)
{
	int r = sandbox_load(g, id, true, sb, err);

	if (r == -ENODATA)
		return err_set(err, ENOENT, "container does not exist");
	return r < 0 ? r : sandbox_status(sb, status, err);
}

static int pause_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	enum oci_status status;
	int r, i = commands_options(self, NULL, argc, argv, 1, 1, err);

	if (i < 0)
		return commands_end(i);
	r = pause_load(g, argv[i], &sb, &status, err);
	if (r < 0)
		return r;
	if (status != OCI_STATUS_RUNNING && status != OCI_STATUS_CREATED)
		return err_set(err, status == OCI_STATUS_PAUSED ? EBUSY : ESRCH, "container not running%s",
			       status == OCI_STATUS_PAUSED ? ": it is paused already" : "");
	return sb.backend->pause(&sb, err);
}

static int resume_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	enum oci_status status;
	int r, i = commands_options(self, NULL, argc, argv, 1, 1, err);

	if (i < 0)
		return commands_end(i);
	r = pause_load(g, argv[i], &sb, &status, err);
	if (r < 0)
		return r;
	if (status != OCI_STATUS_PAUSED)
		return err_set(err, EINVAL, "container not paused");
	return sb.backend->resume(&sb, err);
}

const struct command cmd_pause = {
	.name = "pause",
	.main = pause_main,
	.options = pause_defs,
	.synopsis = "ID",
	.help = "suspend all processes of a container",
};

const struct command cmd_resume = {
	.name = "resume",
	.main = resume_main,
	.options = pause_defs,
	.synopsis = "ID",
	.help = "resume a paused container",
};
