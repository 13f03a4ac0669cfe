/* SPDX-License-Identifier: Apache-2.0 */
/* netns: network namespaces kept by a file. */
#ifndef NETWORK_NETNS_H
#define NETWORK_NETNS_H

#include "base/err.h"

/* Makes a namespace and keeps it by a bind mount on the new file path. Returns an open fd of it, or -errno. */
int netns_keep(const char *path, struct err *err);
/* Keeps an existing namespace by a bind mount on the new file path. 0 or -errno. */
int netns_bind(const char *path, int netns_fd, struct err *err);
/* Takes the mount off and removes the file; 0 when there is none. */
int netns_drop(const char *path, struct err *err);

#endif
