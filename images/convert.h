/* SPDX-License-Identifier: Apache-2.0 */
/* Image configuration to runtime-spec config.json (image-spec conversion.md). */
#ifndef IMAGES_CONVERT_H
#define IMAGES_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "images/usermap.h"
#include "oci/image_spec.h"

/* What a person asks beyond the image. All may be NULL or zero. */
struct convert_options {
	char **args;       /* replace the image's Cmd */
	char **entrypoint; /* replace Entrypoint and drop Cmd; one empty word: none */
	char **env;        /* "NAME=VALUE", win over the image's */
	const char *user;  /* wins over the image's */
	const char *workdir;
	const char *hostname;
	bool terminal;
	bool readonly;
	bool privileged;
	char **volumes; /* "SRC:DST[:OPTIONS]", SRC absolute */
	char **cap_add, **cap_drop;
	char **annotations;        /* "KEY=VALUE" */
	uint64_t memory;           /* bytes; 0: no limit */
	double cpus;               /* 0: no limit */
	int64_t pids_limit;        /* 0: no limit */
	const char *root_path;     /* written as root.path; NULL: "rootfs" */
	const char *overlay;       /* root.path is still to be mounted, an overlay with these options; NULL: it is */
	const struct usermap *map; /* a user namespace with these maps; NULL or empty: none, or the user's one id */
	bool rootless;             /* in the form for an ordinary user */
};

/*
 * The config.json for the image; rootfd is its root, where users are looked up (/etc/passwd, /etc/group, opened
 * beneath it). *ret is owned. Errors name the option or the image's field.
 */
int convert_image(const struct oci_image *image, int rootfd, const struct convert_options *o, char **ret,
		  struct err *err);

/* Resolves an image's User ("", "name", "uid", "name:group", ...). gids (owned) are the supplementary ones. */
struct convert_user {
	uint32_t uid, gid;
	uint32_t *gids;
	size_t n_gids;
	char *home; /* NULL: not in passwd */
};
int convert_user(int rootfd, const char *text, struct convert_user *ret, struct err *err);

#endif
