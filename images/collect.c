/* SPDX-License-Identifier: Apache-2.0 */
/* Garbage collection and checking of the store. */
/*
 * Mark and sweep under gc.lock held exclusively, so nobody is between finding and using content. Roots are the
 * names of index.json, whose indexes, manifests, configurations and layers are followed, and image.json of each
 * container, which lists its trees. There are no reference counts to go wrong; a manifest that cannot be read
 * keeps nothing alive and is reported by the check. Sweeping unlinks in place: what a crash leaves half removed
 * is unreferenced still and goes next time; a tree first moves to tmp/, so it is never seen half.
 *
 * Checking a tree reads the layer's archive again and compares entry by entry (layer_verify.c).
 */
#include "images/collect.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "images/inflate.h"
#include "images/layer_verify.h"
#include "images/snapshot.h"
#include "images/layer_unpack.h"
#include "images/origin.h"

struct marks {
	char **blobs; /* digests */
	char **trees; /* names: "layers/HEX", "fixups/HEX" */
	char **faults;
};

static void mark(char ***v, const char *s)
{
	if (!strv_has(*v, s))
		strv_add(v, s);
}

static void mark_trees(struct marks *m, char *const *trees)
{
	for (size_t i = 0; i < strv_len(trees); i++) {
		cleanup_free char *name = xstrdup(trees[i]);

		if (str_ends(name, "/fs"))
			name[strlen(name) - 3] = '\0';
		mark(&m->trees, name);
	}
}

static void fault(struct marks *m, const char *fmt, ...) PRINTF(2, 3);
static void fault(struct marks *m, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	strv_add(&m->faults, text);
}

static void mark_image(struct store *s, struct marks *m, const struct oci_descriptor *d)
{
	struct store_image i;
	struct err err = { 0 };
	char chain[DIGEST_MAX] = "";

	mark(&m->blobs, d->digest);
	if (store_load_image(s, d, NULL, &i, &err) < 0) {
		fault(m, "image %s: %s", d->ref_name ? d->ref_name : d->digest, err.msg);
		return;
	}
	mark(&m->blobs, i.desc.digest);
	mark(&m->blobs, i.manifest->config.digest);
	for (size_t n = 0; n < i.manifest->n_layers; n++) {
		const char *diff = i.config->diff_ids[n];
		cleanup_free char *tree = xasprintf("layers/%s", digest_hex(diff));
		cleanup_free char *joined = n ? xasprintf("%s %s", chain, diff) : NULL;
		cleanup_free char *fixup = NULL;

		if (n)
			digest_of(joined, strlen(joined), chain);
		else
			snprintf(chain, sizeof(chain), "%s", diff);
		fixup = xasprintf("fixups/%s", digest_hex(chain));
		mark(&m->blobs, i.manifest->layers[n].digest);
		mark(&m->trees, tree);
		mark(&m->trees, fixup);
		if (!store_has_blob(s, i.manifest->layers[n].digest, NULL))
			fault(m, "image %s: layer blob %s is missing", d->ref_name, i.manifest->layers[n].digest);
		if (!layer_unpack_has(s, diff))
			fault(m, "image %s: layer tree %s is missing", d->ref_name, diff);
	}
	store_image_clear(&i);
}

static void mark_container(struct store *s, struct marks *m, const char *id)
{
	cleanup_free char *path = xasprintf("containers/%s/image.json", id), *buf = NULL, *manifest = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	cleanup_strv char **trees = NULL;
	size_t len;

	if (fd_slurp_at(s->fd, path, OCI_IMAGE_DOC_MAX, &buf, &len) < 0)
		return;
	doc = json_parse(buf, len, path, NULL);
	if (!doc)
		return;
	if (json_opt_strv(json_root(doc), "trees", &trees, NULL) > 0)
		mark_trees(m, trees);
	/* its documents too, for commit; the layers' blobs go with the image's name */
	if (json_opt_string(json_root(doc), "manifest", &manifest, NULL) > 0 && oci_digest_valid(manifest)) {
		struct oci_descriptor d = { .media_type = (char *)OCI_MT_MANIFEST, .digest = manifest };
		char **faults = steal_ptr(m->faults);

		mark_image(s, m, &d);
		strv_free(m->faults);
		m->faults = faults;
	}
}

static int list(struct store *s, const char *name, char ***ret, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	int fd = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *de;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return err_sys(err, -errno, "%s/%s", s->path, name);
	while ((de = readdir(dir)))
		if (*de->d_name != '.')
			strv_add(ret, de->d_name);
	return 0;
}

static int mark_all(struct store *s, struct marks *m, struct err *err)
{
	cleanup_strv char **ids = NULL;
	struct oci_index *index;
	int r = store_load_index(s, &index, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < index->n_manifests; i++)
		mark_image(s, m, &index->manifests[i]);
	oci_index_free(index);
	r = list(s, "containers", &ids, err);
	for (size_t i = 0; i < strv_len(ids); i++)
		mark_container(s, m, ids[i]);
	return r;
}

static int sweep_blobs(struct store *s, const struct marks *m, const char *alg, struct collect_result *ret,
		       struct err *err)
{
	cleanup_free char *dir = xasprintf("blobs/%s", alg);
	cleanup_strv char **names = NULL;
	int r = list(s, dir, &names, err);

	for (size_t i = 0; i < strv_len(names) && r >= 0; i++) {
		cleanup_free char *digest = xasprintf("%s:%s", alg, names[i]), *path = path_join(dir, names[i]);
		struct stat st;

		if (strv_has(m->blobs, digest))
			continue;
		if (fstatat(s->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
			ret->bytes += (uint64_t)st.st_size;
			ret->blobs++;
		}
		if (unlinkat(s->fd, path, 0) < 0 && errno != ENOENT)
			r = err_sys(err, -errno, "%s", path);
		store_stop_at("sweep-blob");
	}
	return r;
}

static int remove_tree(struct store *s, const char *name, struct err *err)
{
	cleanup_free char *tmp = NULL, *to = NULL;
	cleanup_fd int fd = -1;
	int r = store_tmpdir(s, &tmp, &fd, err);

	if (r < 0)
		return r;
	to = path_join(tmp, "tree");
	if (renameat(s->fd, name, s->fd, to) < 0 && errno != ENOENT)
		r = err_sys(err, -errno, "%s", name);
	store_stop_at("sweep-tree");
	if (r >= 0)
		r = path_remove_tree(s->fd, tmp, true) < 0 ? err_set(err, -EIO, "%s: cannot be removed", name) : 0;
	return r;
}

static int sweep_trees(struct store *s, const struct marks *m, const char *dir, unsigned int *count, struct err *err)
{
	cleanup_strv char **names = NULL;
	int r = list(s, dir, &names, err);

	for (size_t i = 0; i < strv_len(names) && r >= 0; i++) {
		cleanup_free char *path = path_join(dir, names[i]);

		if (strv_has(m->trees, path))
			continue;
		r = remove_tree(s, path, err);
		++*count;
	}
	return r;
}

static int sweep_partial(struct store *s, struct collect_result *ret, struct err *err)
{
	cleanup_strv char **names = NULL, **locks = NULL;
	int r = list(s, "partial", &names, err);

	for (size_t i = 0; i < strv_len(names); i++) {
		cleanup_free char *path = path_join("partial", names[i]);
		struct stat st;

		if (fstatat(s->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			ret->bytes += (uint64_t)st.st_size;
		unlinkat(s->fd, path, 0);
		ret->partial++;
	}
	/* lock files of digests: nobody holds one, for all would hold gc.lock */
	list(s, "locks", &locks, NULL);
	for (size_t i = 0; i < strv_len(locks); i++) {
		cleanup_free char *path = path_join("locks", locks[i]);

		unlinkat(s->fd, path, 0);
	}
	return r;
}

int collect_garbage(struct store *s, bool keep_partial, struct collect_result *ret, struct err *err)
{
	struct marks m = { 0 };
	int r = mark_all(s, &m, err);

	memset(ret, 0, sizeof(*ret));
	if (r >= 0)
		r = sweep_blobs(s, &m, "sha256", ret, err);
	if (r >= 0)
		r = sweep_blobs(s, &m, "sha512", ret, err);
	if (r >= 0)
		r = sweep_trees(s, &m, "layers", &ret->layers, err);
	if (r >= 0)
		r = sweep_trees(s, &m, "fixups", &ret->fixups, err);
	if (r >= 0 && !keep_partial)
		r = sweep_partial(s, ret, err);
	if (r >= 0)
		origin_sweep(s);
	strv_free(m.blobs);
	strv_free(m.trees);
	strv_free(m.faults);
	return r < 0 ? r : 0;
}

static void check_blobs(struct store *s, bool repair, const char *alg, struct marks *m)
{
	cleanup_free char *dir = xasprintf("blobs/%s", alg);
	cleanup_strv char **names = NULL;

	list(s, dir, &names, NULL);
	for (size_t i = 0; i < strv_len(names); i++) {
		cleanup_free char *digest = xasprintf("%s:%s", alg, names[i]), *path = path_join(dir, names[i]);
		cleanup_fd int fd = -1;
		char got[DIGEST_MAX];

		if (!oci_digest_valid(digest)) {
			fault(m, "%s: not a blob's name", path);
			continue;
		}
		fd = store_open_blob(s, digest, NULL);
		if (fd >= 0 && digest_fd(fd, digest, got) == 0 && !strcmp(got, digest))
			continue;
		fault(m, "blob %s: damaged%s", digest, repair ? ", removed" : "");
		if (repair)
			unlinkat(s->fd, path, 0);
	}
}

static void check_tree(struct store *s, bool repair, const char *diff_id, const char *blob, struct marks *m)
{
	cleanup_free char *name = layer_unpack_tree(diff_id), *top = xasprintf("layers/%s", digest_hex(diff_id));
	cleanup_fd int tree = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = store_open_blob(s, blob, NULL);
	struct layer_meta meta = { 0 };
	struct err err = { 0 };
	int r = tree < 0 || fd < 0 ? 0 : layer_verify(tree, fd, s->rights, &err);

	if (r >= 0 && tree >= 0)
		r = layer_meta_read(s->fd, diff_id, &meta, &err);
	layer_meta_clear(&meta);
	if (r >= 0)
		return;
	fault(m, "layer %s: the tree differs: %s%s", diff_id, err.msg, repair ? "; removed" : "");
	if (repair && remove_tree(s, top, &err) < 0)
		fault(m, "layer %s: %s", diff_id, err.msg);
}

int collect_check(struct store *s, bool repair, char ***ret_faults, struct err *err)
{
	cleanup_strv char **done = NULL;
	struct oci_index *index;
	struct marks m = { 0 };
	int r;

	check_blobs(s, repair, "sha256", &m);
	check_blobs(s, repair, "sha512", &m);
	r = mark_all(s, &m, err);
	if (r >= 0)
		r = store_load_index(s, &index, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < index->n_manifests; i++) {
		struct store_image image;

		if (store_load_image(s, &index->manifests[i], NULL, &image, NULL) < 0)
			continue;
		for (size_t n = 0; n < image.manifest->n_layers; n++) {
			if (strv_has(done, image.config->diff_ids[n]))
				continue;
			strv_add(&done, image.config->diff_ids[n]);
			check_tree(s, repair, image.config->diff_ids[n], image.manifest->layers[n].digest, &m);
		}
		store_image_clear(&image);
	}
	oci_index_free(index);
	strv_free(m.blobs);
	strv_free(m.trees);
	*ret_faults = m.faults;
	return (int)strv_len(m.faults);
}
