/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Node ids ⇄ O_PATH descriptors. An inode is known while the guest holds lookups on it or a request uses it; it is the
 * same node for the same (device, inode number, mount). Node id 1 is the root and never goes away. The number of
 * descriptors is bounded where the host's file system has file handles.
 */
#ifndef VM_INODE_H
#define VM_INODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"

#define INODE_ROOT 1

/* What the guest was last told about a file's content: decides whether its cached pages may stay at open. */
struct inode_stamp {
	uint64_t size;
	int64_t mtime_sec, ctime_sec;
	uint32_t mtime_nsec, ctime_nsec;
};

struct reopen;
struct reopen_ticket;

struct inode {
	uint64_t id; /* node id; unique for the life of the table */
	int fd;      /* O_PATH, never followed a symlink; valid while referenced through inode_get/enter */
	mode_t type; /* S_IFMT bits: they never change */
	uint64_t mnt, ino;
	uint32_t dev_major, dev_minor;
	int cache;          /* enum virtio_fs_cache of its mount, from inode_enter() */
	unsigned int depth; /* 0: root, 1: below it, 2: farther down, where it was first found */
	uint64_t tree; /* number of the directory on the root's mount, two below the root, that it was found under; 0 */
	/* under the table's lock */
	struct inode_stamp told;
	bool submount;     /* root of a mount below the tree: announced once, kept for good */
	bool released;     /* out of the table, used by a last request */
	uint64_t nlookup;  /* what the guest has to forget */
	unsigned int refs; /* requests using it, and one while nlookup > 0 */
	struct inode *next_key, *next_id;
	struct inode *newer, *older;  /* among those with a descriptor that may be closed */
	bool used;                    /* since the last look for one to close */
	bool open_only;               /* has no file handle: its descriptor stays */
	struct reopen_ticket *ticket; /* owned; what opens it again when fd is -1 */
};

struct inode_table;

/* Descriptors kept by default: each pins kernel memory that counts against the monitor's cgroup. */
#define INODE_FDS_DEFAULT 16384

/*
 * A table whose root is root_fd (O_PATH reopened; the caller keeps root_fd) with the given cache policy. proc_fd: directory
 * /proc/self/fd, kept by the caller for the life of the table. Beyond fds_max (0: INODE_FDS_DEFAULT) descriptors the least
 * used are closed and opened again by reopen (NULL: all stay open). NULL with *err.
 */
struct inode_table *inode_table_new(int root_fd, int cache, int proc_fd, unsigned long fds_max, struct reopen *reopen,
				    struct err *err);
void inode_table_free(struct inode_table *t);
/* Forgets every lookup but the root's (FUSE_DESTROY, a new session). No request may be running. */
void inode_table_clear(struct inode_table *t);
/* Number of known inodes. */
unsigned long inode_table_count(struct inode_table *t);
/* Those of them whose descriptor is closed. */
unsigned long inode_table_closed(struct inode_table *t);

/* The inode of a node id, referenced: release with inode_put(). NULL when unknown, or gone on the host. */
struct inode *inode_get(struct inode_table *t, uint64_t id);
void inode_put(struct inode_table *t, struct inode *i);
/*
 * The inode behind fd (O_PATH, taken: kept or closed in every case), whose statx is stx (with STATX_MNT_ID), found in dir: found
 * or made (with that cache policy), one lookup added, referenced. 0, -ENOMEM, or -ESTALE when dir was released.
 */
int inode_enter(struct inode_table *t, int fd, const struct statx *stx, int cache, const struct inode *dir,
		struct inode **ret);
/*
 * The name below dir is about to go: a node behind it whose descriptor is closed gets one, since its handle may soon find
 * nothing. Costs nothing while no descriptor was closed.
 */
void inode_rescue(struct inode_table *t, const struct inode *dir, const char *name);
/* The guest forgets n lookups (more than it has: all). Unknown ids are ignored. */
void inode_forget(struct inode_table *t, uint64_t id, uint64_t n);
/* Marks the root of a mount: it is kept even when forgotten. */
void inode_keep(struct inode_table *t, struct inode *i);
/*
 * Forgets every inode under the directory of that inode number, two below the root and on its mount: nothing pins what was mounted there
 * any more, but for requests in flight. From any thread.
 */
void inode_release(struct inode_table *t, uint64_t tree);
/* Is there an inode of that id? */
bool inode_known(struct inode_table *t, uint64_t id);
/* Remembers what the guest is told now. */
void inode_told(struct inode_table *t, struct inode *i, const struct statx *stx);
/* Is that still what stx says? */
bool inode_unchanged(struct inode_table *t, struct inode *i, const struct statx *stx);

#endif
