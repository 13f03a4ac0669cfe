/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option words of mounts: one sorted table.
 *
 * A word sets or clears flags; the last one wins, and a clearing word really clears ("rw" on a bind of a read-only
 * mount). Filesystems take MS_* flags in mount(2); bind mounts take MOUNT_ATTR_* through mount_setattr(2). A bind
 * without such words has the flags of its source; with any, those alone, as after a remount by mount(2) and hence in
 * other runtimes, but for what a user namespace locks: that goes only by its own word. The
 * access time words are one field of three values for mount_setattr(2), not flags: any of them clears
 * the field first; without one it is the source's. Words that the table lacks are the filesystem's own data.
 */
#include "container/mount_words.h"

#include <string.h>
#include <sys/mount.h>

#include "oci/config.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

enum word_kind { WORD_SET, WORD_CLEAR, WORD_REC_SET, WORD_REC_CLEAR, WORD_PROPAGATION, WORD_BIND, WORD_OTHER };

struct word {
	const char *name;
	enum word_kind kind;
	unsigned long flag; /* MS_* */
	uint64_t attr;      /* MOUNT_ATTR_*, 0: none */
};

/* One of the three values of MOUNT_ATTR__ATIME; relatime is 0, hence the mark. */
#define ATIME (1ULL << 63)

static const struct word words[] = {
	{ "async", WORD_CLEAR, MS_SYNCHRONOUS, 0 },
	{ "atime", WORD_CLEAR, MS_NOATIME, ATIME | MOUNT_ATTR_NOATIME },
	{ "bind", WORD_BIND, 0, 0 },
	{ "defaults", WORD_OTHER, 0, 0 },
	{ "dev", WORD_CLEAR, MS_NODEV, MOUNT_ATTR_NODEV },
	{ "diratime", WORD_CLEAR, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
	{ "dirsync", WORD_SET, MS_DIRSYNC, 0 },
	{ "exec", WORD_CLEAR, MS_NOEXEC, MOUNT_ATTR_NOEXEC },
	{ "idmap", WORD_OTHER, 0, 0 },
	{ "iversion", WORD_SET, MS_I_VERSION, 0 },
	{ "lazytime", WORD_SET, MS_LAZYTIME, 0 },
	{ "loud", WORD_CLEAR, MS_SILENT, 0 },
	{ "mand", WORD_SET, MS_MANDLOCK, 0 },
	{ "noatime", WORD_SET, MS_NOATIME, ATIME | MOUNT_ATTR_NOATIME },
	{ "nodev", WORD_SET, MS_NODEV, MOUNT_ATTR_NODEV },
	{ "nodiratime", WORD_SET, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
	{ "noexec", WORD_SET, MS_NOEXEC, MOUNT_ATTR_NOEXEC },
	{ "noiversion", WORD_CLEAR, MS_I_VERSION, 0 },
	{ "nolazytime", WORD_CLEAR, MS_LAZYTIME, 0 },
	{ "nomand", WORD_CLEAR, MS_MANDLOCK, 0 },
	{ "norelatime", WORD_CLEAR, MS_RELATIME, ATIME },
	{ "nostrictatime", WORD_CLEAR, MS_STRICTATIME, ATIME | MOUNT_ATTR_STRICTATIME },
	{ "nosuid", WORD_SET, MS_NOSUID, MOUNT_ATTR_NOSUID },
	{ "nosymfollow", WORD_SET, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
	{ "private", WORD_PROPAGATION, MS_PRIVATE, 0 },
	{ "ratime", WORD_REC_CLEAR, 0, ATIME | MOUNT_ATTR_NOATIME },
	{ "rbind", WORD_BIND, MS_REC, 0 },
	{ "rdev", WORD_REC_CLEAR, 0, MOUNT_ATTR_NODEV },
	{ "rdiratime", WORD_REC_CLEAR, 0, MOUNT_ATTR_NODIRATIME },
	{ "relatime", WORD_SET, MS_RELATIME, ATIME },
	{ "remount", WORD_SET, MS_REMOUNT, 0 },
	{ "rexec", WORD_REC_CLEAR, 0, MOUNT_ATTR_NOEXEC },
	{ "ridmap", WORD_OTHER, MS_REC, 0 },
	{ "rnoatime", WORD_REC_SET, 0, ATIME | MOUNT_ATTR_NOATIME },
	{ "rnodev", WORD_REC_SET, 0, MOUNT_ATTR_NODEV },
	{ "rnodiratime", WORD_REC_SET, 0, MOUNT_ATTR_NODIRATIME },
	{ "rnoexec", WORD_REC_SET, 0, MOUNT_ATTR_NOEXEC },
	{ "rnorelatime", WORD_REC_CLEAR, 0, ATIME },
	{ "rnostrictatime", WORD_REC_CLEAR, 0, ATIME | MOUNT_ATTR_STRICTATIME },
	{ "rnosuid", WORD_REC_SET, 0, MOUNT_ATTR_NOSUID },
	{ "rnosymfollow", WORD_REC_SET, 0, MOUNT_ATTR_NOSYMFOLLOW },
	{ "ro", WORD_SET, MS_RDONLY, MOUNT_ATTR_RDONLY },
	{ "rprivate", WORD_PROPAGATION, MS_PRIVATE | MS_REC, 0 },
	{ "rrelatime", WORD_REC_SET, 0, ATIME },
	{ "rro", WORD_REC_SET, 0, MOUNT_ATTR_RDONLY },
	{ "rrw", WORD_REC_CLEAR, 0, MOUNT_ATTR_RDONLY },
	{ "rshared", WORD_PROPAGATION, MS_SHARED | MS_REC, 0 },
	{ "rslave", WORD_PROPAGATION, MS_SLAVE | MS_REC, 0 },
	{ "rstrictatime", WORD_REC_SET, 0, ATIME | MOUNT_ATTR_STRICTATIME },
	{ "rsuid", WORD_REC_CLEAR, 0, MOUNT_ATTR_NOSUID },
	{ "rsymfollow", WORD_REC_CLEAR, 0, MOUNT_ATTR_NOSYMFOLLOW },
	{ "runbindable", WORD_PROPAGATION, MS_UNBINDABLE | MS_REC, 0 },
	{ "rw", WORD_CLEAR, MS_RDONLY, MOUNT_ATTR_RDONLY },
	{ "shared", WORD_PROPAGATION, MS_SHARED, 0 },
	{ "silent", WORD_SET, MS_SILENT, 0 },
	{ "slave", WORD_PROPAGATION, MS_SLAVE, 0 },
	{ "strictatime", WORD_SET, MS_STRICTATIME, ATIME | MOUNT_ATTR_STRICTATIME },
	{ "suid", WORD_CLEAR, MS_NOSUID, MOUNT_ATTR_NOSUID },
	{ "symfollow", WORD_CLEAR, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
	{ "sync", WORD_SET, MS_SYNCHRONOUS, 0 },
	{ "tmpcopyup", WORD_OTHER, 0, 0 },
	{ "unbindable", WORD_PROPAGATION, MS_UNBINDABLE, 0 },
};

static int by_name(const void *key, const void *w)
{
	return strcmp(key, ((const struct word *)w)->name);
}

/* Setting an access time value replaces the other ones; clearing any gives the default, relatime. */
static void change_attr(uint64_t *set, uint64_t *clr, uint64_t attr, bool on)
{
	if (attr & ATIME) {
		attr &= ~ATIME;
		*set &= ~(uint64_t)MOUNT_ATTR__ATIME;
		*clr |= MOUNT_ATTR__ATIME;
		if (on)
			*set |= attr;
	} else if (on) {
		*set |= attr;
		*clr &= ~attr;
	} else {
		*set &= ~attr;
		*clr |= attr;
	}
}

static int add_propagation(struct mount_words *r, const struct oci_mount *m, unsigned long flag, struct err *err)
{
	if (r->n_propagation == MOUNT_PROPAGATION_MAX)
		return err_set(err, EINVAL, "mount to %s: too many propagation options", m->destination);
	r->propagation[r->n_propagation++] = flag;
	return 0;
}

static int apply_word(struct mount_words *r, const struct oci_mount *m, const struct word *w, struct err *err)
{
	switch (w->kind) {
	case WORD_SET:
		if (w->attr & ATIME)
			r->flags &= ~(unsigned long)(MS_NOATIME | MS_RELATIME | MS_STRICTATIME);
		r->flags |= w->flag;
		change_attr(&r->set, &r->clr, w->attr, true);
		return 0;
	case WORD_CLEAR:
		r->flags &= ~w->flag;
		change_attr(&r->set, &r->clr, w->attr, false);
		return 0;
	case WORD_REC_SET:
		change_attr(&r->rec_set, &r->rec_clr, w->attr, true);
		return 0;
	case WORD_REC_CLEAR:
		change_attr(&r->rec_set, &r->rec_clr, w->attr, false);
		return 0;
	case WORD_PROPAGATION:
		return add_propagation(r, m, w->flag, err);
	case WORD_BIND:
		r->bind = true;
		r->rec |= w->flag == MS_REC;
		return 0;
	case WORD_OTHER:
		break;
	}
	if (!strcmp(w->name, "tmpcopyup"))
		r->tmpcopyup = true;
	else if (strcmp(w->name, "defaults")) {
		r->idmap = true;
		r->idmap_rec = w->flag == MS_REC;
	}
	return 0;
}

/* crun's words, not in the specification's list and hence not in the table. Was it one? */
static bool symlink_word(struct mount_words *r, const char *o)
{
	bool *flag = !strcmp(o, "copy-symlink") ? &r->copy_symlink :
		!strcmp(o, "src-nofollow")      ? &r->src_nofollow :
		!strcmp(o, "dest-nofollow")     ? &r->dest_nofollow :
						  NULL;

	if (flag)
		*flag = true;
	return flag;
}

static int check_words(const struct oci_mount *m, const struct mount_words *w, struct err *err)
{
	if (w->tmpcopyup && (w->bind || !m->type || strcmp(m->type, "tmpfs")))
		return err_set(err, EINVAL, "mount to %s: tmpcopyup is for tmpfs only", m->destination);
	if (w->idmap && !w->bind)
		return err_set(err, EINVAL, "mount to %s: id-mapped mounts are only supported for bind-mounts",
			       m->destination);
	if (w->copy_symlink && (w->src_nofollow || w->dest_nofollow))
		return err_set(err, EINVAL,
			       "mount to %s: `copy-symlink` is mutually exclusive with `src-nofollow` and "
			       "`dest-nofollow`",
			       m->destination);
	return 0;
}

int mount_words_parse(const struct oci_mount *m, struct mount_words *ret, struct err *err)
{
	int r = 0;

	*ret = (struct mount_words){ 0 };
	for (size_t i = 0; m->options && m->options[i]; i++) {
		const char *o = m->options[i];
		const struct word *w = bsearch(o, words, ARRAY_SIZE(words), sizeof(*words), by_name);

		if (w) {
			r = apply_word(ret, m, w, err);
			if (r < 0)
				break;
			continue;
		}
		if (!*o || symlink_word(ret, o))
			continue;
		if (ret->data.len)
			str_addc(&ret->data, ',');
		str_add(&ret->data, o);
	}
	if (m->type && !strcmp(m->type, "bind"))
		ret->bind = true;
	if (m->n_uid_mappings || m->n_gid_mappings)
		ret->idmap = true;
	if (ret->set || ret->clr)
		ret->rest = (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
			     MOUNT_ATTR_NOSYMFOLLOW) &
			~(ret->set | ret->clr);
	if (!r)
		r = check_words(m, ret, err);
	if (r < 0)
		mount_words_done(ret);
	return r;
}

void mount_words_done(struct mount_words *w)
{
	str_free(&w->data);
}

const char *const *mount_words_all(void)
{
	static const char *all[ARRAY_SIZE(words) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		all[i] = words[i].name;
	return all;
}
