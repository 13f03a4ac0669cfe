/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE operations on extended attributes. The thread's working directory is /proc/self/fd, so "17" names the O_PATH
 * descriptor 17 and the magic link leads to the node itself (a symlink's own attributes too). Names pass unchanged: user,
 * trusted, security and system.posix_acl_*; what the monitor's capabilities do not allow fails with the host's error.
 * #syscalls setxattr getxattr listxattr removexattr
 */
#include "vm/passthrough_xattr.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "vm/passthrough.h"

static bool is_acl(const char *name)
{
	return strcmp(name, "system.posix_acl_access") == 0 || strcmp(name, "system.posix_acl_default") == 0;
}

int passthrough_xattr_set(struct fuse_req *r)
{
	struct fuse_setxattr_in in = { 0 };
	char fd_name[PASSTHROUGH_FD_NAME];
	struct inode *i;
	int err = fuse_arg(r, &in, fuse_has(r->pt, FUSE_SETXATTR_EXT) ? sizeof(in) : FUSE_COMPAT_SETXATTR_IN_SIZE);

	if (!err)
		err = fuse_arg_string(r, r->th->name, sizeof(r->th->name));
	if (err)
		return err;
	if (in.size > 65536)
		return -E2BIG;
	err = fuse_arg(r, r->th->buf, in.size);
	if (err)
		return err;
	i = inode_get(r->pt->inodes, r->in.nodeid);
	if (!i)
		return -ESTALE;
	/* An ACL that grants less than the caller's group loses setgid, as chmod would. */
	passthrough_fsetid(r, !(in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID));
	if (setxattr(passthrough_fd_name(i->fd, fd_name), r->th->name, r->th->buf, in.size, (int)in.flags) < 0)
		err = -errno;
	inode_put(r->pt->inodes, i);
	return err;
}

/* Size 0 asks for the length. */
static int get(struct fuse_req *r, bool list)
{
	struct fuse_getxattr_in in;
	struct fuse_getxattr_out out = { 0 };
	char fd_name[PASSTHROUGH_FD_NAME];
	struct inode *i;
	ssize_t n;
	int err = fuse_arg(r, &in, sizeof(in));

	if (!err && !list)
		err = fuse_arg_string(r, r->th->name, sizeof(r->th->name));
	if (err)
		return err;
	if (in.size > 65536)
		in.size = 65536;
	i = inode_get(r->pt->inodes, r->in.nodeid);
	if (!i)
		return -ESTALE;
	passthrough_fd_name(i->fd, fd_name);
	n = list ? listxattr(fd_name, r->th->buf, in.size) : getxattr(fd_name, r->th->name, r->th->buf, in.size);
	if (n < 0)
		n = -errno;
	inode_put(r->pt->inodes, i);
	/* A file system without ACLs has none; the error would make the guest refuse access. */
	if (n == -EOPNOTSUPP && !list && is_acl(r->th->name))
		n = -ENODATA;
	if (n < 0)
		return (int)n;
	if (in.size)
		return fuse_reply(r, r->th->buf, (size_t)n);
	out.size = (uint32_t)n;
	return fuse_reply(r, &out, sizeof(out));
}

int passthrough_xattr_get(struct fuse_req *r)
{
	return get(r, false);
}

int passthrough_xattr_list(struct fuse_req *r)
{
	return get(r, true);
}

int passthrough_xattr_remove(struct fuse_req *r)
{
	char fd_name[PASSTHROUGH_FD_NAME];
	struct inode *i;
	int err = fuse_arg_string(r, r->th->name, sizeof(r->th->name));

	if (err)
		return err;
	i = inode_get(r->pt->inodes, r->in.nodeid);
	if (!i)
		return -ESTALE;
	if (removexattr(passthrough_fd_name(i->fd, fd_name), r->th->name) < 0)
		err = -errno;
	inode_put(r->pt->inodes, i);
	return err;
}
