/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command table. A command is one constant "const struct command cmd_NAME" in cmd_FILE.c, without a header; it
 * is registered by its line in commands.c, which feeds dispatch, help, completion and the documentation check.
 *
 *	static int pull_main(const struct globals *g, const struct command *self, int argc, char **argv,
 *			     struct err *err)
 *	{
 *		struct pull_options o = { 0 };
 *		int i = commands_options(self, &o, argc, argv, 1, 1, err);
 *
 *		if (i < 0)
 *			return commands_end(i);
 *		... argv[i] is the image ...
 *		return 0;
 *	}
 *
 *	const struct command cmd_pull = {
 *		.name = "pull", .main = pull_main, .options = pull_defs,
 *		.synopsis = "[OPTIONS] IMAGE", .help = "fetch an image from a registry",
 *	};
 *
 * A command returns its exit status (0..255), or a negative errno with *err set: main alone prints it (to stderr
 * and to --log) and exits with .fail_status. stdout is for results only.
 */
#ifndef RUNTIME_COMMANDS_H
#define RUNTIME_COMMANDS_H

#include <stdbool.h>

#include "base/err.h"
#include "container/cgroup.h"
#include "runtime/options.h"

enum isolation { ISOLATION_UNSET, ISOLATION_CONTAINER, ISOLATION_VM };
enum vmm_driver { VMM_AUTO, VMM_KVM, VMM_QEMU };

/* The global options, read by every command; const after main parsed them. */
struct globals {
	const char *program; /* last component of argv[0] */
	char *const *argv;   /* main's, for selfexe_protect() */
	uint32_t inherited;  /* open descriptors 3, 4, ... in a row that the caller gave us */
	const char *root;    /* state root, absolute; the default is filled in by main */
	bool root_given;     /* by --root */
	bool rootless;       /* what needs privileges over control groups may fail; by --rootless or found out */
	bool debug;
	enum isolation isolation; /* by --isolation or the program's name, ISOLATION_UNSET otherwise */
	const char *isolation_by; /* "option --isolation" or "program name"; NULL when unset */
	enum vmm_driver vmm;
	bool vmm_given; /* by --vmm */
	enum cgroup_driver cgroup_driver;
};

struct command {
	const char *name;
	int (*main)(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err);
	const struct option_def *options; /* NULL: the command parses argv itself (it hands it to another program) */
	enum options_mode mode;
	const char *synopsis; /* behind "amphi NAME " */
	const char *help;     /* one line, lower case, no full stop */
	int fail_status;      /* exit status for a negative return; 0 means 1 */
};

/* All commands in the order of the help, ended by NULL. */
extern const struct command *const commands[];
/* "auto", "kvm", "qemu". 0 or -EINVAL. */
int commands_vmm_parse(const char *word, enum vmm_driver *ret);
const char *commands_vmm_name(enum vmm_driver vmm);
/* The name we were called by, for usage lines: "amphi", or "runc" where we stand in for it. */
const char *commands_program(void);
/* "container", "vm". 0 or -EINVAL. */
int commands_isolation_parse(const char *word, enum isolation *ret);
const char *commands_isolation_name(enum isolation isolation);
/* The words of --isolation and --vmm, each NULL when not given, into *g. 0 or -EINVAL with *err. */
int commands_choose(const char *isolation, const char *vmm, struct globals *g, struct err *err);
/* NULL when unknown. */
const struct command *commands_find(const char *name);

/* commands_options() printed the help: end successfully. */
#define COMMANDS_HELP_SHOWN OPTIONS_HELP

/*
 * Parses a command's options (argv[0] is the command's name) and checks that min..max positional words follow
 * (max < 0: any number). Prints the help for --help. Returns the index of the first positional word,
 * COMMANDS_HELP_SHOWN, or a negative errno.
 */
int commands_options(const struct command *self, void *dest, int argc, char **argv, int min, int max, struct err *err);
/* What a command returns when commands_options() was negative: 0 for the help, else the error. */
static inline int commands_end(int r)
{
	return r == COMMANDS_HELP_SHOWN ? 0 : r;
}
/* Prints text to stdout as a whole (flushing); 0 or a negative errno ("standard output: ..."). */
int commands_print(const char *text, struct err *err);

#endif
