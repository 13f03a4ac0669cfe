/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state document of runtime-spec (runtime.md#state) with the keys that runc adds: what `state` and `list`
 * print and hooks read on stdin. The state directory's own file is the runtime's business.
 */
#ifndef OCI_STATE_H
#define OCI_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "oci/config.h"

enum oci_status {
	OCI_STATUS_CREATING,
	OCI_STATUS_CREATED,
	OCI_STATUS_RUNNING,
	OCI_STATUS_PAUSED,
	OCI_STATUS_STOPPED,
	OCI_STATUS_MAX,
};

const char *oci_status_word(enum oci_status s);
/* -1 when unknown. */
int oci_status_number(const char *word);

struct oci_state {
	const char *id;
	enum oci_status status;
	pid_t pid;               /* 0 when stopped */
	const char *bundle;      /* absolute */
	const char *rootfs;      /* NULL: not written (hooks) */
	struct timespec created; /* real time; zero: not written (hooks) */
	const char *scope;       /* systemd's unit; NULL: not written */
	const char *owner;       /* NULL: not written */
	const struct oci_pair *annotations;
	size_t n_annotations;
};

struct json_writer;

/* The object as one value of a writer (key NULL at the root or in an array). */
void oci_state_write_to(struct json_writer *w, const char *key, const struct oci_state *s);
/* The document, owned: one line (hooks), or indented by two blanks without newline at the end as runc prints it. */
char *oci_state_write(const struct oci_state *s, bool indent);

/* A state document read back; the strings of state belong to it. */
struct oci_state_doc {
	struct oci_state state;
	struct oci_pair *annotations;
	char *strings[4];
};
int oci_state_parse(const char *buf, size_t len, struct oci_state_doc **ret, struct err *err);
void oci_state_doc_free(struct oci_state_doc *d);

/* RFC 3339 in UTC with nanoseconds, as Go writes it (trailing zeros of the fraction cut). buf of 40 bytes. */
#define OCI_TIME_MAX 40
const char *oci_time_write(const struct timespec *t, char buf[OCI_TIME_MAX]);
/* Reads RFC 3339; 0 or -EINVAL. */
int oci_time_parse(const char *s, struct timespec *ret);

#endif
