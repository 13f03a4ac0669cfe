/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE operations on a directory tree: names, links, nodes.
 *
 * Every file the guest knows is an O_PATH descriptor (inode.c). A name from the guest is one component, checked by
 * fuse_arg_name(), and is only ever used relative to such a descriptor with O_NOFOLLOW: no path is built, no symlink is
 * followed, ".." does not exist, so nothing outside the tree can be reached. Mounts below the tree are crossed downwards;
 * their roots are announced as submounts so that each has its own device number in the guest. One file system, that of the
 * container's root, has the device number of the tree itself instead: to the guest's kernel a submount lacks SB_NOSEC, and
 * each write there costs a second request (GETXATTR of security.capability). No more of them can: files of two file systems
 * with one device number and the same inode number would be one file to tar, du and rsync. HANDLE_KILLPRIV_V2 helps the tree's
 * own superblock alone (Linux 6.1 sets SB_NOSEC there, at INIT), and ENOSYS to GETXATTR would end extended attributes everywhere.
 *
 * The guest's kernel checks permissions (default_permissions is on for virtiofs); the host acts with the monitor's
 * credentials, except that new files get the caller's ids: passthrough_become() sets the thread's fsuid and fsgid and
 * keeps the capabilities (SECBIT_NO_SETUID_FIXUP), because the guest has allowed the operation with groups we are not told. The umask is applied
 * by the host, since only the host's file system knows a default ACL.
 *
 * Each worker thread has its own fs context (CLONE_FS): umask, and as working directory /proc/self/fd, which turns an
 * O_PATH descriptor into a name ("17") for the calls that have no descriptor form.
 *
 * #syscalls openat statx close readlinkat symlinkat mknodat mkdirat unlinkat renameat2 linkat setfsuid setfsgid umask
 * #syscalls capget capset fstatfs futex   (before lockdown: unshare fchdir prctl setgroups prlimit64)
 */
#include "vm/passthrough.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/securebits.h>

#include "base/log.h"
#include "base/sys.h"
#include "vm/passthrough_lock.h"

#define FOREVER 86400
#ifndef EROFS_SUPER_MAGIC_V1
#define EROFS_SUPER_MAGIC_V1 0xE0F5E1E2
#endif

/* The mounts below the tree that have a policy of their own. */
static int add_mounts(struct passthrough *pt, const struct virtio_fs_params *p, struct err *err)
{
	pt->mounts = p->n_mounts ? calloc(p->n_mounts, sizeof(*pt->mounts)) : NULL;
	if (p->n_mounts && !pt->mounts)
		return err_sys(err, -ENOMEM, "virtio-fs");
	for (size_t n = 0; n < p->n_mounts; n++) {
		struct statx stx;

		if (statx(p->export_fd, p->mounts[n].path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &stx) <
		    0)
			return err_sys(err, -errno, "virtio-fs: %s", p->mounts[n].path);
		pt->mounts[pt->n_mounts].mnt = stx.stx_mnt_id;
		pt->mounts[pt->n_mounts++].cache = p->mounts[n].cache;
	}
	return 0;
}

/* The mount that is not announced. */
static int open_main(struct passthrough *pt, const struct virtio_fs_params *p, struct err *err)
{
	struct statx top, stx;

	if (!p->main)
		return 0;
	pt->main_fd = openat(p->export_fd, p->main, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (pt->main_fd < 0) /* announced, like the others */
		return 0;
	if (passthrough_statx(pt->main_fd, &stx) < 0 || passthrough_statx(p->export_fd, &top) < 0)
		return err_sys(err, -errno, "virtio-fs: %s", p->main);
	pt->main_major = stx.stx_dev_major;
	pt->main_minor = stx.stx_dev_minor;
	pt->root_mnt = top.stx_mnt_id;
	return 0;
}

struct passthrough *passthrough_new(const struct virtio_fs_params *p,
				    void (*complete)(void *arg, void *queue, uint16_t head, uint32_t written),
				    void *complete_arg, struct err *err)
{
	struct passthrough *pt = calloc(1, sizeof(*pt));
	struct rlimit lim;
	int bits;

	if (!pt) {
		err_sys(err, -ENOMEM, "virtio-fs");
		return NULL;
	}
	pt->main_fd = -1;
	pt->cache = p->cache;
	pt->read_only = p->read_only;
	pt->writeback = p->writeback;
	pt->shared_locks = p->shared_locks;
	pt->complete = complete;
	pt->complete_arg = complete_arg;
	pt->proc_fd = p->proc_fd >= 0 ? fcntl(p->proc_fd, F_DUPFD_CLOEXEC, 3) :
					open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (pt->proc_fd < 0) {
		err_sys(err, -errno, "virtio-fs: /proc/self/fd");
		goto fail;
	}
	/* Every file the guest's kernel remembers costs a descriptor. */
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	/* Inherited by the workers; later lockdown_process() has taken the privilege to set it. */
	bits = prctl(PR_GET_SECUREBITS);
	if (bits >= 0 && !(bits & SECBIT_NO_SETUID_FIXUP))
		prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP);
	pt->inodes = inode_table_new(p->export_fd, (int)p->cache, pt->proc_fd, p->fds_max, p->reopen, err);
	if (!pt->inodes || add_mounts(pt, p, err) < 0 || open_main(pt, p, err) < 0)
		goto fail;
	pt->handles = handle_table_new();
	if (!pt->handles) {
		err_sys(err, -ENOMEM, "virtio-fs");
		goto fail;
	}
	if (pt->shared_locks) {
		pt->locks = passthrough_lock_new(pt, err);
		if (!pt->locks)
			goto fail;
	}
	return pt;
fail:
	passthrough_free(pt);
	return NULL;
}

void passthrough_free(struct passthrough *pt)
{
	if (!pt)
		return;
	passthrough_lock_free(pt->locks);
	handle_table_free(pt->handles);
	inode_table_free(pt->inodes);
	if (pt->proc_fd >= 0)
		close(pt->proc_fd);
	if (pt->main_fd >= 0)
		close(pt->main_fd);
	free(pt->mounts);
	free(pt);
}

void passthrough_reset(struct passthrough *pt)
{
	if (pt->locks)
		passthrough_lock_reset(pt->locks);
	handle_table_clear(pt->handles);
	inode_table_clear(pt->inodes);
	memset(&pt->session, 0, sizeof(pt->session));
}

static bool known(void *arg, uint64_t node)
{
	return inode_known(arg, node);
}

int passthrough_release(struct passthrough *pt, const char *path)
{
	struct inode *root = inode_get(pt->inodes, INODE_ROOT);
	struct stat st;
	int err = fstatat(root->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;

	inode_put(pt->inodes, root);
	if (err)
		return err;
	inode_release(pt->inodes, st.st_ino);
	handle_table_sweep(pt->handles, known, pt->inodes);
	if (pt->locks)
		passthrough_lock_sweep(pt->locks, known, pt->inodes);
	return 0;
}

int passthrough_thread_init(struct passthrough *pt, struct passthrough_thread *th, struct err *err)
{
	int bits = prctl(PR_GET_SECUREBITS);

	th->pt = pt;
	th->uid = geteuid();
	th->gid = getegid();
	th->caps_changed = false;
	if (unshare(CLONE_FS) < 0)
		return err_sys(err, -errno, "virtio-fs: unshare(CLONE_FS)");
	if (fchdir(pt->proc_fd) < 0)
		return err_sys(err, -errno, "virtio-fs: /proc/self/fd");
	th->umask = 0;
	umask(0);
	/* The raw call: this thread only. Without the privilege there are no groups that matter. */
	syscall(SYS_setgroups, 0, NULL);
	th->keeps_caps = bits >= 0 && (bits & SECBIT_NO_SETUID_FIXUP);
	return 0;
}

/* Effective capabilities of the thread := permitted, without those in drop. */
static void caps_effective(uint64_t drop)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return;
	d[0].effective = d[0].permitted & ~(uint32_t)drop;
	d[1].effective = d[1].permitted & ~(uint32_t)(drop >> 32);
	syscall(SYS_capset, &h, d);
}

void passthrough_fsetid(struct fuse_req *r, bool on)
{
	if (r->th->no_fsetid == !on)
		return;
	caps_effective(on ? 0 : 1ULL << CAP_FSETID);
	r->th->no_fsetid = !on;
}

int passthrough_become(struct fuse_req *r, uint32_t mask, uint32_t mode)
{
	struct passthrough_thread *th = r->th;

	mask = fuse_has(r->pt, FUSE_DONT_MASK) ? mask & 0777 : 0;
	if (mask != th->umask) {
		umask(mask);
		th->umask = mask;
	}
	if (!r->in.uid && !r->in.gid)
		return 0;
	syscall(SYS_setfsgid, r->in.gid);
	syscall(SYS_setfsuid, r->in.uid);
	/* An id outside our user namespace changes nothing; the file must not become root's instead. */
	if ((uint32_t)syscall(SYS_setfsgid, -1) != r->in.gid || (uint32_t)syscall(SYS_setfsuid, -1) != r->in.uid) {
		passthrough_unbecome(r);
		return -EOVERFLOW;
	}
	/*
	 * A setgid file in a setgid directory is for members of its group. Linux 6.1 (FUSE 7.37) and later has looked, with
	 * groups that we do not know; for older guests the host drops the bit.
	 */
	if ((mode & S_ISGID) && r->pt->session.minor < 37) {
		caps_effective(1ULL << CAP_FSETID);
		th->caps_changed = true;
	} else if (!th->keeps_caps && r->in.uid) {
		caps_effective(0);
	}
	return 0;
}

void passthrough_unbecome(struct fuse_req *r)
{
	int saved = errno;

	if (r->in.uid || r->in.gid) {
		syscall(SYS_setfsuid, r->th->uid);
		syscall(SYS_setfsgid, r->th->gid);
		if (r->th->caps_changed || !r->th->keeps_caps)
			caps_effective(0);
		r->th->caps_changed = false;
	}
	errno = saved;
}

const char *passthrough_fd_name(int fd, char buf[PASSTHROUGH_FD_NAME])
{
	snprintf(buf, PASSTHROUGH_FD_NAME, "%d", fd);
	return buf;
}

int passthrough_reopen(struct passthrough *pt, const struct inode *i, int flags)
{
	char name[PASSTHROUGH_FD_NAME];
	int fd;

	/* Never a device or a FIFO of the host: opening them alone does things. */
	if (!S_ISREG(i->type) && !S_ISDIR(i->type))
		return S_ISLNK(i->type) ? -ELOOP : -ENXIO;
	fd = openat(pt->proc_fd, passthrough_fd_name(i->fd, name), (flags & ~O_NOFOLLOW) | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int passthrough_statx(int fd, struct statx *stx)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID,
		  stx) < 0)
		return -errno;
	return 0;
}

static uint32_t encode_dev(uint32_t maj, uint32_t min)
{
	return (min & 0xff) | maj << 8 | (min & ~0xffU) << 12;
}

void passthrough_attr(const struct statx *stx, struct fuse_attr *a)
{
	memset(a, 0, sizeof(*a));
	a->ino = stx->stx_ino;
	a->size = stx->stx_size;
	a->blocks = stx->stx_blocks;
	a->atime = (uint64_t)stx->stx_atime.tv_sec;
	a->mtime = (uint64_t)stx->stx_mtime.tv_sec;
	a->ctime = (uint64_t)stx->stx_ctime.tv_sec;
	a->atimensec = stx->stx_atime.tv_nsec;
	a->mtimensec = stx->stx_mtime.tv_nsec;
	a->ctimensec = stx->stx_ctime.tv_nsec;
	a->mode = stx->stx_mode;
	a->nlink = stx->stx_nlink;
	a->uid = stx->stx_uid;
	a->gid = stx->stx_gid;
	a->rdev = encode_dev(stx->stx_rdev_major, stx->stx_rdev_minor);
	a->blksize = stx->stx_blksize;
}

uint32_t passthrough_valid_sec(int cache)
{
	return cache == VIRTIO_FS_CACHE_ALWAYS ? FOREVER : cache == VIRTIO_FS_CACHE_AUTO ? 1 : 0;
}

/* File systems that nobody can change while they are mounted. */
static bool immutable_fs(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 &&
		(st.f_type == EROFS_SUPER_MAGIC_V1 || st.f_type == SQUASHFS_MAGIC || st.f_type == ISOFS_SUPER_MAGIC ||
		 st.f_type == CRAMFS_MAGIC);
}

/* The policy of what fd leads to from dir: its mount's own, else that of dir; for good where no change is possible. */
static int cache_of(const struct passthrough *pt, int fd, const struct statx *stx, const struct inode *dir)
{
	if (stx->stx_mnt_id == dir->mnt)
		return dir->cache;
	for (size_t n = 0; n < pt->n_mounts; n++)
		if (pt->mounts[n].mnt == stx->stx_mnt_id)
			return (int)pt->mounts[n].cache;
	return immutable_fs(fd) ? VIRTIO_FS_CACHE_ALWAYS : dir->cache;
}

static bool in_main(const struct passthrough *pt, const struct inode *i)
{
	return i->dev_major == pt->main_major && i->dev_minor == pt->main_minor;
}

/* Is i, found in dir, the root of a mount to be announced? */
static bool announced(const struct passthrough *pt, const struct inode *i, const struct inode *dir)
{
	if (!S_ISDIR(i->type) || i->mnt == dir->mnt || !fuse_has(pt, FUSE_SUBMOUNTS))
		return false;
	return pt->main_fd < 0 || !in_main(pt, i) || (dir->mnt != pt->root_mnt && !in_main(pt, dir));
}

int passthrough_enter_fd(struct fuse_req *r, int fd, const struct inode *dir, struct fuse_entry_out *e,
			 struct inode **ret)
{
	struct passthrough *pt = r->pt;
	struct statx stx;
	struct inode *i;
	int err = passthrough_statx(fd, &stx);

	if (err) {
		close(fd);
		return err;
	}
	err = inode_enter(pt->inodes, fd, &stx, cache_of(pt, fd, &stx, dir), dir, &i);
	if (err)
		return err;
	memset(e, 0, sizeof(*e));
	passthrough_attr(&stx, &e->attr);
	e->nodeid = i->id;
	/* The name's time is that of the directory it is in. */
	e->entry_valid = passthrough_valid_sec(dir->cache);
	e->attr_valid = passthrough_valid_sec(i->cache);
	if (announced(pt, i, dir)) {
		e->attr.flags |= FUSE_ATTR_SUBMOUNT;
		inode_keep(pt->inodes, i);
	}
	if (S_ISREG(i->type))
		inode_told(pt->inodes, i, &stx);
	if (ret)
		*ret = i;
	else
		inode_put(pt->inodes, i);
	return 0;
}

int passthrough_enter(struct fuse_req *r, const struct inode *dir, const char *name, struct fuse_entry_out *e,
		      struct inode **ret)
{
	int fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return passthrough_enter_fd(r, fd, dir, e, ret);
}

/* The request's node. NULL: the guest invented it. */
static struct inode *node(struct fuse_req *r)
{
	return inode_get(r->pt->inodes, r->in.nodeid);
}

/* Looks up what was just made and replies; the lookup is taken back when the reply does not fit. */
static int reply_entry(struct fuse_req *r, const struct inode *dir, const char *name)
{
	struct fuse_entry_out e;
	int err = passthrough_enter(r, dir, name, &e, NULL);

	if (err)
		return err;
	err = fuse_reply(r, &e, sizeof(e));
	if (err)
		inode_forget(r->pt->inodes, e.nodeid, 1);
	return err;
}

int passthrough_lookup(struct fuse_req *r)
{
	struct fuse_entry_out e = { 0 };
	struct inode *dir;
	int err = fuse_arg_name(r, r->th->name);

	if (err)
		return err;
	dir = node(r);
	if (!dir)
		return -ESTALE;
	err = reply_entry(r, dir, r->th->name);
	e.entry_valid = passthrough_valid_sec(dir->cache);
	inode_put(r->pt->inodes, dir);
	/* Node 0: the guest may remember that there is nothing. */
	return err == -ENOENT && e.entry_valid ? fuse_reply(r, &e, sizeof(e)) : err;
}

int passthrough_forget(struct fuse_req *r)
{
	struct fuse_forget_in in;

	if (fuse_arg(r, &in, sizeof(in)) == 0)
		inode_forget(r->pt->inodes, r->in.nodeid, in.nlookup);
	return 0;
}

int passthrough_batch_forget(struct fuse_req *r)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;

	if (fuse_arg(r, &in, sizeof(in)))
		return 0;
	for (uint32_t n = 0; n < in.count && fuse_arg(r, &one, sizeof(one)) == 0; n++)
		inode_forget(r->pt->inodes, one.nodeid, one.nlookup);
	return 0;
}

int passthrough_readlink(struct fuse_req *r)
{
	struct inode *i = node(r);
	ssize_t n;

	if (!i)
		return -ESTALE;
	n = S_ISLNK(i->type) ? readlinkat(i->fd, "", r->th->buf, 4096) : (errno = EINVAL, -1);
	inode_put(r->pt->inodes, i);
	if (n < 0)
		return -errno;
	return fuse_reply(r, r->th->buf, (size_t)n);
}

/* The three calls that make a node without opening it. */
enum make { MAKE_NODE, MAKE_DIR, MAKE_SYMLINK };

static int make(struct fuse_req *r, enum make what, uint32_t mode, uint32_t rdev, uint32_t mask)
{
	const char *name = r->th->name;
	struct inode *dir = node(r);
	int err;

	if (!dir)
		return -ESTALE;
	err = passthrough_become(r, mask, what == MAKE_SYMLINK ? 0 : mode);
	if (err)
		goto out;
	if (what == MAKE_DIR)
		err = mkdirat(dir->fd, name, mode & 07777);
	else if (what == MAKE_SYMLINK)
		err = symlinkat(r->th->path, dir->fd, name);
	else
		err = mknodat(dir->fd, name, mode,
			      makedev((rdev & 0xfff00) >> 8, (rdev & 0xff) | (rdev >> 12 & 0xfff00)));
	err = err < 0 ? -errno : 0;
	passthrough_unbecome(r);
	if (!err)
		err = reply_entry(r, dir, name);
out:
	inode_put(r->pt->inodes, dir);
	return err;
}

int passthrough_symlink(struct fuse_req *r)
{
	int err = fuse_arg_name(r, r->th->name);

	if (!err)
		err = fuse_arg_string(r, r->th->path, sizeof(r->th->path));
	return err ? err : make(r, MAKE_SYMLINK, 0, 0, 0);
}

int passthrough_mknod(struct fuse_req *r)
{
	struct fuse_mknod_in in;
	int err = fuse_arg(r, &in, sizeof(in));

	if (!err)
		err = fuse_arg_name(r, r->th->name);
	return err ? err : make(r, MAKE_NODE, in.mode, in.rdev, in.umask);
}

int passthrough_mkdir(struct fuse_req *r)
{
	struct fuse_mkdir_in in;
	int err = fuse_arg(r, &in, sizeof(in));

	if (!err)
		err = fuse_arg_name(r, r->th->name);
	return err ? err : make(r, MAKE_DIR, in.mode, 0, in.umask);
}

static int remove_name(struct fuse_req *r, int flags)
{
	struct inode *dir;
	int err = fuse_arg_name(r, r->th->name);

	if (err)
		return err;
	dir = node(r);
	if (!dir)
		return -ESTALE;
	inode_rescue(r->pt->inodes, dir, r->th->name);
	err = unlinkat(dir->fd, r->th->name, flags) < 0 ? -errno : 0;
	inode_put(r->pt->inodes, dir);
	return err;
}

int passthrough_unlink(struct fuse_req *r)
{
	return remove_name(r, 0);
}

int passthrough_rmdir(struct fuse_req *r)
{
	return remove_name(r, AT_REMOVEDIR);
}

static int rename_to(struct fuse_req *r, uint64_t newdir, unsigned int flags)
{
	struct inode *from, *to;
	int err = fuse_arg_name(r, r->th->name);

	if (!err)
		err = fuse_arg_name(r, r->th->name2);
	if (err)
		return err;
	if (flags & ~(unsigned int)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	from = node(r);
	to = inode_get(r->pt->inodes, newdir);
	err = from && to ? 0 : -ESTALE;
	if (!err && (flags & RENAME_WHITEOUT))
		err = passthrough_become(r, 0, 0);
	if (!err) {
		inode_rescue(r->pt->inodes, to, r->th->name2);
		if (renameat2(from->fd, r->th->name, to->fd, r->th->name2, flags) < 0)
			err = -errno;
		if (flags & RENAME_WHITEOUT)
			passthrough_unbecome(r);
	}
	inode_put(r->pt->inodes, from);
	inode_put(r->pt->inodes, to);
	return err;
}

int passthrough_rename(struct fuse_req *r)
{
	struct fuse_rename_in in;
	int err = fuse_arg(r, &in, sizeof(in));

	return err ? err : rename_to(r, in.newdir, 0);
}

int passthrough_rename2(struct fuse_req *r)
{
	struct fuse_rename2_in in;
	int err = fuse_arg(r, &in, sizeof(in));

	return err ? err : rename_to(r, in.newdir, in.flags);
}

int passthrough_link(struct fuse_req *r)
{
	struct fuse_link_in in;
	char fd_name[PASSTHROUGH_FD_NAME];
	struct inode *i, *dir;
	int err = fuse_arg(r, &in, sizeof(in));

	if (!err)
		err = fuse_arg_name(r, r->th->name);
	if (err)
		return err;
	i = inode_get(r->pt->inodes, in.oldnodeid);
	dir = node(r);
	if (!i || !dir)
		err = -ESTALE;
	else if (linkat(r->pt->proc_fd, passthrough_fd_name(i->fd, fd_name), dir->fd, r->th->name, AT_SYMLINK_FOLLOW) <
		 0)
		err = -errno;
	else
		err = reply_entry(r, dir, r->th->name);
	inode_put(r->pt->inodes, dir);
	inode_put(r->pt->inodes, i);
	return err;
}
