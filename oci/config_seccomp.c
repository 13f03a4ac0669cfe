/* SPDX-License-Identifier: Apache-2.0 */
/* The seccomp object of config.json. */
/*
 * Actions and comparisons become enums; architectures and flags stay words, checked against the lists of
 * runtime-spec config-linux.md#seccomp, because their numbers belong to libseccomp.
 */
#include <string.h>

#include "base/str.h"
#include "oci/config_read.h"

static const char *const archs[] = {
	"SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",   "SCMP_ARCH_X32",         "SCMP_ARCH_ARM",
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",
	"SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
	"SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",        "SCMP_ARCH_S390X",
	"SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",     "SCMP_ARCH_LOONGARCH64",
	"SCMP_ARCH_M68K",    "SCMP_ARCH_SH",       "SCMP_ARCH_SHEB",
};

static const char *const flags[] = {
	"SECCOMP_FILTER_FLAG_TSYNC",
	"SECCOMP_FILTER_FLAG_LOG",
	"SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
};

static int read_action(const struct json *v, enum oci_seccomp_action *ret, struct err *err)
{
	const char *s;

	OCI_TRY(json_string(v, &s, err));
	for (int a = 0; a < OCI_SCMP_MAX; a++) {
		if (!strcmp(oci_seccomp_action_name((enum oci_seccomp_action)a), s)) {
			*ret = (enum oci_seccomp_action)a;
			return 0;
		}
	}
	return json_error(v, err, "string %.100s is not a valid action for seccomp", s);
}

static int read_words(const struct json *obj, const char *key, const char *const *words, size_t n, char ***ret,
		      struct err *err)
{
	const struct json *list;
	int index, r = json_opt_array(obj, key, &list, err);

	if (r <= 0)
		return r;
	*ret = xcalloc(1, sizeof(**ret)); /* an empty list is not an absent one */
	json_for_each(v, list) {
		OCI_TRY(oci_read_word(v, words, n, &index, err));
		strv_add(ret, words[index]);
	}
	return 1;
}

static int read_arg(const struct json *v, void *slot, struct err *err)
{
	struct oci_seccomp_arg *a = slot;
	const struct json *f;
	const char *s;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(oci_req(v, "index", &f, err));
	OCI_TRY(json_u32(f, &a->index, err));
	if (a->index > 5)
		return json_error(f, err, "a system call has arguments 0 to 5");
	OCI_TRY(oci_req(v, "value", &f, err));
	OCI_TRY(json_u64(f, &a->value, err));
	OCI_TRY(json_opt_u64(v, "valueTwo", &a->value_two, err));
	OCI_TRY(oci_req(v, "op", &f, err));
	OCI_TRY(json_string(f, &s, err));
	for (int op = 0; op < OCI_OP_MAX; op++) {
		if (!strcmp(oci_seccomp_op_name((enum oci_seccomp_op)op), s)) {
			a->op = (enum oci_seccomp_op)op;
			return 0;
		}
	}
	return json_error(f, err, "string %.100s is not a valid operator for seccomp", s);
}

static int read_rule(const struct json *v, void *slot, struct err *err)
{
	struct oci_seccomp_rule *rule = slot;
	const struct json *f;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(oci_req(v, "names", &f, err));
	OCI_TRY(json_opt_strv(v, "names", &rule->names, err));
	if (!f->c.n)
		return json_error(f, err, "at least one system call is needed");
	OCI_TRY(oci_req(v, "action", &f, err));
	OCI_TRY(read_action(f, &rule->action, err));
	OCI_TRY(oci_opt_u32(v, "errnoRet", &rule->has_errno_ret, &rule->errno_ret, err));
	return oci_read_array(v, "args", sizeof(*rule->args), read_arg, &rule->args, &rule->n_args, err);
}

int oci_seccomp_read(const struct json *v, struct oci_seccomp **ret, struct err *err)
{
	struct oci_seccomp *s;
	const struct json *f;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	s = *ret = xcalloc(1, sizeof(*s)); /* the caller's from the first byte: freed with the document on failure */
	OCI_TRY(oci_req(v, "defaultAction", &f, err));
	OCI_TRY(read_action(f, &s->default_action, err));
	OCI_TRY(oci_opt_u32(v, "defaultErrnoRet", &s->has_default_errno_ret, &s->default_errno_ret, err));
	OCI_TRY(read_words(v, "architectures", archs, ARRAY_SIZE(archs), &s->architectures, err));
	OCI_TRY(read_words(v, "flags", flags, ARRAY_SIZE(flags), &s->flags, err));
	OCI_TRY(json_opt_string(v, "listenerPath", &s->listener_path, err));
	OCI_TRY(json_opt_string(v, "listenerMetadata", &s->listener_metadata, err));
	if (!str_empty(s->listener_metadata) && str_empty(s->listener_path))
		return json_error(json_get(v, "listenerMetadata"), err, "set without a listenerPath");
	OCI_TRY(oci_read_array(v, "syscalls", sizeof(*s->syscalls), read_rule, &s->syscalls, &s->n_syscalls, err));
	if (s->default_action == OCI_SCMP_NOTIFY)
		return json_error(f, err, "SCMP_ACT_NOTIFY cannot be used as default action");
	return 0;
}

void oci_seccomp_free(struct oci_seccomp *s)
{
	if (!s)
		return;
	strv_free(s->architectures);
	strv_free(s->flags);
	free(s->listener_path);
	free(s->listener_metadata);
	for (size_t i = 0; i < s->n_syscalls; i++) {
		strv_free(s->syscalls[i].names);
		free(s->syscalls[i].args);
	}
	free(s->syscalls);
	free(s);
}
