/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Node ids ⇄ O_PATH descriptors.
 *
 * Two hash tables over the same objects: by identity (device, inode number, mount id) to give one node to one file,
 * by node id to serve requests. Node ids come from a counter and are never used again, so a stale or invented id
 * finds nothing or what it names, never a neighbour. As long as an inode is known its descriptor pins it on the
 * host: the inode number cannot be reused meanwhile and hard links, renames and removals need no bookkeeping here.
 *
 * One mutex guards everything; it is held for a few instructions. An inode dies when its last reference goes: requests
 * hold one each, and the guest's lookups together hold one. Called from the virtio-fs workers.
 * #syscalls close futex
 */
#include "vm/inode.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

struct inode_table {
	pthread_mutex_t lock;
	uint64_t next_id;
	unsigned long count;
	size_t mask;               /* both hash tables have mask + 1 buckets */
	struct inode **by_key, **by_id;
	struct inode *root;
};

static size_t hash64(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	return x;
}

static size_t hash_key(uint64_t ino, uint64_t mnt, uint32_t maj, uint32_t min)
{
	return hash64(ino + hash64(mnt << 32 ^ (uint64_t)maj << 20 ^ min));
}

static void link_inode(struct inode_table *t, struct inode *i)
{
	struct inode **k = &t->by_key[hash_key(i->ino, i->mnt, i->dev_major, i->dev_minor) & t->mask];
	struct inode **n = &t->by_id[hash64(i->id) & t->mask];

	i->next_key = *k;
	*k = i;
	i->next_id = *n;
	*n = i;
}

static void unlink_inode(struct inode_table *t, struct inode *i)
{
	struct inode **k = &t->by_key[hash_key(i->ino, i->mnt, i->dev_major, i->dev_minor) & t->mask];
	struct inode **n = &t->by_id[hash64(i->id) & t->mask];

	while (*k != i)
		k = &(*k)->next_key;
	*k = i->next_key;
	while (*n != i)
		n = &(*n)->next_id;
	*n = i->next_id;
	t->count--;
}

/* Doubles the hash tables when they fill; staying small is not an error. */
static void grow(struct inode_table *t)
{
	size_t old = t->mask + 1, size = old * 2;
	struct inode **old_id = t->by_id, **key, **id, *i, *next;

	if (t->count < old)
		return;
	key = calloc(size, sizeof(*key));
	id = calloc(size, sizeof(*id));
	if (!key || !id) {
		free(key);
		free(id);
		return;
	}
	free(t->by_key);
	t->by_key = key;
	t->by_id = id;
	t->mask = size - 1;
	for (size_t n = 0; n < old; n++) {
		for (i = old_id[n]; i; i = next) {
			next = i->next_id;
			link_inode(t, i);
		}
	}
	free(old_id);
}

static struct inode *new_inode(struct inode_table *t, int fd, const struct statx *stx)
{
	struct inode *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->id = t->next_id++;
	i->fd = fd;
	i->type = stx->stx_mode & S_IFMT;
	i->mnt = stx->stx_mnt_id;
	i->ino = stx->stx_ino;
	i->dev_major = stx->stx_dev_major;
	i->dev_minor = stx->stx_dev_minor;
	grow(t);
	link_inode(t, i);
	t->count++;
	return i;
}

struct inode_table *inode_table_new(int root_fd, struct err *err)
{
	struct inode_table *t = calloc(1, sizeof(*t));
	struct statx stx;
	int fd;

	if (!t) {
		err_sys(err, -ENOMEM, "virtio-fs");
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->next_id = INODE_ROOT;
	t->mask = 255;
	t->by_key = calloc(t->mask + 1, sizeof(*t->by_key));
	t->by_id = calloc(t->mask + 1, sizeof(*t->by_id));
	fd = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &stx) < 0) {
		err_sys(err, -errno, "virtio-fs: root of the exported tree");
		goto fail;
	}
	if (t->by_key && t->by_id)
		t->root = new_inode(t, fd, &stx);
	if (!t->root) {
		err_sys(err, -ENOMEM, "virtio-fs");
		goto fail;
	}
	t->root->refs = 1;
	return t;
fail:
	if (fd >= 0)
		close(fd);
	free(t->by_key);
	free(t->by_id);
	free(t);
	return NULL;
}

static void destroy(struct inode *i)
{
	close(i->fd);
	free(i);
}

void inode_table_free(struct inode_table *t)
{
	struct inode *i, *next;

	if (!t)
		return;
	for (size_t n = 0; n <= t->mask; n++) {
		for (i = t->by_id[n]; i; i = next) {
			next = i->next_id;
			destroy(i);
		}
	}
	free(t->by_key);
	free(t->by_id);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void inode_table_clear(struct inode_table *t)
{
	struct inode *i, *next;

	pthread_mutex_lock(&t->lock);
	for (size_t n = 0; n <= t->mask; n++) {
		for (i = t->by_id[n]; i; i = next) {
			next = i->next_id;
			if (i == t->root || i->refs > (i->nlookup > 0 || i->submount))
				continue;
			unlink_inode(t, i);
			destroy(i);
		}
	}
	pthread_mutex_unlock(&t->lock);
}

unsigned long inode_table_count(struct inode_table *t)
{
	unsigned long n;

	pthread_mutex_lock(&t->lock);
	n = t->count;
	pthread_mutex_unlock(&t->lock);
	return n;
}

struct inode *inode_get(struct inode_table *t, uint64_t id)
{
	struct inode *i;

	pthread_mutex_lock(&t->lock);
	for (i = t->by_id[hash64(id) & t->mask]; i && i->id != id; i = i->next_id)
		;
	if (i)
		i->refs++;
	pthread_mutex_unlock(&t->lock);
	return i;
}

/* Drops a reference under the lock; true when the inode is out of the tables and the caller destroys it. */
static bool unref(struct inode_table *t, struct inode *i)
{
	if (--i->refs)
		return false;
	unlink_inode(t, i);
	return true;
}

void inode_put(struct inode_table *t, struct inode *i)
{
	bool dead;

	if (!i)
		return;
	pthread_mutex_lock(&t->lock);
	dead = unref(t, i);
	pthread_mutex_unlock(&t->lock);
	if (dead)
		destroy(i);
}

int inode_enter(struct inode_table *t, int fd, const struct statx *stx, struct inode **ret)
{
	struct inode *i;
	bool known;

	pthread_mutex_lock(&t->lock);
	i = t->by_key[hash_key(stx->stx_ino, stx->stx_mnt_id, stx->stx_dev_major, stx->stx_dev_minor) & t->mask];
	for (; i; i = i->next_key)
		if (i->ino == stx->stx_ino && i->mnt == stx->stx_mnt_id && i->dev_major == stx->stx_dev_major &&
		    i->dev_minor == stx->stx_dev_minor && i->type == (stx->stx_mode & S_IFMT))
			break;
	known = i;
	if (!i)
		i = new_inode(t, fd, stx);
	if (i) {
		if (i != t->root && i->nlookup++ == 0 && !i->submount)
			i->refs++;
		i->refs++;
	}
	pthread_mutex_unlock(&t->lock);
	if (known || !i)
		close(fd);
	*ret = i;
	return i ? 0 : -ENOMEM;
}

void inode_forget(struct inode_table *t, uint64_t id, uint64_t n)
{
	struct inode *i;
	bool dead = false;

	pthread_mutex_lock(&t->lock);
	for (i = t->by_id[hash64(id) & t->mask]; i && i->id != id; i = i->next_id)
		;
	if (i && i != t->root && i->nlookup > 0) {
		i->nlookup -= n < i->nlookup ? n : i->nlookup;
		if (!i->nlookup && !i->submount)
			dead = unref(t, i);
	}
	pthread_mutex_unlock(&t->lock);
	if (dead)
		destroy(i);
}

void inode_keep(struct inode_table *t, struct inode *i)
{
	pthread_mutex_lock(&t->lock);
	if (!i->submount && i != t->root) {
		i->submount = true;
		if (!i->nlookup)
			i->refs++;
	}
	pthread_mutex_unlock(&t->lock);
}

static struct inode_stamp stamp(const struct statx *stx)
{
	struct inode_stamp s;

	memset(&s, 0, sizeof(s));
	s.size = stx->stx_size;
	s.mtime_sec = stx->stx_mtime.tv_sec;
	s.mtime_nsec = stx->stx_mtime.tv_nsec;
	s.ctime_sec = stx->stx_ctime.tv_sec;
	s.ctime_nsec = stx->stx_ctime.tv_nsec;
	return s;
}

void inode_told(struct inode_table *t, struct inode *i, const struct statx *stx)
{
	pthread_mutex_lock(&t->lock);
	i->told = stamp(stx);
	pthread_mutex_unlock(&t->lock);
}

bool inode_unchanged(struct inode_table *t, struct inode *i, const struct statx *stx)
{
	struct inode_stamp s = stamp(stx);
	bool same;

	pthread_mutex_lock(&t->lock);
	same = memcmp(&s, &i->told, sizeof(s)) == 0;
	pthread_mutex_unlock(&t->lock);
	return same;
}
