/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of amphi-images and their table. */
#ifndef IMAGES_VERBS_H
#define IMAGES_VERBS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* What the options of all commands may set; a command names those it takes. */
struct verbs_options {
	const char *store;
	const char *owner;
	const char *name, *platform, *format, *output, *progress, *pull, *id, *sync;
	const char *entry_user, *workdir, *hostname, *memory, *cpus, *pids_limit, *max_size, *chunk_size;
	const char *creds, *authfile, *cert_dir, *message, *author;
	char **entrypoint, **env, **volumes, **cap_add, **cap_drop, **annotations, **changes, **uidmap, **gidmap;
	bool quiet, force, insecure, terminal, readonly, privileged, all, json, repair, digests;
};

struct verb {
	const char *name;
	int (*run)(const struct verbs_options *o, int argc, char **argv, struct err *err); /* argv: positional words */
	int min, max;         /* number of words; max -1: any */
	bool stop;            /* the first word ends the options */
	const char *synopsis; /* behind the name */
	const char *help;
	const char *options; /* long names of accepted options, separated by blanks, ended by a blank */
};

/* Ended by a NULL name. */
extern const struct verb verbs[];

int verbs_remote_pull(const struct verbs_options *o, int argc, char **argv, struct err *err);
int verbs_remote_push(const struct verbs_options *o, int argc, char **argv, struct err *err);

struct store;
struct oci_descriptor;
/* Pulls name into an open store, as `pull` does; for prepare. */
int verbs_remote_fetch(struct store *s, const char *name, const struct verbs_options *o, char **ret_name,
		       struct err *err);

#endif
