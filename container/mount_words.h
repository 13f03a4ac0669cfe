/* SPDX-License-Identifier: Apache-2.0 */
/* Option words of mounts. runtime-spec config.md#linux-mount-options. */
#ifndef CONTAINER_MOUNT_WORDS_H
#define CONTAINER_MOUNT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct oci_mount;

#define MOUNT_PROPAGATION_MAX 8

/* What the option words of one mount say. */
struct mount_words {
	unsigned long flags; /* MS_* of mount(2), without bind and propagation */
	uint64_t set;        /* MOUNT_ATTR_* to set and to clear on a bind mount */
	uint64_t clr;
	uint64_t rest;    /* MOUNT_ATTR_* that no word names where words name others: cleared if they are not locked */
	uint64_t rec_set; /* the same for the mounts below too ("rro"…) */
	uint64_t rec_clr;
	bool bind, rec; /* bind or rbind; rbind */
	bool tmpcopyup;
	bool copy_symlink;                /* crun's: a source that is a symbolic link is copied, not mounted */
	bool src_nofollow, dest_nofollow; /* crun's: a link itself is mounted, or mounted upon */
	bool idmap, idmap_rec;
	unsigned long propagation[MOUNT_PROPAGATION_MAX]; /* MS_SHARED… maybe | MS_REC, in order */
	unsigned int n_propagation;
	struct str data; /* what is left, for the filesystem: "size=1m,mode=755" */
};

/* Reads m->options (and type "bind"). 0, or -EINVAL where the words contradict each other. */
int mount_words_parse(const struct oci_mount *m, struct mount_words *ret, struct err *err);
void mount_words_done(struct mount_words *w);
#define cleanup_mount_words CLEANUP(mount_words_done)

/* All words, sorted and NULL-terminated; static. */
const char *const *mount_words_all(void);

#endif
