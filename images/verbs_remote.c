/* SPDX-License-Identifier: Apache-2.0 */
/* pull and push. */
/*
 * Placeholder until the registry client lands.
 */
#include "images/verbs.h"

int verbs_remote_pull(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	return err_set(err, -ENOTSUP, "pull: not in this build yet");
}

int verbs_remote_push(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	return err_set(err, -ENOTSUP, "push: not in this build yet");
}

int verbs_remote_fetch(struct store *s, const char *name, const struct verbs_options *o, char **ret_name, struct err *err)
{
	return err_set(err, -ENOENT, "no image %s here", name);
}
