/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small D-Bus client: enough to call systemd. Messages are built and read in memory by cursor functions that
 * check every length; the connection is one blocking unix socket with time limits. D-Bus specification 0.42.
 */
#ifndef CONTAINER_DBUS_H
#define CONTAINER_DBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define DBUS_MESSAGE_MAX (1 << 20)

enum dbus_type { DBUS_CALL = 1, DBUS_RETURN = 2, DBUS_ERROR = 3, DBUS_SIGNAL = 4 };

/* Marshalling: a body under construction, little-endian, aligned from its own start. */
struct dbus_body {
	struct str data;
};

void dbus_put_u32(struct dbus_body *b, uint32_t n);
void dbus_put_u64(struct dbus_body *b, uint64_t n);
void dbus_put_bool(struct dbus_body *b, bool v);
void dbus_put_byte(struct dbus_body *b, uint8_t v);
void dbus_put_string(struct dbus_body *b, const char *s);
void dbus_put_signature(struct dbus_body *b, const char *s);
void dbus_put_align(struct dbus_body *b, size_t alignment);
/* Opens an array whose elements have the alignment; returns the mark that dbus_array_end() wants. */
size_t dbus_array_begin(struct dbus_body *b, size_t alignment);
void dbus_array_end(struct dbus_body *b, size_t mark, size_t alignment);
/* Opens a struct. */
void dbus_struct(struct dbus_body *b);

/* A received message; strings point into data. */
struct dbus_message {
	char *data; /* owned */
	size_t len;
	enum dbus_type type;
	uint32_t serial, reply_serial;
	const char *path, *interface, *member, *error_name, *signature; /* NULL: not there */
	size_t body;                                                    /* offset in data */
	bool swap;                                                      /* the sender's byte order is not ours */
	size_t pos;                                                     /* read position in data */
};

/* Length of the whole message from its first 16 bytes; 0 when they are no header or too large. */
size_t dbus_message_size(const unsigned char head[16]);
/* Takes data (owned on success). -EBADMSG with nothing taken when anything in it is malformed. */
int dbus_message_parse(char *data, size_t len, struct dbus_message *ret);
void dbus_message_free(struct dbus_message *m);
#define cleanup_dbus_message CLEANUP(dbus_message_free)
/* Reads the next value of the body. 0 or -EBADMSG. Strings are NUL-terminated inside the message. */
int dbus_get_u32(struct dbus_message *m, uint32_t *ret);
int dbus_get_string(struct dbus_message *m, const char **ret);
int dbus_get_signature(struct dbus_message *m, const char **ret);
/* Reads a variant that must hold a string or object path. */
int dbus_get_variant_string(struct dbus_message *m, const char **ret);

struct dbus {
	int fd;
	uint32_t serial;
	bool bus; /* a message bus, not a private socket: destinations and match rules apply */
	int timeout_ms;
};

/* Connects, authenticates (EXTERNAL), on a bus says Hello. address: path of the socket. */
int dbus_connect(const char *address, bool bus, int timeout_ms, struct dbus *ret, struct err *err);
void dbus_close(struct dbus *d);
#define cleanup_dbus CLEANUP(dbus_close)
/*
 * Calls a method and waits for its answer; signals that arrive meanwhile go to on_signal (may be NULL). A D-Bus
 * error becomes *err "NAME: text" with -ENOENT for ...NoSuchUnit, -EEXIST for ...UnitExists, -EACCES for
 * AccessDenied, else -EIO. *reply (may be NULL) is the caller's.
 */
typedef void dbus_signal_fn(struct dbus_message *m, void *arg);
int dbus_call(struct dbus *d, const char *destination, const char *path, const char *interface, const char *member,
	      const char *signature, const struct dbus_body *body, struct dbus_message *reply,
	      dbus_signal_fn *on_signal, void *arg, struct err *err);
/* Receives one message within timeout_ms (-ETIMEDOUT). */
int dbus_receive(struct dbus *d, struct dbus_message *ret, struct err *err);

#endif
