/* SPDX-License-Identifier: Apache-2.0 */
/* Option words of mounts. */
#include "container/mount_words.h"

#include <sys/mount.h>

#include "oci/config.h"
#include "tap.h"

static struct mount_words parse(const char *type, char **options)
{
	struct oci_mount m = { .destination = "/x", .type = (char *)type, .options = options };
	struct mount_words w;
	struct err err = { 0 };

	if (mount_words_parse(&m, &w, &err) < 0)
		printf("# %s\n", err.msg);
	return w;
}

#define WORDS(...) ((char *[]){ __VA_ARGS__, NULL })

int main(void)
{
	const char *const *all = mount_words_all();
	struct oci_mount bad = { .destination = "/x", .type = "proc", .options = WORDS("tmpcopyup") };
	struct err err = { 0 };
	struct mount_words w;
	size_t n = 0;

	for (; all[n]; n++)
		if (n && strcmp(all[n - 1], all[n]) >= 0)
			printf("# out of order: %s\n", all[n]);
	is_int(n, 62);
	for (size_t i = 1; i < n; i++)
		if (strcmp(all[i - 1], all[i]) >= 0)
			ok(!"sorted");

	w = parse("tmpfs", WORDS("nosuid", "size=1m", "noexec", "mode=755", "ro", "strictatime"));
	is_int(w.flags, MS_NOSUID | MS_NOEXEC | MS_RDONLY | MS_STRICTATIME);
	is_str(str_get(&w.data), "size=1m,mode=755");
	ok(!w.bind);
	mount_words_done(&w);

	w = parse("tmpfs", WORDS("ro", "nodev", "rw", "dev", "defaults"));
	is_int(w.flags, 0);
	is_str(str_get(&w.data), "");
	mount_words_done(&w);

	w = parse("bind", WORDS("ro", "rprivate"));
	ok(w.bind);
	ok(!w.rec);
	is_int(w.set, MOUNT_ATTR_RDONLY);
	is_int(w.n_propagation, 1);
	is_int(w.propagation[0], MS_PRIVATE | MS_REC);
	mount_words_done(&w);

	w = parse("none", WORDS("rbind", "rw", "nosuid", "noatime"));
	ok(w.bind && w.rec);
	is_int(w.set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME);
	is_int(w.clr, MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME);
	is_int(w.rest, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW);
	mount_words_done(&w);
	w = parse("none", WORDS("rbind", "rprivate"));
	is_int(w.rest, 0);

	/* access time words are one field: the last one wins */
	w = parse("bind", WORDS("noatime", "strictatime"));
	is_int(w.set, MOUNT_ATTR_STRICTATIME);
	w = parse("bind", WORDS("noatime", "relatime"));
	is_int(w.set, 0);
	is_int(w.clr, MOUNT_ATTR__ATIME);
	w = parse("tmpfs", WORDS("noatime", "strictatime"));
	is_int(w.flags, MS_STRICTATIME);

	w = parse("bind", WORDS("rro", "rnosuid", "rdev", "rrelatime", "ro", "rrw"));
	is_int(w.rec_set, MOUNT_ATTR_NOSUID);
	is_int(w.rec_clr, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR__ATIME);
	is_int(w.set, MOUNT_ATTR_RDONLY);

	w = parse("none", WORDS("bind", "copy-symlink"));
	ok(w.copy_symlink && w.bind && !w.data.len);
	w = parse("none", WORDS("bind", "src-nofollow", "dest-nofollow"));
	ok(w.src_nofollow && w.dest_nofollow && !w.data.len);
	w = parse("none", WORDS("bind", "idmap"));
	ok(w.idmap && !w.idmap_rec);
	w = parse("none", WORDS("rbind", "ridmap"));
	ok(w.idmap && w.idmap_rec);
	w = parse("tmpfs",
		  WORDS("tmpcopyup", "", "sync", "async", "dirsync", "iversion", "noiversion", "lazytime", "silent",
			"loud", "nosymfollow"));
	ok(w.tmpcopyup);
	is_int(w.flags, MS_DIRSYNC | MS_LAZYTIME | 256);

	is_int(mount_words_parse(&bad, &w, &err), -EINVAL);
	has_str(err.msg, "tmpcopyup is for tmpfs only");
	bad.options = WORDS("idmap");
	is_int(mount_words_parse(&bad, &w, &err), -EINVAL);
	has_str(err.msg, "only supported for bind-mounts");
	bad.type = "bind";
	bad.options = WORDS("shared", "slave", "shared", "slave", "shared", "slave", "shared", "slave", "shared");
	is_int(mount_words_parse(&bad, &w, &err), -EINVAL);
	return tap_done();
}
