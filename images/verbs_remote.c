/* SPDX-License-Identifier: Apache-2.0 */
/* pull and push. */
/*
 * A pull asks for the reference, follows an index to the platform's manifest, and lets fetch.c bring layers,
 * configuration, manifest and name into the store, in that order. A push sends layers (a few at once),
 * configuration and manifest, in that order, so a reader never sees a manifest whose parts are missing.
 */
#include "images/verbs.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "images/fetch.h"
#include "images/origin.h"
#include "images/ref.h"
#include "images/registry.h"

#define PUSH_THREADS 2 /* beside our own */

static struct registry_options registry_options(const struct verbs_options *o, bool push)
{
	return (struct registry_options){ .insecure = o->insecure,
					  .creds = o->creds,
					  .authfile = o->authfile,
					  .cert_dir = o->cert_dir,
					  .push = push };
}

/* The manifest's descriptor for the reference, through an index when there is one. */
static int resolve(struct registry *reg, const struct ref *ref, const struct verbs_options *o,
		   struct oci_descriptor *ret, struct err *err)
{
	cleanup_free char *text = NULL;
	struct oci_platform p = { 0 };
	struct oci_index *index = NULL;
	size_t len;
	int r = oci_platform_parse(o->platform, &p, err);

	if (r >= 0)
		r = registry_manifest(reg, ref->digest ? ref->digest : ref->tag, ret, &text, &len, err);
	for (int depth = 0; r >= 0 && oci_is_index_type(ret->media_type); depth++) {
		const struct oci_descriptor *d;
		char *digest;

		r = depth > 2 ? err_set(err, -EINVAL, "%s: indexes nested too deep", ref->name) :
				oci_index_parse(text, len, ref->name, &index, err);
		if (r < 0)
			break;
		d = oci_index_choose(index, &p);
		if (!d) {
			r = err_set(err, -ENOENT, "%s: no image for %s/%s", ref->name, p.os, p.architecture);
			break;
		}
		digest = xstrdup(d->digest);
		free(steal_ptr(text));
		oci_descriptor_clear(ret);
		oci_index_free(steal_ptr(index));
		r = registry_manifest(reg, digest, ret, &text, &len, err);
		free(digest);
	}
	if (r >= 0 && !oci_is_manifest_type(ret->media_type))
		r = err_set(err, -EINVAL, "%s: media type \"%.100s\" is not an image", ref->name, ret->media_type);
	oci_index_free(index);
	oci_platform_clear(&p);
	return r;
}

int verbs_remote_fetch(struct store *s, const char *name, const struct verbs_options *o, char **ret_name,
		       struct err *err)
{
	struct registry_options ro = registry_options(o, false);
	enum progress_mode mode = o->quiet ? PROGRESS_NONE : PROGRESS_AUTO;
	struct fetch_options f = { .max_layer_bytes = 64ULL << 30 };
	struct fetch_source src;
	struct oci_descriptor d = { 0 };
	cleanup_ref struct ref ref = { 0 };
	struct registry *reg = NULL;
	int r = ref_parse(name, "docker.io", &ref, err);

	if (r >= 0 && o->max_size && parse_size(o->max_size, &f.max_layer_bytes) < 0)
		r = err_set(err, -EINVAL, "--max-size %s: expected a number of bytes", o->max_size);
	if (r >= 0 && o->progress && progress_mode_parse(o->progress, &mode) < 0)
		r = err_set(err, -EINVAL, "--progress %s: expected auto, bars, plain, json or none", o->progress);
	if (r >= 0)
		r = registry_open(&ref, &ro, &reg, err);
	if (r >= 0)
		r = resolve(reg, &ref, o, &d, err);
	if (r >= 0) {
		src = registry_source(reg);
		f.progress = progress_new(mode);
		r = fetch_image(s, &src, &d, ref.name, &f, err);
		progress_free(f.progress);
	}
	if (r >= 0) {
		struct store_image i = { 0 };

		if (store_load_image(s, &d, NULL, &i, NULL) >= 0)
			origin_note(s, &i, &ref);
		store_image_clear(&i);
		*ret_name = xstrdup(ref.name);
	}
	oci_descriptor_clear(&d);
	registry_close(reg);
	return r;
}

static int open_store(const struct verbs_options *o, enum store_use use, struct store **ret, struct err *err)
{
	int r = store_open(o->store, use, ret, err);

	if (r >= 0 && o->sync) {
		if (strcmp(o->sync, "image") && strcmp(o->sync, "none"))
			return err_set(err, -EINVAL, "--sync %s: expected image or none", o->sync);
		(*ret)->sync = !strcmp(o->sync, "image");
	}
	return r;
}

int verbs_remote_pull(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	cleanup_store struct store *s = NULL;
	int r = open_store(o, STORE_WRITE, &s, err);

	for (int i = 0; i < argc && r >= 0; i++) {
		cleanup_free char *name = NULL;
		struct oci_descriptor d = { 0 };

		r = verbs_remote_fetch(s, argv[i], o, &name, err);
		if (r >= 0)
			r = store_find(s, name, &d, err);
		if (r >= 0 && o->json)
			printf("{\"name\":\"%s\",\"digest\":\"%s\"}\n", name, d.digest);
		else if (r >= 0)
			printf("%s\n", o->quiet ? d.digest : name);
		oci_descriptor_clear(&d);
	}
	return r;
}

/* Layers on their way out, by a few threads. */
struct push {
	struct store *s;
	struct registry *reg;
	const struct oci_manifest *m;
	const struct ref *to;
	struct progress *p;
	pthread_mutex_t lock;
	size_t next;
	struct err err; /* of the first that failed */
};

static int push_blob(struct push *p, const struct oci_descriptor *d, struct err *err)
{
	cleanup_free char *from = origin_find(p->s, d->digest, p->to);
	cleanup_fd int fd = store_open_blob(p->s, d->digest, err);

	return fd < 0 ? fd : registry_push_blob(p->reg, d, fd, from, p->p, err);
}

/* Does the manifest have the layer before n, too? */
static bool sent_before(const struct oci_manifest *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(m->layers[i].digest, m->layers[n].digest))
			return true;
	return false;
}

static void *push_some(void *arg)
{
	struct push *p = arg;

	for (;;) {
		struct err err = { 0 };
		size_t n;

		pthread_mutex_lock(&p->lock);
		while (p->next < p->m->n_layers && sent_before(p->m, p->next))
			p->next++;
		n = p->err.code ? p->m->n_layers : p->next++;
		pthread_mutex_unlock(&p->lock);
		if (n >= p->m->n_layers)
			return NULL;
		if (push_blob(p, &p->m->layers[n], &err) < 0) {
			pthread_mutex_lock(&p->lock);
			if (!p->err.code)
				p->err = err;
			pthread_mutex_unlock(&p->lock);
		}
	}
}

static int push_image(struct store *s, struct registry *reg, const struct store_image *i, const struct ref *to,
		      struct progress *show, struct err *err)
{
	struct push p = {
		.s = s, .reg = reg, .m = i->manifest, .to = to, .p = show, .lock = PTHREAD_MUTEX_INITIALIZER
	};
	pthread_t threads[PUSH_THREADS];
	unsigned int n = 0;
	int r;

	while (n < PUSH_THREADS && n + 1 < i->manifest->n_layers && !pthread_create(&threads[n], NULL, push_some, &p))
		n++;
	push_some(&p);
	while (n)
		pthread_join(threads[--n], NULL);
	if (p.err.code) {
		*err = p.err;
		return p.err.code;
	}
	r = push_blob(&p, &i->manifest->config, err);
	if (r >= 0)
		r = registry_push_manifest(reg, to->tag ? to->tag : to->digest, i->manifest->media_type,
					   i->manifest_json, i->manifest_len, err);
	if (r >= 0)
		origin_note(s, i, to);
	return r;
}

/* The repositories beside ref's that blobs of the image may come from. */
static char **other_repositories(const struct store *s, const struct store_image *i, const struct ref *ref)
{
	char **all = NULL;

	for (size_t n = 0; n < i->manifest->n_layers; n++) {
		cleanup_free char *from = origin_find(s, i->manifest->layers[n].digest, ref);

		if (from && !strv_has(all, from))
			strv_add(&all, from);
	}
	return all;
}

int verbs_remote_push(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	struct registry_options ro = registry_options(o, true);
	enum progress_mode mode = o->quiet ? PROGRESS_NONE : PROGRESS_AUTO;
	cleanup_store struct store *s = NULL;
	cleanup_ref struct ref to = { 0 };
	struct oci_platform p = { 0 };
	struct oci_descriptor d = { 0 };
	struct store_image i = { 0 };
	cleanup_strv char **from = NULL;
	struct registry *reg = NULL;
	struct progress *show;
	int r = open_store(o, STORE_READ, &s, err);

	if (r >= 0 && o->chunk_size && (parse_size(o->chunk_size, &ro.chunk) < 0 || !ro.chunk))
		r = err_set(err, -EINVAL, "--chunk-size %s: expected a number of bytes", o->chunk_size);
	if (r >= 0 && o->progress && progress_mode_parse(o->progress, &mode) < 0)
		r = err_set(err, -EINVAL, "--progress %s: expected auto, bars, plain, json or none", o->progress);
	if (r >= 0 && o->platform)
		r = oci_platform_parse(o->platform, &p, err);
	if (r >= 0)
		r = store_find(s, argv[0], &d, err);
	if (r >= 0)
		r = store_load_image(s, &d, o->platform ? &p : NULL, &i, err);
	if (r >= 0)
		r = ref_parse(argc > 1 ? argv[1] : d.ref_name, "docker.io", &to, err);
	if (r >= 0 && to.digest && strcmp(to.digest, i.desc.digest))
		r = err_set(err, -EINVAL, "%s: the image has digest %s", to.name, i.desc.digest);
	if (r >= 0) {
		ro.from = from = other_repositories(s, &i, &to);
		r = registry_open(&to, &ro, &reg, err);
	}
	if (r >= 0) {
		show = progress_new(mode);
		r = push_image(s, reg, &i, &to, show, err);
		progress_free(show);
	}
	if (r >= 0)
		printf("%s\n", o->quiet ? i.desc.digest : to.name);
	registry_close(reg);
	oci_platform_clear(&p);
	oci_descriptor_clear(&d);
	store_image_clear(&i);
	return r;
}
