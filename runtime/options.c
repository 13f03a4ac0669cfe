/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: parser and help. */
/*
 * Theory of operation: argv is walked once. A word that begins with '-' is looked up as a long name first, with one
 * or two dashes (Go's flag package makes no difference and engines rely on it), then as a cluster of letters.
 * Positional words are moved behind in OPTIONS_PERMUTE and end the walk in OPTIONS_STOP. No getopt: its
 * messages go to stderr and cannot be redirected into --log, and it would take -bundle as a cluster.
 */
#include "runtime/options.h"

#include <stdlib.h>
#include <string.h>

static const struct option_def *find_long(const struct option_def *defs, const char *name, size_t len)
{
	for (; defs->name; defs++)
		if (strlen(defs->name) == len && !memcmp(defs->name, name, len))
			return defs;
	return NULL;
}

static const struct option_def *find_letter(const struct option_def *defs, char c)
{
	for (; defs->name; defs++)
		if (defs->letter == c)
			return defs;
	return NULL;
}

static bool takes_value(const struct option_def *d)
{
	return d->kind != OPTION_KIND_FLAG && d->kind != OPTION_KIND_NOTHING;
}

static int parse_bool(const char *s, bool *ret)
{
	if (!strcmp(s, "true") || !strcmp(s, "1") || !strcmp(s, "t") || !strcmp(s, "yes"))
		*ret = true;
	else if (!strcmp(s, "false") || !strcmp(s, "0") || !strcmp(s, "f") || !strcmp(s, "no"))
		*ret = false;
	else
		return -EINVAL;
	return 0;
}

/* Stores a value (NULL: a flag without one). */
static int store(const struct option_def *d, void *dest, const char *value, struct err *err)
{
	void *p = (char *)dest + d->offset;
	bool on = true;

	switch (d->kind) {
	case OPTION_KIND_NOTHING:
	case OPTION_KIND_FLAG:
		if (value && parse_bool(value, &on) < 0)
			return err_set(err, EINVAL, "option --%s: \"%s\" is neither true nor false", d->name, value);
		if (d->kind == OPTION_KIND_FLAG)
			*(bool *)p = on;
		return 0;
	case OPTION_KIND_STRING:
		*(const char **)p = value;
		return 0;
	case OPTION_KIND_STRV:
		strv_add(p, value);
		return 0;
	case OPTION_KIND_U32:
		if (parse_u32(value, p) < 0)
			return err_set(err, EINVAL, "option --%s: \"%s\" is not a number", d->name, value);
		return 0;
	}
	return err_set(err, EINVAL, "option --%s: unknown kind", d->name);
}

static int need_value(const struct option_def *d, char **argv, int argc, int *i, const char **value, struct err *err)
{
	if (*i + 1 >= argc)
		return err_set(err, EINVAL, "option --%s requires an argument", d->name);
	*value = argv[++*i];
	return 0;
}

/* One letter cluster: -it, -bPATH, -b=PATH, -b PATH. */
static int parse_cluster(const struct option_def *defs, void *dest, int argc, char **argv, int *i, struct err *err)
{
	const char *word = argv[*i];

	for (const char *p = word + 1; *p; p++) {
		const struct option_def *d = find_letter(defs, *p);
		const char *value = NULL;
		int r;

		if (!d && *p == 'h')
			return OPTIONS_HELP;
		if (!d)
			return err_set(err, EINVAL, "unknown option \"%s\"", word);
		if (!takes_value(d)) {
			if (p[1] == '=')
				value = p + 2;
			r = store(d, dest, value, err);
			if (r < 0 || value)
				return r;
			continue;
		}
		if (p[1] == '=')
			value = p + 2;
		else if (p[1])
			value = p + 1;
		else if ((r = need_value(d, argv, argc, i, &value, err)) < 0)
			return r;
		return store(d, dest, value, err);
	}
	return 0;
}

/* The option word argv[*i], which may take argv[*i + 1] with it. */
static int parse_option(const struct option_def *defs, void *dest, int argc, char **argv, int *i, struct err *err)
{
	const char *word = argv[*i];
	bool twice = word[1] == '-';
	const char *name = word + 1 + twice;
	const char *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	const struct option_def *d = len > 1 || twice ? find_long(defs, name, len) : NULL;
	const char *value = eq ? eq + 1 : NULL;
	int r;

	if (!d && len == 4 && !memcmp(name, "help", 4))
		return OPTIONS_HELP;
	if (!d && !twice)
		return parse_cluster(defs, dest, argc, argv, i, err);
	if (!d)
		return err_set(err, EINVAL, "unknown option \"--%.*s\"", (int)len, name);
	if (takes_value(d) && !value) {
		r = need_value(d, argv, argc, i, &value, err);
		if (r < 0)
			return r;
	}
	return store(d, dest, value, err);
}

int options_parse(const struct option_def *defs, void *dest, enum options_mode mode, int argc, char **argv,
		  struct err *err)
{
	char **rest = xcalloc((size_t)argc + 1, sizeof(*rest));
	int n_rest = 0, i, r = 0;

	for (i = 1; i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1] == '-' && !argv[i][2]) {
			i++;
			break;
		}
		if (argv[i][0] == '-' && argv[i][1]) {
			r = parse_option(defs, dest, argc, argv, &i, err);
			if (r < 0)
				goto out;
			continue;
		}
		if (mode == OPTIONS_STOP)
			break;
		rest[n_rest++] = argv[i];
	}
	while (i < argc)
		rest[n_rest++] = argv[i++];
	r = argc - n_rest;
	memcpy(argv + r, rest, (size_t)n_rest * sizeof(*rest));
out:
	free(rest);
	return r;
}

void options_help(const struct option_def *defs, struct str *out)
{
	for (; defs && defs->name; defs++) {
		struct str left = { 0 };

		if (defs->letter)
			str_addf(&left, "-%c, ", defs->letter);
		str_addf(&left, "--%s", defs->name);
		if (defs->arg)
			str_addf(&left, " %s", defs->arg);
		str_addf(out, "  %-32s %s\n", str_get(&left), defs->help);
		str_free(&left);
	}
}
