/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit tests' kit: each check is one TAP line with its place; tap_done() writes the plan. A test program
 * goes on after a failed check; need() gives up when nothing behind it makes sense.
 */
#ifndef TESTS_UNIT_TAP_H
#define TESTS_UNIT_TAP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

static inline int tap_ok(int good, const char *what, const char *file, int line)
{
	tap_count++;
	tap_failed += !good;
	printf("%sok %d - %s (%s:%d)\n", good ? "" : "not ", tap_count, what, file, line);
	fflush(stdout);
	return good;
}

static inline int tap_str(const char *got, const char *want, const char *what, const char *file, int line)
{
	int good = got && want ? !strcmp(got, want) : got == want;

	tap_ok(good, what, file, line);
	if (!good)
		printf("# got:  %s\n# want: %s\n", got ? got : "(null)", want ? want : "(null)");
	return good;
}

static inline int tap_int(long long got, long long want, const char *what, const char *file, int line)
{
	int good = got == want;

	tap_ok(good, what, file, line);
	if (!good)
		printf("# got:  %lld\n# want: %lld\n", got, want);
	return good;
}

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

/* A true condition; equal strings; equal integers; a text that contains another. */
#define ok(cond) tap_ok(!!(cond), #cond, __FILE__, __LINE__)
#define is_str(got, want) tap_str(got, want, #got, __FILE__, __LINE__)
#define is_int(got, want) tap_int((long long)(got), (long long)(want), #got, __FILE__, __LINE__)
#define has_str(got, part) \
	do { \
		const char *got_ = (got); \
		if (!tap_ok(got_ && strstr(got_, part), #got " has " #part, __FILE__, __LINE__)) \
			printf("# got:  %s\n# part: %s\n", got_ ? got_ : "(null)", part); \
	} while (0)
#define skip(why) \
	do { \
		tap_count++; \
		printf("ok %d # SKIP %s\n", tap_count, why); \
	} while (0)
#define need(cond) \
	do { \
		if (!ok(cond)) \
			exit(tap_done()); \
	} while (0)

#endif
