/* SPDX-License-Identifier: Apache-2.0 */
/* The annotations of crun ("run.oci.…") that engines and their users rely on. */
/*
 * Called at the end of parsing: an annotation becomes the field of the document that says the same, so that nothing
 * behind the parser knows where it came from; what config.json says itself wins. Those that ask for what there is
 * not here are refused by name, for a container without it would not be the one that was asked for. Other annotations
 * are their writers' own and not looked at. That some name files of the host is noted for who knows whether they may;
 * engines learn it from potentiallyUnsafeConfigAnnotations ("run.oci."). crun(1), "Extensions to OCI".
 */
#include <string.h>

#include "base/str.h"
#include "oci/config_read.h"

#define PREFIX "run.oci."
#define AT "annotations[" PREFIX "%s]: "

static int read_flag(const char *key, const char *value, bool *ret, struct err *err)
{
	if (strcmp(value, "1") && strcmp(value, "0"))
		return err_set(err, -EINVAL, AT "\"%s\" is neither 0 nor 1", key, value);
	*ret = *value == '1';
	return 0;
}

static int read_path(const char *key, char *value, const char **ret, struct err *err)
{
	if (*value != '/')
		return err_set(err, -EINVAL, AT "\"%s\" is not an absolute path", key, value);
	*ret = value;
	return 0;
}

/* The same of a file of the host, which is noted. */
static int read_host_path(struct oci_config *c, const struct oci_pair *a, const char **ret, struct err *err)
{
	c->path_annotation = a->key;
	return read_path(a->key + strlen(PREFIX), a->value, ret, err);
}

/* "monotonic 3600 0", a line for each clock. */
static int read_offsets(struct oci_linux *l, const char *value, struct err *err)
{
	cleanup_strv char **lines = strv_split(value, '\n');

	for (size_t i = 0; lines[i]; i++) {
		cleanup_strv char **word = strv_split(lines[i], ' ');
		struct oci_time_offset *t;
		size_t n = strv_len(word);

		if (!*lines[i])
			continue;
		t = !strcmp(word[0], "monotonic")    ? &l->time_monotonic :
			!strcmp(word[0], "boottime") ? &l->time_boottime :
						       NULL;
		if (!t || n < 2 || n > 3 || parse_i64(word[1], &t->secs) < 0 ||
		    (n == 3 && parse_u32(word[2], &t->nanosecs) < 0) || t->nanosecs > 999999999)
			return err_set(err, -EINVAL, AT "\"%s\" is not CLOCK SECONDS NANOSECONDS", "timens_offset",
				       lines[i]);
		t->present = true;
	}
	return 0;
}

static int read_context_type(const char *value, struct oci_linux *l, struct err *err)
{
	static const char *const types[] = { "context", "fscontext", "defcontext", "rootcontext" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(value, types[i])) {
			l->mount_context_type = types[i];
			return 0;
		}
	return err_set(err, -EINVAL, AT "\"%s\" is none of context, fscontext, defcontext, rootcontext",
		       "mount_context_type", value);
}

static int read_receiver(struct oci_config *c, const struct oci_pair *a, struct err *err)
{
	struct oci_seccomp *s = c->linux_.seccomp;
	const char *path = NULL;
	int r = read_host_path(c, a, &path, err);

	if (!r && s && str_empty(s->listener_path)) {
		free(s->listener_path);
		s->listener_path = xstrdup(path);
	}
	return r;
}

static int refuse(const char *key, const char *value, struct err *err)
{
	static const struct {
		const char *key, *why;
	} refused[] = {
		{ "handler", "there are no handlers (a machine is asked for by --isolation vm or amphi.isolation)" },
		{ "seccomp.plugins", "plugins are not loaded (linux.seccomp.listenerPath serves a listener)" },
		{ "seccomp_bpf_data", "only profiles are taken (linux.seccomp)" },
		{ "delegate-cgroup",
		  "no control group is made below the container's (a cgroup namespace and a "
		  "writable cgroup mount delegate it)" },
		{ "systemd.subgroup", "no control group is made below the scope; only the empty name is taken" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (!strcmp(key, refused[i].key) && (*value || strcmp(key, "systemd.subgroup")))
			return err_set(err, -ENOTSUP, AT "not supported: %s", key, refused[i].why);
	return 0;
}

int oci_crun_annotations(struct oci_config *c, struct err *err)
{
	struct oci_linux *l = &c->linux_;
	int r = 0;

	for (size_t i = 0; i < c->n_annotations && !r; i++) {
		const char *key = c->annotations[i].key;
		char *value = c->annotations[i].value;

		if (!str_starts(key, PREFIX))
			continue;
		key += strlen(PREFIX);
		if (!strcmp(key, "keep_original_groups"))
			r = read_flag(key, value, &c->keep_groups, err);
		else if (!strcmp(key, "hooks.stdout"))
			r = read_host_path(c, &c->annotations[i], &c->hooks_stdout, err);
		else if (!strcmp(key, "hooks.stderr"))
			r = read_host_path(c, &c->annotations[i], &c->hooks_stderr, err);
		else if (!strcmp(key, "pidfd_receiver"))
			r = read_host_path(c, &c->annotations[i], &c->pidfd_receiver, err);
		else if (!strcmp(key, "systemd.force_cgroup_v1"))
			r = read_path(key, value, &l->systemd_cgroup_v1, err);
		else if (!strcmp(key, "mount_context_type"))
			r = read_context_type(value, l, err);
		else if (!strcmp(key, "timens_offset"))
			r = l->time_monotonic.present || l->time_boottime.present ? 0 : read_offsets(l, value, err);
		else if (!strcmp(key, "seccomp.receiver"))
			r = read_receiver(c, &c->annotations[i], err);
		else if (!strcmp(key, "seccomp_fail_unknown_syscall"))
			r = l->seccomp ? read_flag(key, value, &l->seccomp->fail_unknown, err) : 0;
		else
			r = refuse(key, value, err);
	}
	return r;
}
