/* SPDX-License-Identifier: Apache-2.0 */
/* amphi run: create and start; in the foreground also wait and delete. */
/*
 * Theory of operation: signals are held from before create until the wait, so that one that comes halfway goes to the
 * workload. While the workload runs the lock is free: others may kill, exec, pause. Afterwards the container is
 * deleted unless --keep or somebody else did that already.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "container/selfexe.h"
#include "oci/config.h"
#include "runtime/commands.h"
#include "runtime/createopts.h"
#include "runtime/sandbox.h"
#include "runtime/supervise.h"

static const struct option_def run_defs[] = {
	CREATEOPTS_COMMON,
	OPTION_FLAG("detach", 'd', struct createopts, detach, "return once the container runs"),
	OPTION_FLAG("keep", 0, struct createopts, keep, "do not delete the container when it ended"),
	OPTION_FLAG("no-subreaper", 0, struct createopts, no_subreaper, "do not adopt the container's orphans"),
	OPTION_END,
};

/* After a failed start or the end of the workload; somebody else may have been here before. */
static int run_delete(struct sandbox *sb, struct err *err)
{
	int r = statedir_lock(&sb->dir, err);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : sandbox_delete(sb, true, err);
}

static int run_foreground(struct sandbox *sb, struct supervise *s, bool keep, struct err *err)
{
	struct err late = { 0 };
	int code, r;

	statedir_unlock(&sb->dir);
	code = supervise_wait(s, sb->rec.pid, err);
	supervise_end(s);
	if (keep)
		return code;
	r = run_delete(sb, code < 0 ? &late : err);
	return code < 0 ? code : r < 0 ? r : code;
}

static int run_start(struct sandbox *sb, struct supervise *s, struct err *err)
{
	int r = supervise_console(s, sb->console_peer, sb->config->process.has_console_size, err);

	return r < 0 ? r : sandbox_start(sb, err);
}

static int run_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	cleanup_createopts struct createopts o = { 0 };
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	cleanup_supervise struct supervise s = SUPERVISE_INIT;
	struct create_request req;
	int r, i = commands_options(self, &o, argc, argv, 1, 1, err);

	if (i < 0)
		return commands_end(i);
	r = createopts_request(&o, argv[i], &req, err);
	if (r < 0)
		return r;
	if (req.dry_run) {
		cleanup_free char *text = NULL;

		r = sandbox_dry_run(g, &req, &text, err);
		return r < 0 ? r : commands_print(text, err);
	}
	r = selfexe_protect(g->argv, err);
	if (r < 0)
		return r;
	supervise_begin(&s, !req.detach && !o.no_subreaper);
	r = sandbox_create(g, &req, &sb, err);
	if (r < 0)
		return r;
	r = run_start(&sb, &s, err);
	if (r < 0) {
		(void)run_delete(&sb, NULL);
		return r;
	}
	return req.detach ? 0 : run_foreground(&sb, &s, req.keep, err);
}

const struct command cmd_run = {
	.name = "run",
	.main = run_main,
	.options = run_defs,
	.synopsis = "[OPTIONS] ID",
	.help = "create and start a container; wait for it unless detached",
};
