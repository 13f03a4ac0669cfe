/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failures as values.
 *
 * A struct err is filled where the failure is found and gets context in front on its way up; it holds no heap
 * memory, so that it can be written to a socket as it is. Texts too long keep their end cut.
 */
#include "base/err.h"

#undef err_set /* as the analyzer sees them */
#undef err_sys
#undef err_wrap

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"

/* Texts quote what strangers wrote (names in archives, answers of registries): no control sequences for the terminal. */
static void defuse(char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\n' && *text != '\t') || *text == 127)
			*text = '?';
}

static int fill(struct err *err, int code, const char *fmt, va_list ap, const char *tail)
{
	int n;

	if (code > 0)
		code = -code;
	if (code == 0)
		code = -EIO;
	if (!err)
		return code;
	err->code = code;
	n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	if (tail && n >= 0 && (size_t)n < sizeof(err->msg))
		snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", tail);
	defuse(err->msg);
	return code;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fill(err, code, fmt, ap, NULL);
	va_end(ap);
	return r;
}

/* The C library's texts with a small first letter: engines match "no such file or directory". */
static const char *errno_text(int code, char *buf, size_t len)
{
	const char *s = strerrordesc_np(code < 0 ? -code : code);

	if (!s) {
		snprintf(buf, len, "error %d", code < 0 ? -code : code);
		return buf;
	}
	snprintf(buf, len, "%s", s);
	if (buf[0] >= 'A' && buf[0] <= 'Z' && !(buf[1] >= 'A' && buf[1] <= 'Z'))
		buf[0] = (char)(buf[0] - 'A' + 'a');
	return buf;
}

int err_sys(struct err *err, int code, const char *fmt, ...)
{
	char text[96];
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fill(err, code, fmt, ap, errno_text(code, text, sizeof(text)));
	va_end(ap);
	return r;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char old[ERR_MSG_MAX];
	va_list ap;
	int n;

	if (!err)
		return -EIO;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->msg))
		snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", old);
	defuse(err->msg);
	if (err->code >= 0)
		err->code = -EIO;
	return err->code;
}

int err_send(int fd, const struct err *err)
{
	return fd_write_all(fd, err, sizeof(*err));
}

int err_recv(int fd, struct err *ret_err)
{
	ssize_t n = fd_read_all(fd, ret_err, sizeof(*ret_err));

	if (n < 0)
		return (int)n;
	if (n != (ssize_t)sizeof(*ret_err))
		return -EPIPE;
	ret_err->msg[sizeof(ret_err->msg) - 1] = '\0';
	return 0;
}
