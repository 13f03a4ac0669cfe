/* SPDX-License-Identifier: Apache-2.0 */
/* Committing a container. */
/*
 * The container's image.json says which manifest it was made of; its configuration gets one more diff-id, one more
 * history line and the changes asked for, everything else is copied as it was. The new layer is written from the
 * upper directory and unpacked from what was written, so the store holds exactly what a pull of the new image
 * would have brought.
 */
#include "images/commit.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "images/changes.h"
#include "images/layer_diff.h"
#include "images/ref.h"
#include "images/layer_unpack.h"
#include "oci/state.h"

struct commit {
	struct store *s;
	const struct commit_options *o;
	struct store_image base;
	int dirfd; /* of the container */
	char *tmp; /* staging directory */
	struct oci_descriptor layer;
	char diff_id[DIGEST_MAX];
};

static int open_container(struct commit *c, const char *container, struct err *err)
{
	const char *slash = strrchr(container, '/');
	cleanup_free char *name = xasprintf("containers/%s", slash ? slash + 1 : container);
	cleanup_free char *buf = NULL, *manifest = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	struct oci_descriptor d = { .media_type = (char *)OCI_MT_MANIFEST };
	size_t len;
	int r;

	c->dirfd = openat(c->s->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->dirfd < 0)
		return errno == ENOENT ?
			err_set(err, -ENOENT, "no container %s in the store %s", container, c->s->path) :
			err_sys(err, -errno, "%s", name);
	r = fd_slurp_at(c->dirfd, "image.json", OCI_IMAGE_DOC_MAX, &buf, &len);
	if (r < 0)
		return err_sys(err, r, "%s/image.json", name);
	doc = json_parse(buf, len, "image.json", err);
	if (!doc)
		return -EINVAL;
	r = json_req_string(json_root(doc), "manifest", &manifest, err);
	if (r < 0)
		return r;
	d.digest = manifest;
	return store_load_image(c->s, &d, NULL, &c->base, err);
}

static ssize_t read_fd(void *arg, void *buf, size_t len, struct err *err)
{
	ssize_t n = fd_read_all(*(int *)arg, buf, len);

	return n < 0 ? err_sys(err, (int)n, "read") : n;
}

static int make_layer(struct commit *c, struct err *err)
{
	struct layer_options o = { .rights = c->s->rights };
	cleanup_fd int upper = openat(c->dirfd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), tmp = -1,
		       fd = -1;
	char digest[DIGEST_MAX], again[DIGEST_MAX];
	int r;

	if (upper < 0)
		return err_set(err, -ENOTSUP,
			       "the container's root is a copy, not an overlay: there is no record of its changes");
	r = store_tmpdir(c->s, &c->tmp, &tmp, err);
	if (r < 0)
		return r;
	fd = openat(tmp, "blob", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, -errno, "blob");
	store_stop_at("commit");
	r = layer_diff_write(upper, c->s->rights, fd, c->diff_id, digest, &c->layer.size, err);
	if (r >= 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = err_sys(err, -errno, "blob");
	if (r >= 0)
		r = layer_unpack(tmp, read_fd, &fd, &o, c->diff_id, again, err);
	store_stop_at("staged");
	if (r >= 0)
		r = store_sync(c->s, err);
	if (r >= 0)
		r = store_adopt_blob(c->s, c->tmp, "blob", digest, err);
	if (r >= 0)
		r = layer_unpack_publish(c->s, c->tmp, c->diff_id, err);
	c->layer.digest = xstrdup(digest);
	c->layer.media_type =
		xstrdup(str_starts(c->base.manifest->media_type, "application/vnd.docker.") ? OCI_MT_DOCKER_LAYER_GZIP :
											      OCI_MT_LAYER_GZIP);
	return r;
}

static void write_history(struct json_writer *w, const struct json *old, const struct commit *c, const char *when)
{
	size_t lines = 0;

	json_w_array(w, "history");
	if (old && old->type == JSON_ARRAY) {
		json_for_each(v, old) {
			const struct json *empty = json_get(v, "empty_layer");

			json_w_value(w, NULL, v);
			lines += !(empty && empty->type == JSON_BOOL && empty->b);
		}
	}
	/* builders count: one line for each layer, also where the base had none */
	for (; lines < c->base.manifest->n_layers; lines++) {
		json_w_object(w, NULL);
		json_w_string(w, "created_by", "unknown");
		json_w_object_end(w);
	}
	json_w_object(w, NULL);
	json_w_string(w, "created", when);
	json_w_string(w, "created_by", "amphi commit");
	if (c->o->author)
		json_w_string(w, "author", c->o->author);
	if (c->o->message)
		json_w_string(w, "comment", c->o->message);
	json_w_object_end(w);
	json_w_array_end(w);
}

static int make_config(const struct commit *c, char **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(c->base.config_json, c->base.config_len, "config", err);
	static const char *const ours[] = { "created", "author", "config", "rootfs", "history" };
	struct json_writer w = { 0 };
	struct timespec now;
	char when[OCI_TIME_MAX];
	int r;

	if (!doc)
		return -EINVAL;
	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_nsec = 0;
	oci_time_write(&now, when);
	json_w_object(&w, NULL);
	json_for_each(v, json_root(doc)) {
		bool skip = false;

		for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
			skip = skip || !strcmp(v->key, ours[i]);
		if (!skip)
			json_w_value(&w, v->key, v);
	}
	json_w_string(&w, "created", when);
	if (c->o->author)
		json_w_string(&w, "author", c->o->author);
	r = changes_write(&w, json_get(json_root(doc), "config"), c->o->changes, err);
	json_w_object(&w, "rootfs");
	json_w_string(&w, "type", "layers");
	json_w_array(&w, "diff_ids");
	for (size_t i = 0; i < strv_len(c->base.config->diff_ids); i++)
		json_w_string(&w, NULL, c->base.config->diff_ids[i]);
	json_w_string(&w, NULL, c->diff_id);
	json_w_array_end(&w);
	json_w_object_end(&w);
	write_history(&w, json_get(json_root(doc), "history"), c, when);
	json_w_object_end(&w);
	*ret = json_w_steal(&w);
	return r;
}

static int finish(struct commit *c, const char *name, char **ret_digest, struct err *err)
{
	const struct oci_manifest *old = c->base.manifest;
	cleanup_free struct oci_descriptor *layers = xcalloc(old->n_layers + 1, sizeof(*layers));
	struct oci_manifest m = { .media_type = old->media_type, .layers = layers, .n_layers = old->n_layers + 1 };
	cleanup_free char *config = NULL, *text = NULL;
	struct oci_descriptor d = { 0 };
	int r = make_config(c, &config, err);

	memcpy(layers, old->layers, old->n_layers * sizeof(*layers));
	layers[old->n_layers] = c->layer;
	if (r >= 0)
		r = store_put_blob(c->s, config, strlen(config), old->config.media_type, &m.config, err);
	if (r >= 0) {
		text = oci_manifest_write(&m);
		r = store_put_blob(c->s, text, strlen(text), m.media_type, &d, err);
	}
	if (r >= 0) {
		struct oci_descriptor tagged = d;

		tagged.platform = (struct oci_platform){ c->base.config->os, c->base.config->architecture,
							 c->base.config->variant, c->base.config->os_version };
		r = store_tag(c->s, name, &tagged, err);
	}
	if (r >= 0)
		*ret_digest = xstrdup(d.digest);
	oci_descriptor_clear(&m.config);
	oci_descriptor_clear(&d);
	return r;
}

int commit_container(struct store *s, const char *container, const struct commit_options *o, char **ret_digest,
		     struct err *err)
{
	struct commit c = { .s = s, .o = o, .dirfd = -1 };
	cleanup_ref struct ref ref = { 0 };
	int r = ref_parse(o->name, "localhost", &ref, err);

	if (r >= 0 && ref.digest)
		r = err_set(err, -EINVAL, "image name %s: a new image cannot be named by digest", o->name);
	if (r >= 0)
		r = open_container(&c, container, err);
	if (r >= 0)
		r = make_layer(&c, err);
	if (r >= 0)
		r = finish(&c, ref.name, ret_digest, err);
	if (c.tmp)
		path_remove_tree(s->fd, c.tmp, true);
	free(c.tmp);
	if (c.dirfd >= 0)
		close(c.dirfd);
	oci_descriptor_clear(&c.layer);
	store_image_clear(&c.base);
	return r;
}
