/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline from compressed bytes to a tree. */
/*
 * Two threads and a ring of buffers between them: the producer reads (the caller's function fetches and hashes
 * the compressed bytes) and inflates, the consumer hashes the archive and writes files. Either end stops the
 * other: a failing consumer makes the producer's next put fail, a failing producer's error is what the
 * consumer's next get returns. The consumer is the calling thread; nothing is read twice.
 */
#include "images/layer_unpack.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/str.h"

#define RING 4
#define BUFFER (1024 * 1024)

struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint8_t *buf[RING];
	size_t len[RING];
	unsigned int put, got; /* counters; put - got buffers are full */
	bool ended, stop;
	struct err err; /* of the producer */
	/* producer */
	struct inflate *z;
	/* consumer */
	struct digest *digest;
	bool holding;
	uint64_t total; /* bytes of the archive so far */
	const struct layer_options *o;
	const struct layer_meta *meta;
};

/* What an archive may have beside the data of its files: headers with xattrs and long names, padding. */
static uint64_t overhead_max(const struct ring *r)
{
	return (64ULL << 20) + r->meta->entries * 65536;
}

static void *produce(void *arg)
{
	struct ring *r = arg;
	ssize_t n = 1;

	while (n > 0) {
		struct err err = { 0 };
		unsigned int slot;

		pthread_mutex_lock(&r->lock);
		while (r->put - r->got == RING && !r->stop)
			pthread_cond_wait(&r->changed, &r->lock);
		slot = r->put % RING;
		if (r->stop)
			n = 0;
		pthread_mutex_unlock(&r->lock);
		if (n)
			n = inflate_read(r->z, r->buf[slot], BUFFER, &err);
		pthread_mutex_lock(&r->lock);
		if (n > 0) {
			r->len[slot] = (size_t)n;
			r->put++;
		} else {
			r->ended = true;
			if (n < 0)
				r->err = err;
		}
		pthread_cond_broadcast(&r->changed);
		pthread_mutex_unlock(&r->lock);
	}
	return NULL;
}

static ssize_t fill(void *arg, const uint8_t **ret, struct err *err)
{
	struct ring *r = arg;
	unsigned int slot;
	ssize_t n;

	pthread_mutex_lock(&r->lock);
	if (r->holding) {
		r->got++;
		r->holding = false;
		pthread_cond_broadcast(&r->changed);
	}
	while (r->put == r->got && !r->ended)
		pthread_cond_wait(&r->changed, &r->lock);
	slot = r->got % RING;
	if (r->put != r->got) {
		r->holding = true;
		n = (ssize_t)r->len[slot];
	} else {
		n = r->err.code;
		if (n < 0 && err)
			*err = r->err;
	}
	pthread_mutex_unlock(&r->lock);
	if (n <= 0)
		return n;
	r->total += (uint64_t)n;
	if (r->o->max_bytes && r->total > r->o->max_bytes + overhead_max(r))
		return err_set(err, -EFBIG, "the archive goes on behind its limit of %llu bytes: mostly padding",
			       (unsigned long long)r->o->max_bytes);
	digest_update(r->digest, r->buf[slot], (size_t)n);
	if (r->o->copy) {
		int w = r->o->copy(r->o->copy_arg, r->buf[slot], (size_t)n, err);

		if (w < 0)
			return w;
	}
	*ret = r->buf[slot];
	return n;
}

static int consume(int dirfd, struct ring *r, const struct layer_options *o, struct layer_meta *meta, struct err *err)
{
	struct tar *t = tar_new(fill, r);
	cleanup_fd int fs = -1;
	int ret;

	if (mkdirat(dirfd, "fs", 0755) < 0) {
		ret = err_sys(err, -errno, "mkdir");
	} else {
		fs = openat(dirfd, "fs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ret = fs < 0 ? err_sys(err, -errno, "open") : layer_apply(fs, t, o, meta, err);
	}
	if (ret >= 0)
		ret = tar_drain(t, err);
	tar_free(t);
	return ret;
}

int layer_unpack(int dirfd, inflate_read_fn *read, void *arg, const struct layer_options *o, const char *diff_id,
		 char ret_diff_id[DIGEST_MAX], struct err *err)
{
	struct ring r = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	struct layer_meta meta = { 0 };
	pthread_t producer;
	int ret;

	r.o = o;
	r.meta = &meta;
	r.digest = digest_new(diff_id);
	r.z = inflate_new(read, arg);
	for (int i = 0; i < RING; i++)
		r.buf[i] = xmalloc(BUFFER);
	if (pthread_create(&producer, NULL, produce, &r)) {
		ret = err_set(err, -EAGAIN, "cannot start a thread");
	} else {
		ret = consume(dirfd, &r, o, &meta, err);
		pthread_mutex_lock(&r.lock);
		r.stop = true;
		pthread_cond_broadcast(&r.changed);
		pthread_mutex_unlock(&r.lock);
		pthread_join(producer, NULL);
	}
	digest_final(r.digest, ret_diff_id);
	if (ret >= 0 && diff_id && strcmp(diff_id, ret_diff_id))
		ret = err_set(err, -EBADMSG, "the layer's content has digest %s, the image says %s", ret_diff_id,
			      diff_id);
	if (ret >= 0) {
		cleanup_free char *text = layer_meta_write(&meta);

		ret = path_write_atomic(dirfd, "meta.json", text, strlen(text), 0644);
		if (ret < 0)
			err_sys(err, ret, "meta.json");
	}
	layer_meta_clear(&meta);
	for (int i = 0; i < RING; i++)
		free(r.buf[i]);
	inflate_free(r.z);
	digest_free(r.digest);
	return ret < 0 ? ret : 0;
}

static char *place(const char *diff_id)
{
	return xasprintf("layers/%s", digest_hex(diff_id));
}

char *layer_unpack_tree(const char *diff_id)
{
	return xasprintf("layers/%s/fs", digest_hex(diff_id));
}

bool layer_unpack_has(const struct store *s, const char *diff_id)
{
	cleanup_free char *name = place(diff_id);

	return faccessat(s->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int layer_unpack_publish(const struct store *s, const char *tmpdir, const char *diff_id, struct err *err)
{
	cleanup_free char *to = place(diff_id);

	if (renameat2(s->fd, tmpdir, s->fd, to, RENAME_NOREPLACE) == 0) {
		store_stop_at("layer");
		return 0;
	}
	if (errno != EEXIST && errno != ENOTEMPTY)
		return err_sys(err, -errno, "layer %s", diff_id);
	path_remove_tree(s->fd, tmpdir, true);
	return 0;
}
