/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of image-spec: index, manifest, image configuration, in OCI's and Docker's form. */
/*
 * Everything here was written by a stranger. A document is small (the caller limits it), is parsed whole, and
 * what it says about other blobs is only believed as far as their digests later agree. A body that could be
 * read both as index and as manifest is refused (CVE-2021-41190). image-spec descriptor.md, image-index.md,
 * manifest.md, config.md; Docker's "Image Manifest V2, Schema 2".
 */
#include "oci/image_spec.h"

#include <string.h>
#include <sys/utsname.h>

#include "base/json.h"
#include "base/str.h"
#include "oci/config_read.h"

bool oci_digest_valid(const char *digest)
{
	size_t n;

	if (str_starts(digest, "sha256:"))
		n = 64;
	else if (str_starts(digest, "sha512:"))
		n = 128;
	else
		return false;
	return strlen(digest + 7) == n && strspn(digest + 7, "0123456789abcdef") == n;
}

bool oci_is_index_type(const char *t)
{
	return t && (!strcmp(t, OCI_MT_INDEX) || !strcmp(t, OCI_MT_DOCKER_LIST));
}

bool oci_is_manifest_type(const char *t)
{
	return t && (!strcmp(t, OCI_MT_MANIFEST) || !strcmp(t, OCI_MT_DOCKER_MANIFEST));
}

bool oci_is_layer_type(const char *t)
{
	return t &&
		(str_starts(t, "application/vnd.oci.image.layer.v1.tar") ||
		 str_starts(t, "application/vnd.oci.image.layer.nondistributable.v1.tar") ||
		 str_starts(t, "application/vnd.docker.image.rootfs.diff.tar") ||
		 !strcmp(t, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
}

static int read_platform(const struct json *v, struct oci_platform *p, struct err *err)
{
	OCI_TRY(json_opt_string(v, "os", &p->os, err));
	OCI_TRY(json_opt_string(v, "architecture", &p->architecture, err));
	OCI_TRY(json_opt_string(v, "variant", &p->variant, err));
	return json_opt_string(v, "os.version", &p->os_version, err);
}

static int read_descriptor(const struct json *v, void *slot, struct err *err)
{
	struct oci_descriptor *d = slot;
	const struct json *f;
	int r;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(json_opt_string(v, "mediaType", &d->media_type, err));
	OCI_TRY(json_req_string(v, "digest", &d->digest, err));
	if (!oci_digest_valid(d->digest))
		return json_error(json_get(v, "digest"), err, "\"%.80s\" is not a digest we know", d->digest);
	OCI_TRY(oci_req(v, "size", &f, err));
	OCI_TRY(json_u64(f, &d->size, err));
	if (d->size > INT64_MAX)
		return json_error(f, err, "too large");
	r = json_opt_object(v, "platform", &f, err);
	if (r < 0)
		return r;
	if (r > 0)
		OCI_TRY(read_platform(f, &d->platform, err));
	OCI_TRY(oci_read_map(v, "annotations", sizeof(struct oci_pair), oci_read_pair, &d->annotations,
			     &d->n_annotations, err));
	for (size_t i = 0; i < d->n_annotations; i++)
		if (!strcmp(d->annotations[i].key, OCI_ANN_REF_NAME)) {
			free(d->ref_name);
			d->ref_name = xstrdup(d->annotations[i].value);
		}
	return 0;
}

void oci_platform_clear(struct oci_platform *p)
{
	free(p->os);
	free(p->architecture);
	free(p->variant);
	free(p->os_version);
	memset(p, 0, sizeof(*p));
}

void oci_descriptor_clear(struct oci_descriptor *d)
{
	free(d->media_type);
	free(d->digest);
	free(d->ref_name);
	oci_platform_clear(&d->platform);
	oci_pairs_free(d->annotations, d->n_annotations);
	memset(d, 0, sizeof(*d));
}

static int read_schema(const struct json *root, const char *what, struct err *err)
{
	uint32_t version = 2;

	OCI_TRY(json_opt_u32(root, "schemaVersion", &version, err));
	if (version == 1)
		return err_set(err, -EINVAL,
			       "%s: Docker's schema 1 is not supported; push the image again with a current tool",
			       what);
	if (version != 2)
		return err_set(err, -EINVAL, "%s: schemaVersion %u is unknown", what, version);
	return 0;
}

int oci_index_parse(const char *buf, size_t len, const char *what, struct oci_index **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, what, err);
	const struct json *root, *list;
	struct oci_index *i;
	int r;

	if (!doc)
		return -EINVAL;
	OCI_TRY(oci_want_root(doc, what, err));
	root = json_root(doc);
	OCI_TRY(read_schema(root, what, err));
	if (json_get(root, "layers") || json_get(root, "config"))
		return err_set(err, -EINVAL, "%s: both an index and a manifest", what);
	OCI_TRY(oci_req(root, "manifests", &list, err));
	i = xcalloc(1, sizeof(*i));
	r = json_opt_string(root, "mediaType", &i->media_type, err);
	if (r >= 0)
		r = oci_read_array(root, "manifests", sizeof(*i->manifests), read_descriptor, &i->manifests,
				   &i->n_manifests, err);
	if (r < 0) {
		err_wrap(err, "%s", what);
		oci_index_free(i);
		return r;
	}
	*ret = i;
	return 0;
}

void oci_index_free(struct oci_index *i)
{
	if (!i)
		return;
	free(i->media_type);
	for (size_t n = 0; n < i->n_manifests; n++)
		oci_descriptor_clear(&i->manifests[n]);
	free(i->manifests);
	free(i);
}

static int read_manifest(const struct json *root, struct oci_manifest *m, struct err *err)
{
	const struct json *f;

	OCI_TRY(json_opt_string(root, "mediaType", &m->media_type, err));
	OCI_TRY(oci_req(root, "config", &f, err));
	OCI_TRY(read_descriptor(f, &m->config, err));
	OCI_TRY(oci_req(root, "layers", &f, err));
	OCI_TRY(json_want(f, JSON_ARRAY, err));
	if (f->c.n > OCI_IMAGE_LAYERS_MAX)
		return json_error(f, err, "more than %d layers", OCI_IMAGE_LAYERS_MAX);
	OCI_TRY(oci_read_array(root, "layers", sizeof(*m->layers), read_descriptor, &m->layers, &m->n_layers, err));
	if (!m->media_type)
		m->media_type = xstrdup(m->config.media_type && !strcmp(m->config.media_type, OCI_MT_DOCKER_CONFIG) ?
						OCI_MT_DOCKER_MANIFEST :
						OCI_MT_MANIFEST);
	return oci_read_map(root, "annotations", sizeof(struct oci_pair), oci_read_pair, &m->annotations,
			    &m->n_annotations, err);
}

int oci_manifest_parse(const char *buf, size_t len, const char *what, struct oci_manifest **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, what, err);
	const struct json *root;
	struct oci_manifest *m;
	int r;

	if (!doc)
		return -EINVAL;
	OCI_TRY(oci_want_root(doc, what, err));
	root = json_root(doc);
	OCI_TRY(read_schema(root, what, err));
	if (json_get(root, "manifests"))
		return err_set(err, -EINVAL, "%s: both an index and a manifest", what);
	m = xcalloc(1, sizeof(*m));
	r = read_manifest(root, m, err);
	if (r < 0) {
		err_wrap(err, "%s", what);
		oci_manifest_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void oci_manifest_free(struct oci_manifest *m)
{
	if (!m)
		return;
	free(m->media_type);
	oci_descriptor_clear(&m->config);
	for (size_t n = 0; n < m->n_layers; n++)
		oci_descriptor_clear(&m->layers[n]);
	free(m->layers);
	oci_pairs_free(m->annotations, m->n_annotations);
	free(m);
}

static int read_history(const struct json *v, void *slot, struct err *err)
{
	struct oci_history *h = slot;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(json_opt_string(v, "created_by", &h->created_by, err));
	return json_opt_bool(v, "empty_layer", &h->empty_layer, err);
}

/* The keys of an object whose values mean nothing ({"80/tcp":{}}). */
static int read_keys(const struct json *obj, const char *key, char ***ret, struct err *err)
{
	const struct json *v;
	int r = json_opt_object(obj, key, &v, err);

	if (r <= 0)
		return r;
	json_for_each(m, v)
		strv_add(ret, m->key);
	return 1;
}

static int read_image(const struct json *root, struct oci_image *i, struct err *err)
{
	const struct json *f, *c;
	const char *type;
	int r;

	OCI_TRY(json_opt_string(root, "os", &i->os, err));
	OCI_TRY(json_opt_string(root, "architecture", &i->architecture, err));
	OCI_TRY(json_opt_string(root, "variant", &i->variant, err));
	OCI_TRY(json_opt_string(root, "os.version", &i->os_version, err));
	OCI_TRY(json_opt_string(root, "created", &i->created, err));
	OCI_TRY(json_opt_string(root, "author", &i->author, err));
	OCI_TRY(oci_req(root, "rootfs", &f, err));
	OCI_TRY(json_want(f, JSON_OBJECT, err));
	c = json_get(f, "type");
	if (c) {
		OCI_TRY(json_string(c, &type, err));
		if (strcmp(type, "layers"))
			return json_error(c, err, "must be \"layers\"");
	}
	OCI_TRY(json_opt_strv(f, "diff_ids", &i->diff_ids, err));
	for (size_t n = 0; n < strv_len(i->diff_ids); n++)
		if (!oci_digest_valid(i->diff_ids[n]))
			return json_error(&json_get(f, "diff_ids")->c.v[n], err, "not a digest we know");
	OCI_TRY(oci_read_array(root, "history", sizeof(*i->history), read_history, &i->history, &i->n_history, err));
	r = json_opt_object(root, "config", &c, err);
	if (r <= 0)
		return r;
	OCI_TRY(json_opt_string(c, "User", &i->user, err));
	OCI_TRY(json_opt_strv(c, "Env", &i->env, err));
	OCI_TRY(json_opt_strv(c, "Entrypoint", &i->entrypoint, err));
	OCI_TRY(json_opt_strv(c, "Cmd", &i->cmd, err));
	OCI_TRY(json_opt_string(c, "WorkingDir", &i->working_dir, err));
	OCI_TRY(json_opt_string(c, "StopSignal", &i->stop_signal, err));
	OCI_TRY(read_keys(c, "Volumes", &i->volumes, err));
	OCI_TRY(read_keys(c, "ExposedPorts", &i->exposed_ports, err));
	return oci_read_map(c, "Labels", sizeof(struct oci_pair), oci_read_pair, &i->labels, &i->n_labels, err);
}

int oci_image_parse(const char *buf, size_t len, const char *what, struct oci_image **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, what, err);
	struct oci_image *i;
	int r;

	if (!doc)
		return -EINVAL;
	OCI_TRY(oci_want_root(doc, what, err));
	i = xcalloc(1, sizeof(*i));
	r = read_image(json_root(doc), i, err);
	if (r < 0) {
		err_wrap(err, "%s", what);
		oci_image_free(i);
		return r;
	}
	*ret = i;
	return 0;
}

void oci_image_free(struct oci_image *i)
{
	if (!i)
		return;
	free(i->os);
	free(i->architecture);
	free(i->variant);
	free(i->os_version);
	free(i->created);
	free(i->author);
	strv_free(i->diff_ids);
	free(i->user);
	strv_free(i->env);
	strv_free(i->entrypoint);
	strv_free(i->cmd);
	free(i->working_dir);
	free(i->stop_signal);
	strv_free(i->volumes);
	strv_free(i->exposed_ports);
	oci_pairs_free(i->labels, i->n_labels);
	for (size_t n = 0; n < i->n_history; n++)
		free(i->history[n].created_by);
	free(i->history);
	free(i);
}

static void write_pairs(struct json_writer *w, const char *key, const struct oci_pair *v, size_t n)
{
	if (!n)
		return;
	json_w_object(w, key);
	for (size_t i = 0; i < n; i++)
		json_w_string(w, v[i].key, v[i].value);
	json_w_object_end(w);
}

void oci_descriptor_write(struct json_writer *w, const char *key, const struct oci_descriptor *d)
{
	json_w_object(w, key);
	if (d->media_type)
		json_w_string(w, "mediaType", d->media_type);
	json_w_string(w, "digest", d->digest);
	json_w_u64(w, "size", d->size);
	write_pairs(w, "annotations", d->annotations, d->n_annotations);
	if (d->platform.os || d->platform.architecture) {
		json_w_object(w, "platform");
		if (d->platform.architecture)
			json_w_string(w, "architecture", d->platform.architecture);
		if (d->platform.os)
			json_w_string(w, "os", d->platform.os);
		if (d->platform.variant)
			json_w_string(w, "variant", d->platform.variant);
		if (d->platform.os_version)
			json_w_string(w, "os.version", d->platform.os_version);
		json_w_object_end(w);
	}
	json_w_object_end(w);
}

char *oci_index_write(const struct oci_index *i)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	json_w_u64(&w, "schemaVersion", 2);
	json_w_string(&w, "mediaType", i->media_type ? i->media_type : OCI_MT_INDEX);
	json_w_array(&w, "manifests");
	for (size_t n = 0; n < i->n_manifests; n++)
		oci_descriptor_write(&w, NULL, &i->manifests[n]);
	json_w_array_end(&w);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

char *oci_manifest_write(const struct oci_manifest *m)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	json_w_u64(&w, "schemaVersion", 2);
	json_w_string(&w, "mediaType", m->media_type);
	oci_descriptor_write(&w, "config", &m->config);
	json_w_array(&w, "layers");
	for (size_t n = 0; n < m->n_layers; n++)
		oci_descriptor_write(&w, NULL, &m->layers[n]);
	json_w_array_end(&w);
	write_pairs(&w, "annotations", m->annotations, m->n_annotations);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

static const char *host_architecture(const struct utsname *u)
{
	static const char *const names[][2] = {
		{ "x86_64", "amd64" },    { "aarch64", "arm64" },   { "armv7l", "arm" },  { "i686", "386" },
		{ "riscv64", "riscv64" }, { "ppc64le", "ppc64le" }, { "s390x", "s390x" }, { "loongarch64", "loong64" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(u->machine, names[i][0]))
			return names[i][1];
	return u->machine;
}

int oci_platform_parse(const char *text, struct oci_platform *ret, struct err *err)
{
	cleanup_strv char **parts = NULL;
	struct utsname u;

	memset(ret, 0, sizeof(*ret));
	if (!text) {
		uname(&u);
		ret->os = xstrdup("linux");
		ret->architecture = xstrdup(host_architecture(&u));
		return 0;
	}
	parts = strv_split(text, '/');
	if (strv_len(parts) < 2 || strv_len(parts) > 3 || !*parts[0] || !*parts[1])
		return err_set(err, -EINVAL, "platform \"%s\": expected OS/ARCH or OS/ARCH/VARIANT", text);
	ret->os = xstrdup(parts[0]);
	ret->architecture = xstrdup(parts[1]);
	ret->variant = parts[2] && *parts[2] ? xstrdup(parts[2]) : NULL;
	return 0;
}

/* 0: no match; the larger the better. */
static int match(const struct oci_descriptor *d, const struct oci_platform *p)
{
	const struct oci_platform *q = &d->platform;
	const char *fallback = !strcmp(p->architecture, "arm64") ? "v8" :
		!strcmp(p->architecture, "amd64")                ? "v1" :
								   NULL;
	const char *want = p->variant ? p->variant : fallback;

	if (!q->os || !q->architecture || strcmp(q->os, p->os) || strcmp(q->architecture, p->architecture))
		return 0;
	if (!q->variant)
		return p->variant && fallback && strcmp(p->variant, fallback) ? 1 : 3;
	if (want && !strcmp(q->variant, want))
		return 4;
	return p->variant || fallback ? 0 : 1;
}

const struct oci_descriptor *oci_index_choose(const struct oci_index *i, const struct oci_platform *p)
{
	const struct oci_descriptor *best = NULL;
	int best_score = 0;

	for (size_t n = 0; n < i->n_manifests; n++) {
		const struct oci_descriptor *d = &i->manifests[n];
		int score = oci_is_manifest_type(d->media_type) || oci_is_index_type(d->media_type) ? match(d, p) : 0;

		if (score > best_score) {
			best = d;
			best_score = score;
		}
	}
	return best;
}
