/* SPDX-License-Identifier: Apache-2.0 */
/* amphi mounts: mounts added to a container that runs, and removed again. */
/*
 * Theory of operation: crun's command. The file holds an array of mounts as config.json has them; the back end does the
 * rest. The config in the state directory stays as it was: these mounts are the processes' that see them, gone with
 * the container, and not part of a checkpoint.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "oci/config.h"
#include "runtime/commands.h"
#include "runtime/sandbox.h"

#define MOUNTS_DOCUMENT_MAX (1 << 20)

static const struct option_def mounts_defs[] = { OPTION_END };

static int mounts_change(const struct globals *g, const char *id, bool add, const char *file, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	cleanup_free char *text = NULL;
	struct oci_mount *v = NULL;
	size_t len, n = 0;
	int r = sandbox_load(g, id, true, &sb, err);

	if (r == -ENODATA)
		return err_set(err, ENOENT, "container does not exist");
	if (r < 0)
		return r;
	if (!sandbox_alive(&sb))
		return err_set(err, ESRCH, "container not running");
	r = fd_slurp_at(AT_FDCWD, file, MOUNTS_DOCUMENT_MAX, &text, &len);
	if (r < 0)
		return err_sys(err, r, "%s", file);
	r = oci_mounts_parse(text, len, &v, &n, err);
	if (r < 0)
		return err_wrap(err, "%s", file);
	r = sb.backend->mounts(&sb, add, v, n, err);
	oci_mounts_free(v, n);
	return r;
}

static int mounts_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	int i = commands_options(self, NULL, argc, argv, 3, 3, err);

	if (i < 0)
		return commands_end(i);
	if (strcmp(argv[i], "add") && strcmp(argv[i], "remove"))
		return err_set(err, EINVAL, "mounts: unknown command %s: add or remove", argv[i]);
	return mounts_change(g, argv[i + 1], *argv[i] == 'a', argv[i + 2], err);
}

const struct command cmd_mounts = {
	.name = "mounts",
	.main = mounts_main,
	.options = mounts_defs,
	.synopsis = "[add|remove] ID FILE",
	.help = "add mounts to a running container, or remove them",
};
