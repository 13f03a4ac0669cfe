/* SPDX-License-Identifier: Apache-2.0 */
/* amphi spec: a config.json to begin with. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "oci/config_default.h"
#include "runtime/commands.h"

struct spec_options {
	const char *bundle, *config;
	bool rootless;
};

static const struct option_def spec_defs[] = {
	OPTION_STRING("bundle", 'b', struct spec_options, bundle, "DIR", "directory to write into (default .)"),
	OPTION_STRING("config", 'f', struct spec_options, config, "FILE", "file to write instead; - is stdout"),
	OPTION_FLAG("rootless", 0, struct spec_options, rootless, "for a caller without privileges"),
	OPTION_END,
};

static int spec_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct spec_options o = { .bundle = "." };
	cleanup_free char *path = NULL, *text = NULL;
	cleanup_fd int fd = -1;
	int r, i = commands_options(self, &o, argc, argv, 0, 0, err);

	(void)g;
	if (i < 0)
		return commands_end(i);
	/* as runc: below v1 hierarchies the container's cgroup paths are the host's */
	text = oci_config_default(o.rootless, cgroup_mode() == CGROUP_MODE_V2, geteuid(), getegid());
	if (o.config && !strcmp(o.config, "-"))
		return commands_print(text, err);
	path = o.config ? xstrdup(o.config) : path_join(o.bundle, "config.json");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return err_set(err, EEXIST, "File %s exists. Remove it first", o.config ? o.config : "config.json");
	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	r = fd_write_all(fd, text, strlen(text));
	return r < 0 ? err_sys(err, r, "%s", path) : 0;
}

const struct command cmd_spec = {
	.name = "spec",
	.main = spec_main,
	.options = spec_defs,
	.synopsis = "[OPTIONS]",
	.help = "write a default config.json",
};
