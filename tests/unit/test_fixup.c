/* SPDX-License-Identifier: Apache-2.0 */
/* images/fixup: what a layer that was unpacked alone lacks above its parents, and when it lacks nothing. */
#include "images/fixup.h"

#include <sys/xattr.h>

#include "images/snapshot.h"
#include "tests/unit/store_kit.h"

/* The trees of low and the layer b on it; how many there are. */
static size_t above(struct store *s, const char *low, struct str *b, char ***ret_trees, struct err *err)
{
	char diff[DIGEST_MAX];
	char *ids[] = { (char *)(uintptr_t)low, diff, NULL };

	kit_layer(s, b, diff);
	*ret_trees = NULL;
	return snapshot_trees(s, ids, ret_trees, err) < 0 ? 0 : strv_len(*ret_trees);
}

static int look(struct store *s, char **trees, const char *path, struct stat *st)
{
	struct merge_found f = { 0 };
	struct merge m;
	int r = snapshot_open(s, trees, &m, NULL);

	if (!r) {
		r = merge_lookup(&m, path, &f);
		snapshot_close(&m);
	}
	*st = f.st;
	return r;
}

int main(void)
{
	struct store *s = kit_store(STORE_WRITE);
	struct str b = { 0 };
	struct err err = { 0 };
	char low[DIGEST_MAX];
	cleanup_strv char **plain = NULL, **dirs = NULL, **named = NULL, **link = NULL, **hard = NULL, **lost = NULL,
			  **again = NULL, **replaced = NULL, **voided = NULL, **behind = NULL, **opaque = NULL;
	struct stat st, st2;

	tarball_add(&b, TAR_DIR, "plain", 0755, NULL);
	tarball_add(&b, TAR_DIR, "odd", 01777, NULL);
	tarball_add(&b, TAR_DIR, "usr", 0755, NULL);
	tarball_add(&b, TAR_DIR, "usr/bin", 0750, NULL);
	tarball_add(&b, TAR_FILE, "usr/bin/old", 0755, "old");
	tarball_add(&b, TAR_SYMLINK, "bin", 0777, "usr/bin");
	tarball_add(&b, TAR_SYMLINK, "dangling", 0777, "nowhere");
	tarball_add(&b, TAR_FILE, "target", 0640, "target");
	tarball_add(&b, TAR_DIR, "up", 0755, NULL);
	tarball_add(&b, TAR_DIR, "up/odd", 01777, NULL);
	kit_layer(s, &b, low);

	/* nothing amiss: named directories, new ones, plain ones, and a dangling link that extracting would replace */
	tarball_add(&b, TAR_FILE, "plain/f", 0644, "f");
	tarball_add(&b, TAR_FILE, "new/f", 0644, "f");
	tarball_add(&b, TAR_FILE, "dangling/f", 0644, "f");
	tarball_add(&b, TAR_DIR, "odd", 0711, NULL);
	tarball_add(&b, TAR_FILE, "odd/f", 0644, "f");
	is_int(above(s, low, &b, &plain, &err), 2);
	ok(look(s, plain, "odd", &st) == 0 && (st.st_mode & 07777) == 0711);

	/* an implied directory that is another below */
	tarball_add(&b, TAR_FILE, "odd/f", 0644, "f");
	is_int(above(s, low, &b, &dirs, &err), 3);
	ok(look(s, dirs, "odd", &st) == 0 && (st.st_mode & 07777) == 01777);
	ok(look(s, dirs, "odd/f", &st) == 0);
	has_str(dirs[2], "fixups/");

	/* below one that the layer names, which stays as the layer has it, and the root likewise */
	tarball_add(&b, TAR_DIR, "./", 0711, NULL);
	tarball_add(&b, TAR_DIR, "up", 0700, NULL);
	tarball_add(&b, TAR_FILE, "up/odd/f", 0644, "f");
	is_int(above(s, low, &b, &named, &err), 3);
	ok(look(s, named, "up/odd", &st) == 0 && (st.st_mode & 07777) == 01777);
	ok(look(s, named, "up", &st) == 0 && (st.st_mode & 07777) == 0700);
	ok(look(s, named, "", &st) == 0 && (st.st_mode & 07777) == 0711);

	/* a symbolic link in the way: kept, and what came lies behind it, whiteouts too */
	tarball_add(&b, TAR_FILE, "bin/new", 0755, "new");
	tarball_add(&b, TAR_FILE, "bin/sub/deep", 0755, "new");
	tarball_add(&b, TAR_FILE, "bin/.wh.old", 0, NULL);
	is_int(above(s, low, &b, &link, &err), 3);
	ok(look(s, link, "bin", &st) == 0 && S_ISLNK(st.st_mode));
	ok(look(s, link, "usr/bin", &st) == 0 && (st.st_mode & 07777) == 0750);
	ok(look(s, link, "usr/bin/new", &st) == 0 && look(s, link, "usr/bin/sub/deep", &st) == 0);
	is_int(look(s, link, "usr/bin/old", &st), -ENOENT);

	/* a hard link's target below, also through a link */
	tarball_add(&b, TAR_HARDLINK, "hard", 0644, "target");
	tarball_add(&b, TAR_HARDLINK, "d/old", 0644, "bin/old");
	is_int(above(s, low, &b, &hard, &err), 3);
	ok(look(s, hard, "hard", &st) == 0 && look(s, hard, "target", &st2) == 0 && st.st_size == 6 &&
	   st.st_mode == st2.st_mode);
	ok(look(s, hard, "d/old", &st) == 0 && st.st_size == 3);

	/* the target is still what it was: both names are one file */
	ok(look(s, hard, "hard", &st) == 0 && st.st_ino == st2.st_ino && st.st_nlink == 2);

	/* the same archive replaces the target later: the link, and a link to the link, have the old one */
	tarball_add(&b, TAR_HARDLINK, "h1", 0644, "target");
	tarball_add(&b, TAR_HARDLINK, "h2", 0644, "h1");
	tarball_add(&b, TAR_FILE, "target", 0600, "replaced");
	tarball_add(&b, TAR_HARDLINK, "h3", 0644, "target");
	is_int(above(s, low, &b, &replaced, &err), 3);
	ok(look(s, replaced, "h1", &st) == 0 && st.st_size == 6 && (st.st_mode & 07777) == 0640 && st.st_nlink == 2);
	ok(look(s, replaced, "h2", &st2) == 0 && st2.st_ino == st.st_ino);
	ok(look(s, replaced, "target", &st) == 0 && st.st_size == 8);
	ok(look(s, replaced, "h3", &st2) == 0 && st2.st_ino == st.st_ino);

	/* the same archive replaces the link later, alone or with its directory: nothing is left to repair */
	tarball_add(&b, TAR_HARDLINK, "h1", 0644, "target");
	tarball_add(&b, TAR_FILE, "h1", 0600, "replaced");
	tarball_add(&b, TAR_HARDLINK, "new/h2", 0644, "target");
	tarball_add(&b, TAR_FILE, "new", 0600, "replaced");
	is_int(above(s, low, &b, &voided, &err), 2);
	ok(look(s, voided, "h1", &st) == 0 && st.st_size == 8 && look(s, voided, "new", &st) == 0);

	/* the link lies behind a lower layer's symbolic link, or its target, which is in this layer, does */
	tarball_add(&b, TAR_HARDLINK, "bin/hard", 0644, "target");
	tarball_add(&b, TAR_FILE, "usr/bin/tool", 0755, "tool");
	tarball_add(&b, TAR_HARDLINK, "hard2", 0755, "bin/tool");
	is_int(above(s, low, &b, &behind, &err), 3);
	ok(look(s, behind, "usr/bin/hard", &st) == 0 && st.st_size == 6 && look(s, behind, "hard2", &st) == 0 &&
	   st.st_size == 4);
	ok(look(s, behind, "bin", &st) == 0 && S_ISLNK(st.st_mode));

	/* an implied directory inside an opaque one is new, whatever lies there below, a symbolic link too */
	tarball_add(&b, TAR_DIR, "up", 0750, NULL);
	tarball_add(&b, TAR_FILE, "up/.wh..wh..opq", 0, NULL);
	tarball_add(&b, TAR_FILE, "up/odd/f", 0644, "f");
	tarball_add(&b, TAR_FILE, "usr/.wh..wh..opq", 0, NULL);
	tarball_add(&b, TAR_FILE, "usr/bin/f", 0644, "f");
	tarball_add(&b, TAR_FILE, "odd/f", 0644, "f");
	is_int(above(s, low, &b, &opaque, &err), 3);
	ok(look(s, opaque, "up/odd", &st) == 0 && (st.st_mode & 07777) == 0755);
	ok(look(s, opaque, "usr/bin", &st) == 0 && (st.st_mode & 07777) == 0755);
	ok(look(s, opaque, "odd", &st) == 0 && (st.st_mode & 07777) == 01777);

	/* a target that no layer has */
	tarball_add(&b, TAR_HARDLINK, "hard", 0644, "nowhere/at/all");
	is_int(above(s, low, &b, &lost, &err), 0);
	has_str(err.msg, "entry hard: hard link to nowhere/at/all, which no layer has");

	/* made once: found the next time, under another name of the same chain */
	tarball_add(&b, TAR_FILE, "odd/f", 0644, "f");
	err = (struct err){ 0 };
	is_int(above(s, low, &b, &again, &err), 3);
	is_str(again[2], dirs[2]);
	kit_end(s);
	return tap_done();
}
