/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system part of the machine's configuration. Pure: looks at the document alone. A path names a bind mount by its
 * destination, exactly as config.json has it or the same path written differently; the last mount on a path is meant.
 */
#include "vm/vm_config_fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/config.h"
#include "vm/virtio_fs.h"

#define CACHE "annotations[\"amphi.vm.cache\"]"
#define LOCKS "annotations[\"amphi.vm.locks\"]"

static int cache_word(const char *word, int *ret, struct err *err)
{
	enum virtio_fs_cache cache;

	if (virtio_fs_cache_parse(word, &cache) < 0)
		return err_set(err, EINVAL, CACHE ": expected none, auto or always, found \"%s\"", word);
	*ret = (int)cache;
	return 0;
}

static int find_mount(const struct oci_config *config, const char *path, size_t *ret, struct err *err)
{
	cleanup_free char *want = path_clean(path);

	if (!strcmp(want, "/")) {
		*ret = VM_CONFIG_FS_ROOT;
		return 0;
	}
	for (size_t i = config->n_mounts; i--;) {
		cleanup_free char *have = path_clean(config->mounts[i].destination);

		if (strcmp(want, have))
			continue;
		if (!oci_mount_is_bind(&config->mounts[i]))
			return err_set(err, EINVAL, CACHE ": %s is no bind mount", path);
		*ret = i;
		return 0;
	}
	return err_set(err, EINVAL, CACHE ": nothing is mounted on %s", path);
}

static int parse_cache(const struct oci_config *config, const char *value, struct vm_config_fs *fs, struct err *err)
{
	cleanup_strv char **words = strv_split(value, ',');
	int r = 0;

	for (size_t i = 0; words && words[i] && r >= 0; i++) {
		char *eq = strrchr(words[i], '=');
		struct vm_config_fs_tree *t;

		if (!eq) {
			r = cache_word(words[i], &fs->cache, err);
			continue;
		}
		*eq = 0;
		fs->trees = xrealloc(fs->trees, (fs->n_trees + 1) * sizeof(*fs->trees));
		t = &fs->trees[fs->n_trees++];
		r = find_mount(config, words[i], &t->mount, err);
		if (r >= 0)
			r = cache_word(eq + 1, &t->cache, err);
	}
	return r;
}

/* Is this a mount whose files others may use at the same time? */
static bool is_volume(const struct oci_mount *m)
{
	static const char *const own[] = { "/etc/resolv.conf", "/etc/hostname",
					   "/etc/hosts",       "/run/.containerenv",
					   "/run/secrets",     "/dev/termination-log",
					   "/dev/shm" };
	bool ro = false;

	if (!oci_mount_is_bind(m))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (!strcmp(m->destination, own[i]))
			return false;
	for (char **o = m->options; o && *o; o++)
		ro = !strcmp(*o, "ro") || !strcmp(*o, "rro") || (ro && strcmp(*o, "rw"));
	return !ro;
}

static bool shared_by_default(const struct oci_config *config)
{
	if (oci_annotation(config, "io.kubernetes.cri.container-type") ||
	    oci_annotation(config, "io.kubernetes.cri-o.ContainerType"))
		return true;
	for (size_t i = 0; i < config->n_mounts; i++)
		if (is_volume(&config->mounts[i]))
			return true;
	return false;
}

int vm_config_fs_from_oci(const struct oci_config *config, struct vm_config_fs *ret, struct err *err)
{
	const char *cache = oci_annotation(config, "amphi.vm.cache"), *locks = oci_annotation(config, "amphi.vm.locks");
	struct vm_config_fs fs = { .cache = VIRTIO_FS_CACHE_AUTO };
	int r = cache ? parse_cache(config, cache, &fs, err) : 0;

	if (r >= 0 && locks && strcmp(locks, "local") && strcmp(locks, "shared") && strcmp(locks, "auto"))
		r = err_set(err, EINVAL, LOCKS ": expected local, shared or auto, found \"%s\"", locks);
	if (r < 0) {
		vm_config_fs_free(&fs);
		return r;
	}
	fs.shared_locks = !locks || !strcmp(locks, "auto") ? shared_by_default(config) : !strcmp(locks, "shared");
	*ret = fs;
	return 0;
}

void vm_config_fs_free(struct vm_config_fs *fs)
{
	free(fs->trees);
	*fs = (struct vm_config_fs){ 0 };
}
