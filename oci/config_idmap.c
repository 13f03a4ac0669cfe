/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crun's mount word "idmap=uids=A-B-N#A-B-N;gids=A-B-N" (and "ridmap=…"): another spelling of a mount's uidMappings and
 * gidMappings. In each triplet A is the first id of the file system, B the host's that it is mapped to, N how many. With
 * "@" in front B is an id of the container and taken through its user namespace's mappings. The word is replaced by
 * the plain one and the mappings are filled in, so that nothing behind the parser knows of it.
 */
#include <string.h>

#include "base/str.h"
#include "oci/config.h"
#include "oci/config_read.h"

struct target {
	struct oci_idmap **v;
	size_t *n;
	const struct oci_idmap *outer; /* the container's */
	size_t n_outer;
};

static bool through(const struct target *t, struct oci_idmap *m)
{
	for (size_t i = 0; i < t->n_outer; i++) {
		const struct oci_idmap *o = &t->outer[i];

		if (m->host_id < o->container_id || m->host_id - o->container_id >= o->size)
			continue;
		if (m->size > o->size - (m->host_id - o->container_id))
			return false;
		m->host_id = o->host_id + (m->host_id - o->container_id);
		return true;
	}
	return false;
}

static int add_range(const struct target *t, const char *range, const char *word, struct err *err)
{
	bool relative = *range == '@';
	cleanup_strv char **parts = strv_split(range + relative, '-');
	struct oci_idmap m;

	if (strv_len(parts) != 3 || parse_u32(parts[0], &m.container_id) < 0 || parse_u32(parts[1], &m.host_id) < 0 ||
	    parse_u32(parts[2], &m.size) < 0 || !m.size)
		return err_set(err, -EINVAL, "\"%s\": \"%s\" is not FIRST-HOST-COUNT", word, range);
	if (relative && !through(t, &m))
		return err_set(err, -EINVAL, "\"%s\": \"%s\" is not mapped in the container's user namespace", word,
			       range);
	*t->v = xreallocarray(*t->v, *t->n + 1, sizeof(**t->v));
	(*t->v)[(*t->n)++] = m;
	return 0;
}

static int add_list(struct oci_config *c, struct oci_mount *m, const char *list, const char *word, struct err *err)
{
	const struct oci_linux *l = &c->linux_;
	struct target t = { &m->uid_mappings, &m->n_uid_mappings, l->uid_mappings, l->n_uid_mappings };
	cleanup_strv char **ranges = NULL;

	if (str_starts(list, "gids="))
		t = (struct target){ &m->gid_mappings, &m->n_gid_mappings, l->gid_mappings, l->n_gid_mappings };
	else if (!str_starts(list, "uids="))
		return err_set(err, -EINVAL, "\"%s\": neither uids= nor gids=", word);
	ranges = strv_split(list + strlen("uids="), '#');
	for (char **r = ranges; *r; r++)
		OCI_TRY(add_range(&t, *r, word, err));
	return 0;
}

int oci_idmap_words(struct oci_config *c, struct err *err)
{
	for (size_t i = 0; i < c->n_mounts; i++) {
		struct oci_mount *m = &c->mounts[i];

		for (char **o = m->options; o && *o; o++) {
			const char *eq = str_starts(*o, "idmap=") || str_starts(*o, "ridmap=") ? strchr(*o, '=') : NULL;
			cleanup_strv char **lists = eq ? strv_split(eq + 1, ';') : NULL;
			char *plain;

			if (!eq)
				continue;
			if (m->n_uid_mappings || m->n_gid_mappings)
				return err_set(err, -EINVAL,
					       "mounts[%zu].options: \"%s\": the mount has mappings already", i, *o);
			for (char **l = lists; *l; l++)
				if (add_list(c, m, *l, *o, err) < 0)
					return err_wrap(err, "mounts[%zu].options", i);
			plain = xstrndup(*o, (size_t)(eq - *o));
			free(*o);
			*o = plain;
		}
	}
	return 0;
}
