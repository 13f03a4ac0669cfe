/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of criu's RPC (its images/rpc.proto), as many fields as we use: requests are written, replies and
 * notifications read. No library: a protocol buffer is a row of {number and kind, value}.
 */
#ifndef CONTAINER_CRIU_RPC_H
#define CONTAINER_CRIU_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* enum criu_req_type */
enum criu_rpc_type {
	CRIU_RPC_DUMP = 1,
	CRIU_RPC_RESTORE = 2,
	CRIU_RPC_PRE_DUMP = 4,
	CRIU_RPC_NOTIFY = 6,
	CRIU_RPC_VERSION = 10,
};

/* Fields of one message, appended to *b. Numbers are those of rpc.proto; negative numbers as its int32. */
void criu_rpc_number(struct str *b, unsigned int field, int64_t value);
void criu_rpc_string(struct str *b, unsigned int field, const char *value); /* NULL: not written */
void criu_rpc_message(struct str *b, unsigned int field, const struct str *message);
/* A bool, written when it is set. */
void criu_rpc_flag(struct str *b, unsigned int field, bool value);

/* What a reply says; zero or NULL where it says nothing. Strings are owned. */
struct criu_rpc_reply {
	uint64_t type; /* enum criu_rpc_type */
	bool success;
	int error;                 /* cr_errno, an errno */
	char *message;             /* cr_errmsg */
	char *script;              /* of a notification: "setup-namespaces", "post-restore", … */
	int pid;                   /* of the restored or notified process */
	unsigned int major, minor; /* criu's version */
	int fd;                    /* came with the message; owned; -1 */
};

/* 0, or -EPROTO for what is no protocol buffer. *ret is always to be freed. Fields that are not known are skipped. */
int criu_rpc_parse(const void *buf, size_t len, struct criu_rpc_reply *ret);
void criu_rpc_reply_free(struct criu_rpc_reply *r);
#define cleanup_criu_rpc_reply CLEANUP(criu_rpc_reply_free)

#endif
