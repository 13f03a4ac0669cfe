/* SPDX-License-Identifier: Apache-2.0 */
/* amphi kernel: the store of kernels for machines. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "runtime/commands.h"
#include "runtime/libexec.h"
#include "vm/kernel_store.h"

struct kernel_options {
	const char *name, *image, *modules, *format;
	bool make_default, quiet;
};

static const struct option_def kernel_defs[] = {
	OPTION_STRING("name", 'n', struct kernel_options, name, "NAME",
		      "add: name in the store (default: the release)"),
	OPTION_STRING("image", 0, struct kernel_options, image, "FILE", "add: vmlinuz or vmlinux instead of a package"),
	OPTION_STRING("modules", 0, struct kernel_options, modules, "DIR", "add: its modules (lib/modules/RELEASE)"),
	OPTION_FLAG("default", 0, struct kernel_options, make_default, "add: make it the default"),
	OPTION_STRING("format", 'f', struct kernel_options, format, "FORMAT", "ls: table or json"),
	OPTION_FLAG("quiet", 'q', struct kernel_options, quiet, "ls: names only"),
	OPTION_END,
};

static int add(const struct kernel_options *o, const char *deb, struct err *err)
{
	struct kernel_store_source src = {
		.name = o->name, .deb = deb, .image = o->image, .modules = o->modules, .make_default = o->make_default
	};
	cleanup_kernel_store_entry struct kernel_store_entry e = { 0 };
	cleanup_free char *init = NULL, *line = NULL;
	int r;

	if (deb && o->image)
		return err_set(err, -EINVAL, "kernel add: give a package or --image, not both");
	if (!deb && !o->image)
		return err_set(err, -EINVAL, "kernel add: give a linux-image package or --image");
	if (o->modules && !o->image)
		return err_set(err, -EINVAL, "option --modules: belongs to --image");
	init = libexec_find("amphi-init", err);
	if (!init)
		return err ? err->code : -ENOENT;
	r = kernel_store_add(kernel_store_dir(), &src, init, &e, err);
	if (r < 0)
		return r;
	line = xasprintf("%s\n", e.name);
	return commands_print(line, err);
}

static void write_entry(struct json_writer *w, const struct kernel_store_entry *e)
{
	json_w_object(w, NULL);
	json_w_string(w, "name", e->name);
	json_w_string(w, "release", e->release);
	json_w_string(w, "digest", e->digest);
	json_w_u64(w, "size", e->size);
	json_w_u64(w, "modules", e->n_modules);
	json_w_bool(w, "default", e->is_default);
	json_w_object_end(w);
}

static int list(const struct kernel_options *o, struct err *err)
{
	bool json = o->format && !strcmp(o->format, "json");
	struct json_writer w = { .indent = 2 };
	cleanup_str struct str out = { 0 };
	struct kernel_store_entry *v;
	size_t n;
	int r;

	if (o->format && !json && strcmp(o->format, "table"))
		return err_set(err, -EINVAL, "option --format: '%s' is neither table nor json", o->format);
	r = kernel_store_list(kernel_store_dir(), &v, &n, err);
	if (r < 0)
		return r;
	if (json)
		json_w_array(&w, NULL);
	else if (!o->quiet)
		str_addf(&out, "%-32s %-28s %7s %9s  %s\n", "NAME", "RELEASE", "MODULES", "SIZE", "DIGEST");
	for (size_t i = 0; i < n; i++) {
		if (json)
			write_entry(&w, &v[i]);
		else if (o->quiet)
			str_addf(&out, "%s\n", v[i].name);
		else
			str_addf(&out, "%-32s %-28s %7zu %5llu MiB  %.19s%s\n", v[i].name, v[i].release, v[i].n_modules,
				 (unsigned long long)(v[i].size >> 20), v[i].digest,
				 v[i].is_default ? " (default)" : "");
	}
	kernel_store_list_free(v, n);
	if (json) {
		cleanup_free char *text = NULL;

		json_w_array_end(&w);
		text = json_w_steal(&w);
		str_addf(&out, "%s\n", text);
	}
	return commands_print(str_get(&out), err);
}

static int kernel_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct kernel_options o = { 0 };
	int i = commands_options(self, &o, argc, argv, 1, 2, err);
	const char *verb, *arg;

	(void)g;
	if (i < 0)
		return commands_end(i);
	verb = argv[i];
	arg = i + 1 < argc ? argv[i + 1] : NULL;
	if (!strcmp(verb, "add"))
		return add(&o, arg, err);
	if (!strcmp(verb, "ls") || !strcmp(verb, "list"))
		return arg ? err_set(err, -EINVAL, "kernel ls: takes no argument") : list(&o, err);
	if (!arg)
		return err_set(err, -EINVAL, "kernel %s: name of a kernel required", verb);
	if (!strcmp(verb, "rm"))
		return kernel_store_remove(kernel_store_dir(), arg, err);
	if (!strcmp(verb, "default"))
		return kernel_store_set_default(kernel_store_dir(), arg, err);
	return err_set(err, -EINVAL, "kernel: unknown verb '%s' (add, ls, rm, default)", verb);
}

const struct command cmd_kernel = {
	.name = "kernel",
	.main = kernel_main,
	.options = kernel_defs,
	.synopsis = "add [OPTIONS] PACKAGE.deb | add --image FILE [--modules DIR] | ls | rm NAME | default NAME",
	.help = "add, list and remove kernels for machines",
};
