/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE operations on extended attributes, POSIX ACLs among them. Their shape: passthrough.h. */
#ifndef VM_PASSTHROUGH_XATTR_H
#define VM_PASSTHROUGH_XATTR_H

struct fuse_req;

int passthrough_xattr_set(struct fuse_req *r);
int passthrough_xattr_get(struct fuse_req *r);
int passthrough_xattr_list(struct fuse_req *r);
int passthrough_xattr_remove(struct fuse_req *r);

#endif
