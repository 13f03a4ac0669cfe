/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE operations on a directory tree of the host. The handlers here and in passthrough_{attr,dir,file,lock,xattr}.h
 * have one shape: arguments from the request, 0 or negative errno as result, payload by fuse_reply().
 */
#ifndef VM_PASSTHROUGH_H
#define VM_PASSTHROUGH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <linux/fuse.h>

#include "base/err.h"
#include "vm/fuse.h"
#include "vm/handle.h"
#include "vm/inode.h"
#include "vm/virtio_fs.h"

struct passthrough_locks;

struct passthrough {
	/* configuration, constant */
	enum virtio_fs_cache cache; /* of what no mount says otherwise */
	struct passthrough_mount {
		uint64_t mnt;
		enum virtio_fs_cache cache;
	} * mounts; /* owned */
	size_t n_mounts;
	int main_fd; /* root of the mount that is not announced; -1; owned */
	uint32_t main_major, main_minor;
	uint64_t root_mnt; /* the tree's own mount */
	bool read_only, writeback, shared_locks;
	int proc_fd; /* directory /proc/self/fd; owned */
	/* late answers: called from another thread with what fuse_handle() was given and the bytes written */
	void (*complete)(void *arg, void *queue, uint16_t head, uint32_t written);
	void *complete_arg;
	/* owned */
	struct inode_table *inodes;
	struct handle_table *handles;
	struct passthrough_locks *locks; /* NULL unless shared_locks */
	/* state */
	struct fuse_session session;
};

/* What one worker thread keeps. 100 KiB: allocate it. */
struct passthrough_thread {
	struct passthrough *pt;
	bool keeps_caps;   /* setfsuid() leaves capabilities alone (SECBIT_NO_SETUID_FIXUP) */
	bool caps_changed; /* passthrough_become() took one away */
	bool no_fsetid;    /* passthrough_fsetid() did */
	mode_t umask;      /* in force in this thread */
	uid_t uid;         /* the monitor's own ids */
	gid_t gid;
	char name[FUSE_NAME_SIZE], name2[FUSE_NAME_SIZE];
	char path[4096 + 1];
	union {
		struct iovec iov[VIRTQ_CHAIN_MAX];
		char buf[65536 + 1];
	};
};

/* Builds the file system of p (complete may be NULL without shared locks). NULL with *err. */
struct passthrough *passthrough_new(const struct virtio_fs_params *p,
				    void (*complete)(void *arg, void *queue, uint16_t head, uint32_t written),
				    void *complete_arg, struct err *err);
/* No thread may be using it. NULL allowed. */
void passthrough_free(struct passthrough *pt);
/* Ends the session: handles closed, lookups forgotten, waiting locks dropped without an answer. No request running. */
void passthrough_reset(struct passthrough *pt);
/*
 * What was mounted below path (two names from the tree's root) is gone: forgets what the guest knows of it, closes what it has
 * open. From any thread. 0 or -errno.
 */
int passthrough_release(struct passthrough *pt, const char *path);
/*
 * Prepares the calling thread: its own umask and working directory (CLONE_FS), signals blocked by the caller. To be
 * called before lockdown_thread(). 0 or -errno.
 */
int passthrough_thread_init(struct passthrough *pt, struct passthrough_thread *th, struct err *err);

/* Takes on (uid, gid, umask) of the request for a call that creates with mode, and back. 0 or -errno. */
int passthrough_become(struct fuse_req *r, uint32_t umask, uint32_t mode);
void passthrough_unbecome(struct fuse_req *r);
/*
 * Takes CAP_FSETID away from the thread (false) or gives it back: without it the host clears setuid and setgid bits. It
 * stays away until the next request that wants it: most of those that take it are writes, and come in rows.
 */
void passthrough_fsetid(struct fuse_req *r, bool on);
/* Name of an O_PATH fd below proc_fd, which is also the thread's working directory. */
#define PASSTHROUGH_FD_NAME 12
const char *passthrough_fd_name(int fd, char buf[PASSTHROUGH_FD_NAME]);
/* Opens the inode for I/O (regular file or directory only; else -ENXIO / -EBADF). fd or -errno. */
int passthrough_reopen(struct passthrough *pt, const struct inode *i, int flags);
/* statx of an fd (O_PATH allowed) with all we need. 0 or -errno. */
int passthrough_statx(int fd, struct statx *stx);
/* stx → attr, without flags. */
void passthrough_attr(const struct statx *stx, struct fuse_attr *attr);
/* Looks up name below dir: fills *e, counts a lookup; *ret (referenced) may be NULL. 0 or -errno. */
int passthrough_enter(struct fuse_req *r, const struct inode *dir, const char *name, struct fuse_entry_out *e,
		      struct inode **ret);
/* Like passthrough_enter() of an O_PATH fd (taken) found in dir. */
int passthrough_enter_fd(struct fuse_req *r, int fd, const struct inode *dir, struct fuse_entry_out *e,
			 struct inode **ret);
/* How long the guest may trust names and attributes of a file with that cache policy (enum virtio_fs_cache), in seconds. */
uint32_t passthrough_valid_sec(int cache);

int passthrough_lookup(struct fuse_req *r);
int passthrough_forget(struct fuse_req *r);
int passthrough_batch_forget(struct fuse_req *r);
int passthrough_readlink(struct fuse_req *r);
int passthrough_symlink(struct fuse_req *r);
int passthrough_mknod(struct fuse_req *r);
int passthrough_mkdir(struct fuse_req *r);
int passthrough_unlink(struct fuse_req *r);
int passthrough_rmdir(struct fuse_req *r);
int passthrough_rename(struct fuse_req *r);
int passthrough_rename2(struct fuse_req *r);
int passthrough_link(struct fuse_req *r);

#endif
