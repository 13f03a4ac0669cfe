/* SPDX-License-Identifier: Apache-2.0 */
/* amphi stats: what containers and machines use, as a table for people. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "network/network.h"
#include "runtime/commands.h"
#include "runtime/counters.h"
#include "runtime/sandbox.h"

struct stats_options {
	const char *format;
};

static const struct option_def stats_defs[] = {
	OPTION_STRING("format", 'f', struct stats_options, format, "table|json", "form of the output (default table)"),
	OPTION_END,
};

/* "12.3M" */
static const char *stats_size(uint64_t n, char buf[24])
{
	static const char units[] = "BKMGTPE";
	double d = (double)n;
	size_t u = 0;

	if (n >= INT64_MAX - 65536)
		return strcpy(buf, "-");
	for (; d >= 1024 && u < sizeof(units) - 2; u++)
		d /= 1024;
	snprintf(buf, 24, u ? "%.1f%c" : "%.0f%c", d, units[u]);
	return buf;
}

static void stats_row(const char *id, const struct counters *c, struct str *out)
{
	char usage[24], limit[24], read[24], written[24], received[24], sent[24];
	const struct cgroup_stats *s = &c->cgroup;
	uint64_t in = 0, outb = 0, rx = 0, tx = 0;

	for (size_t i = 0; i < s->io_bytes.n; i++) {
		in += !strcmp(s->io_bytes.v[i].op, "Read") ? s->io_bytes.v[i].value : 0;
		outb += !strcmp(s->io_bytes.v[i].op, "Write") ? s->io_bytes.v[i].value : 0;
	}
	for (size_t i = 0; i < c->n_net; i++) {
		rx += c->net[i].rx_bytes;
		tx += c->net[i].tx_bytes;
	}
	str_addf(out, "%-24s %10.2f %10s %10s %6" PRIu64 " %10s %10s %10s %10s\n", id, (double)s->cpu_total / 1e9,
		 stats_size(s->memory.usage, usage), stats_size(s->memory.limit, limit), s->pids_current,
		 stats_size(in, read), stats_size(outb, written), stats_size(rx, received), stats_size(tx, sent));
}

static int stats_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct stats_options o = { .format = "table" };
	cleanup_str struct str out = { 0 };
	struct json_writer w = { 0 };
	cleanup_free char *json = NULL;
	cleanup_strv char **ids = NULL;
	int i = commands_options(self, &o, argc, argv, 0, -1, err), r = 0;
	bool all = i == argc, table;

	if (i < 0)
		return commands_end(i);
	table = !strcmp(o.format, "table");
	if (!table && strcmp(o.format, "json"))
		return err_set(err, EINVAL, "option --format: invalid format \"%s\"", o.format);
	for (; i < argc; i++)
		strv_add(&ids, argv[i]);
	if (all)
		r = statedir_list(g, &ids, err);
	if (r < 0)
		return r;
	str_addf(&out, "%-24s %10s %10s %10s %6s %10s %10s %10s %10s\n", "ID", "CPU(S)", "MEMORY", "LIMIT", "PIDS",
		 "READ", "WRITTEN", "RECEIVED", "SENT");
	json_w_array(&w, NULL);
	for (char **id = ids; id && *id; id++) {
		cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
		cleanup_counters struct counters c = { 0 };

		r = counters_load(g, *id, &sb, err);
		r = r < 0 ? r : counters_read(&sb, &c, err);
		if (r < 0 && all)
			continue; /* stopped, or gone since the list was made */
		if (r < 0)
			break;
		stats_row(*id, &c, &out);
		json_w_object(&w, NULL);
		json_w_string(&w, "id", *id);
		counters_write(&c, &w);
		json_w_object_end(&w);
	}
	json_w_array_end(&w);
	str_addc(&w.out, '\n');
	json = json_w_steal(&w);
	if (r < 0 && !all)
		return r;
	return commands_print(table ? str_get(&out) : json, err);
}

const struct command cmd_stats = {
	.name = "stats",
	.main = stats_main,
	.options = stats_defs,
	.synopsis = "[OPTIONS] [ID...]",
	.help = "show what containers and machines use",
};
