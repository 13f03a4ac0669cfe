/* SPDX-License-Identifier: Apache-2.0 */
/* Create, start, wait, delete in one process. */
/*
 * Theory of operation: signals are held from before create until the wait, so that one that comes halfway goes to the
 * workload. While the workload runs the lock is free: others may kill, exec, pause. Afterwards the container is
 * deleted unless --keep or somebody else did that already.
 */
#include "runtime/launch.h"

#include <errno.h>

#include "oci/config.h"
#include "runtime/cmd_images.h"
#include "runtime/sandbox.h"
#include "runtime/supervise.h"

/* After a failed start or the end of the workload; somebody else may have been here before. */
static int launch_delete(struct sandbox *sb, struct err *err)
{
	int r = statedir_lock(&sb->dir, err);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : sandbox_delete(sb, true, err);
}

static int launch_foreground(struct sandbox *sb, struct supervise *s, bool keep, struct err *err)
{
	struct err late = { 0 };
	int code, r;

	statedir_unlock(&sb->dir);
	code = supervise_wait(s, sb->rec.pid, err);
	supervise_end(s);
	if (keep)
		return code;
	r = launch_delete(sb, code < 0 ? &late : err);
	return code < 0 ? code : r < 0 ? r : code;
}

static int launch_start(struct sandbox *sb, struct supervise *s, struct err *err)
{
	int r = supervise_console(s, sb->console_peer, sb->config->process.has_console_size, err);

	return r < 0 || sb->request->restore ? r : sandbox_start(sb, err);
}

int launch_run(const struct globals *g, const struct create_request *req, bool subreaper, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	cleanup_supervise struct supervise s = SUPERVISE_INIT;
	int r;

	supervise_begin(&s, !req->detach && subreaper);
	r = sandbox_create(g, req, &sb, err);
	if (r < 0) {
		if (req->image)
			(void)cmd_images_release(req->image, NULL);
		return r;
	}
	r = launch_start(&sb, &s, err);
	if (r < 0) {
		(void)launch_delete(&sb, NULL);
		return r;
	}
	r = sandbox_ready(&sb, !req->detach, err);
	if (r < 0 || req->detach)
		return r;
	return launch_foreground(&sb, &s, req->keep, err);
}
