/* SPDX-License-Identifier: Apache-2.0 */
/* linux.intelRdt of a sandbox. */
/*
 * Theory of operation: classes and monitoring groups are the host's, not the process's, so they outlive it unless
 * they are removed. What will be made is written to rdt.json in the state directory before it is made. In VM mode the
 * process is the monitor, whose cache and memory bandwidth are the machine's.
 */
#include "runtime/rdt.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "container/intelrdt.h"
#include "oci/config.h"
#include "runtime/sandbox.h"

#define RDT_FILE "rdt.json"
#define RDT_FILE_MAX 65536

static int rdt_save(struct sandbox *sb, const struct intelrdt_group *g, struct err *err)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;
	int r;

	intelrdt_save(g, NULL, &w);
	text = json_w_steal(&w);
	r = path_write_atomic(sb->dir.fd, RDT_FILE, text, strlen(text), 0600);
	return r < 0 ? err_sys(err, r, "%s", RDT_FILE) : 0;
}

int rdt_apply(struct sandbox *sb, struct err *err)
{
	const struct oci_intel_rdt *rdt = sb->config->linux_.intel_rdt;
	struct intelrdt_group g = { 0 };
	int r;

	if (!rdt)
		return 0;
	intelrdt_plan(rdt, sb->rec.id, &g);
	r = rdt_save(sb, &g, err);
	intelrdt_free(&g);
	if (r == 0)
		r = intelrdt_apply(rdt, sb->rec.id, sb->rec.pid, &g, err);
	intelrdt_free(&g);
	return r;
}

int rdt_undo(struct sandbox *sb, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = NULL;
	struct intelrdt_group g = { 0 };
	cleanup_free char *text = NULL;
	size_t len;
	int r = fd_slurp_at(sb->dir.fd, RDT_FILE, RDT_FILE_MAX, &text, &len);

	if (r < 0)
		return r == -ENOENT ? 0 : err_sys(err, r, "%s", RDT_FILE);
	doc = json_parse(text, len, RDT_FILE, err);
	if (!doc)
		return err && err->code ? err->code : -EINVAL;
	r = intelrdt_load(json_root(doc), &g, err);
	if (r == 0)
		r = intelrdt_destroy(&g, err);
	intelrdt_free(&g);
	return r;
}
