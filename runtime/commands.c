/* SPDX-License-Identifier: Apache-2.0 */
/* The command table and what commands share: options with help, results on stdout. */
/*
 * Theory of operation: the table is the only list of commands; dispatch, `amphi --help`, completion and the
 * documentation check read it.
 */
#include "runtime/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"

#define DECLARE(name) extern const struct command cmd_##name;
#define ENTRY(name) &cmd_##name,

/* What engines call comes first. */
// clang-format off
#define COMMANDS(X) \
	X(create) X(start) X(run) X(exec) X(kill) X(delete) X(state) X(list) X(ps) X(spec) \
	X(pause) X(resume) X(checkpoint) X(restore) X(update) X(mounts) X(events) X(stats) X(features) \
	X(pull) X(push) X(images) X(inspect) X(tag) X(rmi) X(import) X(export) X(bundle) X(prune) X(commit) X(fsck) \
	X(network) X(cni) X(kernel) X(doctor)
// clang-format on

COMMANDS(DECLARE)

const struct command *const commands[] = { COMMANDS(ENTRY) NULL };

static const char *const vmm_names[] = { [VMM_AUTO] = "auto", [VMM_KVM] = "kvm", [VMM_QEMU] = "qemu" };
static const char *const isolation_names[] = {
	[ISOLATION_UNSET] = "unset",
	[ISOLATION_CONTAINER] = "container",
	[ISOLATION_VM] = "vm",
};

int commands_vmm_parse(const char *word, enum vmm_driver *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(vmm_names); i++)
		if (!strcmp(word, vmm_names[i])) {
			*ret = (enum vmm_driver)i;
			return 0;
		}
	return -EINVAL;
}

const char *commands_vmm_name(enum vmm_driver vmm)
{
	return vmm_names[vmm];
}

int commands_isolation_parse(const char *word, enum isolation *ret)
{
	for (size_t i = ISOLATION_CONTAINER; i < ARRAY_SIZE(isolation_names); i++)
		if (!strcmp(word, isolation_names[i])) {
			*ret = (enum isolation)i;
			return 0;
		}
	return -EINVAL;
}

const char *commands_isolation_name(enum isolation isolation)
{
	return isolation_names[isolation];
}

int commands_choose(const char *isolation, const char *vmm, struct globals *g, struct err *err)
{
	if (isolation && commands_isolation_parse(isolation, &g->isolation) < 0)
		return err_set(err, EINVAL, "option --isolation: \"%s\" is neither container nor vm", isolation);
	if (isolation)
		g->isolation_by = "option --isolation";
	if (vmm && commands_vmm_parse(vmm, &g->vmm) < 0)
		return err_set(err, EINVAL, "option --vmm: \"%s\" is none of kvm, qemu, auto", vmm);
	g->vmm_given |= vmm != NULL;
	return 0;
}

const struct command *commands_find(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

const char *commands_program(void)
{
	return program_invocation_short_name;
}

static void command_help(const struct command *self)
{
	struct str out = { 0 };

	str_addf(&out, "NAME:\n   %s %s - %s\n\nUSAGE:\n   %s %s %s\n\nOPTIONS:\n", commands_program(), self->name,
		 self->help, commands_program(), self->name, self->synopsis);
	options_help(self->options, &out);
	str_addf(&out, "  %-32s %s\n", "-h, --help", "show this help");
	(void)fd_write_all(STDOUT_FILENO, str_get(&out), out.len);
	str_free(&out);
}

int commands_options(const struct command *self, void *dest, int argc, char **argv, int min, int max, struct err *err)
{
	int i = options_parse(self->options, dest, self->mode, argc, argv, err);

	if (i == OPTIONS_HELP) {
		command_help(self);
		return COMMANDS_HELP_SHOWN;
	}
	if (i < 0)
		return i;
	if (argc - i >= min && (max < 0 || argc - i <= max))
		return i;
	/* runc's words */
	return err_set(err, EINVAL, "\"%s\" requires %s %d argument(s); usage: %s %s %s", self->name,
		       min == max             ? "exactly" :
			       argc - i < min ? "a minimum of" :
						"a maximum of",
		       argc - i < min ? min : max, commands_program(), self->name, self->synopsis);
}

int commands_print(const char *text, struct err *err)
{
	int r = fd_write_all(STDOUT_FILENO, text, strlen(text));

	return r < 0 ? err_sys(err, r, "standard output") : 0;
}
