/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE operations on files: create, open, read, write and what else goes by a file handle. Their shape: passthrough.h. */
#ifndef VM_PASSTHROUGH_FILE_H
#define VM_PASSTHROUGH_FILE_H

struct fuse_req;

int passthrough_file_open(struct fuse_req *r);
int passthrough_file_create(struct fuse_req *r);
int passthrough_file_tmpfile(struct fuse_req *r);
int passthrough_file_read(struct fuse_req *r);
int passthrough_file_write(struct fuse_req *r);
int passthrough_file_release(struct fuse_req *r);
int passthrough_file_flush(struct fuse_req *r);
int passthrough_file_fsync(struct fuse_req *r);
int passthrough_file_fallocate(struct fuse_req *r);
int passthrough_file_lseek(struct fuse_req *r);
int passthrough_file_copy(struct fuse_req *r);
int passthrough_file_syncfs(struct fuse_req *r);

#endif
