/* SPDX-License-Identifier: Apache-2.0 */
/* amphi exec: a further process in a running container. */
/*
 * Theory of operation: the process is --process, or the container's own with the options laid over it. It exists and
 * has exec'd when the back end returns, so the pid file is written after that and never for a failure (engines tell
 * the two by it). In the foreground exit codes are the command's; failures of ours give 255.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "container/selfexe.h"
#include "container/tty.h"
#include "oci/config.h"
#include "runtime/commands.h"
#include "runtime/sandbox.h"
#include "runtime/steps.h"
#include "runtime/supervise.h"

#define PROCESS_MAX (64U << 20)

struct exec_options {
	const char *process, *pid_file, *console_socket, *pidfd_socket, *user, *cwd, *label, *apparmor;
	char **env, **gids, **caps, **cgroups;
	uint32_t preserve_fds;
	bool detach, tty, no_new_privs, ignore_paused, no_subreaper;
};

static const struct option_def exec_defs[] = {
	OPTION_STRING("process", 'p', struct exec_options, process, "FILE", "process document (process.json)"),
	OPTION_STRING("pid-file", 0, struct exec_options, pid_file, "FILE", "write the process id to FILE"),
	OPTION_FLAG("detach", 'd', struct exec_options, detach, "return once the process runs"),
	OPTION_STRING("console-socket", 0, struct exec_options, console_socket, "SOCKET",
		      "unix socket that receives the terminal's master"),
	OPTION_STRING("pidfd-socket", 0, struct exec_options, pidfd_socket, "SOCKET",
		      "unix socket that receives a pidfd of the process"),
	OPTION_FLAG("tty", 't', struct exec_options, tty, "give the process a terminal"),
	OPTION_STRING("user", 'u', struct exec_options, user, "UID[:GID]", "user and group, by number"),
	OPTION_STRV("additional-gids", 'g', struct exec_options, gids, "GID", "further group (repeatable)"),
	OPTION_STRING("cwd", 0, struct exec_options, cwd, "DIR", "working directory"),
	OPTION_STRV("env", 'e', struct exec_options, env, "NAME=VALUE", "environment variable (repeatable)"),
	OPTION_STRV("cap", 'c', struct exec_options, caps, "CAP", "further capability (repeatable)"),
	OPTION_FLAG("no-new-privs", 0, struct exec_options, no_new_privs, "set no_new_privs"),
	OPTION_STRING("process-label", 0, struct exec_options, label, "LABEL", "SELinux label"),
	OPTION_STRING("apparmor", 0, struct exec_options, apparmor, "PROFILE", "AppArmor profile"),
	OPTION_U32("preserve-fds", 0, struct exec_options, preserve_fds, "N", "pass descriptors 3 to 3+N-1"),
	OPTION_STRV("cgroup", 0, struct exec_options, cgroups, "[CONTROLLER:]PATH",
		    "sub-cgroup of the container (repeatable)"),
	OPTION_FLAG("ignore-paused", 0, struct exec_options, ignore_paused, "allow exec in a paused container"),
	OPTION_FLAG("no-subreaper", 0, struct exec_options, no_subreaper, "do not adopt orphans"),
	OPTION_END,
};

static void exec_options_free(struct exec_options *o)
{
	strv_free(o->env);
	strv_free(o->gids);
	strv_free(o->caps);
	strv_free(o->cgroups);
}

static void set_string(char **member, const char *value)
{
	free(*member);
	*member = xstrdup(value);
}

static int exec_user(const char *text, struct oci_user *u, struct err *err)
{
	cleanup_free char *copy = xstrdup(text);
	char *colon = strchr(copy, ':');

	if (colon)
		*colon++ = 0;
	if (parse_u32(copy, &u->uid) < 0)
		return err_set(err, EINVAL,
			       "option --user: parsing %s as int for uid failed (names belong to the engine)", copy);
	if (colon && parse_u32(colon, &u->gid) < 0)
		return err_set(err, EINVAL,
			       "option --user: parsing %s as int for gid failed (names belong to the engine)", colon);
	return 0;
}

static int exec_gids(char *const *gids, struct oci_user *u, struct err *err)
{
	for (; gids && *gids; gids++) {
		uint32_t gid;

		if (parse_u32(*gids, &gid) < 0)
			return err_set(err, EINVAL, "option --additional-gids: \"%s\" is not a number", *gids);
		u->additional_gids = xreallocarray(u->additional_gids, u->n_additional_gids + 1, sizeof(gid));
		u->additional_gids[u->n_additional_gids++] = gid;
	}
	return 0;
}

/* As runc: bounding, effective and permitted; ambient only where the container has inheritable ones at all. */
static int exec_caps(char *const *caps, struct oci_process *p, struct err *err)
{
	for (; caps && *caps; caps++) {
		int n = oci_capability_number(*caps);
		uint64_t bit;

		/* as in config.json: a newer kernel's, or a mistake; never a right */
		if (n < 0) {
			log_warn("option --cap: ignoring unknown capability %s", *caps);
			continue;
		}
		bit = 1ULL << n;
		p->has_capabilities = true;
		p->capabilities.bounding |= bit;
		p->capabilities.effective |= bit;
		p->capabilities.permitted |= bit;
		if (p->capabilities.inheritable)
			p->capabilities.ambient |= bit;
	}
	return 0;
}

static int exec_overlay(const struct exec_options *o, char *const *args, struct oci_process *p, struct err *err)
{
	unsigned int rows = 0, cols = 0;
	int r = 0;

	strv_free(p->args);
	p->args = strv_dup(args);
	p->terminal = o->tty;
	/* Our own terminal's size is the new one's from the start. */
	p->has_console_size =
		o->tty && str_empty(o->console_socket) && tty_get_size(STDIN_FILENO, &rows, &cols) == 0 && rows;
	p->console_height = rows;
	p->console_width = cols;
	if (o->cwd)
		set_string(&p->cwd, o->cwd);
	if (p->cwd[0] != '/')
		return err_set(err, EINVAL, "option --cwd: \"%s\" is not absolute", p->cwd);
	if (o->apparmor)
		set_string(&p->apparmor_profile, o->apparmor);
	if (o->label)
		set_string(&p->selinux_label, o->label);
	if (o->no_new_privs)
		p->no_new_privileges = true;
	for (char **e = o->env; e && *e; e++) {
		if (!strchr(*e, '=') || **e == '=')
			return err_set(err, EINVAL, "option --env: invalid environment variable: \"%s\"", *e);
		strv_add(&p->env, *e);
	}
	if (o->user)
		r = exec_user(o->user, &p->user, err);
	if (!r)
		r = exec_gids(o->gids, &p->user, err);
	return r < 0 ? r : exec_caps(o->caps, p, err);
}

static int exec_process_file(const char *path, struct oci_process **ret, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t len;
	int r = fd_slurp_at(AT_FDCWD, path, PROCESS_MAX, &text, &len);

	if (r < 0)
		return err_sys(err, r, "option --process: %s", path);
	r = oci_process_parse(text, len, ret, err);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

static int exec_process(struct sandbox *sb, const struct exec_options *o, char *const *args, struct oci_process **ret,
			struct err *err)
{
	int r;

	if (o->process) {
		r = exec_process_file(o->process, ret, err);
		if (!r && o->tty)
			(*ret)->terminal = true;
		if (!r && (!(*ret)->args || !(*ret)->args[0]))
			r = err_set(err, EINVAL, "%s: process.args: required", o->process);
		return r;
	}
	if (!*args)
		return err_set(err, EINVAL, "exec: process args cannot be empty: a command or --process is required");
	*ret = oci_process_dup(&sb->config->process);
	return exec_overlay(o, args, *ret, err);
}

static int exec_allowed(struct sandbox *sb, const struct exec_options *o, struct err *err)
{
	enum oci_status status;
	int r = sandbox_status(sb, &status, err);

	if (r < 0)
		return r;
	if (status == OCI_STATUS_STOPPED)
		return err_set(err, EINVAL, "cannot exec in a stopped container");
	if (status == OCI_STATUS_CREATING)
		return err_set(err, EINVAL, "cannot exec in a container that is being created");
	if (status == OCI_STATUS_PAUSED && !o->ignore_paused)
		return err_set(err, EINVAL, "cannot exec in a paused container (use --ignore-paused to override)");
	return 0;
}

static int exec_console(const struct exec_options *o, const struct oci_process *p, struct exec_request *req,
			int *ret_peer, struct err *err)
{
	if (o->console_socket && *o->console_socket) {
		if (!p->terminal || !o->detach)
			return err_set(err, EINVAL, "cannot use console socket if %s will not detach or allocate tty",
				       commands_program());
		req->console_socket = fd_unix_connect(o->console_socket);
		if (req->console_socket < 0)
			return err_sys(err, req->console_socket, "option --console-socket: %s", o->console_socket);
		return 0;
	}
	if (!p->terminal)
		return 0;
	if (o->detach)
		return err_set(err, EINVAL, "cannot allocate tty if %s will detach without setting console socket",
			       commands_program());
	return sandbox_console_pair(&req->console_socket, ret_peer, err);
}

static int exec_pidfd(const char *path, pid_t pid, struct err *err)
{
	cleanup_fd int sock = -1, pidfd = -1;
	int r;

	if (!path)
		return 0;
	sock = fd_unix_connect(path);
	pidfd = fd_pidfd_open(pid);
	r = sock < 0 ? sock : pidfd < 0 ? pidfd : fd_send(sock, "pidfd", strlen("pidfd"), &pidfd, 1);
	return r < 0 ? err_sys(err, r, "option --pidfd-socket: %s", path) : 0;
}

static int exec_run(struct sandbox *sb, const struct exec_options *o, const struct oci_process *p, struct err *err)
{
	cleanup_supervise struct supervise s = SUPERVISE_INIT;
	cleanup_fd int peer = -1;
	cleanup_free char *json = oci_process_write(p);
	struct exec_request req = {
		.process = p,
		.process_json = json,
		.process_json_len = strlen(json),
		.console_socket = -1,
		.stdio = { -1, -1, -1 },
		.preserve_fds = o->preserve_fds,
		.cgroups = o->cgroups,
		.ignore_paused = o->ignore_paused,
	};
	int pid, r = exec_console(o, p, &req, &peer, err);

	if (r < 0)
		return r;
	if (!o->detach)
		supervise_begin(&s, !o->no_subreaper);
	steps_stop_at("exec");
	pid = sb->backend->exec(sb, &req, err);
	if (req.console_socket >= 0)
		close(req.console_socket);
	if (pid < 0)
		return pid;
	steps_stop_at("exec-pid-file");
	r = sandbox_pid_file(o->pid_file, pid, err);
	if (!r)
		r = exec_pidfd(o->pidfd_socket, pid, err);
	if (!r)
		r = supervise_console(&s, peer, p->has_console_size, err);
	if (r < 0) {
		kill(pid, SIGKILL);
		return r;
	}
	return o->detach ? 0 : supervise_wait(&s, pid, err);
}

static int exec_locate(const struct globals *g, struct exec_options *o, char *const *words, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	struct oci_process *p = NULL;
	int r;

	o->preserve_fds = plan_preserve_fds(g, 0, o->preserve_fds);
	r = sandbox_load(g, words[0], false, &sb, err);
	if (!r)
		r = exec_allowed(&sb, o, err);
	if (!r)
		r = sandbox_config(&sb, err);
	if (!r)
		r = exec_process(&sb, o, words + 1, &p, err);
	if (!r)
		r = exec_run(&sb, o, p, err);
	oci_process_free(p);
	return r;
}

static int exec_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct exec_options o = { 0 };
	int r = 0, i = commands_options(self, &o, argc, argv, 1, -1, err);

	if (i >= 0)
		r = selfexe_protect(g->argv, err);
	if (i >= 0 && r >= 0)
		r = exec_locate(g, &o, argv + i, err);
	exec_options_free(&o);
	return i < 0 ? commands_end(i) : r;
}

const struct command cmd_exec = {
	.name = "exec",
	.main = exec_main,
	.options = exec_defs,
	.mode = OPTIONS_STOP,
	.synopsis = "[OPTIONS] ID COMMAND [ARGS]",
	.help = "run a further process in a running container",
	.fail_status = 255,
};
