/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agent messages, spoken between a client on the host and amphi-init in the machine over one vsock connection.
 * Built into both programs. A message is a header {magic, version, type, length} and fields {tag, length, bytes},
 * all little endian. Each side treats the other as hostile: lengths are bounded before anything is allocated,
 * an unknown version is refused, an unknown field is skipped.
 *
 * A connection carries requests, each answered by PROTO_OK, PROTO_DATA, PROTO_SESSION or PROTO_ERROR. After
 * PROTO_SESSION (answer to CREATE and EXEC) the connection belongs to that process: the client may send RESIZE
 * and SIGNAL (no answers), the guest sends EXIT once, after the streams are drained and file data is written back.
 * The streams are connections of their own to the port named in PROTO_SESSION, each opened by one STREAM message
 * and raw bytes from then on; half-close means end of file.
 */
#ifndef VM_PROTO_H
#define VM_PROTO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PROTO_MAGIC 0x49504d41u /* "AMPI" */
#define PROTO_VERSION 1u
#define PROTO_PORT 1024u           /* vsock port of the agent */
#define PROTO_MSG_MAX (8u << 20)   /* bytes of fields in one message */
#define PROTO_FIELD_COUNT_MAX 64u  /* fields in one message */
#define PROTO_HEADER_SIZE 12u      /* u32 magic, u16 version, u16 type, u32 length */
#define PROTO_FIELD_HEADER_SIZE 8u /* u32 tag, u32 length */

/* The guest's fixed places: the one virtio-fs tag, and where amphi-init mounts it. */
#define PROTO_FS_TAG "amphi"
#define PROTO_EXPORT_DIR "/run/amphi/export"

enum proto_type {
	PROTO_NONE,
	/* requests */
	PROTO_HELLO,    /* → DATA {release} */
	PROTO_MACHINE,  /* NETWORK, HOSTNAME, CLOCK, ENTROPY, VCPUS: what belongs to the machine → OK */
	PROTO_CREATE,   /* ID, CONFIG, BUNDLE → SESSION */
	PROTO_START,    /* ID, TEXT: state document for hooks, ROWS, COLS → OK once the workload runs */
	PROTO_EXEC,     /* ID, PROCESS → SESSION */
	PROTO_KILL,     /* ID, SIGNAL, ALL → OK */
	PROTO_PS,       /* ID → DATA: JSON array of {pid, uid, comm, args…} */
	PROTO_PAUSE,    /* ID → OK */
	PROTO_RESUME,   /* ID → OK */
	PROTO_UPDATE,   /* ID, CONFIG: a linux.resources document → OK */
	PROTO_DELETE,   /* ID → OK */
	PROTO_POWEROFF, /* → OK, then the machine writes back and ends */
	/* first message of a stream connection */
	PROTO_STREAM, /* STREAM: 0, 1, 2; TOKEN */
	/* client to session, unanswered */
	PROTO_RESIZE, /* ROWS, COLS */
	PROTO_SIGNAL, /* SIGNAL: to the session's process */
	/* answers */
	PROTO_OK,
	PROTO_ERROR,   /* CODE, TEXT */
	PROTO_DATA,    /* TEXT */
	PROTO_SESSION, /* PID (in the guest), PORT, TOKEN */
	PROTO_EXIT,    /* STATUS: 0..255, 128 + signal; OOM */
	/* further requests */
	PROTO_STATS,  /* ID → DATA: members of runc's "data" object; VCPUS: processors online */
	PROTO_EVENTS, /* ID → OK, then a DATA "oom" for each out-of-memory kill until the container ends */
	PROTO_TYPE_MAX,
};

enum proto_tag {
	PROTO_F_ID = 1,
	PROTO_F_CONFIG,
	PROTO_F_PROCESS,
	PROTO_F_BUNDLE,
	PROTO_F_SIGNAL,
	PROTO_F_ALL,
	PROTO_F_NETWORK,
	PROTO_F_HOSTNAME,
	PROTO_F_CLOCK,   /* u64 nanoseconds since the epoch */
	PROTO_F_ENTROPY, /* bytes credited to the guest's pool */
	PROTO_F_STREAM,
	PROTO_F_TOKEN,
	PROTO_F_ROWS,
	PROTO_F_COLS,
	PROTO_F_CODE,
	PROTO_F_TEXT,
	PROTO_F_PID,
	PROTO_F_PORT,
	PROTO_F_STATUS,
	PROTO_F_STREAMS, /* CREATE, EXEC: bit mask of the streams wanted (1 stdin, 2 stdout, 4 stderr) */
	PROTO_F_OPTIONS, /* CREATE, EXEC: JSON object of the verb's lesser options */
	PROTO_F_VCPUS,   /* MACHINE: how many processors shall be online, of those present */
	PROTO_F_OOM,     /* EXIT: 1 when the container was killed for want of memory */
	PROTO_TAG_MAX,
};

/* A message being written. Zero-initialised; freed by proto_writer_free() or by proto_send(). */
struct proto_writer {
	struct str out;
	unsigned int count;
	int bad; /* the message outgrew its bounds */
};

/* A field of a received message: points into the message. */
struct proto_field {
	uint32_t tag;
	uint32_t len;
	const uint8_t *data;
};

/* A received, checked message. Zero-initialised; owns buf. */
struct proto_msg {
	enum proto_type type;
	uint8_t *buf;
	uint32_t len;
	unsigned int count;
	struct proto_field fields[PROTO_FIELD_COUNT_MAX];
};

/* The verb's word for messages ("create"); "unknown" beyond the table. */
const char *proto_type_name(unsigned int type);

/* Writing: begin, add, send. Additions beyond the bounds make proto_send() fail with -EMSGSIZE. */
void proto_begin(struct proto_writer *w, enum proto_type type);
void proto_add(struct proto_writer *w, enum proto_tag tag, const void *data, size_t len);
void proto_add_string(struct proto_writer *w, enum proto_tag tag, const char *s); /* NULL adds nothing */
void proto_add_u32(struct proto_writer *w, enum proto_tag tag, uint32_t v);
void proto_add_u64(struct proto_writer *w, enum proto_tag tag, uint64_t v);
/* CODE and TEXT of an error. */
void proto_add_err(struct proto_writer *w, const struct err *err);
/* Sends the message and frees the writer in any case. Blocks. 0 or -errno. No SIGPIPE. */
int proto_send(int fd, struct proto_writer *w);
void proto_writer_free(struct proto_writer *w);
/* The finished bytes, owned by the caller (tests, fuzzing); NULL when out of bounds. */
uint8_t *proto_take(struct proto_writer *w, size_t *ret_len);
/* Sends a message without fields, or an error. 0 or -errno. */
int proto_send_type(int fd, enum proto_type type);
int proto_send_err(int fd, const struct err *err);

/*
 * Receives one message within timeout_ms (negative: for ever). Returns 1, 0 at a clean end of file, or a
 * negative errno with *err: -EPROTO for bytes that are no message, -ETIMEDOUT. *ret must be empty; the caller
 * frees it.
 */
int proto_recv(int fd, int timeout_ms, struct proto_msg *ret, struct err *err);
/* A message on its way: what has come so far. Zero-initialised; freed by proto_partial_free(). */
struct proto_partial {
	uint8_t header[PROTO_HEADER_SIZE];
	uint32_t got; /* bytes, header included */
	struct proto_msg msg;
};
/*
 * Takes what has come of a message without waiting: 1 and *ret once it is whole, -EAGAIN as long as it is not (poll again;
 * *p keeps what is there), else as proto_recv(). fd is a socket.
 */
int proto_recv_some(int fd, struct proto_partial *p, struct proto_msg *ret, struct err *err);
void proto_partial_free(struct proto_partial *p);
/* Parses one whole message (header included) from memory. 0 or -EPROTO. Copies. */
int proto_parse(const void *buf, size_t len, struct proto_msg *ret, struct err *err);
void proto_msg_free(struct proto_msg *m);
#define cleanup_proto_msg CLEANUP(proto_msg_free)

/* The first field with the tag, or NULL. */
const struct proto_field *proto_get(const struct proto_msg *m, enum proto_tag tag);
/* Required fields: 0 or -EPROTO with *err. A string has no NUL inside and is owned by the caller. */
int proto_get_string(const struct proto_msg *m, enum proto_tag tag, char **ret, struct err *err);
int proto_get_u32(const struct proto_msg *m, enum proto_tag tag, uint32_t *ret, struct err *err);
int proto_get_u64(const struct proto_msg *m, enum proto_tag tag, uint64_t *ret, struct err *err);
/* Optional number: fallback when absent or of a wrong size. */
uint32_t proto_u32_or(const struct proto_msg *m, enum proto_tag tag, uint32_t fallback);
/* Fills *err from a PROTO_ERROR message; always returns a negative errno. */
int proto_get_err(const struct proto_msg *m, struct err *err);

#endif
