/* SPDX-License-Identifier: Apache-2.0 */
/* The image commands: handed over to amphi-images. */
/*
 * Theory of operation: amphi stays free of TLS, curl and archive code, so the store is a program of its own, found
 * beside our binary, in ../libexec/amphi or in $AMPHI_LIBEXEC. People's commands replace this process by it; `run
 * --image` runs it as a child and reads the bundle's path from its output. The contract is images/images.h.
 */
#include "runtime/cmd_images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/path.h"
#include "base/str.h"
#include "container/selfexe.h"
#include "images/images.h"
#include "runtime/commands.h"

/* The program's path, owned; NULL with *err. */
static char *find_program(struct err *err)
{
	static const char *const places[] = { "", "../libexec/amphi/" };
	const char *env = getenv("AMPHI_LIBEXEC"), *self = selfexe_path();
	char buf[4096];
	ssize_t n;
	char *slash;

	if (!str_empty(env)) {
		char *path = path_join(env, IMAGES_PROGRAM);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	if (!self) {
		n = readlink("/proc/self/exe", buf, sizeof(buf) - 1);
		buf[n > 0 ? n : 0] = '\0';
	} else {
		snprintf(buf, sizeof(buf), "%s", self);
	}
	slash = strrchr(buf, '/');
	for (size_t i = 0; slash && i < ARRAY_SIZE(places); i++) {
		char *path = xasprintf("%.*s/%s%s", (int)(slash - buf), buf, places[i], IMAGES_PROGRAM);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	err_set(err, -ENOENT, "%s: not found beside amphi, in ../libexec/amphi or in $AMPHI_LIBEXEC", IMAGES_PROGRAM);
	return NULL;
}

static int images_exec(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	cleanup_free char *path = find_program(err);
	cleanup_free char **words = xcalloc((size_t)argc + 3, sizeof(*words));
	size_t n = 0;

	if (!path)
		return err->code;
	words[n++] = (char *)IMAGES_PROGRAM;
	if (g->debug)
		words[n++] = (char *)"--debug";
	for (int i = 0; i < argc; i++)
		words[n++] = argv[i];
	execv(path, words);
	return err_sys(err, -errno, "%s", path);
}

/* Runs the program to its end; its error line becomes ours. */
static int run_program(char **words, struct child_io *io, struct err *err)
{
	bool terminal = isatty(2);
	char *end;
	int r;

	io->want_err = !terminal; /* on a terminal its progress is shown as it comes */
	r = child_run(words, io, err);
	if (r > 0 && terminal) {
		r = err_set(err, -EIO, "%s failed", IMAGES_PROGRAM);
	} else if (r > 0) {
		/* the last line is the error; others were progress */
		end = io->errout ? io->errout + strlen(io->errout) : NULL;
		while (end && end > io->errout && end[-1] == '\n')
			*--end = '\0';
		end = end ? strrchr(io->errout, '\n') : NULL;
		end = end ? end + 1 : io->errout;
		if (end && str_starts(end, IMAGES_PROGRAM ": "))
			end += strlen(IMAGES_PROGRAM ": ");
		r = err_set(err, -EIO, "%s", !str_empty(end) ? end : IMAGES_PROGRAM " failed");
	}
	free(steal_ptr(io->errout));
	return r;
}

int cmd_images_prepare(const char *const *args, char **ret_bundle, struct err *err)
{
	cleanup_free char *path = find_program(err);
	struct child_io io = { .want_out = 1 };
	cleanup_strv char **words = NULL;
	int r;

	if (!path)
		return err->code;
	strv_add(&words, path);
	strv_add(&words, IMAGES_PREPARE);
	for (; *args; args++)
		strv_add(&words, *args);
	r = run_program(words, &io, err);
	if (r >= 0 && io.out) {
		io.out[strcspn(io.out, "\n")] = '\0';
		if (*io.out == '/')
			*ret_bundle = steal_ptr(io.out);
		else
			r = err_set(err, -EIO, "%s: no bundle", IMAGES_PROGRAM);
	}
	free(io.out);
	return r;
}

int cmd_images_release(const char *bundle, struct err *err)
{
	cleanup_free char *path = find_program(err);
	struct child_io io = { 0 };
	char *words[] = { path, (char *)IMAGES_RELEASE, (char *)(uintptr_t)bundle, NULL };

	return path ? run_program(words, &io, err) : err->code;
}

/* The store that amphi-images would take. */
static char *default_store(void)
{
	const char *env = getenv(IMAGES_STORE_ENV), *home = getenv("HOME"), *data = getenv("XDG_DATA_HOME");

	if (!str_empty(env))
		return xstrdup(env);
	if (geteuid() == 0)
		return xstrdup(IMAGES_STORE_DEFAULT);
	return !str_empty(data) ? path_join(data, "amphi") :
				  path_join(str_empty(home) ? "/tmp" : home, ".local/share/amphi");
}

int cmd_images_forget(const char *id, const char *statedir, struct err *err)
{
	cleanup_free char *store = default_store();
	cleanup_free char *bundle = xasprintf("%s/containers/%s", store, id), *path = NULL;
	struct child_io io = { 0 };

	if (access(bundle, F_OK) < 0)
		return 0;
	path = find_program(err);
	char *words[] = { path,
			  (char *)IMAGES_RELEASE,
			  (char *)"--store",
			  store,
			  (char *)"--owner",
			  (char *)(uintptr_t)statedir,
			  bundle,
			  NULL };

	return path ? run_program(words, &io, err) : err->code;
}

#define IMAGES_COMMAND(n, s, h) \
	const struct command cmd_##n = { .name = #n, .main = images_exec, .synopsis = s, .help = h }

IMAGES_COMMAND(pull, "[OPTIONS] IMAGE...", "fetch images from a registry");
IMAGES_COMMAND(push, "[OPTIONS] IMAGE [DESTINATION]", "send an image to a registry");
IMAGES_COMMAND(images, "[OPTIONS]", "list images");
IMAGES_COMMAND(inspect, "[OPTIONS] IMAGE", "print an image's manifest and configuration");
IMAGES_COMMAND(tag, "IMAGE NAME", "give an image another name");
IMAGES_COMMAND(rmi, "[OPTIONS] IMAGE...", "remove images");
IMAGES_COMMAND(import, "[OPTIONS] [FORM:]PATH", "bring an archive, a layout or a root file system into the store");
IMAGES_COMMAND(export, "[OPTIONS] -o PATH IMAGE...", "write images to an archive or a layout");
IMAGES_COMMAND(bundle, "[OPTIONS] IMAGE DIR [COMMAND...]", "make a bundle of an image");
IMAGES_COMMAND(prune, "[OPTIONS]", "remove what no image or container needs");
IMAGES_COMMAND(commit, "[OPTIONS] CONTAINER NAME", "make an image of a container and its changes");
IMAGES_COMMAND(fsck, "[OPTIONS]", "verify blobs and layers");
