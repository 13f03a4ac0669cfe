/* SPDX-License-Identifier: Apache-2.0 */
/* images/collect: what is kept by names and containers, what goes, and what the check finds. */
#include "images/collect.h"

#include "tests/unit/store_kit.h"

static char diffs[3][DIGEST_MAX];

static void layer(struct store *s, int i, const char *name, const char *text)
{
	struct str b = { 0 };

	tarball_add(&b, TAR_FILE, name, 0644, text);
	kit_layer(s, &b, diffs[i]);
}

static unsigned int count(struct store *s, const char *dir)
{
	cleanup_dir DIR *d = fdopendir(openat(s->fd, dir, O_RDONLY | O_DIRECTORY));
	unsigned int n = 0;
	struct dirent *de;

	while ((de = readdir(d)))
		n += *de->d_name != '.';
	return n;
}

static void write_file(struct store *s, const char *path, const char *text)
{
	cleanup_fd int fd = openat(s->fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ok(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* The check's findings joined; "" when there are none. */
static char *faults(struct store *s, bool repair, int want)
{
	cleanup_strv char **v = NULL;
	struct err err = { 0 };

	is_int(collect_check(s, repair, &v, &err), want);
	return strv_len(v) ? strv_join(v, "\n") : xstrdup("");
}

int main(void)
{
	struct store *s = kit_store(STORE_WRITE);
	struct collect_result r;
	struct err err = { 0 };
	cleanup_free char *none = NULL, *bad = NULL, *healed = NULL, *path = NULL, *blob = NULL;

	layer(s, 0, "a", "a");
	layer(s, 1, "b", "b");
	layer(s, 2, "c", "c");
	kit_image(s, "localhost/ab:1", diffs, 2);
	kit_image(s, "localhost/bc:1", diffs + 1, 2);
	store_close(s);
	s = kit_store(STORE_COLLECT);

	/* everything is named */
	is_int(collect_garbage(s, true, &r, &err), 0);
	is_int(r.blobs + r.layers + r.fixups + r.partial, 0);
	none = faults(s, false, 0);
	is_str(none, "");

	/* a shared layer stays with the other image */
	is_int(store_untag(s, "localhost/ab:1", &err), 1);
	is_int(store_untag(s, "localhost/ab:1", &err), 0);
	is_int(collect_garbage(s, true, &r, &err), 0);
	is_int(r.layers, 1);
	is_int(r.blobs, 3); /* layer, configuration, manifest */
	is_int(count(s, "layers"), 2);

	/* a container keeps its trees without any name */
	ok(mkdirat(s->fd, "containers/c1", 0755) == 0);
	path = xasprintf("{\"version\":1,\"trees\":[\"layers/%s/fs\"]}", digest_hex(diffs[1]));
	write_file(s, "containers/c1/image.json", path);
	is_int(store_untag(s, "localhost/bc:1", &err), 1);
	is_int(collect_garbage(s, true, &r, &err), 0);
	is_int(count(s, "layers"), 1);
	ok(layer_unpack_has(s, diffs[1]));
	is_int(path_remove_tree(s->fd, "containers/c1", true), 0);

	/* downloads are kept unless asked; what is no blob's name is swept as well */
	write_file(s, "partial/00", "half");
	write_file(s, "blobs/sha256/junk", "x");
	is_int(collect_garbage(s, true, &r, &err), 0);
	is_int(r.partial, 0);
	is_int(count(s, "layers") + count(s, "blobs/sha256"), 0);
	is_int(collect_garbage(s, false, &r, &err), 0);
	is_int(r.partial, 1);
	is_int(r.bytes, 4);

	/* the check: a changed tree, a damaged blob; repair removes them, so they are missing then */
	layer(s, 0, "a", "a");
	kit_image(s, "localhost/a:1", diffs, 1);
	free(path);
	path = xasprintf("layers/%s/fs/a", digest_hex(diffs[0]));
	blob = xasprintf("blobs/sha256/%s", digest_hex(diffs[0]));
	write_file(s, path, "evil");
	bad = faults(s, true, 1);
	has_str(bad, "the tree differs: entry a: ");
	ok(!layer_unpack_has(s, diffs[0]));
	write_file(s, blob, "evil");
	healed = faults(s, true, 3);
	has_str(healed, "damaged, removed");
	has_str(healed, "is missing");
	kit_end(s);
	return tap_done();
}
