/* SPDX-License-Identifier: Apache-2.0 */
/* amphi delete: the undo column. */
#include <errno.h>
#include <stdlib.h>

#include "base/path.h"
#include "base/str.h"
#include "runtime/cmd_images.h"
#include "runtime/commands.h"
#include "runtime/matching.h"
#include "runtime/sandbox.h"

struct delete_options {
	bool force, regex;
};

static const struct option_def delete_defs[] = {
	OPTION_FLAG("force", 'f', struct delete_options, force, "kill it first; an unknown id is fine"),
	OPTION_FLAG("regex", 'r', struct delete_options, regex, "ID is an extended regular expression"),
	OPTION_END,
};

static int delete_one(const struct globals *g, const char *id, bool force, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	cleanup_free char *dir = path_join(g->root, id);
	int r = sandbox_load(g, id, true, &sb, err);

	if (r < 0 && r != -ENODATA && !(r == -ENOENT && force))
		return r;
	r = r == -ENOENT ? 0 : sandbox_delete(&sb, force, err);
	/* what a killed `run --image` made before there was a record of it */
	return r < 0 || !force ? r : cmd_images_forget(id, dir, err);
}

static int delete_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct delete_options o = { 0 };
	cleanup_strv char **ids = NULL;
	int ret = 0, r, i = commands_options(self, &o, argc, argv, 1, 1, err);

	if (i < 0)
		return commands_end(i);
	if (!o.regex)
		return delete_one(g, argv[i], o.force, err);
	r = matching_ids(g, argv[i], &ids, err);
	if (r < 0)
		return r;
	/* the others are deleted even when one cannot be */
	for (char **id = ids; id && *id; id++) {
		r = delete_one(g, *id, o.force, ret < 0 ? NULL : err);
		if (r < 0 && ret == 0)
			ret = r;
	}
	return ret;
}

const struct command cmd_delete = {
	.name = "delete",
	.main = delete_main,
	.options = delete_defs,
	.synopsis = "[OPTIONS] ID",
	.help = "delete a container and all it holds",
};
