/* SPDX-License-Identifier: Apache-2.0 */
/* amphi events: counters and out-of-memory events. */
/*
 * Theory of operation: one JSON object a line, in runc's form: {"type":"stats"} once (--stats) or at each interval,
 * {"type":"oom"} as the kernel reports it, until the container's first process ends.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "container/cgroup_oom.h"
#include "runtime/commands.h"
#include "runtime/counters.h"
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

static int events_print(const char *type, const char *id, const struct counters *c, struct err *err)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;

	json_w_object(&w, NULL);
	json_w_string(&w, "type", type);
	json_w_string(&w, "id", id);
	if (c)
		counters_write(c, &w);
	json_w_object_end(&w);
	str_addc(&w.out, '\n');
	text = json_w_steal(&w);
	return commands_print(text, err);
}

static int events_stats(struct sandbox *sb, struct err *err)
{
	cleanup_counters struct counters c = { 0 };
	int r = counters_read(sb, &c, err);

	return r < 0 ? r : events_print("stats", sb->rec.id, &c, err);
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
	if (cgroup_oom_read(run->sb->cgroup, run->oom_fd, &run->oom_seen) > 0)
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
	struct events_run run = { .sb = sb, .err = err };
	cleanup_fd int pidfd = fd_pidfd_open(sb->rec.pid);
	cleanup_fd int oom = -1, guest = -1;
	struct loop *loop;
	int r = sandbox_cgroup(sb, err);

	if (r < 0)
		return r;
	oom = cgroup_oom_open(sb->cgroup, err);
	if (oom < 0)
		return oom;
	if (pidfd < 0 || !sandbox_alive(sb))
		return 0;
	r = sb->backend->oom_open(sb, &guest, err);
	if (r < 0)
		return r;
	run.oom_fd = oom;
	run.guest_fd = guest;
	loop = loop_new();
	loop_add_fd(loop, oom, EPOLLIN, events_on_oom, &run);
	if (guest >= 0)
		loop_add_fd(loop, guest, EPOLLIN, events_on_guest, &run);
	loop_add_fd(loop, pidfd, EPOLLIN, events_on_exit, &run);
	loop_add_timer(loop, interval_ms, interval_ms, events_on_timer, &run);
	r = loop_run(loop);
	loop_free(loop);
	return r == EVENTS_END ? 0 : r;
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
	r = counters_load(g, argv[i], &sb, err);
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
