/* SPDX-License-Identifier: Apache-2.0 */
/* amphi restore: a container from criu's images. */
/*
 * Theory of operation: the steps of create with another way to make the process (container/criu_restore.c): the
 * cgroup, hooks and networks of the config are made anew, then criu fills the first process. It runs at once; there is no
 * start. In the foreground it is waited for and deleted as by run.
 */
#include "container/selfexe.h"
#include "runtime/attach.h"
#include "runtime/commands.h"
#include "runtime/createopts.h"
#include "runtime/criuopts.h"
#include "runtime/launch.h"

struct restore_options {
	struct createopts create;
	struct criuopts criu;
};

static const struct option_def restore_defs[] = {
	OPTION_STRING("bundle", 'b', struct restore_options, create.bundle, "DIR", "bundle directory (default .)"),
	OPTION_STRING("config", 'f', struct restore_options, create.config, "FILE",
		      "configuration (default BUNDLE/config.json)"),
	OPTION_STRING("console-socket", 0, struct restore_options, create.console_socket, "SOCKET",
		      "unix socket that receives the terminal's master"),
	OPTION_STRING("pid-file", 0, struct restore_options, create.pid_file, "FILE", "write the process id to FILE"),
	OPTION_STRING("pidfd-socket", 0, struct restore_options, create.pidfd_socket, "SOCKET",
		      "unix socket that receives a pidfd of the process"),
	OPTION_FLAG("detach", 'd', struct restore_options, create.detach, "return once the container runs"),
	OPTION_FLAG("keep", 0, struct restore_options, create.keep, "do not delete the container when it ended"),
	OPTION_FLAG("no-subreaper", 0, struct restore_options, create.no_subreaper,
		    "do not adopt the container's orphans"),
	OPTION_NOTHING("no-pivot", "accepted; criu enters the root in its own way"),
	OPTION_STRV("network", 0, struct restore_options, create.networks, "NAME", "as the container was created with"),
	OPTION_STRV("publish", 'p', struct restore_options, create.publish, "PORTS",
		    "[HOST:]PORT:PORT[/PROTO] (repeatable)"),
	OPTION_STRING("cni-config", 0, struct restore_options, create.cni_config, "FILE",
		      "attach by the CNI plugins of a conflist"),
	CRIUOPTS_COMMON(struct restore_options, criu),
	OPTION_STRING("lsm-profile", 0, struct restore_options, criu.lsm_profile, "TYPE:NAME",
		      "another profile or label for the processes (apparmor:…, selinux:…)"),
	OPTION_STRING("lsm-mount-context", 0, struct restore_options, criu.lsm_mount_context, "CONTEXT",
		      "another SELinux context for mounts"),
	OPTION_END,
};

static int restore_container(const struct globals *g, const struct restore_options *o, const char *id, struct err *err)
{
	CLEANUP(criuopts_close) struct criu_options c = CRIU_OPTIONS_INIT;
	struct create_request req;
	int r = createopts_request(&o->create, id, &req, err);

	if (!r)
		r = criuopts_open(&o->criu, false, &c, err);
	if (r < 0)
		return r;
	if (attach_owns_links(req.networks) || req.cni_config)
		c.empty_net = true;
	req.restore = &c;
	return launch_run(g, &req, !o->create.no_subreaper, err);
}

static int restore_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct restore_options o = { 0 };
	int r, i = commands_options(self, &o, argc, argv, 1, 1, err);

	r = i < 0 ? commands_end(i) : selfexe_protect(g->argv, err);
	if (i >= 0 && r == 0)
		r = criu_unshare_mounts(err);
	if (i >= 0 && r == 0)
		r = restore_container(g, &o, argv[i], err);
	createopts_free(&o.create);
	criuopts_free(&o.criu);
	return r;
}

const struct command cmd_restore = {
	.name = "restore",
	.main = restore_main,
	.options = restore_defs,
	.synopsis = "[OPTIONS] ID",
	.help = "run a container from images of checkpoint (criu)",
};
