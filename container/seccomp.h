/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp: a profile of the runtime specification becomes a BPF filter (in the parent, before clone), the child
 * loads it. The only user of libseccomp besides vm/lockdown.c. runtime-spec config-linux.md#seccomp.
 */
#ifndef CONTAINER_SECCOMP_H
#define CONTAINER_SECCOMP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/json.h"

struct oci_seccomp;

/* A compiled filter: plain bytes, so it may be cached and crosses clone as it is. */
struct seccomp_filter {
	void *bpf;          /* struct sock_filter array; owned */
	size_t len;         /* bytes */
	unsigned int flags; /* SECCOMP_FILTER_FLAG_* */
	bool notify;        /* some rule notifies: load returns a listener */
};

/*
 * Compiles. Errors name the field ("linux.seccomp.syscalls[3].args[0].op: …"). Unknown syscall names and
 * architectures' missing syscalls are skipped. Syscalls newer than any the profile names get ENOSYS where the
 * default action is an error or a kill, so that libcs fall back. Flags the kernel lacks are refused.
 */
int seccomp_compile(const struct oci_seccomp *profile, struct seccomp_filter *ret, struct err *err);
void seccomp_filter_free(struct seccomp_filter *f);
#define cleanup_seccomp_filter CLEANUP(seccomp_filter_free)

/*
 * The same through a cache of compiled filters below dirfd (named by a digest of profile and versions; files of
 * others or of another uid are not used). dirfd -1: no cache.
 */
int seccomp_compile_cached(int dirfd, const struct oci_seccomp *profile, struct seccomp_filter *ret, struct err *err);

/*
 * Loads the filter into this thread. Returns the listener fd (CLOEXEC) when the filter notifies, else 0. Needs
 * no_new_privs or CAP_SYS_ADMIN. Async-signal-safe, no malloc.
 */
int seccomp_install(const struct seccomp_filter *f, struct err *err);

/*
 * Hands a listener to profile.listenerPath with the container process state (runtime-spec
 * config-linux.md#containerprocessstate): state_json is the container's state document. Runs in the parent,
 * outside the filter. The fd stays the caller's.
 */
int seccomp_notify_send(const struct oci_seccomp *profile, const char *state_json, pid_t pid, int listener,
			struct err *err);

/* For "features": words in the specification's spelling, NULL-terminated; static. known: all we parse. */
const char *const *seccomp_actions(void);
const char *const *seccomp_operators(void);
const char *const *seccomp_archs(void);
const char *const *seccomp_known_flags(void);
/* Fills flags the running kernel supports (borrowed strings), NULL-terminated. */
size_t seccomp_supported_flags(const char *ret[8]);
/* libseccomp's version, "2.5.4". Static. */
const char *seccomp_library_version(void);

#endif
