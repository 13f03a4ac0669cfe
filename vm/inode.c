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
 *
 * A guest that walks a large tree makes us hold all of it. Beyond a number of descriptors the least used ones are closed,
 * and what is left is a ticket with a file handle by which the next request opens the node again (vm/reopen.h); the handle
 * has the file's generation, so it never finds another file. Tickets never come from the guest. They need
 * CAP_DAC_READ_SEARCH and a file system that has handles (overlay usually has not): a mount is tried once, by opening the
 * handle of the first candidate, and its descriptors stay where that fails. What is closed does not pin the file: an inode
 * number may come again, so a closed node is only taken for the same file when the handles are equal, and a name that is
 * removed has its node opened before (inode_rescue).
 *
 * Descriptors pin the mounts they are on. What is mounted into the export tree for a time (the files of a pod's member) lies
 * below a directory two below the root; every node remembers under which it was found, and when the mounts are gone inode_release() drops
 * them all, whatever the guest still holds. Requests that are in flight keep their nodes until they are done and add none.
 * #syscalls openat statx close name_to_handle_at sendmsg recvmsg futex
 */
#include "vm/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "vm/reopen.h"

/* How many candidates are looked at for each descriptor to close. */
#define LOOKS 16

/* Where handles of a mount are opened. */
struct handle_mount {
	uint64_t mnt;
	int fd; /* of any file or directory in it, not O_PATH; -1: it has no handles for us */
	struct handle_mount *next;
};

struct inode_table {
	pthread_mutex_t lock;
	int proc_fd; /* the caller's */
	struct handle_mount *mounts;
	struct reopen *reopen;                  /* the caller's; NULL: descriptors stay */
	unsigned long fds_max, n_fds, n_closed; /* n_fds: in the list of those that may be closed */
	struct inode *newest, *oldest;
	uint64_t next_id;
	unsigned long count;
	size_t mask; /* both hash tables have mask + 1 buckets */
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

static struct inode *find_id(const struct inode_table *t, uint64_t id)
{
	struct inode *i = t->by_id[hash64(id) & t->mask];

	while (i && i->id != id)
		i = i->next_id;
	return i;
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

/* The list of inodes whose descriptor may be closed. */
static void list_add(struct inode_table *t, struct inode *i)
{
	i->newer = NULL;
	i->older = t->newest;
	if (t->newest)
		t->newest->newer = i;
	else
		t->oldest = i;
	t->newest = i;
	t->n_fds++;
}

static void list_del(struct inode_table *t, struct inode *i)
{
	if (i->newer)
		i->newer->older = i->older;
	else
		t->newest = i->older;
	if (i->older)
		i->older->newer = i->newer;
	else
		t->oldest = i->newer;
	t->n_fds--;
}

static bool in_list(const struct inode_table *t, const struct inode *i)
{
	return i->fd >= 0 && !i->open_only && i != t->root;
}

static bool same_file(const struct inode *i, const struct statx *stx)
{
	return i->ino == stx->stx_ino && i->mnt == stx->stx_mnt_id && i->dev_major == stx->stx_dev_major &&
		i->dev_minor == stx->stx_dev_minor && i->type == (stx->stx_mode & S_IFMT);
}

/* The descriptor that opens handles of i's mount, tried out with i's own. -1: none. Under the lock. */
static int handle_mount(struct inode_table *t, const struct inode *i, const struct reopen_ticket *ticket)
{
	struct handle_mount *m;
	struct statx stx;
	char name[12];
	int fd;

	for (m = t->mounts; m; m = m->next)
		if (m->mnt == i->mnt)
			return m->fd;
	if (!S_ISREG(i->type) && !S_ISDIR(i->type))
		return -1; /* ask again with one that can be opened */
	m = calloc(1, sizeof(*m));
	if (!m)
		return -1;
	m->mnt = i->mnt;
	snprintf(name, sizeof(name), "%d", i->fd);
	m->fd = openat(t->proc_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	fd = m->fd < 0 ? -1 : reopen_open(t->reopen, m->fd, ticket);
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &stx) < 0 || !same_file(i, &stx)) {
		if (m->fd >= 0)
			close(m->fd);
		m->fd = -1;
	}
	if (fd >= 0)
		close(fd);
	m->next = t->mounts;
	t->mounts = m;
	return m->fd;
}

/* Closes the descriptor of the least used inode nobody works with; the fd to close (unlocked), or -1. Under the lock. */
static int close_one(struct inode_table *t)
{
	struct reopen_ticket ticket;
	struct statx stx;
	struct inode *i;
	int fd;

	for (int n = 0; n < LOOKS && (i = t->oldest); n++) {
		list_del(t, i);
		if (i->used || i->refs > (i->nlookup > 0 || i->submount) || i->submount) {
			i->used = false;
			list_add(t, i);
			continue;
		}
		/* A file without a name left is found by its descriptor alone. */
		if (!t->reopen || reopen_seal(t->reopen, i->fd, &ticket) < 0 || handle_mount(t, i, &ticket) < 0 ||
		    statx(i->fd, "", AT_EMPTY_PATH, STATX_NLINK, &stx) < 0 || !stx.stx_nlink ||
		    !(i->ticket = malloc(sizeof(ticket)))) {
			i->open_only = true;
			continue;
		}
		*i->ticket = ticket;
		fd = i->fd;
		i->fd = -1;
		t->n_closed++;
		return fd;
	}
	return -1;
}

/* i, referenced, gets the descriptor fd (taken) when it has none. */
static void adopt(struct inode_table *t, struct inode *i, int *fd)
{
	if (i->fd >= 0)
		return;
	i->fd = *fd;
	*fd = -1;
	free(i->ticket);
	i->ticket = NULL;
	if (i->released)
		return;
	t->n_closed--;
	list_add(t, i);
}

/* Opens a closed inode, which is referenced. 0 or -errno. */
static int reopen(struct inode_table *t, struct inode *i)
{
	struct reopen_ticket ticket;
	struct handle_mount *m;
	int fd, mount_fd = -1;

	pthread_mutex_lock(&t->lock);
	for (m = t->mounts; m; m = m->next)
		if (m->mnt == i->mnt)
			mount_fd = m->fd;
	if (i->fd >= 0) {
		pthread_mutex_unlock(&t->lock);
		return 0;
	}
	ticket = *i->ticket;
	pthread_mutex_unlock(&t->lock);
	fd = reopen_open(t->reopen, mount_fd, &ticket);
	if (fd < 0)
		return fd;
	pthread_mutex_lock(&t->lock);
	adopt(t, i, &fd);
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd);
	return 0;
}

static struct inode *new_inode(struct inode_table *t, int fd, const struct statx *stx, int cache,
			       const struct inode *dir)
{
	struct inode *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->id = t->next_id++;
	i->fd = fd;
	i->cache = cache;
	i->type = stx->stx_mode & S_IFMT;
	i->mnt = stx->stx_mnt_id;
	i->ino = stx->stx_ino;
	i->dev_major = stx->stx_dev_major;
	i->dev_minor = stx->stx_dev_minor;
	i->depth = !dir ? 0 : dir->depth < 2 ? dir->depth + 1 : 2;
	if (dir && dir->depth == 1)
		i->tree = i->mnt == t->root->mnt ? i->ino : 0;
	else if (dir)
		i->tree = dir->tree;
	grow(t);
	link_inode(t, i);
	t->count++;
	return i;
}

struct inode_table *inode_table_new(int root_fd, int cache, int proc_fd, unsigned long fds_max, struct reopen *reopen,
				    struct err *err)
{
	struct inode_table *t = calloc(1, sizeof(*t));
	struct statx stx;
	int fd;

	if (!t) {
		err_sys(err, -ENOMEM, "virtio-fs");
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->proc_fd = proc_fd;
	t->reopen = reopen;
	t->fds_max = fds_max ? fds_max : INODE_FDS_DEFAULT;
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
		t->root = new_inode(t, fd, &stx, cache, NULL);
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
	if (i->fd >= 0)
		close(i->fd);
	free(i->ticket);
	free(i);
}

/* Takes an inode out of everything but memory. Under the lock. */
static void remove_inode(struct inode_table *t, struct inode *i)
{
	unlink_inode(t, i);
	if (in_list(t, i))
		list_del(t, i);
	else if (i->fd < 0)
		t->n_closed--;
}

/* Takes a mount's descriptor away, which pins it: of mnt, or with 0 of all. Under the lock. */
static void forget_mounts(struct inode_table *t, uint64_t mnt)
{
	struct handle_mount **p = &t->mounts, *m;

	while ((m = *p)) {
		if (mnt && m->mnt != mnt) {
			p = &m->next;
			continue;
		}
		*p = m->next;
		if (m->fd >= 0)
			close(m->fd);
		free(m);
	}
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
	forget_mounts(t, 0);
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
			remove_inode(t, i);
			destroy(i);
		}
	}
	forget_mounts(t, 0);
	pthread_mutex_unlock(&t->lock);
}

void inode_release(struct inode_table *t, uint64_t tree)
{
	struct inode *i, *next, *dead = NULL;

	pthread_mutex_lock(&t->lock);
	for (size_t n = 0; n <= t->mask; n++) {
		for (i = t->by_id[n]; i; i = next) {
			next = i->next_id;
			if (i->tree != tree)
				continue;
			remove_inode(t, i);
			i->released = true;
			if (i->mnt != t->root->mnt)
				forget_mounts(t, i->mnt);
			i->refs -= i->nlookup > 0 || i->submount;
			if (!i->refs) {
				i->next_id = dead;
				dead = i;
			}
		}
	}
	pthread_mutex_unlock(&t->lock);
	while ((i = dead)) {
		dead = i->next_id;
		destroy(i);
	}
}

bool inode_known(struct inode_table *t, uint64_t id)
{
	struct inode *i;

	pthread_mutex_lock(&t->lock);
	i = find_id(t, id);
	pthread_mutex_unlock(&t->lock);
	return i;
}

unsigned long inode_table_count(struct inode_table *t)
{
	unsigned long n;

	pthread_mutex_lock(&t->lock);
	n = t->count;
	pthread_mutex_unlock(&t->lock);
	return n;
}

unsigned long inode_table_closed(struct inode_table *t)
{
	unsigned long n;

	pthread_mutex_lock(&t->lock);
	n = t->n_closed;
	pthread_mutex_unlock(&t->lock);
	return n;
}

struct inode *inode_get(struct inode_table *t, uint64_t id)
{
	bool closed = false;
	struct inode *i;

	pthread_mutex_lock(&t->lock);
	i = find_id(t, id);
	if (i) {
		i->refs++;
		i->used = true;
		closed = i->fd < 0;
	}
	pthread_mutex_unlock(&t->lock);
	if (closed && reopen(t, i) < 0) {
		inode_put(t, i);
		return NULL;
	}
	return i;
}

/* Drops a reference under the lock; true when the inode is out of the tables and the caller destroys it. */
static bool unref(struct inode_table *t, struct inode *i)
{
	if (--i->refs)
		return false;
	if (!i->released)
		remove_inode(t, i);
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

/* The known inode of an open file. A closed one counts only when the file at fd has its handle. Under the lock. */
static struct inode *find_file(struct inode_table *t, int fd, const struct statx *stx)
{
	struct inode *i =
		t->by_key[hash_key(stx->stx_ino, stx->stx_mnt_id, stx->stx_dev_major, stx->stx_dev_minor) & t->mask];

	for (; i; i = i->next_key) {
		if (!same_file(i, stx))
			continue;
		if (i->fd >= 0 || reopen_same(i->ticket, fd))
			return i;
	}
	return NULL;
}

int inode_enter(struct inode_table *t, int fd, const struct statx *stx, int cache, const struct inode *dir,
		struct inode **ret)
{
	int old[2] = { -1, -1 }, r = 0;
	struct inode *i;

	pthread_mutex_lock(&t->lock);
	i = dir->released ? NULL : find_file(t, fd, stx);
	if (dir->released) {
		r = -ESTALE;
	} else if (i) {
		adopt(t, i, &fd);
	} else {
		i = new_inode(t, fd, stx, cache, dir);
		if (i) {
			list_add(t, i);
			fd = -1;
		} else {
			r = -ENOMEM;
		}
	}
	if (i) {
		if (i != t->root && i->nlookup++ == 0 && !i->submount)
			i->refs++;
		i->refs++;
		i->used = true;
	}
	for (int n = 0; n < 2 && t->n_fds > t->fds_max; n++)
		old[n] = close_one(t);
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd);
	for (int n = 0; n < 2; n++)
		if (old[n] >= 0)
			close(old[n]);
	*ret = i;
	return r;
}

void inode_rescue(struct inode_table *t, const struct inode *dir, const char *name)
{
	struct statx stx;
	struct inode *i;
	int fd;

	if (!inode_table_closed(t))
		return;
	fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &stx) == 0) {
		pthread_mutex_lock(&t->lock);
		i = find_file(t, fd, &stx);
		if (i) {
			adopt(t, i, &fd);
			i->used = true;
		}
		pthread_mutex_unlock(&t->lock);
	}
	if (fd >= 0)
		close(fd);
}

void inode_forget(struct inode_table *t, uint64_t id, uint64_t n)
{
	struct inode *i;
	bool dead = false;

	pthread_mutex_lock(&t->lock);
	i = find_id(t, id);
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
	if (!i->submount && i != t->root && !i->released) {
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
