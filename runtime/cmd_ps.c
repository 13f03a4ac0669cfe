/* SPDX-License-Identifier: Apache-2.0 */
/* amphi ps: the processes of a container. */
/*
 * Theory of operation: the back end knows the processes. Without words behind the id, or with -ef, the table is our
 * own. Other words are ps(1)'s: it runs on the host and its lines are filtered by the PID column, as runc does; a
 * machine's processes are not there to be seen, so that is refused. JSON is what engines read: pids of the host, which they
 * look up there; of a machine that is its monitor alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/child.h"
#include "base/json.h"
#include "runtime/commands.h"
#include "runtime/proctable.h"
#include "runtime/sandbox.h"

struct ps_options {
	const char *format;
};

static const struct option_def ps_defs[] = {
	OPTION_STRING("format", 'f', struct ps_options, format, "FORMAT", "table or json"),
	OPTION_END,
};

/* Index of the column named PID in ps's first line; -1: none. */
static int pid_column(const char *line, size_t len)
{
	cleanup_free char *copy = xstrndup(line, len);
	char *save = NULL;
	int n = 0;

	for (char *w = strtok_r(copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save), n++)
		if (!strcmp(w, "PID"))
			return n;
	return -1;
}

static bool line_is_ours(const char *line, size_t len, int column, const struct ps_entry *e, size_t n)
{
	cleanup_free char *copy = xstrndup(line, len);
	char *save = NULL, *w = strtok_r(copy, " \t", &save);
	uint32_t pid;

	while (w && column-- > 0)
		w = strtok_r(NULL, " \t", &save);
	if (!w || parse_u32(w, &pid) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (e[i].pid == (pid_t)pid)
			return true;
	return false;
}

static int ps_filter(const char *text, const struct ps_entry *e, size_t n, struct str *out, struct err *err)
{
	const char *line = text;
	int column = -1;

	while (*line) {
		const char *end = strchrnul(line, '\n');
		size_t len = (size_t)(end - line);

		if (line == text) {
			column = pid_column(line, len);
			if (column < 0)
				return err_set(err, EINVAL, "couldn't find PID field in ps output");
			str_addf(out, "%.*s\n", (int)len, line);
		} else if (line_is_ours(line, len, column, e, n)) {
			str_addf(out, "%.*s\n", (int)len, line);
		}
		line = *end ? end + 1 : end;
	}
	return 0;
}

static int ps_host(char **words, const struct ps_entry *e, size_t n, struct str *out, struct err *err)
{
	struct child_io io = { .want_out = 1, .want_err = 1, .timeout_ms = 30000 };
	cleanup_strv char **args = NULL;
	int r;

	strv_add(&args, "ps");
	for (; *words; words++)
		strv_add(&args, *words);
	r = child_run(args, &io, err);
	if (r > 0)
		r = err_set(err, EIO, "ps: exit status %d: %.200s", r, io.errout ? io.errout : "");
	if (r == 0)
		r = ps_filter(io.out ? io.out : "", e, n, out, err);
	free(io.out);
	free(io.errout);
	return r;
}

static void ps_json(const struct ps_entry *e, size_t n, struct str *out)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;

	json_w_array(&w, NULL);
	for (size_t i = 0; i < n; i++)
		json_w_i64(&w, NULL, e[i].pid);
	json_w_array_end(&w);
	text = json_w_steal(&w);
	str_addf(out, "%s\n", text);
}

/* A stopped container has no processes, but for those that outlived its first one in a shared pid namespace. */
static int ps_collect(struct sandbox *sb, bool stopped, struct ps_entry **e, struct err *err)
{
	if (stopped &&
	    (sb->rec.isolation == ISOLATION_VM || sandbox_cgroup(sb, NULL) < 0 || !cgroup_exists(sb->cgroup)))
		return 0;
	return sb->backend->ps(sb, e, err);
}

static int ps_print(struct sandbox *sb, const struct ps_options *o, bool stopped, char **words, struct str *out,
		    struct err *err)
{
	cleanup_free struct ps_entry *e = NULL;
	bool own = !*words || (!strcmp(*words, "-ef") && !words[1]), json = !strcmp(o->format, "json");
	int n;

	if (json && sb->rec.isolation == ISOLATION_VM && !stopped) {
		ps_json(&(struct ps_entry){ .pid = sb->rec.pid }, 1, out);
		return 0;
	}
	n = ps_collect(sb, stopped, &e, err);
	if (n < 0)
		return n;
	if (json)
		ps_json(e, (size_t)n, out);
	else if (own)
		proctable_print(e, (size_t)n, out);
	else if (sb->rec.isolation == ISOLATION_VM)
		return err_set(err, ENOTSUP, "ps: arguments of ps(1) cannot be honoured for a machine (only -ef)");
	else
		return ps_host(words, e, (size_t)n, out, err);
	return 0;
}

static int ps_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	struct ps_options o = { .format = "table" };
	struct str out = { 0 };
	enum oci_status status;
	int r, i = commands_options(self, &o, argc, argv, 1, -1, err);

	if (i < 0)
		return commands_end(i);
	if (strcmp(o.format, "json") && strcmp(o.format, "table"))
		return err_set(err, EINVAL, "invalid format option");
	r = sandbox_load(g, argv[i], false, &sb, err);
	if (r == -ENODATA)
		r = err_set(err, ENOENT, "container does not exist");
	if (!r)
		r = sandbox_status(&sb, &status, err);
	if (!r)
		r = ps_print(&sb, &o, status == OCI_STATUS_STOPPED, argv + i + 1, &out, err);
	if (!r)
		r = commands_print(str_get(&out), err);
	str_free(&out);
	return r;
}

const struct command cmd_ps = {
	.name = "ps",
	.main = ps_main,
	.options = ps_defs,
	.mode = OPTIONS_STOP,
	.synopsis = "[OPTIONS] ID [PS-ARGS]",
	.help = "list the processes of a container",
};
