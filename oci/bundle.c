/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a bundle: the directory, its config.json, the root filesystem it names. */
/*
 * The bundle and its document are the caller's and trusted; the rootfs is not, so only its own path is resolved
 * here (realpath, as every engine expects it in state) and nothing below it is looked at. Relative sources of
 * bind mounts are resolved against the bundle (runtime-spec config.md#mounts). runtime-spec bundle.md.
 */
#include "oci/bundle.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"

#define CONFIG_MAX (16 * 1024 * 1024)

static int resolve_rootfs(struct oci_bundle *b, struct err *err)
{
	struct stat st;

	if (!b->config->has_root)
		return 0;
	cleanup_free char *joined =
		*b->config->root.path == '/' ? xstrdup(b->config->root.path) : path_join(b->path, b->config->root.path);

	b->rootfs = realpath(joined, NULL);
	if (!b->rootfs && errno == ENOENT)
		return err_set(err, -ENOENT, "root.path: rootfs (%s) does not exist", joined);
	if (!b->rootfs)
		return err_sys(err, -errno, "root.path: %s", joined);
	if (stat(b->rootfs, &st) < 0)
		return err_sys(err, -errno, "root.path: %s", joined);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "root.path: %s: not a directory", joined);
	return 0;
}

static void resolve_sources(struct oci_bundle *b)
{
	for (size_t i = 0; i < b->config->n_mounts; i++) {
		struct oci_mount *m = &b->config->mounts[i];

		if (oci_mount_is_bind(m) && *m->source != '/') {
			char *abs = path_join(b->path, m->source);

			free(m->source);
			m->source = abs;
		}
	}
}

static int load(struct oci_bundle *b, const char *dir, const char *config_file, struct err *err)
{
	int r;

	b->path = realpath(dir, NULL);
	if (!b->path)
		return err_sys(err, -errno, "bundle %s", dir);
	b->config_path = config_file ? path_abs(config_file) : path_join(b->path, "config.json");
	if (!b->config_path)
		return err_sys(err, -errno, "%s", config_file);
	r = fd_slurp_at(AT_FDCWD, b->config_path, CONFIG_MAX, &b->json, &b->json_len);
	if (r == -ENOENT)
		return err_set(err, r, "JSON specification file %s not found", b->config_path);
	if (r < 0)
		return err_sys(err, r, "%s", b->config_path);
	r = oci_config_parse(b->json, b->json_len, &b->config, err);
	if (r < 0)
		return err_wrap(err, "%s", b->config_path);
	resolve_sources(b);
	return resolve_rootfs(b, err);
}

int oci_bundle_load(const char *dir, const char *config_file, struct oci_bundle **ret, struct err *err)
{
	struct oci_bundle *b = xcalloc(1, sizeof(*b));
	int r = load(b, dir, config_file, err);

	if (r < 0) {
		oci_bundle_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

void oci_bundle_free(struct oci_bundle *b)
{
	if (!b)
		return;
	free(b->path);
	free(b->config_path);
	free(b->rootfs);
	free(b->json);
	oci_config_free(b->config);
	free(b);
}
