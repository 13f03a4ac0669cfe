/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct err: one failure as a fixed-size value, so that the same bytes travel from a clone child, a hook or a
 * guest to the command line. Functions that can fail return 0 or a positive value, or the negative errno that
 * is also in err->code.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <errno.h>
#include <stdarg.h>

#include "base/cleanup.h"

#define ERR_MSG_MAX 1020

struct err {
	int code;              /* negative errno; 0: no failure */
	char msg[ERR_MSG_MAX]; /* one line, NUL-terminated; never empty when code is set */
};

/* Sets *err (may be NULL) to code and the formatted text; a positive code is negated. Returns the negative code. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);

/* Like err_set(), with ": strerror" of the code behind the text. Call with -errno. */
int err_sys(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);

/* Puts "text: " in front of the message already in *err. Returns err->code (-EIO where err is NULL or unset). */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);

#ifdef __clang_analyzer__ /* what it cannot see: these never return 0 or more */
#define ERR_NEGATIVE(call) \
	({ \
		int negative_ = (call); \
		if (negative_ >= 0) \
			__builtin_unreachable(); \
		negative_; \
	})
/* ... and -errno is a failure: "-" of what it knows no value of is nothing it knows */
static inline int *err_errno(void)
{
	static int e;

	e = EIO;
	return &e;
}
#undef errno
#define errno (*err_errno())
#define err_set(...) ERR_NEGATIVE((err_set)(__VA_ARGS__))
#define err_sys(...) ERR_NEGATIVE((err_sys)(__VA_ARGS__))
#define err_wrap(...) ERR_NEGATIVE((err_wrap)(__VA_ARGS__))
#endif

/* Sends *err over a stream or seqpacket fd as sizeof(struct err) bytes. Returns 0 or -errno. Blocks. */
int err_send(int fd, const struct err *err);

/* Receives what err_send() sent; repairs an unterminated text. Returns 0, -EPIPE at end of file, or -errno. */
int err_recv(int fd, struct err *ret_err);

#endif
