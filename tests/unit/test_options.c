/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: spellings, values, order, errors, help. */
#include "runtime/options.h"

#include "tests/unit/tap.h"

struct opts {
	bool all, interactive, tty;
	const char *bundle, *log;
	char **env;
	uint32_t n;
};

static const struct option_def defs[] = {
	OPTION_FLAG("all", 'a', struct opts, all, "everything"),
	OPTION_FLAG("interactive", 'i', struct opts, interactive, "keep stdin"),
	OPTION_FLAG("tty", 't', struct opts, tty, "terminal"),
	OPTION_STRING("bundle", 'b', struct opts, bundle, "DIR", "bundle"),
	OPTION_STRING("log", 0, struct opts, log, "FILE", "log"),
	OPTION_STRV("env", 'e', struct opts, env, "NAME=VALUE", "environment"),
	OPTION_U32("preserve-fds", 0, struct opts, n, "N", "descriptors"),
	OPTION_NOTHING("no-subreaper", "accepted"),
	OPTION_END,
};

/* Splits words at blanks into argv. */
static int parse(struct opts *o, enum options_mode mode, const char *words, char ***ret_argv, struct err *err)
{
	char **argv = strv_split(words, ' ');

	memset(o, 0, sizeof(*o));
	memset(err, 0, sizeof(*err));
	*ret_argv = argv;
	return options_parse(defs, o, mode, (int)strv_len(argv), argv, err);
}

static void spellings(void)
{
	static const char *const words[] = {
		"create --bundle /b id",
		"create --bundle=/b id",
		"create -bundle /b id",
		"create -bundle=/b id",
		"create -b /b id",
		"create -b=/b id",
		"create -b/b id",
		"create id --bundle /b",
		"create id -b /b",
		"create -a -b /b id",
		"create -ab /b id",
		"create -atb/b id",
		"create -no-subreaper -b /b id",
		"create --no-subreaper=true -b /b id",
	};
	struct opts o;
	struct err err;
	char **argv;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		int r = parse(&o, OPTIONS_PERMUTE, words[i], &argv, &err);

		is_int(r, (int)strv_len(argv) - 1);
		is_str(o.bundle, "/b");
		is_str(r > 0 ? argv[r] : NULL, "id");
	}
}

static void values(void)
{
	struct opts o;
	struct err err;
	char **argv;

	is_int(parse(&o, OPTIONS_STOP, "exec -e A=1,2 --env B -env=C=3 -it --preserve-fds 7 id ls -a", &argv, &err), 9);
	is_int(strv_len(o.env), 3);
	is_str(o.env[0], "A=1,2");
	is_str(o.env[1], "B");
	is_str(o.env[2], "C=3");
	ok(o.interactive && o.tty && !o.all);
	is_int(o.n, 7);
	is_str(argv[9], "id");
	is_str(argv[11], "-a");
	is_int(parse(&o, OPTIONS_STOP, "kill --all=false id", &argv, &err), 2);
	ok(!o.all);
	is_int(parse(&o, OPTIONS_STOP, "kill --all=true id", &argv, &err), 2);
	ok(o.all);
	is_int(parse(&o, OPTIONS_PERMUTE, "x -- -b id", &argv, &err), 2);
	is_str(argv[2], "-b");
	is_int(parse(&o, OPTIONS_PERMUTE, "x - id", &argv, &err), 1);
	is_str(argv[1], "-");
	/* an empty value is a value */
	is_int(parse(&o, OPTIONS_PERMUTE, "x --log= id", &argv, &err), 2);
	is_str(o.log, "");
}

static void failures(void)
{
	static const struct {
		const char *words, *text;
	} t[] = {
		{ "x --nothing id", "unknown option \"--nothing\"" },
		{ "x -nothing id", "unknown option \"-nothing\"" },
		{ "x -z", "unknown option \"-z\"" },
		{ "x -az", "unknown option \"-az\"" },
		{ "x --bundle", "option --bundle requires an argument" },
		{ "x -b", "option --bundle requires an argument" },
		{ "x --preserve-fds -1", "is not a number" },
		{ "x --preserve-fds=3x", "is not a number" },
		{ "x --all=maybe", "neither true nor false" },
	};
	struct opts o;
	struct err err;
	char **argv;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		is_int(parse(&o, OPTIONS_PERMUTE, t[i].words, &argv, &err), -EINVAL);
		has_str(err.msg, t[i].text);
	}
	is_int(parse(&o, OPTIONS_PERMUTE, "x --help", &argv, &err), OPTIONS_HELP);
	is_int(parse(&o, OPTIONS_PERMUTE, "x -h id", &argv, &err), OPTIONS_HELP);
	is_int(parse(&o, OPTIONS_STOP, "x id --help", &argv, &err), 1);
}

static void help(void)
{
	struct str out = { 0 };

	options_help(defs, &out);
	has_str(str_get(&out), "  -b, --bundle DIR ");
	has_str(str_get(&out), "  --log FILE ");
	has_str(str_get(&out), "accepted\n");
	str_free(&out);
}

int main(void)
{
	spellings();
	values();
	failures();
	help();
	return tap_done();
}
