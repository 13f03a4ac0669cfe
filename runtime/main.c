/* SPDX-License-Identifier: Apache-2.0 */
/* amphi: global options, dispatch; the only place that prints an error and exits. */
/*
 * Theory of operation: main() reads as the recipe: keep descriptors 0..2 occupied, parse the global options, open
 * the log, find the command, run it, report. An error goes to the log as exactly one line (engines parse the file as
 * JSON) and, where the log is a file, to stderr too, because conmon forwards stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/userns.h"
#include "oci/config.h"
#include "runtime/commands.h"

#ifndef AMPHI_COMMIT
#define AMPHI_COMMIT "unknown"
#endif

struct main_options {
	const char *root;
	const char *log;
	const char *log_format;
	const char *log_level;
	const char *rootless;
	const char *cgroup_manager;
	const char *isolation;
	const char *vmm;
	bool debug;
	bool systemd_cgroup;
	bool version;
};

static const struct option_def main_defs[] = {
	OPTION_STRING("root", 0, struct main_options, root, "DIR", "state directory (default /run/amphi)"),
	OPTION_STRING("log", 0, struct main_options, log, "FILE",
		      "append the log to FILE instead of stderr; syslog:NAME, journald:NAME"),
	OPTION_STRING("log-format", 0, struct main_options, log_format, "FORMAT", "text or json"),
	OPTION_STRING("log-level", 0, struct main_options, log_level, "LEVEL", "error, warning, info or debug"),
	OPTION_FLAG("debug", 0, struct main_options, debug, "log everything"),
	OPTION_FLAG("systemd-cgroup", 's', struct main_options, systemd_cgroup, "control groups made by systemd"),
	OPTION_STRING("cgroup-manager", 0, struct main_options, cgroup_manager, "NAME",
		      "cgroupfs, systemd or disabled"),
	OPTION_STRING("rootless", 0, struct main_options, rootless, "BOOL", "true, false or auto"),
	OPTION_STRING("isolation", 0, struct main_options, isolation, "KIND", "container or vm"),
	OPTION_STRING("vmm", 0, struct main_options, vmm, "NAME", "machine monitor: kvm, qemu or auto"),
	OPTION_FLAG("version", 'v', struct main_options, version, "show the version"),
	OPTION_END,
};

/* A closed 0, 1 or 2 would be taken by the first file we open and leak into the workload. */
static void main_occupy_stdio(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(1);
}

/* How many descriptors from 3 on in a row the caller gave us; ours come behind them. */
static uint32_t main_inherited(void)
{
	uint32_t n = 0;

	while (fcntl(3 + (int)n, F_GETFD) >= 0)
		n++;
	return n;
}

static void main_help(void)
{
	struct str out = { 0 };

	str_addf(&out,
		 "NAME:\n   %s - Open Container Initiative runtime: a bundle as a container or in a virtual machine\n\n"
		 "USAGE:\n   %s [OPTIONS] COMMAND ...\n\nCOMMANDS:\n",
		 commands_program(), commands_program());
	for (size_t i = 0; commands[i]; i++)
		str_addf(&out, "  %-12s %s\n", commands[i]->name, commands[i]->help);
	str_add(&out, "\nOPTIONS:\n");
	options_help(main_defs, &out);
	str_addf(&out, "  %-32s %s\n\n\"amphi COMMAND --help\" tells a command's options.\n", "-h, --help",
		 "show this help");
	(void)fd_write_all(STDOUT_FILENO, str_get(&out), out.len);
	str_free(&out);
}

static int main_version(struct err *err)
{
	/* engines that were given us as "runc" look for "runc version" */
	cleanup_free char *text =
		xasprintf("%s version " AMPHI_VERSION "\ncommit: " AMPHI_COMMIT "\nspec: " OCI_VERSION "\n",
			  strcmp(commands_program(), "runc") ? "amphi" : "runc");

	return commands_print(text, err);
}

/* A host without the service is no reason to fail: as syslog(3), and stderr has the lines. */
static int main_log_socket(const char *where, int r)
{
	if (r < 0)
		log_warn("option --log: %s: %s: logging to stderr", where, strerrordesc_np(-r));
	return 0;
}

static int main_open_log(const struct main_options *o, struct err *err)
{
	enum log_format format = LOG_TEXT;
	/* engines read a log file back as JSON: nothing but the failure goes in unless asked for */
	enum log_level level = o->log && *o->log ? LOG_ERROR_ : LOG_WARN;
	const char *path = o->log;
	int fd;

	if (o->log_format && !strcmp(o->log_format, "json"))
		format = LOG_JSON;
	else if (o->log_format && strcmp(o->log_format, "text"))
		return err_set(err, EINVAL, "option --log-format: invalid log-format: %s is neither text nor json",
			       o->log_format);
	if (o->log_level && log_level_parse(o->log_level, &level) < 0)
		return err_set(err, EINVAL, "option --log-level: unknown level \"%s\"", o->log_level);
	if (o->debug)
		level = LOG_DEBUG_;
	log_set(level, format);
	if (!path || !*path)
		return 0;
	if (str_starts(path, "syslog:"))
		return main_log_socket(path, log_set_syslog(path + strlen("syslog:")));
	if (str_starts(path, "journald:"))
		return main_log_socket(path, log_set_journal(path + strlen("journald:")));
	if (str_starts(path, "file:"))
		path += strlen("file:");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return err_sys(err, errno, "option --log: %s", path);
	log_set_fd(fd);
	return 0;
}

/* Without power over the host; so is root of a user namespace of one's own (rootless engines). */
static bool main_unprivileged(void)
{
	return geteuid() != 0 || !userns_is_initial();
}

/* As with runc, this does not depend on --rootless, and root in a system container ($USER) is at home in /run. */
static int main_default_root(struct globals *g, struct err *err)
{
	const char *dir = getenv("XDG_RUNTIME_DIR"), *user = getenv("USER");

	if (!main_unprivileged() || (geteuid() == 0 && user && !strcmp(user, "root")))
		g->root = "/run/amphi";
	else if (dir && dir[0] == '/')
		g->root = path_join(dir, "amphi");
	else if (geteuid() == 0)
		g->root = "/run/amphi";
	else
		return err_set(err, EINVAL, "XDG_RUNTIME_DIR is not set: give --root");
	return 0;
}

static bool main_systemd_is_ours(void)
{
	struct stat st;

	return stat("/run/systemd/system", &st) == 0 && st.st_uid == geteuid();
}

/* The words of runc: those of Go's ParseBool, and "auto". */
static int main_rootless(const char *word, struct globals *g, struct err *err)
{
	static const char *const words[] = { "0",     "1",    "f",     "t",    "F",     "T",
					     "false", "true", "FALSE", "TRUE", "False", "True" };

	for (size_t i = 0; word && i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i])) {
			g->rootless = i % 2;
			return 0;
		}
	if (!str_empty(word) && strcmp(word, "auto"))
		return err_set(err, EINVAL, "option --rootless: \"%s\" is none of true, false, auto", word);
	/* a system container in a user namespace has a systemd of its own */
	g->rootless = main_unprivileged() &&
		!(g->cgroup_driver == CGROUP_DRIVER_SYSTEMD && geteuid() == 0 && main_systemd_is_ours());
	return 0;
}

static int main_choose(const struct main_options *o, struct globals *g, struct err *err)
{
	if (!strcmp(g->program, "amphi-vm")) {
		g->isolation = ISOLATION_VM;
		g->isolation_by = "program name";
	}
	if (commands_choose(o->isolation, o->vmm, g, err) < 0)
		return -EINVAL;
	if (o->systemd_cgroup)
		g->cgroup_driver = CGROUP_DRIVER_SYSTEMD;
	if (o->cgroup_manager && cgroup_driver_parse(o->cgroup_manager, &g->cgroup_driver) < 0)
		return err_set(err, EINVAL, "option --cgroup-manager: \"%s\" is none of cgroupfs, systemd, disabled",
			       o->cgroup_manager);
	return 0;
}

static int main_globals(const struct main_options *o, struct globals *g, struct err *err)
{
	int r;

	g->debug = o->debug;
	r = main_choose(o, g, err);
	if (!r)
		r = main_rootless(o->rootless, g, err);
	if (r < 0)
		return r;
	if (o->root && *o->root) {
		g->root = path_abs(o->root);
		if (!g->root)
			return err_sys(err, errno, "option --root: %s", o->root);
		g->root_given = true;
		return 0;
	}
	return main_default_root(g, err);
}

/* The one line a failure leaves. */
static void main_report(const struct err *err)
{
	struct str line = { 0 };

	log_error("%s", err->msg);
	if (log_fd() == STDERR_FILENO)
		return;
	str_addf(&line, "%s\n", err->msg);
	(void)fd_write_all(STDERR_FILENO, str_get(&line), line.len);
	str_free(&line);
}

static int main_dispatch(int argc, char **argv, struct globals *g, int *ret_fail, struct err *err)
{
	struct main_options o = { 0 };
	const struct command *c;
	int i, r;

	i = options_parse(main_defs, &o, OPTIONS_STOP, argc, argv, err);
	if (i == OPTIONS_HELP || (i == argc && !o.version)) {
		main_help();
		return i == OPTIONS_HELP ? 0 : 1;
	}
	if (i < 0)
		return i;
	r = main_open_log(&o, err);
	if (r < 0)
		return r;
	if (o.version)
		return main_version(err);
	if (!strcmp(argv[i], "help")) {
		main_help();
		return 0;
	}
	if (!strcmp(argv[i], "version"))
		return main_version(err);
	c = commands_find(argv[i]);
	if (!c)
		return err_set(err, EINVAL, "No help topic for '%s': unknown command, \"%s --help\" lists them",
			       argv[i], commands_program());
	*ret_fail = c->fail_status ? c->fail_status : 1;
	r = main_globals(&o, g, err);
	if (r < 0)
		return r;
	return c->main(g, c, argc - i, argv + i, err);
}

int main(int argc, char **argv)
{
	struct globals g = { 0 };
	struct err err = { 0 };
	const char *slash;
	int fail = 1, r;

	g.inherited = main_inherited();
	main_occupy_stdio();
	if (argc < 1)
		return 1;
	/* inherited as ignored, children could not be waited for */
	signal(SIGCHLD, SIG_DFL);
	child_title_init(argc, argv);
	slash = strrchr(argv[0], '/');
	g.program = slash ? slash + 1 : argv[0];
	/* engines run a CNI plugin by its file name, without arguments */
	if (!strcmp(g.program, "amphi-cni")) {
		static char word[] = "cni", *words[3];

		words[0] = argv[0];
		words[1] = word;
		argv = words;
		argc = 2;
	}
	/* a copy: the parsers move words about */
	g.argv = xcalloc((size_t)argc + 1, sizeof(*g.argv));
	memcpy((void *)g.argv, argv, (size_t)argc * sizeof(*g.argv));
	r = main_dispatch(argc, argv, &g, &fail, &err);
	if (r >= 0)
		return r;
	if (!err.code)
		err_sys(&err, r, "internal error");
	main_report(&err);
	return fail;
}
