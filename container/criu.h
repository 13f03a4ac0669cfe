/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoint and restore through the criu program: what both directions share. criu_dump.h and criu_restore.h are
 * the two ways through; callers outside this room need those, the options and criu_check().
 */
#ifndef CONTAINER_CRIU_H
#define CONTAINER_CRIU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "container/criu_rpc.h"

/* What the command line says for either direction; borrowed. Use CRIU_OPTIONS_INIT. */
struct criu_options {
	int images_fd;                               /* directory of the images */
	int work_fd;                                 /* directory of logs and statistics */
	const char *work_path;                       /* the same, for messages */
	const char *parent_path;                     /* earlier images, relative to images_fd; NULL: none */
	const char *manage_cgroups;                  /* soft full strict ignore; NULL: soft */
	const char *network_lock;                    /* iptables nftables skip; NULL: criu's choice */
	const char *lsm_profile, *lsm_mount_context; /* restore only */
	const char *page_address;                    /* of the page server; NULL: none */
	uint32_t page_port;
	int status_fd; /* criu writes a NUL here once lazy pages are ready; -1 */
	bool leave_running, pre_dump;
	bool tcp_established, tcp_close, tcp_skip_in_flight;
	bool ext_unix_sk, shell_job, file_locks, link_remap;
	bool lazy_pages, auto_dedup;
	bool empty_net; /* the network namespace is not saved; made empty by restore */
};

#define CRIU_OPTIONS_INIT \
	{ \
		.images_fd = -1, .work_fd = -1, .status_fd = -1 \
	}

/*
 * Can this kernel be checkpointed with the criu that is installed? Runs it (some milliseconds). -ENOENT without criu; the
 * message carries criu's own first error. *ret_version (may be NULL): major * 100 + minor.
 */
int criu_check(unsigned int *ret_version, struct err *err);

/* ---- for criu_dump.c and criu_restore.c ------------------------------------------------------------------ */

/* A running "criu swrk": one request is served, then it ends. */
struct criu {
	pid_t pid;  /* 0: none */
	int sock;   /* -1 */
	int errors; /* memfd with its stderr; -1 */
};

#define CRIU_INIT \
	{ \
		.sock = -1, .errors = -1 \
	}

/* How criu's process is made. */
struct criu_spawn {
	const int *fds; /* what is to be its descriptors CRIU_FIRST_FD, +1, …; -1: left out */
	size_t n_fds;
	const char *rootfs; /* to be bound over itself, after criu_unshare_mounts(); or NULL */
};

#define CRIU_FIRST_FD 4

/*
 * Before the directories of a restore are opened: the calling process gets a mount namespace of its own, which the host's
 * mounts still reach. criu mounts on its work directory, and may only when that was opened in criu's own namespace.
 */
int criu_unshare_mounts(struct err *err);
int criu_start(struct criu *c, const struct criu_spawn *s, struct err *err);
/* Sends {type, opts, notify scripts on}. */
int criu_request(struct criu *c, enum criu_rpc_type type, const struct str *opts, struct err *err);
/* The next reply or notification. When criu ended instead: -EPIPE, with what it wrote. */
int criu_next(struct criu *c, struct criu_rpc_reply *ret, struct err *err);
/* Lets criu go on after a notification. */
int criu_go_on(struct criu *c, struct err *err);
/* A reply that says failure, as error: the log's first error line and where the log is. Returns negative. */
int criu_failed(const struct criu_options *o, const char *what, const char *log, const struct criu_rpc_reply *reply,
		struct err *err);
/* Kills criu when it still runs, reaps it, closes all. Repeatable. */
void criu_stop(struct criu *c);
#define cleanup_criu CLEANUP(criu_stop)

/* The fields of criu_opts that both directions have. log: name of the log file. */
void criu_common_opts(const struct criu_options *o, const char *rootfs, const char *log, struct str *opts);
/* One external resource: "mnt[KEY]:VALUE". */
void criu_external(struct str *opts, const char *kind, const char *key, const char *value);

/* A word of "criu check --feature": 1, 0 or negative. */
int criu_has_feature(const char *feature, struct err *err);
/* Devices that are bound where they cannot be made (user namespaces); NULL-terminated. */
const char *const *criu_default_devices(void);

/* In the images: what the standard streams were, as an array of strings (runc writes the same file). */
#define CRIU_STREAMS "descriptors.json"
/* Names of namespaces from outside. */
#define CRIU_OUTER_NET "extRootNetNS"
#define CRIU_OUTER_PID "extRootPidNS"

/* Fields of criu_opts by number, those that only one direction needs. */
enum {
	CRIU_OPT_PID = 2,
	CRIU_OPT_LEAVE_RUNNING = 3,
	CRIU_OPT_EVASIVE_DEVICES = 6,
	CRIU_OPT_PARENT = 14,
	CRIU_OPT_TRACK_MEM = 15,
	CRIU_OPT_CGROUP_ROOT = 25,
	CRIU_OPT_SIBLING = 26,
	CRIU_OPT_INHERIT_FD = 27,
	CRIU_OPT_FREEZE_CGROUP = 44,
	CRIU_OPT_STATUS_FD = 49,
	CRIU_OPT_LSM_PROFILE = 53,
	CRIU_OPT_LSM_CONTEXT = 63,
};

#endif
