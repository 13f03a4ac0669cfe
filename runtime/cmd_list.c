/* SPDX-License-Identifier: Apache-2.0 */
/* amphi list: all containers of a state root. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/commands.h"
#include "runtime/sandbox.h"

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option_def list_defs[] = {
	OPTION_STRING("format", 'f', struct list_options, format, "FORMAT", "table or json"),
	OPTION_FLAG("quiet", 'q', struct list_options, quiet, "print ids only"),
	OPTION_END,
};

/* The login name from /etc/passwd, or "#uid". Owned. A static program has no name service. */
static char *list_owner(uid_t uid)
{
	cleanup_file FILE *f = fopen("/etc/passwd", "re");
	char line[1024];

	while (f && fgets(line, sizeof(line), f)) {
		char *name = strtok(line, ":");
		char *id = strtok(NULL, ":") ? strtok(NULL, ":") : NULL;
		uint32_t n;

		if (name && id && parse_u32(id, &n) == 0 && n == uid)
			return xstrdup(name);
	}
	return xasprintf("#%u", uid);
}

struct list_table {
	char **cells; /* rows of LIST_COLUMNS */
	size_t rows;
};

#define LIST_COLUMNS 6

static void table_row(struct list_table *t, const char *const cells[LIST_COLUMNS])
{
	for (size_t i = 0; i < LIST_COLUMNS; i++)
		strv_add(&t->cells, cells[i] ? cells[i] : "");
	t->rows++;
}

/* Columns at least 12 wide with one blank between, as Go's tabwriter sets runc's table. */
static void table_print(const struct list_table *t, struct str *out)
{
	size_t width[LIST_COLUMNS];

	for (size_t c = 0; c < LIST_COLUMNS; c++) {
		width[c] = 12;
		for (size_t r = 0; r < t->rows; r++)
			if (strlen(t->cells[r * LIST_COLUMNS + c]) + 1 > width[c])
				width[c] = strlen(t->cells[r * LIST_COLUMNS + c]) + 1;
	}
	for (size_t r = 0; r < t->rows; r++)
		for (size_t c = 0; c < LIST_COLUMNS; c++)
			if (c + 1 < LIST_COLUMNS)
				str_addf(out, "%-*s", (int)width[c], t->cells[r * LIST_COLUMNS + c]);
			else
				str_addf(out, "%s\n", t->cells[r * LIST_COLUMNS + c]);
}

static void list_one(struct sandbox *sb, enum oci_status status, struct list_table *t, struct json_writer *w)
{
	cleanup_free char *owner = list_owner(sb->rec.owner);
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", status == OCI_STATUS_STOPPED ? 0 : sb->rec.pid);
	if (w)
		sandbox_state_write(sb, w, status, owner);
	else
		table_row(t,
			  (const char *const[]){ sb->rec.id, pid, oci_status_word(status), sb->rec.bundle,
						 sb->rec.created, owner });
}

/* Containers come and go while we look: one that is gone is left out, one that cannot be read is told in the log. */
static void list_all(const struct globals *g, char *const *ids, struct list_table *t, struct json_writer *w)
{
	for (; ids && *ids; ids++) {
		struct sandbox sb = SANDBOX_INIT;
		enum oci_status status;
		struct err err = { 0 };
		int r = sandbox_load(g, *ids, false, &sb, &err);

		if (!r)
			r = sandbox_status(&sb, &status, &err);
		if (!r)
			list_one(&sb, status, t, w);
		else if (r != -ENOENT && r != -ENODATA)
			log_warn("list: %s: %s", *ids, err.msg);
		sandbox_close(&sb);
	}
}

static int list_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct list_options o = { .format = "table" };
	cleanup_strv char **ids = NULL;
	struct list_table t = { 0 };
	struct json_writer w = { 0 };
	struct str out = { 0 };
	int r, i = commands_options(self, &o, argc, argv, 0, 0, err);
	bool json;

	if (i < 0)
		return commands_end(i);
	json = !strcmp(o.format, "json");
	if (!json && strcmp(o.format, "table"))
		return err_set(err, EINVAL, "invalid format option");
	r = statedir_list(g, &ids, err);
	if (r < 0)
		return r;
	if (o.quiet) {
		for (char **id = ids; id && *id; id++)
			str_addf(&out, "%s\n", *id);
	} else if (json) {
		cleanup_free char *text = NULL;

		json_w_array(&w, NULL);
		list_all(g, ids, NULL, &w);
		json_w_array_end(&w);
		text = json_w_steal(&w);
		str_addf(&out, "%s\n", text);
	} else {
		table_row(&t, (const char *const[]){ "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER" });
		list_all(g, ids, &t, NULL);
		table_print(&t, &out);
		strv_free(t.cells);
	}
	r = commands_print(str_get(&out), err);
	str_free(&out);
	return r;
}

const struct command cmd_list = {
	.name = "list",
	.main = list_main,
	.options = list_defs,
	.synopsis = "[OPTIONS]",
	.help = "list containers",
};
