/* SPDX-License-Identifier: Apache-2.0 */
/* amphi-images: the program behind amphi's image commands. */
/*
 * main parses the options of the chosen command by one table for all of them, runs it, and alone prints errors.
 * Results go to stdout, progress and errors to stderr. Exit status 0, or 1 with one line of error.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/str.h"
#include "images/rights.h"
#include "images/verbs.h"

enum kind { FLAG, WORD, LIST };

static const struct option {
	const char *name;
	char letter;
	enum kind kind;
	size_t offset;
	const char *arg, *help;
} options[] = {
#define O(n, l, k, m, a, h) \
	{ \
		n, l, k, offsetof(struct verbs_options, m), a, h \
	}
	O("store", 0, WORD, store, "DIR", "the store (default $AMPHI_STORE, /var/lib/amphi)"),
	O("platform", 0, WORD, platform, "OS/ARCH", "choose from an index; default this machine's"),
	O("progress", 0, WORD, progress, "HOW", "auto, bars, plain, json or none"),
	O("quiet", 'q', FLAG, quiet, NULL, "print only names or ids"),
	O("sync", 0, WORD, sync, "HOW", "image (default): durable before it is named; none"),
	O("max-size", 0, WORD, max_size, "BYTES",
	  "most bytes a layer or a compressed archive may unpack to (default 64g, 0 no limit)"),
	O("chunk-size", 0, WORD, chunk_size, "BYTES", "most bytes of a blob in one request (default: all of it)"),
	O("insecure", 0, FLAG, insecure, NULL, "plain HTTP, or TLS without checking the certificate"),
	O("creds", 0, WORD, creds, "USER:PASS", "credentials for the registry"),
	O("authfile", 0, WORD, authfile, "FILE", "credentials file in place of podman's and docker's"),
	O("cert-dir", 0, WORD, cert_dir, "DIR", "directory with ca.crt, client.cert, client.key"),
	O("name", 'n', WORD, name, "NAME", "name for the image"),
	O("format", 'f', WORD, format, "FORM", "form of the archive or output"),
	O("output", 'o', WORD, output, "PATH", "where to write; - is standard output"),
	O("change", 'c', LIST, changes, "LINE", "configuration in Dockerfile's words: CMD, ENV, ..."),
	O("message", 'm', WORD, message, "TEXT", "what changed, for the image's history"),
	O("author", 'a', WORD, author, "NAME", "author of the image"),
	O("force", 0, FLAG, force, NULL, "do it though something speaks against it"),
	O("all", 0, FLAG, all, NULL, "partial downloads too"),
	O("json", 0, FLAG, json, NULL, "JSON on standard output"),
	O("repair", 0, FLAG, repair, NULL, "remove what is damaged, so that it can be fetched again"),
	O("digests", 0, FLAG, digests, NULL, "show manifest digests"),
	O("id", 0, WORD, id, "ID", "the container's id"),
	O("owner", 0, WORD, owner, "DIR", "the state directory that is or was to be made for it"),
	O("pull", 0, WORD, pull, "WHEN", "missing (default), never or always"),
	O("entrypoint", 0, LIST, entrypoint, "WORD", "replaces the image's entrypoint (repeatable)"),
	O("env", 'e', LIST, env, "NAME=VALUE", "environment (repeatable)"),
	O("user", 'u', WORD, entry_user, "USER[:GROUP]", "user in the image"),
	O("workdir", 'w', WORD, workdir, "DIR", "working directory"),
	O("hostname", 0, WORD, hostname, "NAME", "host name"),
	O("terminal", 't', FLAG, terminal, NULL, "with a terminal"),
	O("volume", 'v', LIST, volumes, "SRC:DST[:OPTIONS]", "bind mount (repeatable)"),
	O("uidmap", 0, LIST, uidmap, "CONTAINER:HOST:SIZE", "user namespace: map user ids (repeatable)"),
	O("gidmap", 0, LIST, gidmap, "CONTAINER:HOST:SIZE", "the same for group ids; default as the other"),
	O("read-only", 0, FLAG, readonly, NULL, "read-only root"),
	O("privileged", 0, FLAG, privileged, NULL, "all capabilities and devices, nothing masked"),
	O("cap-add", 0, LIST, cap_add, "CAP", "add a capability"),
	O("cap-drop", 0, LIST, cap_drop, "CAP", "drop a capability (or all)"),
	O("annotation", 0, LIST, annotations, "KEY=VALUE", "annotation (repeatable)"),
	O("memory", 0, WORD, memory, "BYTES", "memory limit"),
	O("cpus", 0, WORD, cpus, "N", "processors' worth of time"),
	O("pids-limit", 0, WORD, pids_limit, "N", "most processes"),
#undef O
};

static bool takes(const struct verb *v, const char *name)
{
	cleanup_free char *word = xasprintf("%s ", name);
	const char *at = strstr(v->options, word);

	return !strcmp(name, "store") || (at && (at == v->options || at[-1] == ' '));
}

static void usage(const struct verb *v)
{
	if (!v) {
		printf("amphi-images: the image store of amphi\n\nusage: amphi-images COMMAND [OPTIONS] ...\n\n");
		for (v = verbs; v->name; v++)
			printf("  %-9s %s\n", v->name, v->help);
		return;
	}
	printf("amphi %s: %s\n\nusage: amphi %s %s\n\noptions:\n", v->name, v->help, v->name, v->synopsis);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *o = &options[i];
		cleanup_free char *left = NULL;
		char letter[8] = "    ";

		if (!takes(v, o->name))
			continue;
		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		left = xasprintf("%s--%s%s%s", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-34s %s\n", left, o->help);
	}
}

/* The option of argv[*i], its value (maybe the next word) in *ret_value. NULL with *err. */
static const struct option *find_option(const struct verb *v, int argc, char **argv, int *i, const char **ret_value,
					struct err *err)
{
	const char *word = argv[*i], *name = word + (word[1] == '-' ? 2 : 1), *eq = strchr(name, '=');
	size_t n = eq ? (size_t)(eq - name) : strlen(name);

	for (size_t k = 0; k < ARRAY_SIZE(options); k++) {
		const struct option *o = &options[k];
		bool is = (strlen(o->name) == n && !strncmp(o->name, name, n)) ||
			(word[1] != '-' && n == 1 && *name == o->letter);

		if (!is || !takes(v, o->name))
			continue;
		if (o->kind == FLAG) {
			if (eq && strcmp(eq, "=true") && strcmp(eq, "=false")) {
				err_set(err, -EINVAL, "option --%s takes no value", o->name);
				return NULL;
			}
			*ret_value = eq ? eq + 1 : "true";
		} else if (eq) {
			*ret_value = eq + 1;
		} else if (*i + 1 < argc) {
			*ret_value = argv[++*i];
		} else {
			err_set(err, -EINVAL, "option --%s requires an argument", o->name);
			return NULL;
		}
		return o;
	}
	err_set(err, -EINVAL, "unknown option %s", word);
	return NULL;
}

/* Returns the number of positional words, gathered at words. -1: help shown. */
static int parse(const struct verb *v, struct verbs_options *dest, int argc, char **argv, char **words, struct err *err)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		const struct option *o;
		const char *value;
		void *slot;

		if (*argv[i] != '-' || !argv[i][1] || (n && v->stop)) {
			words[n++] = argv[i];
			continue;
		}
		if (!strcmp(argv[i], "--")) {
			while (++i < argc)
				words[n++] = argv[i];
			break;
		}
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			usage(v);
			return -1;
		}
		o = find_option(v, argc, argv, &i, &value, err);
		if (!o)
			return err->code;
		slot = (char *)dest + o->offset;
		if (o->kind == FLAG)
			*(bool *)slot = !strcmp(value, "true");
		else if (o->kind == WORD)
			*(const char **)slot = value;
		else
			strv_add((char ***)slot, value);
	}
	if (n < v->min || (v->max >= 0 && n > v->max))
		return err_set(err, -EINVAL, "usage: amphi %s %s", v->name, v->synopsis);
	return n;
}

int main(int argc, char **argv)
{
	struct verbs_options o = { 0 };
	cleanup_free char **words = NULL;
	struct err err = { 0 };
	int i = 1, n, r;

	umask(0);
	signal(SIGPIPE, SIG_IGN);
	for (; i < argc && *argv[i] == '-'; i++) {
		if (!strcmp(argv[i], "--debug")) {
			log_set(LOG_DEBUG_, LOG_TEXT);
		} else if (!strcmp(argv[i], "--store") && i + 1 < argc) {
			o.store = argv[++i];
		} else if (!strncmp(argv[i], "--store=", 8)) {
			o.store = argv[i] + 8;
		} else if (!strcmp(argv[i], "--version")) {
			printf("amphi-images version %s\n", AMPHI_VERSION);
			return 0;
		} else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			usage(NULL);
			return 0;
		} else {
			fprintf(stderr, "amphi-images: unknown option %s\n", argv[i]);
			return 1;
		}
	}
	if (i >= argc) {
		fprintf(stderr, "amphi-images: no command; see amphi-images --help\n");
		return 1;
	}
	for (const struct verb *v = verbs; v->name; v++) {
		if (strcmp(v->name, argv[i]))
			continue;
		words = xcalloc((size_t)argc + 1, sizeof(*words));
		n = parse(v, &o, argc - i - 1, argv + i + 1, words, &err);
		if (n == -1)
			return 0;
		r = n < 0 ? n : rights_enter(&err);
		if (r >= 0)
			r = v->run(&o, n, words, &err);
		if (r >= 0 && (fflush(stdout) || ferror(stdout)))
			r = err_set(&err, -EIO, "standard output: cannot write");
		if (r < 0) {
			fprintf(stderr, "amphi-images: %s\n", err.msg[0] ? err.msg : strerror(-r));
			return 1;
		}
		return r;
	}
	fprintf(stderr, "amphi-images: unknown command %s\n", argv[i]);
	return 1;
}
