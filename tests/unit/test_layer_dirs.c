/* SPDX-License-Identifier: Apache-2.0 */
/* images/layer_dirs: found by name, gone with what is around them, and back. */
#include "images/layer_dirs.h"

#include "base/str.h"
#include "tests/unit/tap.h"

int main(void)
{
	struct layer_dirs d = { 0 };

	ok(!layer_dirs_find(&d, ""));
	layer_dirs_gone(&d, "a");
	layer_dirs_add(&d, "");
	layer_dirs_add(&d, "a");
	layer_dirs_add(&d, "a/b")->implied = true;
	layer_dirs_add(&d, "a/b/c")->acl = xcalloc(1, 1);
	layer_dirs_add(&d, "ab");
	ok(layer_dirs_find(&d, "a/b")->implied);

	/* all below it, and nothing beside it */
	layer_dirs_gone(&d, "a");
	ok(!layer_dirs_find(&d, "a") && !layer_dirs_find(&d, "a/b") && !layer_dirs_find(&d, "a/b/c"));
	ok(layer_dirs_find(&d, "ab") && layer_dirs_find(&d, ""));

	/* back without what it had, and gone again; what did not come back stays gone */
	layer_dirs_add(&d, "a");
	ok(!layer_dirs_add(&d, "a/b")->implied && !layer_dirs_find(&d, "a/b/c"));
	layer_dirs_gone(&d, "a");
	ok(!layer_dirs_find(&d, "a/b"));
	layer_dirs_add(&d, "a");
	ok(layer_dirs_find(&d, "a") && !layer_dirs_find(&d, "a/b"));

	/* in their places when the table grows */
	for (int i = 0; i < 5000; i++) {
		cleanup_free char *name = xasprintf("n%d", i);

		layer_dirs_add(&d, name)->mode = (uint32_t)i;
	}
	for (int i = 0; i < 5000; i++) {
		cleanup_free char *name = xasprintf("n%d", i);
		struct layer_dir *dir = layer_dirs_find(&d, name);

		if (!dir || dir->mode != (uint32_t)i)
			ok(!"found where it was put");
	}
	is_int(d.n, 5005);
	layer_dirs_clear(&d);
	return tap_done();
}
