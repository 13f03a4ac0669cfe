/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE operations on attributes: getattr, setattr, access, statfs. They act on the O_PATH descriptor of the node, or on
 * the open file where the guest names one (truncation of a file that is open but not writable by mode).
 *
 * setattr changes mode, owner, size, times in this order; a change of owner clears setuid bits on the host by itself,
 * a change of size by a caller without CAP_FSETID only with FATTR_KILL_SUIDGID (HANDLE_KILLPRIV_V2).
 * #syscalls statx fchmodat fchownat ftruncate utimensat fstatfs openat close capget capset
 */
#include "vm/passthrough_attr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vm/passthrough.h"

static int reply_attr(struct fuse_req *r, struct inode *i, int fd)
{
	struct fuse_attr_out out = { 0 };
	struct statx stx;
	int err = passthrough_statx(fd, &stx);

	if (err)
		return err;
	passthrough_attr(&stx, &out.attr);
	out.attr_valid = passthrough_valid_sec(i->cache);
	if (S_ISREG(i->type))
		inode_told(r->pt->inodes, i, &stx);
	return fuse_reply(r, &out, sizeof(out));
}

int passthrough_attr_getattr(struct fuse_req *r)
{
	struct inode *i = inode_get(r->pt->inodes, r->in.nodeid);
	int err;

	if (!i)
		return -ESTALE;
	err = reply_attr(r, i, i->fd);
	inode_put(r->pt->inodes, i);
	return err;
}

static int set_size(struct fuse_req *r, struct inode *i, const struct fuse_setattr_in *in)
{
	struct handle *h = NULL;
	int fd, err = 0;
	bool kill = in->valid & FATTR_KILL_SUIDGID;

	if (in->valid & FATTR_FH) {
		h = handle_get(r->pt->handles, in->fh, r->in.nodeid, false);
		if (!h)
			return -EBADF;
		fd = h->fd;
	} else {
		fd = passthrough_reopen(r->pt, i, O_WRONLY | O_NONBLOCK);
		if (fd < 0)
			return fd;
	}
	passthrough_fsetid(r, !kill);
	if (ftruncate(fd, (off_t)in->size) < 0)
		err = -errno;
	if (h)
		handle_put(r->pt->handles, h);
	else
		close(fd);
	return err;
}

static void set_time(struct timespec *ts, bool set, bool now, uint64_t sec, uint32_t nsec)
{
	ts->tv_sec = (time_t)sec;
	ts->tv_nsec = !set ? UTIME_OMIT : now ? UTIME_NOW : (long)(nsec % 1000000000);
}

int passthrough_attr_setattr(struct fuse_req *r)
{
	char name[PASSTHROUGH_FD_NAME];
	struct fuse_setattr_in in;
	struct timespec ts[2];
	struct inode *i;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	i = inode_get(r->pt->inodes, r->in.nodeid);
	if (!i)
		return -ESTALE;
	if (in.valid & FATTR_MODE) {
		if (S_ISLNK(i->type))
			err = -EOPNOTSUPP;
		else if (fchmodat(r->pt->proc_fd, passthrough_fd_name(i->fd, name), in.mode & 07777, 0) < 0)
			err = -errno;
	}
	if (!err && (in.valid & (FATTR_UID | FATTR_GID)) &&
	    fchownat(i->fd, "", in.valid & FATTR_UID ? in.uid : (uid_t)-1, in.valid & FATTR_GID ? in.gid : (gid_t)-1,
		     AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		err = -errno;
	if (!err && (in.valid & FATTR_SIZE))
		err = set_size(r, i, &in);
	if (!err && (in.valid & (FATTR_ATIME | FATTR_MTIME))) {
		set_time(&ts[0], in.valid & FATTR_ATIME, in.valid & FATTR_ATIME_NOW, in.atime, in.atimensec);
		set_time(&ts[1], in.valid & FATTR_MTIME, in.valid & FATTR_MTIME_NOW, in.mtime, in.mtimensec);
		/* The magic link leads to the node itself, also to a symlink. */
		if (utimensat(r->pt->proc_fd, passthrough_fd_name(i->fd, name), ts, 0) < 0)
			err = -errno;
	}
	if (!err)
		err = reply_attr(r, i, i->fd);
	inode_put(r->pt->inodes, i);
	return err;
}

/* The guest checks permissions itself and does not ask; who asks gets the answer by mode bits alone. */
int passthrough_attr_access(struct fuse_req *r)
{
	struct fuse_access_in in;
	struct statx stx;
	struct inode *i;
	uint32_t bits;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	i = inode_get(r->pt->inodes, r->in.nodeid);
	if (!i)
		return -ESTALE;
	err = passthrough_statx(i->fd, &stx);
	inode_put(r->pt->inodes, i);
	if (err)
		return err;
	if (r->in.uid == 0)
		bits = 6 | (S_ISDIR(stx.stx_mode) || (stx.stx_mode & 0111) ? 1 : 0);
	else if (r->in.uid == stx.stx_uid)
		bits = stx.stx_mode >> 6;
	else if (r->in.gid == stx.stx_gid)
		bits = stx.stx_mode >> 3;
	else
		bits = stx.stx_mode;
	return (in.mask & 7) & ~bits ? -EACCES : 0;
}

int passthrough_attr_statfs(struct fuse_req *r)
{
	struct fuse_statfs_out out = { 0 };
	struct statfs st;
	struct inode *i = inode_get(r->pt->inodes, r->in.nodeid);
	int err = 0;

	if (!i)
		return -ESTALE;
	if (fstatfs(i->fd, &st) < 0)
		err = -errno;
	inode_put(r->pt->inodes, i);
	if (err)
		return err;
	out.st.blocks = st.f_blocks;
	out.st.bfree = st.f_bfree;
	out.st.bavail = st.f_bavail;
	out.st.files = st.f_files;
	out.st.ffree = st.f_ffree;
	out.st.bsize = (uint32_t)st.f_bsize;
	out.st.namelen = (uint32_t)st.f_namelen;
	out.st.frsize = (uint32_t)st.f_frsize;
	return fuse_reply(r, &out, sizeof(out));
}
