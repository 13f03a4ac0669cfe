/* SPDX-License-Identifier: Apache-2.0 */
/* amphi checkpoint: a running container into images of criu. */
/*
 * Theory of operation: criu does the work (container/criu_dump.c) on a container that keeps its lock meanwhile. Its
 * processes are gone afterwards and so is the container, unless they were to go on. What --network attached is not
 * saved but attached anew by restore: an address belongs to its lease, not to the images.
 */
#include <errno.h>

#include "runtime/attach.h"
#include "runtime/commands.h"
#include "runtime/criuopts.h"
#include "runtime/sandbox.h"

struct checkpoint_options {
	struct criuopts criu;
};

static const struct option_def checkpoint_defs[] = {
	CRIUOPTS_COMMON(struct checkpoint_options, criu),
	OPTION_STRING("parent-path", 0, struct checkpoint_options, criu.parent_path, "DIR",
		      "images of an earlier --pre-dump, relative to --image-path"),
	OPTION_FLAG("leave-running", 'R', struct checkpoint_options, criu.leave_running,
		    "the container goes on afterwards"),
	OPTION_FLAG("pre-dump", 0, struct checkpoint_options, criu.pre_dump, "memory alone; the container goes on"),
	OPTION_FLAG("tcp-skip-in-flight", 0, struct checkpoint_options, criu.tcp_skip_in_flight,
		    "leave out TCP connections that are being made"),
	OPTION_STRING("page-server", 0, struct checkpoint_options, criu.page_server, "ADDRESS:PORT",
		      "send memory to a page server"),
	OPTION_END,
};

static int checkpoint_container(const struct globals *g, const char *id, struct criu_options *o, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	enum oci_status status;
	int r = sandbox_load(g, id, true, &sb, err);

	if (r == -ENODATA)
		return err_set(err, ENOENT, "container does not exist");
	if (!r)
		r = sandbox_status(&sb, &status, err);
	if (r < 0)
		return r;
	if (status != OCI_STATUS_RUNNING && status != OCI_STATUS_PAUSED)
		return err_set(err, EINVAL, "Container cannot be checkpointed in %s state", oci_status_word(status));
	if (attach_owns_links(sb.rec.networks))
		o->empty_net = true;
	r = sb.backend->checkpoint(&sb, o, err);
	if (r < 0 || o->leave_running || o->pre_dump)
		return r;
	return sandbox_delete(&sb, true, err);
}

static int checkpoint_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct checkpoint_options o = { 0 };
	CLEANUP(criuopts_close) struct criu_options c = CRIU_OPTIONS_INIT;
	int r, i = commands_options(self, &o, argc, argv, 1, 1, err);

	if (i < 0)
		r = commands_end(i);
	else
		r = criuopts_open(&o.criu, true, &c, err);
	if (i >= 0 && r == 0)
		r = checkpoint_container(g, argv[i], &c, err);
	criuopts_free(&o.criu);
	return r;
}

const struct command cmd_checkpoint = {
	.name = "checkpoint",
	.main = checkpoint_main,
	.options = checkpoint_defs,
	.synopsis = "[OPTIONS] ID",
	.help = "save a running container as images (criu)",
};
