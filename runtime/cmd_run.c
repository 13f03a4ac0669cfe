/* SPDX-License-Identifier: Apache-2.0 */
/* amphi run: create and start; in the foreground also wait and delete. */
/*
 * Theory of operation: launch.c brings it up and waits. With --image amphi-images makes the bundle (its root mounted) before create; the image step of the undo column, or
 * run itself when create did not get that far, gives it back.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/path.h"
#include "container/selfexe.h"
#include "oci/config.h"
#include "runtime/cmd_images.h"
#include "runtime/commands.h"
#include "runtime/createopts.h"
#include "runtime/launch.h"
#include "runtime/sandbox.h"
#include "runtime/steps.h"

/* createopts first: its rows of the table count from the beginning. */
struct runopts {
	struct createopts create;
	const char *image, *pull, *platform, *user, *workdir, *cpus, *pids_limit;
	char **entrypoint, **env, **volumes, **cap_add, **cap_drop, **annotations, **uidmap, **gidmap;
	bool terminal, readonly, privileged, insecure;
};

static const struct option_def run_defs[] = {
	CREATEOPTS_COMMON,
	OPTION_FLAG("detach", 'd', struct createopts, detach, "return once the container runs"),
	OPTION_FLAG("keep", 0, struct createopts, keep, "do not delete the container when it ended"),
	OPTION_FLAG("no-subreaper", 0, struct createopts, no_subreaper, "do not adopt the container's orphans"),
	OPTION_STRING("image", 0, struct runopts, image, "NAME",
		      "of an image instead of a bundle; COMMAND may follow ID"),
	OPTION_STRING("pull", 0, struct runopts, pull, "WHEN", "image: fetch it when missing, never or always"),
	OPTION_STRING("platform", 0, struct runopts, platform, "OS/ARCH", "image: choose from an index"),
	OPTION_FLAG("insecure", 0, struct runopts, insecure, "image: plain HTTP, or unchecked certificates"),
	OPTION_STRV("entrypoint", 0, struct runopts, entrypoint, "WORD", "image: replace the entrypoint (repeatable)"),
	OPTION_STRV("env", 'e', struct runopts, env, "NAME=VALUE", "image: environment (repeatable)"),
	OPTION_STRING("user", 'u', struct runopts, user, "USER[:GROUP]", "image: user"),
	OPTION_STRING("workdir", 'w', struct runopts, workdir, "DIR", "image: working directory"),
	OPTION_FLAG("terminal", 't', struct runopts, terminal, "image: with a terminal"),
	OPTION_STRV("volume", 'v', struct runopts, volumes, "SRC:DST[:OPTIONS]", "image: bind mount (repeatable)"),
	OPTION_STRV("uidmap", 0, struct runopts, uidmap, "CONTAINER:HOST:SIZE",
		    "image: user namespace, user ids (repeatable)"),
	OPTION_STRV("gidmap", 0, struct runopts, gidmap, "CONTAINER:HOST:SIZE",
		    "image: the same for groups; default as the other"),
	OPTION_FLAG("read-only", 0, struct runopts, readonly, "image: read-only root"),
	OPTION_FLAG("privileged", 0, struct runopts, privileged, "image: all capabilities and devices, nothing masked"),
	OPTION_STRV("cap-add", 0, struct runopts, cap_add, "CAP", "image: add a capability"),
	OPTION_STRV("cap-drop", 0, struct runopts, cap_drop, "CAP", "image: drop a capability, or all"),
	OPTION_STRV("annotation", 0, struct runopts, annotations, "KEY=VALUE", "image: annotation (repeatable)"),
	OPTION_STRING("cpus", 0, struct runopts, cpus, "N", "image: processors' worth of time"),
	OPTION_STRING("pids-limit", 0, struct runopts, pids_limit, "N", "image: most processes"),
	OPTION_END,
};

static void runopts_free(struct runopts *o)
{
	createopts_free(&o->create);
	strv_free(o->entrypoint);
	strv_free(o->env);
	strv_free(o->volumes);
	strv_free(o->cap_add);
	strv_free(o->cap_drop);
	strv_free(o->annotations);
	strv_free(o->uidmap);
	strv_free(o->gidmap);
}

static void run_word(char ***words, const char *option, const char *value)
{
	if (value) {
		strv_add(words, option);
		strv_add(words, value);
	}
}

static void run_words(char ***words, const char *option, char *const *values)
{
	for (size_t i = 0; i < strv_len(values); i++)
		run_word(words, option, values[i]);
}

/* The image options that need --image; the first one given without it, or NULL. */
static const char *run_stray(const struct runopts *o)
{
	const struct {
		const char *name;
		bool given;
	} all[] = {
		{ "pull", o->pull },
		{ "platform", o->platform },
		{ "insecure", o->insecure },
		{ "entrypoint", o->entrypoint },
		{ "env", o->env },
		{ "user", o->user },
		{ "workdir", o->workdir },
		{ "terminal", o->terminal },
		{ "volume", o->volumes },
		{ "read-only", o->readonly },
		{ "privileged", o->privileged },
		{ "cap-add", o->cap_add },
		{ "cap-drop", o->cap_drop },
		{ "annotation", o->annotations },
		{ "cpus", o->cpus },
		{ "pids-limit", o->pids_limit },
		{ "uidmap", o->uidmap },
		{ "gidmap", o->gidmap },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].given)
			return all[i].name;
	return NULL;
}

/* amphi-images makes the bundle; *ret is its path. */
static int run_image(const struct globals *g, const struct runopts *o, const char *id, char *const *command, char **ret,
		     struct err *err)
{
	cleanup_free char *owner = path_join(g->root, id);
	cleanup_strv char **words = NULL;

	run_word(&words, "--id", id);
	run_word(&words, "--owner", owner);
	run_word(&words, "--pull", o->pull);
	run_word(&words, "--platform", o->platform);
	run_word(&words, "--user", o->user);
	run_word(&words, "--workdir", o->workdir);
	run_word(&words, "--hostname", o->create.hostname);
	run_word(&words, "--memory", o->create.memory);
	run_word(&words, "--cpus", o->cpus);
	run_word(&words, "--pids-limit", o->pids_limit);
	run_words(&words, "--entrypoint", o->entrypoint);
	run_words(&words, "--env", o->env);
	run_words(&words, "--volume", o->volumes);
	run_words(&words, "--uidmap", o->uidmap);
	run_words(&words, "--gidmap", o->gidmap);
	run_words(&words, "--cap-add", o->cap_add);
	run_words(&words, "--cap-drop", o->cap_drop);
	run_words(&words, "--annotation", o->annotations);
	if (o->terminal)
		strv_add(&words, "--terminal");
	if (o->readonly)
		strv_add(&words, "--read-only");
	if (o->privileged)
		strv_add(&words, "--privileged");
	if (o->insecure)
		strv_add(&words, "--insecure");
	strv_add(&words, "--");
	strv_add(&words, o->image);
	for (; *command; command++)
		strv_add(&words, *command);
	return cmd_images_prepare((const char *const *)words, ret, err);
}

static int run_main(const struct globals *globals, const struct command *self, int argc, char **argv, struct err *err)
{
	CLEANUP(runopts_free) struct runopts o = { 0 };
	cleanup_free char *bundle = NULL;
	struct create_request req;
	struct globals g;
	int r, i = commands_options(self, &o, argc, argv, 1, -1, err);

	if (i < 0)
		return commands_end(i);
	if (!o.image && argc > i + 1)
		return err_set(err, EINVAL, "\"%s\": a command needs --image (a bundle has its own)", argv[i + 1]);
	if (!o.image && run_stray(&o))
		return err_set(err, EINVAL, "option --%s needs --image", run_stray(&o));
	if (o.image && (o.create.bundle || o.create.config))
		return err_set(err, EINVAL, "option --image: not together with --%s",
			       o.create.bundle ? "bundle" : "config");
	r = createopts_globals(&o.create, globals, &g, err);
	if (!r)
		r = createopts_request(&o.create, argv[i], &req, err);
	if (r < 0)
		return r;
	req.starts = true;
	if (req.dry_run && o.image)
		return err_set(err, EINVAL, "option --dry-run: not with --image, which makes the bundle first");
	if (req.dry_run) {
		cleanup_free char *text = NULL;

		r = sandbox_dry_run(&g, &req, &text, err);
		return r < 0 ? r : commands_print(text, err);
	}
	r = selfexe_protect(g.argv, err);
	if (r < 0)
		return r;
	if (o.image) {
		r = statedir_check_id(argv[i], err);
		if (!r)
			r = run_image(&g, &o, argv[i], argv + i + 1, &bundle, err);
		if (r < 0)
			return r;
		steps_stop_at("image");
		req.bundle = bundle;
		req.image = bundle;
	}
	return launch_run(&g, &req, !o.create.no_subreaper, err);
}

const struct command cmd_run = {
	.name = "run",
	.main = run_main,
	.options = run_defs,
	.mode = OPTIONS_STOP,
	.synopsis = "[OPTIONS] ID | --image NAME [OPTIONS] ID [COMMAND...]",
	.help = "create and start a container; wait for it unless detached",
};
