/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE file handles ⇄ descriptors: a hash table under one mutex. Numbers come from a counter, so a released or invented
 * handle finds nothing. Called from the virtio-fs workers.
 * #syscalls close futex
 */
#include "vm/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define BUCKETS 1024

struct handle_table {
	pthread_mutex_t lock;
	uint64_t next;
	struct handle *by_fh[BUCKETS];
};

struct handle_table *handle_table_new(void)
{
	struct handle_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	t->next = 1;
	return t;
}

static void destroy(struct handle *h)
{
	close(h->fd);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

void handle_table_sweep(struct handle_table *t, bool (*keep)(void *arg, uint64_t node), void *arg)
{
	struct handle **p, *h, *dead = NULL;

	pthread_mutex_lock(&t->lock);
	for (size_t n = 0; n < BUCKETS; n++) {
		for (p = &t->by_fh[n]; (h = *p);) {
			if (keep && keep(arg, h->node)) {
				p = &h->next;
				continue;
			}
			*p = h->next;
			if (--h->refs == 0) {
				h->next = dead;
				dead = h;
			}
		}
	}
	pthread_mutex_unlock(&t->lock);
	while ((h = dead)) {
		dead = h->next;
		destroy(h);
	}
}

void handle_table_clear(struct handle_table *t)
{
	handle_table_sweep(t, NULL, NULL);
}

void handle_table_free(struct handle_table *t)
{
	if (!t)
		return;
	handle_table_clear(t);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

int handle_open(struct handle_table *t, int fd, uint64_t node, bool dir, uint64_t *ret_fh)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h) {
		close(fd);
		return -ENOMEM;
	}
	h->fd = fd;
	h->node = node;
	h->dir = dir;
	h->refs = 1;
	pthread_mutex_init(&h->lock, NULL);
	pthread_mutex_lock(&t->lock);
	*ret_fh = h->fh = t->next++;
	h->next = t->by_fh[h->fh % BUCKETS];
	t->by_fh[h->fh % BUCKETS] = h;
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static struct handle **find(struct handle_table *t, uint64_t fh, uint64_t node, bool dir)
{
	struct handle **h;

	for (h = &t->by_fh[fh % BUCKETS]; *h; h = &(*h)->next)
		if ((*h)->fh == fh)
			return (*h)->node == node && (*h)->dir == dir ? h : NULL;
	return NULL;
}

struct handle *handle_get(struct handle_table *t, uint64_t fh, uint64_t node, bool dir)
{
	struct handle **p, *h = NULL;

	pthread_mutex_lock(&t->lock);
	p = find(t, fh, node, dir);
	if (p) {
		h = *p;
		h->refs++;
	}
	pthread_mutex_unlock(&t->lock);
	return h;
}

void handle_put(struct handle_table *t, struct handle *h)
{
	bool dead;

	if (!h)
		return;
	pthread_mutex_lock(&t->lock);
	dead = --h->refs == 0;
	pthread_mutex_unlock(&t->lock);
	if (dead)
		destroy(h);
}

int handle_release(struct handle_table *t, uint64_t fh, uint64_t node, bool dir)
{
	struct handle **p, *h = NULL;
	bool dead = false;

	pthread_mutex_lock(&t->lock);
	p = find(t, fh, node, dir);
	if (p) {
		h = *p;
		*p = h->next;
		dead = --h->refs == 0;
	}
	pthread_mutex_unlock(&t->lock);
	if (dead)
		destroy(h);
	return p ? 0 : -EBADF;
}
