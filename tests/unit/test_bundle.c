/* SPDX-License-Identifier: Apache-2.0 */
/* oci/bundle: paths resolved, missing parts named. */
#include "oci/bundle.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/str.h"
#include "tests/unit/tap.h"

static void config(int dir, const char *rest)
{
	cleanup_free char *text =
		xasprintf("{\"ociVersion\":\"1.0.2\",\"process\":{\"cwd\":\"/\",\"args\":[\"x\"]}%s}", rest);

	is_int(path_write_atomic(dir, "config.json", text, strlen(text), 0644), 0);
}

int main(void)
{
	char tmp[] = "/tmp/amphi-bundle-XXXXXX";
	cleanup_fd int dir = mkdtemp(tmp) ? open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	cleanup_free char *real = realpath(tmp, NULL), *rootfs = path_join(real, "rootfs"),
			  *vol = path_join(real, "vol");
	struct oci_bundle *b = NULL;
	struct err err = { 0 };

	need(dir >= 0);
	is_int(oci_bundle_load(tmp, NULL, &b, &err), -ENOENT);
	has_str(err.msg, "JSON specification file");
	has_str(err.msg, "config.json not found");
	config(dir, ",\"root\":{\"path\":\"rootfs\"}");
	is_int(oci_bundle_load(tmp, NULL, &b, &err), -ENOENT);
	has_str(err.msg, "root.path: rootfs (");
	is_int(mkdirat(dir, "rootfs", 0755), 0);
	config(dir,
	       ",\"root\":{\"path\":\"rootfs\"},\"mounts\":[{\"destination\":\"/"
	       "v\",\"source\":\"vol\",\"options\":[\"bind\"]},"
	       "{\"destination\":\"/t\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}]");
	is_int(oci_bundle_load(tmp, NULL, &b, &err), 0);
	need(b);
	is_str(b->rootfs, rootfs);
	is_str(b->path, real);
	is_str(b->config->mounts[0].source, vol);
	is_str(b->config->mounts[1].source, "tmpfs");
	ok(b->json_len == strlen(b->json));
	oci_bundle_free(b);
	config(dir, ",\"root\":{\"path\":\"config.json\"}");
	is_int(oci_bundle_load(tmp, NULL, &b, &err), -ENOTDIR);
	config(dir, ",\"root\":{\"path\":1}");
	is_int(oci_bundle_load(tmp, NULL, &b, &err), -EINVAL);
	has_str(err.msg, "config.json: root.path: expected a string");
	is_int(oci_bundle_load("/nonexistent/bundle", NULL, &b, &err), -ENOENT);
	has_str(err.msg, "bundle /nonexistent/bundle");
	path_remove_tree(AT_FDCWD, tmp, true);
	return tap_done();
}
