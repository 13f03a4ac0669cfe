/* SPDX-License-Identifier: Apache-2.0 */
/* amphi events, amphi stats: counters of containers and machines, and out-of-memory events. */
/*
 * Theory of operation: events prints one JSON object a line, in runc's form: {"type":"stats"} once (--stats) or at
 * each interval, {"type":"oom"} as the kernel reports it, until the container's first process ends. stats is the
 * table for people. A machine's counters are the workload's as its
 * own kernel keeps them, and in an object "vm" what the machine itself costs. Network counters
 * are seen from inside: a container's are those of its network namespace, a machine's those of its taps, or of the
 * links its taps are joined to; without a network of its own there are none.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "container/cgroup_oom.h"
#include "container/cgroup_stats.h"
#include "network/network.h"
#include "runtime/commands.h"
#include "runtime/sandbox.h"

struct events_options {
	bool stats;
	const char *interval;
};

static const struct option_def events_defs[] = {
	OPTION_FLAG("stats", 0, struct events_options, stats, "print the counters once and end"),
	OPTION_STRING("interval", 0, struct events_options, interval, "DURATION", "time between counters (default 5s)"),
	OPTION_END,
};

struct events_run {
	struct sandbox *sb;
	int oom_fd;
	int guest_fd; /* out-of-memory kills inside of a machine; -1 */
	unsigned long long oom_seen;
	struct err *err;
};

/* The loop ends successfully. */
#define EVENTS_END 1

/* All counters of one container. */
struct events_data {
	struct cgroup_stats cgroup;
	char *vm;                  /* the object "vm" of a machine, owned; NULL */
	struct network_stats *net; /* owned */
	size_t n_net;
};

static void events_data_free(struct events_data *d)
{
	cgroup_stats_free(&d->cgroup);
	free(d->net);
	free(d->vm);
}
#define cleanup_events_data CLEANUP(events_data_free)

/* The lease of a machine on networks of ours: its taps are links of the host. */
static int events_lease(struct sandbox *sb, struct network_lease *ret)
{
	cleanup_json_doc struct json_doc *doc = NULL;

	if (sb->rec.isolation != ISOLATION_VM || !sb->rec.network)
		return -ENOENT;
	doc = json_parse(sb->rec.network, strlen(sb->rec.network), "network", NULL);
	return doc ? network_lease_load(json_root(doc), ret, NULL) : -EINVAL;
}

/* The network's counters; best effort: a namespace that is the caller's own has none to tell. */
static void events_read_network(struct sandbox *sb, struct events_data *d)
{
	cleanup_network_lease struct network_lease lease = { 0 };
	cleanup_free char *path = xasprintf("/proc/%d/ns/net", (int)sb->rec.pid);
	cleanup_fd int netns = -1;
	struct stat theirs, ours;

	if (events_lease(sb, &lease) >= 0 && lease.n_ifaces && lease.ifaces[0].host_link[0]) {
		(void)network_stats(&lease, -1, &d->net, &d->n_net, NULL);
		return;
	}
	/* plugins made the machine's links in a namespace of their own */
	netns = open(lease.netns_path ? lease.netns_path : path, O_RDONLY | O_CLOEXEC);
	if (netns < 0 || fstat(netns, &theirs) < 0 || stat("/proc/self/ns/net", &ours) < 0 ||
	    (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino))
		return;
	(void)network_stats(NULL, netns, &d->net, &d->n_net, NULL);
}

static int events_read(struct sandbox *sb, struct events_data *d, struct err *err)
{
	int r = sb->backend->stats(sb, &d->cgroup, &d->vm, err);

	if (r >= 0)
		events_read_network(sb, d);
	return r;
}

/* The object "data"; runc has no lower-case names for the interfaces' members. */
static void events_write_data(struct json_writer *w, const struct events_data *d)
{
	json_w_object(w, "data");
	cgroup_stats_write(&d->cgroup, w);
	if (!d->n_net)
		json_w_null(w, "network_interfaces");
	else
		json_w_array(w, "network_interfaces");
	for (size_t i = 0; i < d->n_net; i++) {
		const struct network_stats *n = &d->net[i];

		json_w_object(w, NULL);
		json_w_string(w, "Name", n->name);
		json_w_u64(w, "RxBytes", n->rx_bytes);
		json_w_u64(w, "RxPackets", n->rx_packets);
		json_w_u64(w, "RxErrors", n->rx_errors);
		json_w_u64(w, "RxDropped", n->rx_dropped);
		json_w_u64(w, "TxBytes", n->tx_bytes);
		json_w_u64(w, "TxPackets", n->tx_packets);
		json_w_u64(w, "TxErrors", n->tx_errors);
		json_w_u64(w, "TxDropped", n->tx_dropped);
		json_w_object_end(w);
	}
	if (d->n_net)
		json_w_array_end(w);
	json_w_object_end(w);
	if (d->vm) {
		cleanup_json_doc struct json_doc *doc = json_parse(d->vm, strlen(d->vm), "vm", NULL);

		if (doc)
			json_w_value(w, "vm", json_root(doc));
	}
}

static int events_print(const char *type, const char *id, const struct events_data *d, struct err *err)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;

	json_w_object(&w, NULL);
	json_w_string(&w, "type", type);
	json_w_string(&w, "id", id);
	if (d)
		events_write_data(&w, d);
	json_w_object_end(&w);
	str_addc(&w.out, '\n');
	text = json_w_steal(&w);
	return commands_print(text, err);
}

static int events_stats(struct sandbox *sb, struct err *err)
{
	cleanup_events_data struct events_data d = { 0 };
	int r = events_read(sb, &d, err);

	return r < 0 ? r : events_print("stats", sb->rec.id, &d, err);
}

static int events_on_timer(struct loop_source *src, uint32_t events, void *arg)
{
	struct events_run *run = arg;
	int r;

	(void)src;
	(void)events;
	r = events_stats(run->sb, run->err);
	/* the workload of a machine ended: the process here tells so next */
	if (r == -ESRCH)
		return 0;
	/* it ended between two ticks */
	return r == -ENOENT || r == -ENODEV ? EVENTS_END : r;
}

static int events_on_oom(struct loop_source *src, uint32_t events, void *arg)
{
	struct events_run *run = arg;
	int r = cgroup_oom_read(run->sb->cgroup, run->oom_fd, &run->oom_seen);

	(void)src;
	(void)events;
	if (r == -ENODEV)
		return EVENTS_END;
	return r > 0 ? events_print("oom", run->sb->rec.id, NULL, run->err) : 0;
}

static int events_on_exit(struct loop_source *src, uint32_t events, void *arg)
{
	struct events_run *run = arg;

	(void)src;
	(void)events;
	/* what the kernel has just reported is not lost */
	if (run->oom_fd >= 0 && cgroup_oom_read(run->sb->cgroup, run->oom_fd, &run->oom_seen) > 0)
		events_print("oom", run->sb->rec.id, NULL, run->err);
	return EVENTS_END;
}

static int events_on_guest(struct loop_source *src, uint32_t events, void *arg)
{
	struct events_run *run = arg;

	(void)events;
	if (run->sb->backend->oom_read(run->guest_fd) > 0)
		return events_print("oom", run->sb->rec.id, NULL, run->err);
	/* at its end the process here ends too, with all that is to be said */
	loop_remove(src);
	return 0;
}

static int events_follow(struct sandbox *sb, uint64_t interval_ms, struct err *err)
{
	struct events_run run = { .sb = sb, .oom_fd = -1, .guest_fd = -1, .err = err };
	struct loop *loop = loop_new();
	cleanup_fd int pidfd = fd_pidfd_open(sb->rec.pid);
	cleanup_fd int oom = -1, guest = -1;
	int r = sandbox_cgroup(sb, err);

	if (r == 0) {
		oom = cgroup_oom_open(sb->cgroup, err);
		r = oom < 0 ? oom : 0;
	}
	run.oom_fd = oom;
	if (r == 0 && sandbox_alive(sb))
		r = sb->backend->oom_open(sb, &guest, err);
	run.guest_fd = guest;
	if (r == 0 && sandbox_alive(sb) && pidfd >= 0) {
		loop_add_fd(loop, oom, EPOLLIN, events_on_oom, &run);
		if (guest >= 0)
			loop_add_fd(loop, guest, EPOLLIN, events_on_guest, &run);
		loop_add_fd(loop, pidfd, EPOLLIN, events_on_exit, &run);
		loop_add_timer(loop, interval_ms, interval_ms, events_on_timer, &run);
		r = loop_run(loop);
	}
	loop_free(loop);
	return r == EVENTS_END ? 0 : r;
}

static int events_load(const struct globals *g, const char *id, struct sandbox *sb, struct err *err)
{
	enum oci_status status;
	int r = sandbox_load(g, id, false, sb, err);

	if (r == -ENODATA)
		return err_set(err, ENOENT, "container does not exist");
	r = r < 0 ? r : sandbox_status(sb, &status, err);
	if (r < 0)
		return r;
	if (status == OCI_STATUS_STOPPED || status == OCI_STATUS_CREATING)
		return err_set(err, ESRCH, "container with id %s is not running", id);
	return 0;
}

static int events_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	struct events_options o = { .interval = "5s" };
	uint64_t interval_ms;
	int r, i = commands_options(self, &o, argc, argv, 1, 1, err);

	if (i < 0)
		return commands_end(i);
	if (parse_duration_ms(o.interval, &interval_ms) < 0 || !interval_ms)
		return err_set(err, EINVAL,
			       "option --interval: \"%s\": duration interval must be greater than 0 (500ms, 5s, 1m)",
			       o.interval);
	if (!interval_ms)
		return err_set(err, EINVAL, "option --interval: duration interval must be greater than 0");
	r = events_load(g, argv[i], &sb, err);
	if (r < 0)
		return r;
	return o.stats ? events_stats(&sb, err) : events_follow(&sb, interval_ms, err);
}

const struct command cmd_events = {
	.name = "events",
	.main = events_main,
	.options = events_defs,
	.synopsis = "[OPTIONS] ID",
	.help = "print counters and out-of-memory events as JSON lines",
};

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

static void stats_row(const char *id, const struct events_data *d, struct str *out)
{
	char usage[24], limit[24], read[24], written[24], received[24], sent[24];
	const struct cgroup_stats *s = &d->cgroup;
	uint64_t in = 0, outb = 0, rx = 0, tx = 0;

	for (size_t i = 0; i < s->io_bytes.n; i++) {
		in += !strcmp(s->io_bytes.v[i].op, "Read") ? s->io_bytes.v[i].value : 0;
		outb += !strcmp(s->io_bytes.v[i].op, "Write") ? s->io_bytes.v[i].value : 0;
	}
	for (size_t i = 0; i < d->n_net; i++) {
		rx += d->net[i].rx_bytes;
		tx += d->net[i].tx_bytes;
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
		cleanup_events_data struct events_data d = { 0 };

		r = events_load(g, *id, &sb, err);
		r = r < 0 ? r : events_read(&sb, &d, err);
		if (r < 0 && all)
			continue; /* stopped, or gone since the list was made */
		if (r < 0)
			break;
		stats_row(*id, &d, &out);
		json_w_object(&w, NULL);
		json_w_string(&w, "id", *id);
		events_write_data(&w, &d);
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
