/* SPDX-License-Identifier: Apache-2.0 */
/* User and group id maps. runtime-spec config-linux.md#user-namespace-mappings. */
#ifndef CONTAINER_IDMAP_H
#define CONTAINER_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct oci_idmap;
struct oci_linux;

/* "0 100000 65536\n…", the text of uid_map; owned. */
char *idmap_text(const struct oci_idmap *maps, size_t n);
/* Host id of a container id, or -1 when it is not mapped. Without maps (n 0) ids are the same. */
int64_t idmap_to_host(const struct oci_idmap *maps, size_t n, uint32_t id);
/*
 * Writes uid_map, setgroups and gid_map of a process in a new user namespace: directly where allowed (privilege, or
 * one id that is our own), else by newuidmap and newgidmap. Errors name the map.
 */
int idmap_write(pid_t pid, const struct oci_linux *linux_, struct err *err);
/*
 * A user namespace with these maps and nothing in it, for idmapped mounts. Returns an fd (owned) or -errno. Needs
 * privilege over the ids.
 */
int idmap_userns(const struct oci_idmap *uids, size_t n_uids, const struct oci_idmap *gids, size_t n_gids,
		 struct err *err);

#endif
