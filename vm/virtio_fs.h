/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-fs device (virtio 1.2 §5.11): one directory tree of the host as a FUSE file system in the guest. Queue 0 is
 * the high priority queue (forgets), queue 1.. carry requests; several workers serve them, blocking locks wait
 * outside them. The tree is reached through the directory fd alone; nothing above or beside it is ever named.
 */
#ifndef VM_VIRTIO_FS_H
#define VM_VIRTIO_FS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct virtio_device;

#define VIRTIO_FS_REQUEST_QUEUES_MAX 8

/* How long the guest may trust what it has seen. */
enum virtio_fs_cache {
	VIRTIO_FS_CACHE_NONE, /* asks for every name and attribute again: the tree is changed by others all the time */
	VIRTIO_FS_CACHE_AUTO, /* one second, file content revalidated at open: the default */
	VIRTIO_FS_CACHE_ALWAYS, /* for good: nobody else writes to the tree */
	VIRTIO_FS_CACHE_MAX
};

/* A mount below the tree with a policy of its own; mounts below it without one take it over. */
struct virtio_fs_mount {
	const char *path; /* from the tree's root: "mounts/3" */
	enum virtio_fs_cache cache;
};

struct reopen;

struct virtio_fs_params {
	int export_fd;   /* the tree's root directory; any flags, O_PATH allowed; owned by the caller (duplicated) */
	const char *tag; /* 1..36 bytes */
	enum virtio_fs_cache cache;           /* what none of the mounts says */
	const struct virtio_fs_mount *mounts; /* each a mount point now; the caller's, used by create only */
	size_t n_mounts;
	/*
	 * A mount below the tree (NULL: none), there now, whose files and those of other mounts of its file system are not announced as of
	 * another device: the guest's kernel asks for a file's capabilities before every write to a file of a submount.
	 */
	const char *main;
	bool read_only;       /* every change is answered with EROFS, whatever the mounts below say */
	bool writeback;       /* the guest may hold back writes; only where nobody else uses the files */
	bool shared_locks;    /* fcntl and flock locks are taken on the host's files, so that several machines and the
				     * host see them. Off: they live in the guest's kernel, faster, and a waiter can be killed */
	unsigned int workers; /* threads; 0: 4 */
	unsigned int request_queues; /* 0: 1, at most VIRTIO_FS_REQUEST_QUEUES_MAX */
	unsigned long fds_max;       /* descriptors of nodes kept open; 0: INODE_FDS_DEFAULT */
	struct reopen *reopen;       /* opens nodes again whose descriptor was closed; NULL: none is; the caller's */
	int proc_fd; /* directory fd of a proc mount's self/fd (of this process); -1: opens /proc/self/fd */
};

/* tag "", cache AUTO, fds -1. */
void virtio_fs_params_init(struct virtio_fs_params *p);
/*
 * The device core. Opens /proc/self/fd now (or uses proc_fd): inside a jail /proc must be mounted at this moment, later
 * it may be detached. Raises RLIMIT_NOFILE to the hard limit. NULL with *err.
 */
struct virtio_device *virtio_fs_create(const struct virtio_fs_params *p, struct err *err);
/* virtio_fs_create() with the defaults. */
struct virtio_device *virtio_fs_new(int export_fd, const char *tag, struct err *err);

/* passthrough_release() of a device that virtio_fs_create() made; NULL: -ENODEV. */
int virtio_fs_release(struct virtio_device *dev, const char *path);

/* "none", "auto", "always" → *ret. 0 or -EINVAL. */
int virtio_fs_cache_parse(const char *word, enum virtio_fs_cache *ret);

#endif
