/* SPDX-License-Identifier: Apache-2.0 */
/* Images out of files into the store. */
/*
 * Three kinds of input become one: a manifest descriptor and a source that streams blobs by digest. An OCI layout
 * has both. docker save's archive has configuration and layers by name; a manifest is written for them, keeping
 * the configuration's bytes and so the image's id. A root file system is one layer whose digests are only known
 * after reading it: it is unpacked once, on the way its blob is written, and a configuration is made.
 * image-layout.md; Docker's image/spec v1.2 (docker save).
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "images/archive.h"
#include "images/changes.h"
#include "images/deflate.h"
#include "images/ref.h"
#include "images/layer_unpack.h"
#include "oci/config_read.h"
#include "oci/state.h"

#define CONTAINERD_NAME "io.containerd.image.name"

struct import {
	struct store *s;
	const struct archive_import *in;
	struct archive *a;
	/* blobs of a docker archive: digest to member name; documents we made */
	struct oci_pair *map;
	size_t n_map;
	struct oci_pair *docs; /* digest to text */
	size_t n_docs;
	char **names;
	char **digests; /* of the images that have the names */
};

struct import_stream {
	void *inner; /* of the archive; NULL: text */
	char *text;
	size_t pos, len;
};

static int import_open(void *arg, const struct oci_descriptor *d, uint64_t offset, void **ret, struct err *err)
{
	struct import *im = arg;
	struct import_stream *s = xcalloc(1, sizeof(*s));
	cleanup_free char *blob = xasprintf("blobs/%.6s/%s", d->digest, digest_hex(d->digest));
	const char *name = blob;
	uint64_t size;
	int r = 0;

	for (size_t i = 0; i < im->n_map; i++)
		if (!strcmp(im->map[i].key, d->digest))
			name = im->map[i].value;
	for (size_t i = 0; i < im->n_docs; i++)
		if (!strcmp(im->docs[i].key, d->digest)) {
			s->text = xstrdup(im->docs[i].value);
			s->len = strlen(s->text);
			s->pos = offset < s->len ? (size_t)offset : s->len;
		}
	if (!s->text)
		r = archive_stream(im->a, name, offset, &s->inner, &size, err);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static ssize_t import_read(void *stream, void *buf, size_t len, struct err *err)
{
	struct import_stream *s = stream;
	size_t n = s->len - s->pos < len ? s->len - s->pos : len;

	if (s->inner)
		return archive_stream_read(s->inner, buf, len, err);
	memcpy(buf, s->text + s->pos, n);
	s->pos += n;
	return (ssize_t)n;
}

static void import_close(void *stream)
{
	struct import_stream *s = stream;

	if (s->inner)
		archive_stream_close(s->inner);
	free(s->text);
	free(s);
}

static void remember(struct oci_pair **v, size_t *n, const char *key, const char *value)
{
	*v = xreallocarray(*v, *n + 1, sizeof(**v));
	(*v)[(*n)++] = (struct oci_pair){ xstrdup(key), xstrdup(value) };
}

/* The name of an image: what was asked, what the archive says, or localhost/FILE. */
static int choose_name(const struct import *im, const char *said, char **ret, struct err *err)
{
	cleanup_free char *base = NULL, *text = NULL;
	cleanup_ref struct ref ref = { 0 };
	const char *p, *slash;
	struct str s = { 0 };
	int r;

	if (im->in->name || (said && strpbrk(said, "/:"))) {
		r = ref_parse(im->in->name ? im->in->name : said, im->in->name ? "localhost" : "docker.io", &ref, err);
		if (r >= 0)
			*ret = xstrdup(ref.name);
		return r;
	}
	base = xstrdup(im->in->path);
	while (strlen(base) > 1 && str_ends(base, "/"))
		base[strlen(base) - 1] = '\0';
	slash = strrchr(base, '/');
	for (p = slash ? slash + 1 : base; *p; p++) {
		char c = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;

		if (c == '.' &&
		    (str_starts(p, ".tar") || str_starts(p, ".tgz") || str_starts(p, ".oci") || str_starts(p, ".txz")))
			break;
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (strchr("-._", c) && s.len && p[1]))
			str_addc(&s, c);
	}
	text = xasprintf("localhost/%s:%s", s.len ? s.s : "image", str_empty(said) ? "latest" : said);
	str_free(&s);
	r = ref_parse(text, "localhost", &ref, err);
	if (r < 0)
		return err_set(err, r, "%s: no image name follows from the file's name: give --name", im->in->path);
	*ret = xstrdup(ref.name);
	return 0;
}

static int import_manifest(struct import *im, const struct oci_descriptor *d, const char *said, struct err *err)
{
	struct fetch_source src = { import_open, import_read, import_close, im, 2, false };
	cleanup_free char *name = NULL;
	int r = choose_name(im, said, &name, err);

	for (size_t i = 0; i < strv_len(im->names) && r >= 0; i++)
		if (!strcmp(im->names[i], name) && strcmp(im->digests[i], d->digest))
			r = err_set(err, -EEXIST, "two images of the archive would be %s: give --name, and --platform",
				    name);
	if (r >= 0)
		r = fetch_image(im->s, &src, d, name, &im->in->fetch, err);
	if (r < 0)
		return r;
	strv_add(&im->names, name);
	strv_add(&im->digests, d->digest);
	return 0;
}

/* A descriptor of the layout's index: an image, or an index of images to choose from. */
static int import_descriptor(struct import *im, const struct oci_descriptor *d, const char *said, int depth,
			     struct err *err)
{
	struct fetch_source src = { import_open, import_read, import_close, im, 1, false };
	struct oci_platform own = { 0 };
	const struct oci_descriptor *chosen;
	struct oci_index *index = NULL;
	cleanup_free char *text = NULL;
	size_t len;
	int r;

	if (!oci_is_index_type(d->media_type))
		return import_manifest(im, d, said, err);
	if (depth > 2)
		return err_set(err, -EINVAL, "index.json: indexes nested too deep");
	r = fetch_document(&src, d, &text, &len, err);
	if (r >= 0)
		r = oci_index_parse(text, len, d->digest, &index, err);
	if (r < 0)
		return r;
	oci_platform_parse(NULL, &own, NULL);
	chosen = oci_index_choose(index, im->in->platform ? im->in->platform : &own);
	if (!chosen)
		r = err_set(err, -ENOENT, "no image for this platform in the index");
	else
		r = import_descriptor(im, chosen, said, depth + 1, err);
	oci_platform_clear(&own);
	oci_index_free(index);
	return r;
}

static int import_oci(struct import *im, struct err *err)
{
	struct oci_index *index;
	cleanup_free char *text = NULL;
	size_t len;
	int r = archive_read(im->a, "index.json", &text, &len, err);

	if (r >= 0)
		r = oci_index_parse(text, len, "index.json", &index, err);
	if (r < 0)
		return r;
	if (!index->n_manifests)
		r = err_set(err, -EINVAL, "index.json: no image");
	if (im->in->name && index->n_manifests > 1 && r >= 0) {
		/* one name for several manifests: the platform's */
		struct oci_platform own = { 0 };
		const struct oci_descriptor *d;

		oci_platform_parse(NULL, &own, NULL);
		d = oci_index_choose(index, im->in->platform ? im->in->platform : &own);
		r = d ? import_descriptor(im, d, NULL, 0, err) :
			err_set(err, -EINVAL, "--name: the archive has %zu images", index->n_manifests);
		oci_platform_clear(&own);
	} else {
		for (size_t i = 0; i < index->n_manifests && r >= 0; i++) {
			const struct oci_descriptor *d = &index->manifests[i];
			const char *said = d->ref_name;

			/* containerd's whole name, unless somebody renamed the tag without knowing of it */
			for (size_t k = 0; k < d->n_annotations; k++) {
				cleanup_free char *tag = d->ref_name ? xasprintf(":%s", d->ref_name) : NULL;

				if (!strcmp(d->annotations[k].key, CONTAINERD_NAME) &&
				    (!tag || str_ends(d->annotations[k].value, tag)))
					said = d->annotations[k].value;
			}
			r = import_descriptor(im, d, said, 0, err);
		}
	}
	oci_index_free(index);
	return r;
}

/* Digest, size and media type of a docker archive's layer file. */
static int docker_layer(struct import *im, const char *member, const char *diff_id, struct oci_descriptor *d,
			struct err *err)
{
	cleanup_digest struct digest *hash = digest_new(NULL);
	cleanup_free char *buf = xmalloc(1 << 20);
	uint8_t magic[4] = { 0 };
	char digest[DIGEST_MAX];
	void *stream;
	ssize_t n;
	int r = archive_stream(im->a, member, 0, &stream, &d->size, err);

	if (r < 0)
		return r;
	n = archive_stream_read(stream, buf, 1 << 20, err);
	if (n >= 4)
		memcpy(magic, buf, 4);
	if ((magic[0] == 0x1f && magic[1] == 0x8b) || (magic[0] == 0x28 && magic[1] == 0xb5)) {
		while (n > 0) {
			digest_update(hash, buf, (size_t)n);
			n = archive_stream_read(stream, buf, 1 << 20, err);
		}
		d->digest = xstrdup(digest_final(hash, digest));
		d->media_type = xstrdup(magic[0] == 0x1f ? OCI_MT_LAYER_GZIP : OCI_MT_LAYER_ZSTD);
	} else {
		/* as it is: its digest is the diff-id, and is verified when it is read */
		d->digest = xstrdup(diff_id);
		d->media_type = xstrdup(OCI_MT_LAYER);
	}
	archive_stream_close(stream);
	if (n < 0)
		return (int)n;
	remember(&im->map, &im->n_map, d->digest, member);
	return 0;
}

static int docker_image(struct import *im, const struct json *entry, struct err *err)
{
	cleanup_strv char **layers = NULL, **tags = NULL;
	cleanup_free char *config_name = NULL, *config = NULL, *text = NULL;
	struct oci_manifest m = { .media_type = (char *)OCI_MT_MANIFEST };
	struct oci_image *image = NULL;
	struct oci_descriptor d = { 0 };
	char digest[DIGEST_MAX];
	size_t len;
	int r = json_req_string(entry, "Config", &config_name, err);

	if (r >= 0)
		r = json_opt_strv(entry, "Layers", &layers, err);
	if (r >= 0)
		r = json_opt_strv(entry, "RepoTags", &tags, err);
	if (r >= 0)
		r = archive_read(im->a, config_name, &config, &len, err);
	if (r >= 0)
		r = oci_image_parse(config, len, config_name, &image, err);
	if (r < 0)
		return r;
	if (strv_len(layers) != strv_len(image->diff_ids))
		r = err_set(err, -EINVAL, "manifest.json: %zu layers, but %zu diff_ids", strv_len(layers),
			    strv_len(image->diff_ids));
	m.config = (struct oci_descriptor){ .media_type = (char *)OCI_MT_CONFIG,
					    .size = len,
					    .digest = (char *)digest_of(config, len, digest) };
	remember(&im->map, &im->n_map, digest, config_name);
	m.layers = xcalloc(strv_len(layers) + 1, sizeof(*m.layers));
	for (size_t i = 0; i < strv_len(layers) && r >= 0; i++)
		r = docker_layer(im, layers[i], image->diff_ids[i], &m.layers[m.n_layers++], err);
	if (r >= 0) {
		char manifest_digest[DIGEST_MAX];

		text = oci_manifest_write(&m);
		d = (struct oci_descriptor){ .media_type = (char *)OCI_MT_MANIFEST,
					     .size = strlen(text),
					     .digest = (char *)digest_of(text, strlen(text), manifest_digest) };
		remember(&im->docs, &im->n_docs, d.digest, text);
		r = import_manifest(im, &d, strv_len(tags) ? tags[0] : NULL, err);
		for (size_t i = 1; i < strv_len(tags) && r >= 0 && !im->in->name; i++)
			r = import_manifest(im, &d, tags[i], err);
	}
	for (size_t i = 0; i < m.n_layers; i++)
		oci_descriptor_clear(&m.layers[i]);
	free(m.layers);
	oci_image_free(image);
	return r;
}

static int import_docker(struct import *im, struct err *err)
{
	cleanup_free char *text = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	size_t len;
	int r = archive_read(im->a, "manifest.json", &text, &len, err);

	if (r < 0)
		return r;
	doc = json_parse(text, len, "manifest.json", err);
	if (!doc)
		return -EINVAL;
	if (json_root(doc)->type != JSON_ARRAY || !json_root(doc)->c.n)
		return err_set(err, -EINVAL, "manifest.json: expected a list of images");
	if (im->in->name && json_root(doc)->c.n > 1)
		return err_set(err, -EINVAL, "--name: the archive has %zu images", json_root(doc)->c.n);
	json_for_each(entry, json_root(doc)) {
		r = json_want(entry, JSON_OBJECT, err);
		if (r >= 0)
			r = docker_image(im, entry, err);
		if (r < 0)
			return err_wrap(err, "manifest.json");
	}
	return 0;
}

/* A root file system's archive on its way: as it is into the blob, or (xz, which no media type has) through pack. */
struct rootfs_in {
	int fd, out;
	struct digest *digest;
	uint64_t size;
	uint8_t magic[6];
	struct deflate *pack;
};

static const uint8_t xz_magic[6] = { 0xfd, '7', 'z', 'X', 'Z', 0 };

static ssize_t rootfs_read(void *arg, void *buf, size_t len, struct err *err)
{
	struct rootfs_in *in = arg;
	ssize_t n;
	int r;

	/* the magic in one piece, from a pipe too: by it the bytes are known to belong into the blob or not */
	if (!in->size)
		len = sizeof(in->magic);
	do
		n = in->size ? read(in->fd, buf, len) : fd_read_all(in->fd, buf, len);
	while (in->size && n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(err, in->size ? -errno : (int)n, "read");
	for (size_t i = 0; in->size + i < sizeof(in->magic) && i < (size_t)n; i++)
		in->magic[in->size + i] = ((uint8_t *)buf)[i];
	in->size += (uint64_t)n;
	if (!memcmp(in->magic, xz_magic, sizeof(xz_magic)))
		return n;
	r = fd_write_all(in->out, buf, (size_t)n);
	if (r < 0)
		return err_sys(err, r, "write");
	digest_update(in->digest, buf, (size_t)n);
	store_stop_at("fetching");
	return n;
}

static int rootfs_copy(void *arg, const void *buf, size_t len, struct err *err)
{
	struct rootfs_in *in = arg;

	if (memcmp(in->magic, xz_magic, sizeof(xz_magic)))
		return 0;
	if (!in->pack)
		in->pack = deflate_new(in->out);
	return deflate_put(in->pack, buf, len, err);
}

static int rootfs_config(const struct import *im, const char *diff_id, char **ret, struct err *err)
{
	const struct oci_platform *p = im->in->platform;
	struct oci_platform own = { 0 };
	struct timespec now;
	struct json_writer w = { 0 };
	char when[OCI_TIME_MAX];
	int r;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_nsec = 0;
	oci_platform_parse(NULL, &own, NULL);
	p = p ? p : &own;
	json_w_object(&w, NULL);
	json_w_string(&w, "created", oci_time_write(&now, when));
	json_w_string(&w, "architecture", p->architecture);
	json_w_string(&w, "os", p->os);
	if (!str_empty(p->variant))
		json_w_string(&w, "variant", p->variant);
	r = changes_write(&w, NULL, im->in->changes, err);
	json_w_object(&w, "rootfs");
	json_w_string(&w, "type", "layers");
	json_w_array(&w, "diff_ids");
	json_w_string(&w, NULL, diff_id);
	json_w_array_end(&w);
	json_w_object_end(&w);
	/* builders count: one line for each layer */
	json_w_array(&w, "history");
	json_w_object(&w, NULL);
	json_w_string(&w, "created", when);
	json_w_string(&w, "created_by", "amphi import");
	json_w_object_end(&w);
	json_w_array_end(&w);
	json_w_object_end(&w);
	oci_platform_clear(&own);
	*ret = json_w_steal(&w);
	return r;
}

/* Manifest, configuration and name for the layer that is in the store now. */
static int rootfs_finish(struct import *im, const struct oci_descriptor *layer, const char *diff_id, struct err *err)
{
	struct oci_manifest m = { .media_type = (char *)OCI_MT_MANIFEST,
				  .layers = (struct oci_descriptor *)layer,
				  .n_layers = 1 };
	cleanup_free char *config = NULL, *text = NULL, *name = NULL;
	struct oci_descriptor d = { 0 };
	int r = choose_name(im, NULL, &name, err);

	if (r >= 0)
		r = rootfs_config(im, diff_id, &config, err);
	if (r >= 0)
		r = store_put_blob(im->s, config, strlen(config), OCI_MT_CONFIG, &m.config, err);
	if (r >= 0) {
		text = oci_manifest_write(&m);
		r = store_put_blob(im->s, text, strlen(text), OCI_MT_MANIFEST, &d, err);
	}
	if (r >= 0) {
		const struct oci_platform *p = im->in->platform;

		if (p)
			d.platform = (struct oci_platform){ .os = xstrdup(p->os),
							    .architecture = xstrdup(p->architecture),
							    .variant = xstrdup(p->variant) };
		else
			oci_platform_parse(NULL, &d.platform, NULL);
		r = store_tag(im->s, name, &d, err);
	}
	if (r >= 0)
		strv_add(&im->names, name);
	oci_descriptor_clear(&m.config);
	oci_descriptor_clear(&d);
	return r;
}

/* The archive into the staging directory: blob and tree. *ret_layer gets type, digest (at digest) and size. */
static int rootfs_stage(struct import *im, int fd, int dirfd, char digest[DIGEST_MAX], char diff_id[DIGEST_MAX],
			struct oci_descriptor *ret_layer, struct err *err)
{
	cleanup_fd int out = openat(dirfd, "blob", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	cleanup_digest struct digest *hash = digest_new(NULL);
	struct rootfs_in in = { .fd = fd, .out = out, .digest = hash };
	struct layer_options o = { .rights = im->s->rights,
				   .max_bytes = im->in->fetch.max_layer_bytes,
				   .max_entries = LAYER_MAX_ENTRIES,
				   .copy = rootfs_copy,
				   .copy_arg = &in };
	char again[DIGEST_MAX], rest[65536];
	ssize_t n = 1;
	int r = out < 0 ? err_sys(err, -errno, "blob") : layer_unpack(dirfd, rootfs_read, &in, &o, NULL, diff_id, err);

	while (r >= 0 && n > 0)
		r = (int)(n = rootfs_read(&in, rest, sizeof(rest), err));
	if (r >= 0 && !in.pack && !memcmp(in.magic, xz_magic, sizeof(xz_magic)))
		r = err_set(err, -EINVAL, "empty archive");
	if (in.pack) {
		if (r >= 0)
			r = deflate_end(in.pack, again, digest, &ret_layer->size, err);
		ret_layer->media_type = (char *)OCI_MT_LAYER_GZIP;
	} else {
		digest_final(hash, digest);
		ret_layer->size = in.size;
		ret_layer->media_type =
			(char *)(in.magic[0] == 0x1f && in.magic[1] == 0x8b         ? OCI_MT_LAYER_GZIP :
					 in.magic[0] == 0x28 && in.magic[1] == 0xb5 ? OCI_MT_LAYER_ZSTD :
										      OCI_MT_LAYER);
	}
	ret_layer->digest = digest;
	deflate_free(in.pack);
	return r < 0 ? r : 0;
}

static int import_rootfs(struct import *im, struct err *err)
{
	bool std = !strcmp(im->in->path, "-");
	cleanup_fd int fd = std ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(im->in->path, O_RDONLY | O_CLOEXEC);
	char digest[DIGEST_MAX], diff_id[DIGEST_MAX];
	struct oci_descriptor layer = { 0 };
	cleanup_free char *tmp = NULL, *name = NULL, *config = NULL;
	cleanup_fd int dirfd = -1;
	int r;

	if (fd < 0)
		return err_sys(err, -errno, "%s", im->in->path);
	/* what is wrong with the options is said before anything is unpacked */
	r = choose_name(im, NULL, &name, err);
	if (r >= 0)
		r = rootfs_config(im, "", &config, err);
	if (r >= 0)
		r = store_tmpdir(im->s, &tmp, &dirfd, err);
	if (r < 0)
		return r;
	r = rootfs_stage(im, fd, dirfd, digest, diff_id, &layer, err);
	store_stop_at("staged");
	if (r >= 0)
		r = store_sync(im->s, err);
	store_stop_at("synced");
	if (r >= 0)
		r = store_adopt_blob(im->s, tmp, "blob", digest, err);
	if (r >= 0)
		r = layer_unpack_publish(im->s, tmp, diff_id, err);
	if (r >= 0)
		r = rootfs_finish(im, &layer, diff_id, err);
	path_remove_tree(im->s->fd, tmp, true);
	return r < 0 ? err_wrap(err, "%s", im->in->path) : 0;
}

#define PEEK_MAX (1 << 20) /* not worth being inflated for what is behind it */

struct peek {
	int fd;
	struct inflate *z;
	uint8_t buf[8192];
};

static ssize_t peek_read(void *arg, void *buf, size_t len, struct err *err)
{
	struct peek *p = arg;
	ssize_t n = read(p->fd, buf, len);

	return n < 0 ? err_sys(err, -errno, "read") : n;
}

static ssize_t peek_fill(void *arg, const uint8_t **ret, struct err *err)
{
	struct peek *p = arg;

	*ret = p->buf;
	return inflate_read(p->z, p->buf, sizeof(p->buf), err);
}

/* Do the first entries look like an image's archive, or like a root file system? */
static int guess(const char *path, enum archive_kind *ret, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct peek p = { .fd = fd };
	const struct tar_entry *e;
	struct tar *t;
	struct stat st;
	int r = 1;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", path);
	*ret = ARCHIVE_OCI_DIR;
	if (S_ISDIR(st.st_mode))
		return 0;
	*ret = ARCHIVE_ROOTFS;
	/* a pipe cannot be read twice */
	if (!S_ISREG(st.st_mode))
		return 0;
	p.z = inflate_new(peek_read, &p);
	t = tar_new(peek_fill, &p);
	for (int i = 0; i < 3 && *ret == ARCHIVE_ROOTFS; i++) {
		r = tar_next(t, &e, err);
		if (r <= 0)
			break;
		const char *n = str_starts(e->path, "./") ? e->path + 2 : e->path;

		if (str_starts(n, "blobs/") || !strcmp(n, "oci-layout") || !strcmp(n, "index.json") ||
		    !strcmp(n, "manifest.json") || !strcmp(n, "repositories") ||
		    (strspn(n, "0123456789abcdef") == 64 && (!n[64] || strchr("/.", n[64]))))
			*ret = ARCHIVE_OCI; /* or docker's: its members decide */
		if (e->size > PEEK_MAX)
			break;
	}
	tar_free(t);
	inflate_free(p.z);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

int archive_import(struct store *s, const struct archive_import *in, char ***ret_names, struct err *err)
{
	struct import im = { .s = s, .in = in };
	cleanup_free char *spool = path_join(s->path, "tmp");
	enum archive_kind kind = in->kind;
	int r = 0;

	if (kind == ARCHIVE_AUTO && !strcmp(in->path, "-"))
		kind = ARCHIVE_ROOTFS;
	if (kind == ARCHIVE_AUTO)
		r = guess(in->path, &kind, err);
	if (r < 0)
		return r;
	if (kind != ARCHIVE_ROOTFS && strv_len(in->changes))
		return err_set(err, -EINVAL, "--change: %s has images, not a root file system", in->path);
	if (kind == ARCHIVE_ROOTFS) {
		r = import_rootfs(&im, err);
	} else {
		r = archive_open(in->path, spool, in->fetch.max_layer_bytes, &im.a, err);
		if (r >= 0) {
			bool oci = archive_has(im.a, "index.json") && archive_has(im.a, "oci-layout");

			if (kind != ARCHIVE_DOCKER && oci)
				r = import_oci(&im, err);
			else if (archive_has(im.a, "manifest.json"))
				r = import_docker(&im, err);
			else
				r = err_set(err, -EINVAL, "neither oci-layout with index.json nor manifest.json in it");
			if (r < 0)
				err_wrap(err, "%s", in->path);
		}
		archive_close(im.a);
	}
	oci_pairs_free(im.map, im.n_map);
	oci_pairs_free(im.docs, im.n_docs);
	strv_free(im.digests);
	if (r < 0)
		strv_free(im.names);
	else
		*ret_names = im.names;
	return r;
}
