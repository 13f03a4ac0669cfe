/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a layer's directories. */
/*
 * An array in the order of making, a hash of the names, and for each directory the list of those in it, so that what is gone
 * with a directory is found without looking at all others: an archive that replaces directories by the million takes no more
 * time than another.
 */
#include "images/layer_dirs.h"

#include <string.h>

#include "base/str.h"

static uint64_t hash_of(const char *s)
{
	uint64_t h = 1469598103934665603ULL;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211ULL;
	return h ^ h >> 32;
}

static uint32_t *hash_slot(struct layer_dirs *d, const char *path)
{
	size_t i = hash_of(path) & (d->hash_size - 1);

	while (d->hash[i] && strcmp(d->v[d->hash[i] - 1].path, path))
		i = (i + 1) & (d->hash_size - 1);
	return &d->hash[i];
}

struct layer_dir *layer_dirs_find(struct layer_dirs *d, const char *path)
{
	uint32_t i = d->n ? *hash_slot(d, path) : 0;

	return i && !d->v[i - 1].gone ? &d->v[i - 1] : NULL;
}

/* Into the list of the directory around it. */
static void list(struct layer_dirs *d, uint32_t i)
{
	struct layer_dir *dir = &d->v[i - 1];
	const char *slash = strrchr(dir->path, '/');
	cleanup_free char *up = slash ? xstrndup(dir->path, (size_t)(slash - dir->path)) : xstrdup("");
	uint32_t around = *dir->path && !dir->listed ? *hash_slot(d, up) : 0;

	if (!around)
		return;
	dir->listed = true;
	dir->next = d->v[around - 1].first;
	d->v[around - 1].first = i;
}

static void grow(struct layer_dirs *d)
{
	if (2 * (d->n + 1) > d->hash_size) {
		d->hash_size = d->hash_size ? 2 * d->hash_size : 1024;
		free(d->hash);
		d->hash = xcalloc(d->hash_size, sizeof(*d->hash));
		for (size_t i = 0; i < d->n; i++)
			*hash_slot(d, d->v[i].path) = (uint32_t)i + 1;
	}
	if (d->n == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 256;
		d->v = xreallocarray(d->v, d->cap, sizeof(*d->v));
	}
}

struct layer_dir *layer_dirs_add(struct layer_dirs *d, const char *path)
{
	struct layer_dir *dir;
	uint32_t *slot;

	grow(d);
	slot = hash_slot(d, path);
	if (*slot) {
		dir = &d->v[*slot - 1];
		dir->gone = dir->implied = dir->opaque = dir->timed = false;
		free(steal_ptr(dir->acl));
	} else {
		dir = &d->v[d->n++];
		*dir = (struct layer_dir){ .path = xstrdup(path) };
		*slot = (uint32_t)d->n;
	}
	list(d, *slot);
	return dir;
}

/* The lists of what is gone are emptied, so that nothing is looked at twice. */
static void gone(struct layer_dirs *d, uint32_t i)
{
	d->v[i - 1].gone = true;
	for (uint32_t k = d->v[i - 1].first; k; k = d->v[k - 1].next) {
		d->v[k - 1].listed = false;
		gone(d, k);
	}
	d->v[i - 1].first = 0;
}

void layer_dirs_gone(struct layer_dirs *d, const char *path)
{
	uint32_t i = d->n ? *hash_slot(d, path) : 0;

	if (i)
		gone(d, i);
}

void layer_dirs_clear(struct layer_dirs *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->v[i].path);
		free(d->v[i].acl);
	}
	free(d->v);
	free(d->hash);
}
