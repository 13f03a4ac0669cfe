/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option tables: one array per command feeds the parser, the help and the completion. Values land in a struct of
 * the command's own by offset, so a command reads its options by name:
 *
 *	struct pull_options { bool quiet; const char *arch; char **tags; };
 *	static const struct option_def pull_defs[] = {
 *		OPTION_FLAG("quiet", 'q', struct pull_options, quiet, "print nothing but the digest"),
 *		OPTION_STRING("arch", 0, struct pull_options, arch, "ARCH", "architecture of the image"),
 *		OPTION_STRV("tag", 't', struct pull_options, tags, "NAME", "further name (repeatable)"),
 *		OPTION_END,
 *	};
 *
 * Accepted: --name VALUE, --name=VALUE, -name VALUE and -name=VALUE (engines send those), -n VALUE, -nVALUE,
 * -n=VALUE, clusters of one-letter flags (-it), --flag=true|false, "--" to end options. Values are not split at commas.
 */
#ifndef RUNTIME_OPTIONS_H
#define RUNTIME_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum option_kind {
	OPTION_KIND_FLAG,    /* bool */
	OPTION_KIND_STRING,  /* const char *, points into argv; the last one wins */
	OPTION_KIND_STRV,    /* char **, an owned vector, one entry for each use */
	OPTION_KIND_U32,     /* uint32_t, plain decimal */
	OPTION_KIND_NOTHING, /* a flag that is accepted for engines' sake and means nothing here; help says why */
};

struct option_def {
	const char *name; /* long name without dashes; NULL ends a table */
	char letter;      /* 0: none */
	enum option_kind kind;
	size_t offset;   /* of the member in the command's struct */
	const char *arg; /* the argument's name in the help; NULL for flags */
	const char *help;
};

#define OPTION_FLAG(n, l, type, member, h) \
	{ \
		n, l, OPTION_KIND_FLAG, offsetof(type, member), NULL, h \
	}
#define OPTION_STRING(n, l, type, member, a, h) \
	{ \
		n, l, OPTION_KIND_STRING, offsetof(type, member), a, h \
	}
#define OPTION_STRV(n, l, type, member, a, h) \
	{ \
		n, l, OPTION_KIND_STRV, offsetof(type, member), a, h \
	}
#define OPTION_U32(n, l, type, member, a, h) \
	{ \
		n, l, OPTION_KIND_U32, offsetof(type, member), a, h \
	}
#define OPTION_NOTHING(n, h) \
	{ \
		n, 0, OPTION_KIND_NOTHING, 0, NULL, h \
	}
#define OPTION_END \
	{ \
		NULL, 0, OPTION_KIND_FLAG, 0, NULL, NULL \
	}

enum options_mode {
	OPTIONS_PERMUTE, /* options may stand behind positional words, which are gathered at the end of argv */
	OPTIONS_STOP,    /* the first positional word ends the options (exec, kill, ps: the rest is somebody else's) */
};

/* options_parse() found -h or --help. */
#define OPTIONS_HELP (-1000)

/*
 * Parses argv[1..argc) by the table into *dest (zeroed or holding defaults before). Reorders argv in
 * OPTIONS_PERMUTE. Returns the index of the first positional word (argc: none), OPTIONS_HELP, or -EINVAL with
 * "unknown option ..." / "option ... requires an argument". Strings point into argv; vectors are the caller's.
 */
int options_parse(const struct option_def *defs, void *dest, enum options_mode mode, int argc, char **argv,
		  struct err *err);

/* Adds the table's help, one option a line, to *out. */
void options_help(const struct option_def *defs, struct str *out);

#endif
