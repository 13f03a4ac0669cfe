/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE operations on attributes and the file system's figures. Their shape: passthrough.h. */
#ifndef VM_PASSTHROUGH_ATTR_H
#define VM_PASSTHROUGH_ATTR_H

struct fuse_req;

int passthrough_attr_getattr(struct fuse_req *r);
int passthrough_attr_setattr(struct fuse_req *r);
int passthrough_attr_access(struct fuse_req *r);
int passthrough_attr_statfs(struct fuse_req *r);

#endif
