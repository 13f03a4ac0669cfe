/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE messages: decode, dispatch, reply.
 *
 * A request is one descriptor chain: readable fuse_in_header, argument structs, strings or data; writable
 * fuse_out_header and payload. The header is copied once and checked against the chain; handlers copy their arguments
 * the same way through fuse_arg*(), so nothing is looked at twice in memory that the guest can change. File data never
 * passes through here: READ and WRITE hand slices of guest memory to preadv/pwritev (passthrough_file.c).
 *
 * The table below names for each opcode the handler and whether it changes the tree (refused with EROFS on a read-only
 * tree). Opcodes without a handler are answered with ENOSYS, which makes the guest stop asking. Requests before INIT
 * fail with EIO. FORGET and BATCH_FORGET have no answer. INTERRUPT needs none: Linux does not send it over virtio-fs.
 *
 * Runs in the virtio-fs workers, several at a time; only INIT and DESTROY write the session.
 */
#include "vm/fuse.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "vm/passthrough.h"
#include "vm/passthrough_attr.h"
#include "vm/passthrough_dir.h"
#include "vm/passthrough_file.h"
#include "vm/passthrough_lock.h"
#include "vm/passthrough_xattr.h"

/* What we can do; the guest picks. */
static uint64_t offer(const struct passthrough *pt)
{
	uint64_t f = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_AUTO_INVAL_DATA |
		FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL |
		FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SUBMOUNTS | FUSE_SETXATTR_EXT |
		FUSE_INIT_EXT;

	if (pt->shared_locks)
		f |= FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
	if (pt->writeback)
		f |= FUSE_WRITEBACK_CACHE;
	return f;
}

/*
 * A guest that mounts again without DESTROY (it rebooted without resetting the device) starts a new session: what the
 * old one held is forgotten by virtio_fs at reset. Old kernels send a shorter struct.
 */
static int op_init(struct fuse_req *r)
{
	struct passthrough *pt = r->pt;
	struct fuse_init_in in = { 0 };
	struct fuse_init_out out = { 0 };
	size_t n = fuse_arg_left(r);

	if (n < 16)
		return -EINVAL;
	fuse_arg(r, &in, n < sizeof(in) ? n : sizeof(in));
	out.major = FUSE_KERNEL_VERSION;
	out.minor = FUSE_KERNEL_MINOR_VERSION;
	if (in.major > FUSE_KERNEL_VERSION) /* it will ask again with ours */
		return fuse_reply(r, &out, sizeof(out));
	if (in.major < FUSE_KERNEL_VERSION || in.minor < 31) {
		log_warn("virtio-fs: guest speaks FUSE %u.%u; 7.31 is needed (Linux 5.4)", in.major, in.minor);
		return -EPROTO;
	}
	pt->session.minor = in.minor < FUSE_KERNEL_MINOR_VERSION ? in.minor : FUSE_KERNEL_MINOR_VERSION;
	pt->session.flags = in.flags;
	if (in.flags & FUSE_INIT_EXT)
		pt->session.flags |= (uint64_t)in.flags2 << 32;
	pt->session.flags &= offer(pt);
	pt->session.ready = true;
	out.max_readahead = in.max_readahead;
	out.flags = (uint32_t)pt->session.flags;
	out.flags2 = (uint32_t)(pt->session.flags >> 32);
	out.max_background = 64;
	out.congestion_threshold = 48;
	out.max_write = FUSE_MAX_WRITE;
	out.max_pages = FUSE_WRITE_PAGES;
	out.time_gran = 1;
	log_debug("virtio-fs: session of FUSE 7.%u, flags %#llx", in.minor, (unsigned long long)pt->session.flags);
	return fuse_reply(r, &out, sizeof(out));
}

/* The file system is unmounted. Others may still be in flight with a hostile guest: their handles fail, no more. */
static int op_destroy(struct fuse_req *r)
{
	r->pt->session.ready = false;
	return 0;
}

enum { OP_CHANGES = 1, OP_SILENT = 2, OP_EARLY = 4 };

static const struct opcode {
	const char *name;
	int (*fn)(struct fuse_req *r);
	unsigned int flags;
} opcodes[] = {
	[FUSE_LOOKUP] = { "LOOKUP", passthrough_lookup, 0 },
	[FUSE_FORGET] = { "FORGET", passthrough_forget, OP_SILENT },
	[FUSE_GETATTR] = { "GETATTR", passthrough_attr_getattr, 0 },
	[FUSE_SETATTR] = { "SETATTR", passthrough_attr_setattr, OP_CHANGES },
	[FUSE_READLINK] = { "READLINK", passthrough_readlink, 0 },
	[FUSE_SYMLINK] = { "SYMLINK", passthrough_symlink, OP_CHANGES },
	[FUSE_MKNOD] = { "MKNOD", passthrough_mknod, OP_CHANGES },
	[FUSE_MKDIR] = { "MKDIR", passthrough_mkdir, OP_CHANGES },
	[FUSE_UNLINK] = { "UNLINK", passthrough_unlink, OP_CHANGES },
	[FUSE_RMDIR] = { "RMDIR", passthrough_rmdir, OP_CHANGES },
	[FUSE_RENAME] = { "RENAME", passthrough_rename, OP_CHANGES },
	[FUSE_LINK] = { "LINK", passthrough_link, OP_CHANGES },
	[FUSE_OPEN] = { "OPEN", passthrough_file_open, 0 },
	[FUSE_READ] = { "READ", passthrough_file_read, 0 },
	[FUSE_WRITE] = { "WRITE", passthrough_file_write, OP_CHANGES },
	[FUSE_STATFS] = { "STATFS", passthrough_attr_statfs, 0 },
	[FUSE_RELEASE] = { "RELEASE", passthrough_file_release, 0 },
	[FUSE_FSYNC] = { "FSYNC", passthrough_file_fsync, 0 },
	[FUSE_SETXATTR] = { "SETXATTR", passthrough_xattr_set, OP_CHANGES },
	[FUSE_GETXATTR] = { "GETXATTR", passthrough_xattr_get, 0 },
	[FUSE_LISTXATTR] = { "LISTXATTR", passthrough_xattr_list, 0 },
	[FUSE_REMOVEXATTR] = { "REMOVEXATTR", passthrough_xattr_remove, OP_CHANGES },
	[FUSE_FLUSH] = { "FLUSH", passthrough_file_flush, 0 },
	[FUSE_INIT] = { "INIT", op_init, OP_EARLY },
	[FUSE_OPENDIR] = { "OPENDIR", passthrough_dir_open, 0 },
	[FUSE_READDIR] = { "READDIR", passthrough_dir_read, 0 },
	[FUSE_RELEASEDIR] = { "RELEASEDIR", passthrough_dir_release, 0 },
	[FUSE_FSYNCDIR] = { "FSYNCDIR", passthrough_dir_fsync, 0 },
	[FUSE_GETLK] = { "GETLK", passthrough_lock_get, 0 },
	[FUSE_SETLK] = { "SETLK", passthrough_lock_set, 0 },
	[FUSE_SETLKW] = { "SETLKW", passthrough_lock_wait, 0 },
	[FUSE_ACCESS] = { "ACCESS", passthrough_attr_access, 0 },
	[FUSE_CREATE] = { "CREATE", passthrough_file_create, OP_CHANGES },
	[FUSE_DESTROY] = { "DESTROY", op_destroy, 0 },
	[FUSE_FALLOCATE] = { "FALLOCATE", passthrough_file_fallocate, OP_CHANGES },
	[FUSE_READDIRPLUS] = { "READDIRPLUS", passthrough_dir_readplus, 0 },
	[FUSE_RENAME2] = { "RENAME2", passthrough_rename2, OP_CHANGES },
	[FUSE_LSEEK] = { "LSEEK", passthrough_file_lseek, 0 },
	[FUSE_COPY_FILE_RANGE] = { "COPY_FILE_RANGE", passthrough_file_copy, OP_CHANGES },
	[FUSE_SYNCFS] = { "SYNCFS", passthrough_file_syncfs, 0 },
	[FUSE_TMPFILE] = { "TMPFILE", passthrough_file_tmpfile, OP_CHANGES },
	[FUSE_BATCH_FORGET] = { "BATCH_FORGET", passthrough_batch_forget, OP_SILENT },
};

const char *fuse_opcode_name(uint32_t opcode)
{
	return opcode < ARRAY_SIZE(opcodes) && opcodes[opcode].name ? opcodes[opcode].name : "?";
}

bool fuse_has(const struct passthrough *pt, uint64_t flag)
{
	return pt->session.flags & flag;
}

size_t fuse_arg_left(const struct fuse_req *r)
{
	return r->in.len - r->arg;
}

int fuse_arg(struct fuse_req *r, void *buf, size_t len)
{
	if (len > fuse_arg_left(r) || virtq_read(r->chain, r->arg, buf, len) != len)
		return -EINVAL;
	r->arg += len;
	return 0;
}

int fuse_arg_string(struct fuse_req *r, char *buf, size_t size)
{
	size_t left = fuse_arg_left(r), n = left < size ? left : size;
	const char *end;

	n = virtq_read(r->chain, r->arg, buf, n);
	end = memchr(buf, 0, n);
	if (!end)
		return left >= size ? -ENAMETOOLONG : -EINVAL;
	r->arg += (size_t)(end - buf) + 1;
	return 0;
}

int fuse_arg_name(struct fuse_req *r, char buf[FUSE_NAME_SIZE])
{
	int err = fuse_arg_string(r, buf, FUSE_NAME_SIZE);

	if (err)
		return err;
	if (!buf[0] || strchr(buf, '/') || strcmp(buf, ".") == 0 || strcmp(buf, "..") == 0)
		return -EINVAL;
	return 0;
}

int fuse_reply(struct fuse_req *r, const void *buf, size_t len)
{
	if (len > r->room - r->reply)
		return -ERANGE;
	virtq_write(r->chain, sizeof(struct fuse_out_header) + r->reply, buf, len);
	r->reply += len;
	return 0;
}

static int handle(struct fuse_req *r, const struct opcode *op)
{
	/* WRITE says itself what it wants */
	if ((op->flags & OP_CHANGES) && r->in.opcode != FUSE_WRITE)
		passthrough_fsetid(r, true);
	return op->fn(r);
}

int64_t fuse_handle(struct passthrough *pt, struct passthrough_thread *th, void *queue, const struct virtq_chain *chain)
{
	struct fuse_req r = { .pt = pt, .th = th, .chain = chain, .queue = queue };
	struct fuse_out_header out = { 0 };
	const struct opcode *op = NULL;
	int err;

	if (virtq_read(chain, 0, &r.in, sizeof(r.in)) != sizeof(r.in) || r.in.len < sizeof(r.in) ||
	    r.in.len > chain->out_len)
		return 0;
	r.arg = sizeof(r.in);
	if (r.in.opcode < ARRAY_SIZE(opcodes) && opcodes[r.in.opcode].fn)
		op = &opcodes[r.in.opcode];
	if (op && (op->flags & OP_SILENT)) {
		op->fn(&r);
		return 0;
	}
	if (chain->in_len < sizeof(out))
		return 0;
	r.room = chain->in_len - sizeof(out);
	if (!op)
		err = -ENOSYS;
	else if (!pt->session.ready && !(op->flags & OP_EARLY))
		err = -EIO;
	else if (pt->read_only && (op->flags & OP_CHANGES))
		err = -EROFS;
	else
		err = handle(&r, op);
	if (r.later)
		return FUSE_LATER;
	if (err < 0)
		r.reply = 0;
	log_debug("virtio-fs: %s %llu: %d", fuse_opcode_name(r.in.opcode), (unsigned long long)r.in.nodeid, err);
	out.len = (uint32_t)(sizeof(out) + r.reply);
	out.error = err < 0 ? err : 0;
	out.unique = r.in.unique;
	virtq_write(chain, 0, &out, sizeof(out));
	return out.len;
}
