/* SPDX-License-Identifier: Apache-2.0 */
/* Debian packages: the ar archive, its data member unpacked, and the regular files in it. deb(5), tar(5). */
#ifndef VM_DEB_H
#define VM_DEB_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* One regular file: name without leading "./", data inside the archive's memory. Return non-zero to end the walk. */
typedef int deb_file_fn(void *arg, const char *name, const uint8_t *data, size_t len);

/* Finds the member whose name begins with prefix ("data.tar"). 0, -ENOENT, or -EBADMSG with *err. */
int deb_member(const uint8_t *in, size_t len, const char *prefix, const uint8_t **ret, size_t *ret_len,
	       struct err *err);
/* Calls fn for every regular file of a tar archive (ustar, GNU and pax long names). fn's non-zero result, 0 or -EBADMSG. */
int deb_tar_walk(const uint8_t *in, size_t len, deb_file_fn *fn, void *arg, struct err *err);

#endif
