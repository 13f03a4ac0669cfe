/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching and unpacking the layers of an image in one pass. */
/*
 * Each layer is a job: its bytes stream from the source through a tee (digest, size, a file in partial/) into
 * the unpacking pipeline; a few jobs run at once. Nothing is visible until all jobs of the round have ended:
 * one sync, then blobs and trees are renamed to their places, then the locks go.
 *
 * A job holds the lock of its diff-id. If another program has it, the layer waits for a later round, in which
 * we hold no lock while waiting for it, so two programs that want each other's layers cannot block each other;
 * usually the layer is simply there by then. A partial file is named by digest alone, hence whoever comes next,
 * from whatever registry, goes on where it ends.
 */
#include "images/fetch.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "images/layer_unpack.h"

enum job_state { JOB_WAITING, JOB_STAGED, JOB_DONE, JOB_BUSY };

struct job {
	/* identity */
	const struct oci_descriptor *desc;
	const char *diff_id;
	enum job_state state;
	/* what it holds */
	int lock;       /* of the diff-id */
	int partial;    /* open partial file, locked; also read side of its beginning */
	char *tmpdir;   /* staged tree; NULL: the tree is there */
	bool have_blob; /* in the store already */
	struct err err;
	/* tee */
	struct fetch *f;
	void *stream;
	bool cut;         /* the source ended it, not the content */
	uint64_t offset;  /* bytes passed */
	uint64_t resumed; /* bytes that come from the partial file */
	struct digest *digest;
	struct progress_item *item;
};

struct fetch {
	struct store *s;
	const struct fetch_source *src;
	const struct fetch_options *o;
	struct job *jobs;
	size_t n;
	/* work sharing */
	pthread_mutex_t lock;
	size_t next;
	bool stop; /* a job failed: no new ones */
};

/* Compressed bytes for the pipeline: the partial file first, then the source, which is appended to it. */
static ssize_t tee_read(void *arg, void *buf, size_t len, struct err *err)
{
	struct job *j = arg;
	ssize_t n;
	int r;

	if (j->offset < j->resumed) {
		uint64_t left = j->resumed - j->offset;

		n = pread(j->partial, buf, left < len ? (size_t)left : len, (off_t)j->offset);
		if (n <= 0)
			return err_sys(err, n < 0 ? -errno : -EIO, "partial download");
	} else {
		if (j->offset == j->desc->size)
			return 0;
		if (!j->stream) {
			r = j->f->src->open(j->f->src->arg, j->desc, j->offset, &j->stream, err);
			j->cut = r < 0;
			if (r < 0)
				return r;
		}
		n = j->f->src->read(j->stream, buf, len, err);
		j->cut = n <= 0;
		if (n < 0)
			return n;
		if (!n)
			return err_set(err, -EIO, "ends after %llu of %llu bytes", (unsigned long long)j->offset,
				       (unsigned long long)j->desc->size);
		if ((uint64_t)n > j->desc->size - j->offset)
			return err_set(err, -EBADMSG, "longer than the %llu bytes it should have",
				       (unsigned long long)j->desc->size);
		r = fd_write_all(j->partial, buf, (size_t)n);
		if (r < 0)
			return err_sys(err, r, "write");
	}
	digest_update(j->digest, buf, (size_t)n);
	j->offset += (uint64_t)n;
	store_stop_at("fetching");
	progress_step(j->item, (uint64_t)n);
	return n;
}

/* The blob's bytes when the store has them. */
static ssize_t blob_read(void *arg, void *buf, size_t len, struct err *err)
{
	struct job *j = arg;
	ssize_t n = read(j->partial, buf, len);

	if (n < 0)
		return err_sys(err, -errno, "read");
	digest_update(j->digest, buf, (size_t)n);
	return n;
}

static int open_partial(struct job *j, struct err *err)
{
	cleanup_free char *name = xasprintf("partial/%s", digest_hex(j->desc->digest));
	struct stat st, now;

	/* again when it went to blobs/ while we waited for whoever had it: what is there is not ours to write */
	do {
		if (j->partial >= 0)
			close(steal_fd(j->partial));
		j->partial = openat(j->f->s->fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (j->partial < 0 || flock(j->partial, LOCK_EX) < 0 || fstat(j->partial, &st) < 0)
			return err_sys(err, -errno, "%s", name);
	} while (fstatat(j->f->s->fd, name, &now, AT_SYMLINK_NOFOLLOW) < 0 || now.st_ino != st.st_ino);
	if (!j->f->src->resumable || (uint64_t)st.st_size > j->desc->size) {
		if (ftruncate(j->partial, 0) < 0)
			return err_sys(err, -errno, "%s", name);
		st.st_size = 0;
	}
	j->resumed = (uint64_t)st.st_size;
	if (lseek(j->partial, st.st_size, SEEK_SET) < 0)
		return err_sys(err, -errno, "%s", name);
	if (j->resumed)
		log_info("%s: resumed at byte %llu", j->desc->digest, (unsigned long long)j->resumed);
	return 0;
}

static int read_to_end(inflate_read_fn *fn, struct job *j, struct err *err)
{
	cleanup_free char *buf = xmalloc(1 << 20);
	ssize_t n;

	while ((n = fn(j, buf, 1 << 20, err)) > 0)
		;
	return (int)n;
}

static int stage(struct job *j, struct err *err)
{
	struct store *s = j->f->s;
	bool want_tree = !layer_unpack_has(s, j->diff_id);
	struct layer_options o = { .rights = s->rights,
				   .max_bytes = j->f->o->max_layer_bytes,
				   .max_entries = LAYER_MAX_ENTRIES };
	inflate_read_fn *fn = j->have_blob ? blob_read : tee_read;
	char digest[DIGEST_MAX], diff_id[DIGEST_MAX];
	cleanup_fd int dirfd = -1;
	int r;

	j->digest = digest_new(j->desc->digest);
	if (j->have_blob) {
		j->partial = store_open_blob(s, j->desc->digest, err);
		r = j->partial < 0 ? j->partial : 0;
	} else {
		r = open_partial(j, err);
	}
	if (r < 0)
		return r;
	if (want_tree) {
		r = store_tmpdir(s, &j->tmpdir, &dirfd, err);
		if (r >= 0)
			r = layer_unpack(dirfd, fn, j, &o, j->diff_id, diff_id, err);
	} else {
		r = read_to_end(fn, j, err);
	}
	/* what is behind the archive or its compression belongs to the blob too */
	if (r >= 0 && want_tree)
		r = read_to_end(fn, j, err);
	/* bytes whose content is at fault must not be resumed */
	if (r < 0 && !j->have_blob && !j->cut && ftruncate(j->partial, 0) < 0)
		log_debug("partial download kept");
	/* a wrong digest explains any other fault */
	if (r >= 0 || j->have_blob || j->offset == j->desc->size) {
		if (strcmp(digest_final(j->digest, digest), j->desc->digest)) {
			r = err_set(err, -EBADMSG, "digest mismatch: the bytes have %s", digest);
			if (!j->have_blob && ftruncate(j->partial, 0) < 0)
				log_debug("partial download kept");
		}
	}
	return r;
}

/* What lay in partial/ was damaged (it is not synced): as if it had not been there. */
static int stage_again(struct job *j, struct err *err)
{
	log_info("%s: what was there of it is damaged: from the beginning", j->desc->digest);
	if (j->stream)
		j->f->src->close(j->stream);
	j->stream = NULL;
	digest_free(steal_ptr(j->digest));
	if (j->tmpdir)
		path_remove_tree(j->f->s->fd, j->tmpdir, true);
	free(steal_ptr(j->tmpdir));
	j->offset = 0;
	memset(err, 0, sizeof(*err));
	return stage(j, err);
}

static void run_job(struct job *j)
{
	struct store *s = j->f->s;
	bool try = j->state == JOB_WAITING;
	cleanup_free char *what = xasprintf("%.12s", digest_hex(j->desc->digest));
	int r;

	j->lock = store_lock_name(s, digest_hex(j->diff_id), try, &j->err);
	if (j->lock == -EAGAIN) {
		j->err.code = 0;
		j->state = JOB_BUSY;
		return;
	}
	if (j->lock < 0)
		return;
	j->have_blob = store_has_blob(s, j->desc->digest, NULL);
	j->item = progress_add(j->f->o->progress, what, j->desc->size);
	if (j->have_blob && layer_unpack_has(s, j->diff_id)) {
		j->state = JOB_DONE;
		progress_end(j->item, "exists");
		return;
	}
	r = stage(j, &j->err);
	if (r < 0 && j->resumed && !j->cut)
		r = stage_again(j, &j->err);
	if (j->stream)
		j->f->src->close(j->stream);
	j->stream = NULL;
	digest_free(steal_ptr(j->digest));
	if (r < 0) {
		err_wrap(&j->err, "layer %s", j->desc->digest);
		progress_end(j->item, "failed");
		return;
	}
	progress_end(j->item, "done");
	j->state = JOB_STAGED;
}

static void *worker(void *arg)
{
	struct fetch *f = arg;

	for (;;) {
		struct job *j = NULL;

		pthread_mutex_lock(&f->lock);
		if (!f->stop && f->next < f->n)
			j = &f->jobs[f->next++];
		pthread_mutex_unlock(&f->lock);
		if (!j)
			return NULL;
		run_job(j);
		if (j->err.code) {
			pthread_mutex_lock(&f->lock);
			f->stop = true;
			pthread_mutex_unlock(&f->lock);
		}
	}
}

/* Names what is staged. */
static int publish(struct fetch *f, struct err *err)
{
	int r;

	store_stop_at("staged");
	r = store_sync(f->s, err);
	store_stop_at("synced");
	for (size_t i = 0; i < f->n && r >= 0; i++) {
		struct job *j = &f->jobs[i];

		if (j->state != JOB_STAGED)
			continue;
		if (!j->have_blob)
			r = store_adopt_blob(f->s, "partial", digest_hex(j->desc->digest), j->desc->digest, err);
		if (r >= 0 && j->tmpdir) {
			r = layer_unpack_publish(f->s, j->tmpdir, j->diff_id, err);
			free(steal_ptr(j->tmpdir));
		}
		if (r >= 0)
			j->state = JOB_DONE;
	}
	return r;
}

static void release(struct fetch *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct job *j = &f->jobs[i];

		if (j->tmpdir)
			path_remove_tree(f->s->fd, j->tmpdir, true);
		free(steal_ptr(j->tmpdir));
		/* what cannot be resumed, or filled the disk, is not kept */
		if (j->partial >= 0 && !j->have_blob && j->err.code &&
		    (!f->src->resumable || j->err.code == -ENOSPC || j->err.code == -EDQUOT)) {
			cleanup_free char *name = xasprintf("partial/%s", digest_hex(j->desc->digest));

			unlinkat(f->s->fd, name, 0);
		}
		if (j->partial >= 0)
			close(j->partial);
		if (j->lock >= 0)
			close(j->lock);
		j->partial = j->lock = -1;
	}
}

/* All jobs not yet done, by at most n threads. */
static int run_round(struct fetch *f, unsigned int n_threads, struct err *err)
{
	pthread_t threads[16];
	unsigned int n = 0;
	int r = 0;

	f->next = 0;
	while (n < n_threads && n < ARRAY_SIZE(threads) && n < f->n)
		if (pthread_create(&threads[n++], NULL, worker, f)) {
			n--;
			break;
		}
	if (!n)
		worker(f);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < f->n; i++)
		if (f->jobs[i].err.code && !r) {
			if (err)
				*err = f->jobs[i].err;
			r = f->jobs[i].err.code;
		}
	if (publish(f, r < 0 ? NULL : err) < 0 && !r)
		r = err ? err->code : -EIO;
	release(f);
	return r;
}

int fetch_layers(struct store *s, const struct fetch_source *src, const struct oci_manifest *m,
		 const struct oci_image *image, const struct fetch_options *o, struct err *err)
{
	struct fetch f = { .s = s, .src = src, .o = o, .lock = PTHREAD_MUTEX_INITIALIZER };
	cleanup_free struct job *all = xcalloc(m->n_layers + 1, sizeof(*all));
	size_t n = 0;
	int r;

	for (size_t i = 0; i < m->n_layers; i++) {
		bool seen = false;

		if (!oci_is_layer_type(m->layers[i].media_type))
			return err_set(err, -EINVAL, "layer %s: media type \"%.100s\" is not a file system layer",
				       m->layers[i].digest, m->layers[i].media_type ? m->layers[i].media_type : "");
		/* one content compressed twice is two jobs: the second finds the lock taken and the tree there */
		for (size_t k = 0; k < n; k++)
			seen = seen || !strcmp(all[k].desc->digest, m->layers[i].digest);
		if (!seen)
			all[n++] = (struct job){
				.desc = &m->layers[i], .diff_id = image->diff_ids[i], .f = &f, .lock = -1, .partial = -1
			};
	}
	f.jobs = all;
	f.n = n;
	r = run_round(&f, src->parallel, err);
	/* layers that others were busy with: one at a time, holding nothing else */
	for (size_t i = 0; i < n && r >= 0; i++) {
		if (all[i].state != JOB_BUSY)
			continue;
		f.jobs = &all[i];
		f.n = 1;
		r = run_round(&f, 0, err);
	}
	return r;
}

int fetch_document(const struct fetch_source *src, const struct oci_descriptor *d, char **ret, size_t *ret_len,
		   struct err *err)
{
	cleanup_digest struct digest *hash = digest_new(d->digest);
	cleanup_free char *buf = NULL;
	char got[DIGEST_MAX];
	size_t len = 0;
	void *stream;
	ssize_t n;
	int r;

	if (d->size > OCI_IMAGE_DOC_MAX)
		return err_set(err, -EFBIG, "%s: a document of %llu bytes", d->digest, (unsigned long long)d->size);
	r = src->open(src->arg, d, 0, &stream, err);
	if (r < 0)
		return r;
	buf = xmalloc(d->size + 2);
	while ((n = src->read(stream, buf + len, d->size + 1 - len, err)) > 0)
		len += (size_t)n;
	src->close(stream);
	if (n < 0)
		return (int)n;
	digest_update(hash, buf, len);
	if (len != d->size || strcmp(digest_final(hash, got), d->digest))
		return err_set(err, -EBADMSG, "%s: its bytes do not have this digest and size", d->digest);
	buf[len] = '\0';
	*ret = steal_ptr(buf);
	*ret_len = len;
	return 0;
}

static int fetch_parts(struct store *s, const struct fetch_source *src, const struct oci_descriptor *desc,
		       const struct oci_manifest *m, const struct oci_image *image, const struct fetch_options *o,
		       const char *manifest, size_t manifest_len, const char *config, size_t config_len,
		       struct err *err)
{
	int r;

	if (strv_len(image->diff_ids) != m->n_layers)
		return err_set(err, -EINVAL, "image %s: %zu layers, but %zu diff_ids", desc->digest, m->n_layers,
			       strv_len(image->diff_ids));
	r = fetch_layers(s, src, m, image, o, err);
	if (r >= 0)
		r = store_put_blob(s, config, config_len, NULL, NULL, err);
	if (r >= 0)
		r = store_put_blob(s, manifest, manifest_len, NULL, NULL, err);
	return r;
}

int fetch_image(struct store *s, const struct fetch_source *src, const struct oci_descriptor *desc, const char *name,
		const struct fetch_options *o, struct err *err)
{
	cleanup_free char *manifest = NULL, *config = NULL;
	size_t manifest_len, config_len;
	struct oci_manifest *m = NULL;
	struct oci_image *image = NULL;
	struct oci_descriptor tagged = *desc;
	int r = fetch_document(src, desc, &manifest, &manifest_len, err);

	if (r >= 0)
		r = oci_manifest_parse(manifest, manifest_len, desc->digest, &m, err);
	if (r >= 0)
		r = fetch_document(src, &m->config, &config, &config_len, err);
	if (r >= 0)
		r = oci_image_parse(config, config_len, m->config.digest, &image, err);
	if (r >= 0)
		r = fetch_parts(s, src, desc, m, image, o, manifest, manifest_len, config, config_len, err);
	if (r >= 0 && name) {
		tagged.media_type = m->media_type;
		tagged.platform =
			(struct oci_platform){ image->os, image->architecture, image->variant, image->os_version };
		r = store_tag(s, name, &tagged, err);
	}
	oci_manifest_free(m);
	oci_image_free(image);
	return r;
}
