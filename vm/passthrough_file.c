/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE operations on files: create, open, read, write and what else goes by a file handle.
 *
 * A file is opened through /proc/self/fd of its O_PATH descriptor, regular files only. Of the guest's open flags the host
 * sees access mode, O_TRUNC, O_SYNC, O_DSYNC, O_NOATIME; O_APPEND is honoured write by write (RWF_APPEND), so that
 * fcntl(F_SETFL) in the guest works and page write-back still goes where it belongs; O_DIRECT would put alignment rules on
 * guest memory and is left out. Data moves between the file and guest memory by preadv/pwritev on the chain's slices.
 *
 * CREATE makes the file exclusively first: an existing name is then opened as the node that lookup finds, never as
 * whatever the name leads to. A guest without FUSE_WRITE_KILL_SUIDGID has done the clearing of setuid bits itself.
 *
 * FLUSH is answered with ENOSYS unless locks are shared: the guest then stops sending it, and close() costs nothing.
 * #syscalls openat preadv2 pwritev2 statx close fsync fdatasync fallocate lseek copy_file_range syncfs flock fcntl fstat
 */
#include "vm/passthrough_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/falloc.h>

#include "vm/passthrough.h"
#include "vm/passthrough_lock.h"

#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif

/* The guest's open flags as the host shall see them. -EINVAL for a mode that does not exist. */
static int host_flags(const struct passthrough *pt, uint32_t flags)
{
	int f = (int)flags & (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME);

	if ((f & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	/* The page cache of the guest reads around what it writes back. */
	if (fuse_has(pt, FUSE_WRITEBACK_CACHE) && (f & O_ACCMODE) == O_WRONLY)
		f = (f & ~O_ACCMODE) | O_RDWR;
	return f;
}

static uint32_t open_flags(const struct inode *i, bool unchanged)
{
	if (i->cache == VIRTIO_FS_CACHE_ALWAYS)
		return FOPEN_KEEP_CACHE;
	return i->cache == VIRTIO_FS_CACHE_AUTO && unchanged ? FOPEN_KEEP_CACHE : 0;
}

/* Opens node i (existing) and fills *out; the handle is given back when later steps fail. */
static int open_node(struct fuse_req *r, struct inode *i, int flags, bool kill, struct fuse_open_out *out)
{
	struct statx stx;
	bool unchanged;
	int fd;

	if (S_ISDIR(i->type))
		return -EISDIR;
	if (flags & O_TRUNC)
		passthrough_fsetid(r, !kill);
	fd = passthrough_reopen(r->pt, i, flags | O_NONBLOCK);
	if (fd < 0)
		return fd;
	unchanged = passthrough_statx(fd, &stx) == 0 && inode_unchanged(r->pt->inodes, i, &stx);
	memset(out, 0, sizeof(*out));
	out->open_flags = open_flags(i, unchanged);
	return handle_open(r->pt->handles, fd, i->id, false, &out->fh);
}

int passthrough_file_open(struct fuse_req *r)
{
	struct fuse_open_in in;
	struct fuse_open_out out;
	struct inode *i;
	int flags, err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	flags = host_flags(r->pt, in.flags);
	if (flags < 0)
		return flags;
	if (r->pt->read_only && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	i = inode_get(r->pt->inodes, r->in.nodeid);
	if (!i)
		return -ESTALE;
	err = open_node(r, i, flags, in.open_flags & FUSE_OPEN_KILL_SUIDGID, &out);
	inode_put(r->pt->inodes, i);
	if (err)
		return err;
	err = fuse_reply(r, &out, sizeof(out));
	if (err)
		handle_release(r->pt->handles, out.fh, r->in.nodeid, false);
	return err;
}

/* Answers CREATE and TMPFILE: entry and handle together, or neither. */
static int reply_created(struct fuse_req *r, const struct fuse_entry_out *e, const struct fuse_open_out *o)
{
	int err = fuse_reply(r, e, sizeof(*e));

	if (!err)
		err = fuse_reply(r, o, sizeof(*o));
	if (err) {
		handle_release(r->pt->handles, o->fh, e->nodeid, false);
		inode_forget(r->pt->inodes, e->nodeid, 1);
	}
	return err;
}

/* Enters the open file fd (taken) that was just made in dir as a node with a handle. */
static int enter_open(struct fuse_req *r, const struct inode *dir, int fd, struct fuse_entry_out *e,
		      struct fuse_open_out *o)
{
	char name[PASSTHROUGH_FD_NAME];
	int err, path = openat(r->pt->proc_fd, passthrough_fd_name(fd, name), O_PATH | O_CLOEXEC);

	if (path < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	err = passthrough_enter_fd(r, path, dir, e, NULL);
	if (err) {
		close(fd);
		return err;
	}
	memset(o, 0, sizeof(*o));
	o->open_flags = open_flags(dir, true);
	err = handle_open(r->pt->handles, fd, e->nodeid, false, &o->fh);
	if (err)
		inode_forget(r->pt->inodes, e->nodeid, 1);
	return err;
}

int passthrough_file_create(struct fuse_req *r)
{
	struct fuse_create_in in;
	struct fuse_entry_out e;
	struct fuse_open_out o;
	struct inode *dir, *i;
	int flags, fd, err = fuse_arg(r, &in, sizeof(in));

	if (!err)
		err = fuse_arg_name(r, r->th->name);
	if (err)
		return err;
	flags = host_flags(r->pt, in.flags);
	if (flags < 0)
		return flags;
	dir = inode_get(r->pt->inodes, r->in.nodeid);
	if (!dir)
		return -ESTALE;
	err = passthrough_become(r, in.umask, in.mode);
	if (err)
		goto out;
	fd = openat(dir->fd, r->th->name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		    in.mode & 07777);
	err = fd < 0 ? -errno : 0;
	passthrough_unbecome(r);
	if (!err) {
		err = enter_open(r, dir, fd, &e, &o);
	} else if (err == -EEXIST && !(in.flags & O_EXCL)) {
		err = passthrough_enter(r, dir, r->th->name, &e, &i);
		if (!err) {
			err = open_node(r, i, flags, in.open_flags & FUSE_OPEN_KILL_SUIDGID, &o);
			if (!err && (flags & O_TRUNC)) {
				struct statx stx;

				if (passthrough_statx(i->fd, &stx) == 0)
					passthrough_attr(&stx, &e.attr);
			}
			if (err)
				inode_forget(r->pt->inodes, i->id, 1);
			inode_put(r->pt->inodes, i);
		}
	}
	if (!err)
		err = reply_created(r, &e, &o);
out:
	inode_put(r->pt->inodes, dir);
	return err;
}

int passthrough_file_tmpfile(struct fuse_req *r)
{
	struct fuse_create_in in;
	struct fuse_entry_out e;
	struct fuse_open_out o;
	struct inode *dir;
	int flags, fd, err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	flags = host_flags(r->pt, in.flags);
	if (flags < 0)
		return flags;
	dir = inode_get(r->pt->inodes, r->in.nodeid);
	if (!dir)
		return -ESTALE;
	err = passthrough_become(r, in.umask, in.mode);
	if (!err) {
		fd = openat(dir->fd, ".", (flags & ~O_TRUNC) | O_TMPFILE | O_CLOEXEC, in.mode & 07777);
		err = fd < 0 ? -errno : 0;
		passthrough_unbecome(r);
		if (!err)
			err = enter_open(r, dir, fd, &e, &o);
	}
	if (!err)
		err = reply_created(r, &e, &o);
	inode_put(r->pt->inodes, dir);
	return err;
}

int passthrough_file_read(struct fuse_req *r)
{
	struct fuse_read_in in;
	struct handle *h;
	size_t size;
	ssize_t n;
	int cnt, err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	h = handle_get(r->pt->handles, in.fh, r->in.nodeid, false);
	if (!h)
		return -EBADF;
	size = in.size < r->room ? in.size : r->room;
	cnt = virtq_iov(r->chain, true, sizeof(struct fuse_out_header), size, r->th->iov, VIRTQ_CHAIN_MAX, NULL);
	n = preadv(h->fd, r->th->iov, cnt, (off_t)in.offset);
	if (n < 0)
		err = -errno;
	else
		r->reply = (size_t)n;
	handle_put(r->pt->handles, h);
	return err;
}

int passthrough_file_write(struct fuse_req *r)
{
	struct fuse_write_in in;
	struct fuse_write_out out = { 0 };
	struct handle *h;
	ssize_t n;
	int cnt, err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	if (in.size > fuse_arg_left(r))
		return -EINVAL;
	h = handle_get(r->pt->handles, in.fh, r->in.nodeid, false);
	if (!h)
		return -EBADF;
	cnt = virtq_iov(r->chain, false, r->arg, in.size, r->th->iov, VIRTQ_CHAIN_MAX, NULL);
	passthrough_fsetid(r, !(in.write_flags & FUSE_WRITE_KILL_SUIDGID));
	/* What comes out of the page cache has its place already. */
	if ((in.flags & O_APPEND) && !(in.write_flags & FUSE_WRITE_CACHE))
		n = pwritev2(h->fd, r->th->iov, cnt, (off_t)in.offset, RWF_APPEND);
	else
		n = pwritev(h->fd, r->th->iov, cnt, (off_t)in.offset);
	if (n < 0)
		err = -errno;
	handle_put(r->pt->handles, h);
	if (err)
		return err;
	out.size = (uint32_t)n;
	return fuse_reply(r, &out, sizeof(out));
}

int passthrough_file_flush(struct fuse_req *r)
{
	struct fuse_flush_in in;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	if (!r->pt->shared_locks)
		return -ENOSYS;
	passthrough_lock_close(r->pt, r->in.nodeid, in.lock_owner);
	return 0;
}

int passthrough_file_release(struct fuse_req *r)
{
	struct fuse_release_in in;
	struct handle *h;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	/* The descriptor may be in use by another request for a moment: the lock must go now. */
	if (in.release_flags & FUSE_RELEASE_FLOCK_UNLOCK) {
		h = handle_get(r->pt->handles, in.fh, r->in.nodeid, false);
		if (h)
			flock(h->fd, LOCK_UN);
		handle_put(r->pt->handles, h);
	}
	if (r->pt->locks)
		passthrough_lock_release(r->pt, r->in.nodeid, in.fh);
	return handle_release(r->pt->handles, in.fh, r->in.nodeid, false);
}

int passthrough_file_fsync(struct fuse_req *r)
{
	struct fuse_fsync_in in;
	struct handle *h;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	h = handle_get(r->pt->handles, in.fh, r->in.nodeid, false);
	if (!h)
		return -EBADF;
	if ((in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd)) < 0)
		err = -errno;
	handle_put(r->pt->handles, h);
	return err;
}

int passthrough_file_fallocate(struct fuse_req *r)
{
	struct fuse_fallocate_in in;
	struct handle *h;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	h = handle_get(r->pt->handles, in.fh, r->in.nodeid, false);
	if (!h)
		return -EBADF;
	if (fallocate(h->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) < 0)
		err = -errno;
	handle_put(r->pt->handles, h);
	return err;
}

/* Only holes and data are asked for here; the position itself lives in the guest. */
int passthrough_file_lseek(struct fuse_req *r)
{
	struct fuse_lseek_in in;
	struct fuse_lseek_out out = { 0 };
	struct handle *h;
	off_t off;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	if (in.whence != SEEK_DATA && in.whence != SEEK_HOLE)
		return -EINVAL;
	h = handle_get(r->pt->handles, in.fh, r->in.nodeid, false);
	if (!h)
		return -EBADF;
	off = lseek(h->fd, (off_t)in.offset, (int)in.whence);
	if (off < 0)
		err = -errno;
	handle_put(r->pt->handles, h);
	if (err)
		return err;
	out.offset = (uint64_t)off;
	return fuse_reply(r, &out, sizeof(out));
}

int passthrough_file_copy(struct fuse_req *r)
{
	struct fuse_copy_file_range_in in;
	struct fuse_write_out out = { 0 };
	struct handle *from, *to;
	loff_t off_in, off_out;
	ssize_t n;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	from = handle_get(r->pt->handles, in.fh_in, r->in.nodeid, false);
	to = handle_get(r->pt->handles, in.fh_out, in.nodeid_out, false);
	if (!from || !to) {
		err = -EBADF;
	} else {
		off_in = (loff_t)in.off_in;
		off_out = (loff_t)in.off_out;
		/* One request must not keep a worker for minutes. */
		n = copy_file_range(from->fd, &off_in, to->fd, &off_out, in.len < (64u << 20) ? in.len : 64u << 20, 0);
		if (n < 0)
			err = -errno;
		else
			out.size = (uint32_t)n;
	}
	handle_put(r->pt->handles, from);
	handle_put(r->pt->handles, to);
	return err ? err : fuse_reply(r, &out, sizeof(out));
}

int passthrough_file_syncfs(struct fuse_req *r)
{
	struct inode *i = inode_get(r->pt->inodes, r->in.nodeid);
	int fd, err = 0;

	if (!i)
		return -ESTALE;
	fd = passthrough_reopen(r->pt, i, O_RDONLY | O_NONBLOCK);
	inode_put(r->pt->inodes, i);
	if (fd < 0)
		return fd;
	if (syncfs(fd) < 0)
		err = -errno;
	close(fd);
	/* the tree's root stands for the file system that is not announced, too */
	if (r->in.nodeid == INODE_ROOT && r->pt->main_fd >= 0 && syncfs(r->pt->main_fd) < 0)
		err = -errno;
	return err;
}
