/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE operations on open directories. An entry's offset is the host's d_off, so seekdir in the guest is lseek on the host.
 * The handle remembers where the host's descriptor stands; reading on costs no lseek. READDIRPLUS looks every entry up
 * as it goes; one that cannot be (it is gone, descriptors ran out) is given without, and the guest asks when it needs it.
 * #syscalls openat getdents64 lseek statx close fsync fdatasync
 */
#include "vm/passthrough_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "vm/passthrough.h"

struct host_dirent {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

int passthrough_dir_open(struct fuse_req *r)
{
	struct fuse_open_in in;
	struct fuse_open_out out = { 0 };
	struct inode *i;
	int fd, err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	i = inode_get(r->pt->inodes, r->in.nodeid);
	if (!i)
		return -ESTALE;
	fd = S_ISDIR(i->type) ? openat(i->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : (errno = ENOTDIR, -1);
	err = fd < 0 ? -errno : handle_open(r->pt->handles, fd, i->id, true, &out.fh);
	if (i->cache == VIRTIO_FS_CACHE_ALWAYS)
		out.open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
	inode_put(r->pt->inodes, i);
	if (err)
		return err;
	err = fuse_reply(r, &out, sizeof(out));
	if (err)
		handle_release(r->pt->handles, out.fh, r->in.nodeid, true);
	return err;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* One entry into the reply; -ERANGE when the room is used up (nothing written, no lookup counted). */
static int add_entry(struct fuse_req *r, struct inode *dir, const struct host_dirent *d, bool plus)
{
	static const char zero[8];
	size_t name_len = strlen(d->d_name), head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	size_t pad = FUSE_DIRENT_ALIGN(head + name_len) - head - name_len;
	struct fuse_direntplus p;
	bool looked_up = false;

	if (head + name_len + pad > r->room - r->reply)
		return -ERANGE;
	memset(&p, 0, sizeof(p));
	if (plus && !is_dot(d->d_name))
		looked_up = passthrough_enter(r, dir, d->d_name, &p.entry_out, NULL) == 0;
	if (!looked_up)
		memset(&p.entry_out, 0, sizeof(p.entry_out));
	p.dirent.ino = d->d_ino;
	/* What lies above the tree is nobody's business. */
	if (dir->id == INODE_ROOT && strcmp(d->d_name, "..") == 0)
		p.dirent.ino = dir->ino;
	p.dirent.off = (uint64_t)d->d_off;
	p.dirent.namelen = (uint32_t)name_len;
	p.dirent.type = d->d_type;
	fuse_reply(r, plus ? (void *)&p : (void *)&p.dirent, head);
	fuse_reply(r, d->d_name, name_len);
	fuse_reply(r, zero, pad);
	return 0;
}

static int fill(struct fuse_req *r, struct inode *dir, struct handle *h, const struct fuse_read_in *in, bool plus)
{
	char *buf = r->th->buf;
	size_t want;
	ssize_t n, at;

	if (in->size < r->room)
		r->room = in->size;
	if (h->pos != in->offset && lseek(h->fd, (off_t)in->offset, SEEK_SET) < 0) {
		h->pos = UINT64_MAX;
		return -errno;
	}
	/* About as much as fits: what is read too much is read again. */
	want = plus ? r->room / 5 : r->room;
	want = want < 1024 ? 1024 : want > 65536 ? 65536 : want;
	n = syscall(SYS_getdents64, h->fd, buf, want);
	h->pos = UINT64_MAX;
	if (n < 0)
		return -errno;
	if (!n)
		h->pos = in->offset;
	for (at = 0; at < n;) {
		const struct host_dirent *d = (const void *)(buf + at);

		if (add_entry(r, dir, d, plus) < 0) {
			h->pos = UINT64_MAX;
			/* Not even one fits: the guest's buffer is at fault. */
			return r->reply ? 0 : -EINVAL;
		}
		at += d->d_reclen;
		h->pos = (uint64_t)d->d_off;
	}
	return 0;
}

static int read_dir(struct fuse_req *r, bool plus)
{
	struct fuse_read_in in;
	struct handle *h;
	struct inode *dir;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	h = handle_get(r->pt->handles, in.fh, r->in.nodeid, true);
	dir = inode_get(r->pt->inodes, r->in.nodeid);
	if (!h || !dir) {
		err = -EBADF;
	} else {
		pthread_mutex_lock(&h->lock);
		err = fill(r, dir, h, &in, plus);
		pthread_mutex_unlock(&h->lock);
	}
	handle_put(r->pt->handles, h);
	inode_put(r->pt->inodes, dir);
	return err;
}

int passthrough_dir_read(struct fuse_req *r)
{
	return read_dir(r, false);
}

int passthrough_dir_readplus(struct fuse_req *r)
{
	return read_dir(r, true);
}

int passthrough_dir_release(struct fuse_req *r)
{
	struct fuse_release_in in;
	int err = fuse_arg(r, &in, sizeof(in));

	return err ? err : handle_release(r->pt->handles, in.fh, r->in.nodeid, true);
}

int passthrough_dir_fsync(struct fuse_req *r)
{
	struct fuse_fsync_in in;
	struct handle *h;
	int err = fuse_arg(r, &in, sizeof(in));

	if (err)
		return err;
	h = handle_get(r->pt->handles, in.fh, r->in.nodeid, true);
	if (!h)
		return -EBADF;
	if ((in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd)) < 0)
		err = -errno;
	handle_put(r->pt->handles, h);
	return err;
}
