/* SPDX-License-Identifier: Apache-2.0 */
/* amphi kill: a signal to the first process, or to all. */
#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/commands.h"
#include "runtime/matching.h"
#include "runtime/sandbox.h"

struct kill_options {
	bool all, regex;
};

static const struct option_def kill_defs[] = {
	OPTION_FLAG("all", 'a', struct kill_options, all, "signal every process of the container"),
	OPTION_FLAG("regex", 'r', struct kill_options, regex, "ID is an extended regular expression"),
	OPTION_END,
};

/* "0" (is it there?), "9", "KILL", "SIGKILL", "kill", "RTMIN+3". -1: unknown. */
static int kill_signal(const char *word)
{
	uint32_t n;

	if (parse_u32(word, &n) == 0)
		return n < (uint32_t)NSIG ? (int)n : -1;
	if (!strncasecmp(word, "SIG", 3))
		word += 3;
	for (int sig = 1; sig < NSIG; sig++) {
		const char *name = sigabbrev_np(sig);

		if (name && !strcasecmp(name, word))
			return sig;
	}
	if (!strcasecmp(word, "CLD"))
		return SIGCHLD;
	if (!strcasecmp(word, "IOT"))
		return SIGABRT;
	if (!strcasecmp(word, "RTMIN"))
		return SIGRTMIN;
	if (!strcasecmp(word, "RTMAX"))
		return SIGRTMAX;
	if (!strncasecmp(word, "RTMIN+", 6) && parse_u32(word + 6, &n) == 0 && SIGRTMIN + (int)n <= SIGRTMAX)
		return SIGRTMIN + (int)n;
	if (!strncasecmp(word, "RTMAX-", 6) && parse_u32(word + 6, &n) == 0 && SIGRTMAX - (int)n >= SIGRTMIN)
		return SIGRTMAX - (int)n;
	return -1;
}

/* The container's processes do not end with its first one: KILL means all of them, as runc has it. */
static bool kill_shared_pidns(struct sandbox *sb)
{
	const struct oci_namespace *ns;

	if (sb->rec.isolation == ISOLATION_VM || !sb->rec.cgroup || sandbox_config(sb, NULL) < 0)
		return false;
	ns = &sb->config->linux_.namespaces[OCI_NS_PID];
	return !ns->present || ns->path;
}

static int kill_one(const struct globals *g, const char *id, int sig, bool all, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	int r = sandbox_load(g, id, false, &sb, err);
	bool shared = false;

	if (r == -ENODATA)
		return err_set(err, ENOENT, "container does not exist");
	if (r < 0)
		return r;
	if (sig == SIGKILL && !all)
		shared = kill_shared_pidns(&sb);
	if (!sandbox_alive(&sb)) {
		/* the first process may be gone while others live on in a shared pid namespace */
		if (!all && !shared)
			return err_set(err, ESRCH, "container not running");
		if (sb.rec.pid > 0)
			(void)sb.backend->kill(&sb, sig, true, NULL);
		return 0;
	}
	return sb.backend->kill(&sb, sig, all || shared, err);
}

static int kill_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct kill_options o = { 0 };
	cleanup_strv char **ids = NULL;
	int sig = SIGTERM, r, i = commands_options(self, &o, argc, argv, 1, 2, err);

	if (i < 0)
		return commands_end(i);
	if (argc - i == 2)
		sig = kill_signal(argv[i + 1]);
	if (sig < 0)
		return err_set(err, EINVAL, "unknown signal \"%s\"", argv[i + 1]);
	if (!o.regex)
		return kill_one(g, argv[i], sig, o.all, err);
	r = matching_ids(g, argv[i], &ids, err);
	for (char **id = ids; r >= 0 && id && *id; id++) {
		r = kill_one(g, *id, sig, o.all, err);
		/* those that ended meanwhile are no failure of the expression */
		if (r == -ESRCH || r == -ENOENT)
			r = 0;
	}
	return r;
}

const struct command cmd_kill = {
	.name = "kill",
	.main = kill_main,
	.options = kill_defs,
	.mode = OPTIONS_STOP,
	.synopsis = "[OPTIONS] ID [SIGNAL]",
	.help = "send a signal (default TERM) to a container",
};
