/* SPDX-License-Identifier: Apache-2.0 */
/* The step table of a sandbox: create runs it down, delete is its undo column. */
#ifndef RUNTIME_STEPS_H
#define RUNTIME_STEPS_H

#include <stdbool.h>

#include "base/err.h"

struct sandbox;

/* Runs every step. On failure undoes what was begun, in reverse, and returns the step's error. */
int steps_run(struct sandbox *sb, struct err *err);
/*
 * Runs the whole undo column upwards. Goes on after a failure and returns the first; the state directory stays then,
 * so that it can be repeated.
 */
int steps_undo(struct sandbox *sb, struct err *err);
/* Names in order, ended by NULL. */
const char *const *steps_names(void);
/* Debug builds: the process kills itself here when AMPHI_STOP_AT names this point. */
#ifdef AMPHI_DEBUG
void steps_stop_at(const char *point);
#else
static inline void steps_stop_at(const char *point)
{
	(void)point;
}
#endif

#endif
