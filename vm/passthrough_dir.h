/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE operations on open directories: entries with and without lookups, seek. Their shape: passthrough.h. */
#ifndef VM_PASSTHROUGH_DIR_H
#define VM_PASSTHROUGH_DIR_H

struct fuse_req;

int passthrough_dir_open(struct fuse_req *r);
int passthrough_dir_read(struct fuse_req *r);
int passthrough_dir_readplus(struct fuse_req *r);
int passthrough_dir_release(struct fuse_req *r);
int passthrough_dir_fsync(struct fuse_req *r);

#endif
