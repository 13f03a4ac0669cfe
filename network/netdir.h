/* SPDX-License-Identifier: Apache-2.0 */
/* netdir: where networks live on disk: definitions that survive a reboot, and what is in use now. */
#ifndef NETWORK_NETDIR_H
#define NETWORK_NETDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct network_ref;

struct netdir {
	char *conf; /* definitions: NAME.json */
	char *run;  /* in use now: attached/KEY.json, ipam/NETWORK/ADDRESS, ports/…, dns/NETWORK/…, nat, lock */
	int conf_fd, run_fd;
	int lock_fd; /* holds the flock; -1 without */
};

/*
 * Opens (making them) the directories of dir (NULL: $AMPHI_NETWORK_DIR, else /var/lib/amphi/networks with
 * /run/amphi-network) and takes the lock, for which it waits. What a previous boot left in the run directory is
 * removed. 0 or -errno.
 */
int netdir_open(const char *dir, bool lock, struct netdir *ret, struct err *err);
/* Has somebody used the directory? For those who only look; opening would make it. */
bool netdir_exists(const char *dir);
void netdir_close(struct netdir *nd);
#define cleanup_netdir CLEANUP(netdir_close)
#define NETDIR_INIT \
	{ \
		.conf_fd = -1, .run_fd = -1, .lock_fd = -1 \
	}

/* Gives the lock up and takes it again, around foreign programs that may want it themselves. */
void netdir_unlock(const struct netdir *nd);
int netdir_relock(const struct netdir *nd, struct err *err);

#define NETDIR_KEY 17
/* 16 hex digits from id and owner: names files and links of an attachment. */
void netdir_key(const char *id, const char *owner, char ret[NETDIR_KEY]);
/* FNV-1a, continued from seed (0 begins). */
uint64_t netdir_hash(uint64_t seed, const void *data, size_t len);
/* Opens (making it) a directory below the run directory; fd or -errno. */
int netdir_sub(const struct netdir *nd, const char *path, struct err *err);
/* In debug builds: SIGKILLs this process when $AMPHI_STOP_AT is point (fault tests). */
#ifdef AMPHI_DEBUG
void netdir_stop_at(const char *point);
#else
#define netdir_stop_at(point) ((void)0)
#endif

#endif
