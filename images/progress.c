/* SPDX-License-Identifier: Apache-2.0 */
/* Progress of transfers. */
/*
 * Items are counted by the threads that move bytes; whoever steps when a tenth of a second has passed redraws
 * all bars, so there is no thread for it and no output from a hung transfer. Bars are redrawn in place with two
 * control sequences. stdout stays free for results.
 */
#include "images/progress.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"

struct progress_item {
	struct progress *p;
	struct progress_item *next;
	char *what;
	uint64_t total, done;
	const char *how; /* NULL: in progress */
};

struct progress {
	pthread_mutex_t lock;
	enum progress_mode mode;
	struct progress_item *items, **tail;
	unsigned int drawn; /* lines of bars on the screen */
	struct timespec start, last;
};

int progress_mode_parse(const char *word, enum progress_mode *ret)
{
	static const char *const words[] = { "auto", "bars", "plain", "json", "none" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(word, words[i])) {
			*ret = (enum progress_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

struct progress *progress_new(enum progress_mode mode)
{
	struct progress *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	p->mode = mode != PROGRESS_AUTO ? mode : isatty(2) ? PROGRESS_BARS : PROGRESS_PLAIN;
	p->tail = &p->items;
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	return p;
}

static double since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

static void human(uint64_t n, char buf[16])
{
	static const char units[] = "BKMGT";
	double v = (double)n;
	int u = 0;

	for (; v >= 1000 && u < 4; u++)
		v /= 1024;
	snprintf(buf, 16, u ? "%.1f%c" : "%.0f%c", v, units[u]);
}

static void draw(struct progress *p)
{
	double secs = since(&p->start);
	struct str s = { 0 };
	uint64_t all = 0;

	if (p->drawn)
		str_addf(&s, "\033[%uA", p->drawn);
	p->drawn = 0;
	for (struct progress_item *i = p->items; i; i = i->next, p->drawn++) {
		char done[16], total[16], bar[31];
		unsigned int filled =
			i->total ? (unsigned int)(30 * (i->done > i->total ? i->total : i->done) / i->total) : 30;

		memset(bar, ' ', 30);
		memset(bar, '#', filled);
		bar[30] = '\0';
		human(i->done, done);
		human(i->total, total);
		str_addf(&s, "\033[2K%-14s [%s] %8s/%-8s %s\n", i->what, bar, done, total, i->how ? i->how : "");
		all += i->done;
	}
	if (p->drawn) {
		char rate[16];

		human(secs > 0 ? (uint64_t)((double)all / secs) : 0, rate);
		str_addf(&s, "\033[2K%s/s\n", rate);
		p->drawn++;
	}
	fputs(str_get(&s), stderr);
	str_free(&s);
	clock_gettime(CLOCK_MONOTONIC, &p->last);
}

static void json_line(const struct progress_item *i)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;

	json_w_object(&w, NULL);
	json_w_string(&w, "blob", i->what);
	json_w_u64(&w, "done", i->done);
	json_w_u64(&w, "total", i->total);
	if (i->how)
		json_w_string(&w, "status", i->how);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	fprintf(stderr, "%s\n", text);
}

struct progress_item *progress_add(struct progress *p, const char *what, uint64_t total)
{
	struct progress_item *i;

	if (!p)
		return NULL;
	i = xcalloc(1, sizeof(*i));
	*i = (struct progress_item){ .p = p, .what = xstrdup(what), .total = total };
	pthread_mutex_lock(&p->lock);
	*p->tail = i;
	p->tail = &i->next;
	if (p->mode == PROGRESS_BARS)
		draw(p);
	pthread_mutex_unlock(&p->lock);
	return i;
}

void progress_step(struct progress_item *i, uint64_t n)
{
	struct progress *p = i ? i->p : NULL;

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	i->done += n;
	if ((p->mode == PROGRESS_BARS && since(&p->last) > 0.1) ||
	    (p->mode == PROGRESS_JSON && since(&p->last) > 0.5)) {
		if (p->mode == PROGRESS_BARS)
			draw(p);
		else
			json_line(i);
		clock_gettime(CLOCK_MONOTONIC, &p->last);
	}
	pthread_mutex_unlock(&p->lock);
}

void progress_end(struct progress_item *i, const char *how)
{
	struct progress *p = i ? i->p : NULL;
	char total[16];

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	i->how = how;
	if (!strcmp(how, "done") || !strcmp(how, "exists") || !strcmp(how, "mounted"))
		i->done = i->total;
	human(i->total, total);
	if (p->mode == PROGRESS_BARS)
		draw(p);
	else if (p->mode == PROGRESS_JSON)
		json_line(i);
	else if (p->mode == PROGRESS_PLAIN)
		fprintf(stderr, "%s: %s (%s)\n", i->what, how, total);
	pthread_mutex_unlock(&p->lock);
}

void progress_free(struct progress *p)
{
	struct progress_item *next;

	if (!p)
		return;
	for (struct progress_item *i = p->items; i; i = next) {
		next = i->next;
		free(i->what);
		free(i);
	}
	free(p);
}
