/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: programs of the administrator or the engine, run at six moments of a container's life.
 *
 * Which process runs them decides the namespaces: prestart, createRuntime, poststart and poststop are called by the runtime,
 * createContainer by the child before pivot_root (its path is the host's, its namespaces are the container's),
 * startContainer by the child inside its root. Here only: argv as written, state on stdin, time limit, and an error text
 * with what the hook said.
 */
#include "container/hook.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

static void chomp(char *s)
{
	size_t n = s ? strlen(s) : 0;

	while (n && (s[n - 1] == '\n' || s[n - 1] == '\r'))
		s[--n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (s[i] == '\n')
			s[i] = ' ';
}

/* " (signal: bad system call)" behind what a shell would make of a death by signal. */
static void signal_words(int status, struct str *out)
{
	const char *s = status > 128 ? sigdescr_np(status - 128) : NULL;

	if (s && *s)
		str_addf(out, " (signal: %c%s)", tolower((unsigned char)*s), s + 1);
}

static int open_output(const char *key, const char *path, int *ret, struct err *err)
{
	int fd;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0700);
	if (fd < 0)
		return err_sys(err, -errno, "annotations[run.oci.hooks.%s]: open %s", key, path);
	(void)fd_set_nonblock(fd, false);
	*ret = fd;
	return 0;
}

int hook_open_output(const struct oci_config *config, struct hook_output *ret, struct err *err)
{
	int r = open_output("stdout", config->hooks_stdout, &ret->out, err);

	if (!r)
		r = open_output("stderr", config->hooks_stderr, &ret->err, err);
	if (r < 0)
		hook_close_output(ret);
	return r;
}

void hook_close_output(struct hook_output *o)
{
	if (o->out >= 0)
		close(o->out);
	if (o->err >= 0)
		close(o->err);
	*o = HOOK_OUTPUT_INIT;
}

static int run_one(const struct oci_hook *h, const char *kind, size_t index, const char *state_json, char *const *env,
		   const struct hook_output *output, struct err *err)
{
	char *only_path[] = { h->path, NULL };
	struct child_io io = {
		.in = state_json ? state_json : "",
		.in_len = state_json ? strlen(state_json) : 0,
		.want_out = output->out < 0,
		.want_err = output->err < 0,
		.out_fd = output->out,
		.err_fd = output->err,
		.timeout_ms = h->has_timeout ? (int)(h->timeout > 2000000 ? 2000000 : h->timeout) * 1000 : 0,
		.env = h->env ? h->env : env, /* neither: ours */
		.path = h->path,
	};
	int r;

	cleanup_str struct str how = { 0 };

	r = child_run(h->args && h->args[0] ? h->args : only_path, &io, err);
	signal_words(r, &how);
	chomp(io.out);
	chomp(io.errout);
	if (r == -ETIMEDOUT)
		err_set(err, r, "error running %s hook #%zu: %s: timed out after %u s", kind, index, h->path,
			h->timeout);
	else if (r < 0)
		err_wrap(err, "error running %s hook #%zu", kind, index);
	else if (r > 0)
		r = err_set(err, EIO, "error running %s hook #%zu: exit status %d%s, stdout: %s, stderr: %s", kind,
			    index, r, str_get(&how), io.out ? io.out : "", io.errout ? io.errout : "");
	else if (io.errout && *io.errout)
		log_debug("hook: %s: %s", h->path, io.errout);
	free(io.out);
	free(io.errout);
	return r;
}

int hook_run_env(const struct oci_config *config, enum oci_hook_kind kind, const char *state_json, char *const *env,
		 const struct hook_output *output, struct err *err)
{
	const struct oci_hook_list *l = &config->hooks[kind];

	for (size_t i = 0; i < l->n; i++) {
		int r = run_one(&l->v[i], oci_hook_word(kind), i, state_json, env, output, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int hook_run(const struct oci_config *config, enum oci_hook_kind kind, const char *state_json, struct err *err)
{
	struct hook_output output = HOOK_OUTPUT_INIT;
	int r = hook_any(config, kind) ? hook_open_output(config, &output, err) : 0;

	if (!r)
		r = hook_run_env(config, kind, state_json, NULL, &output, err);
	hook_close_output(&output);
	return r;
}

void hook_run_all(const struct oci_config *config, enum oci_hook_kind kind, const char *state_json)
{
	const struct oci_hook_list *l = &config->hooks[kind];
	struct hook_output output = HOOK_OUTPUT_INIT;
	struct err err = { 0 };

	if (l->n && hook_open_output(config, &output, &err) < 0)
		log_warn("%s", err.msg);
	for (size_t i = 0; i < l->n; i++) {
		err.code = 0;
		if (run_one(&l->v[i], oci_hook_word(kind), i, state_json, NULL, &output, &err) < 0)
			log_warn("%s", err.msg);
	}
	hook_close_output(&output);
}
