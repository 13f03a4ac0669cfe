/* SPDX-License-Identifier: Apache-2.0 */
/* What a transfer shows: bars on a terminal, lines or JSON otherwise; everything goes to stderr. */
#ifndef IMAGES_PROGRESS_H
#define IMAGES_PROGRESS_H

#include <stdint.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_BARS, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };

struct progress;
struct progress_item;

/* 0 or -EINVAL: "auto", "bars", "plain", "json", "none". */
int progress_mode_parse(const char *word, enum progress_mode *ret);
struct progress *progress_new(enum progress_mode mode);
/* One blob; what is its short name, total its bytes. p may be NULL. Thread-safe, as all that follow. */
struct progress_item *progress_add(struct progress *p, const char *what, uint64_t total);
/* n more bytes. */
void progress_step(struct progress_item *i, uint64_t n);
/* The end: "done", "exists", "failed". */
void progress_end(struct progress_item *i, const char *how);
void progress_free(struct progress *p);

#endif
