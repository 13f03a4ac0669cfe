/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver: names by DNS.
 *
 * Theory of operation: while a network with names has endpoints, one dnsmasq answers on its bridge's addresses, port
 * 53: names of the network's endpoints from dns/NETWORK/hosts, everything else by the network's own servers or
 * the host's; on an internal network nothing else. It is started by the first attach, told of changes by SIGHUP
 * (it reads the file anew and forgets what it had cached) and ended by the last detach, by prune and with the network. Hosts files
 * (dns.c) are kept whether it runs or not: it is for programs that ask by themselves, and its absence is no failure.
 * It is told apart from any other process by its command line, in which the path of its pid file stands, so a
 * number that the kernel has given to somebody else is never signalled, and one whose maker was killed is found.
 * --bind-dynamic makes it check the interface a question came from: other networks get no answer.
 * It is not started behind a packet filter that drops the questions (filter.c).
 * dnsmasq(8).
 */
#include "network/resolver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "network/endpoint.h"
#include "network/filter.h"
#include "network/ipam.h"

#define START_MS 10000
#define STOP_MS 2000
#define CMDLINE_MAX 65536

static char *pid_file(const struct netdir *nd, const char *network)
{
	return xasprintf("%s/dns/%s/pid", nd->run, network);
}

static int open_dir(const struct netdir *nd, const char *network, struct err *err)
{
	cleanup_free char *sub = xasprintf("dns/%s", network);

	return netdir_sub(nd, sub, err);
}

/* Has the process the pid file's name among its arguments? */
static bool is_resolver(pid_t pid, const char *file)
{
	cleanup_free char *path = xasprintf("/proc/%d/cmdline", (int)pid), *text = NULL, *want = NULL;
	size_t n;

	if (fd_slurp_at(AT_FDCWD, path, CMDLINE_MAX, &text, &n) < 0)
		return false;
	want = xasprintf("--pid-file=%s", file);
	for (size_t i = 0; i < n; i += strlen(text + i) + 1)
		if (!strcmp(text + i, want))
			return true;
	return false;
}

/* A pidfd of the network's resolver; -ESRCH when none runs. The descriptor is taken before the process is looked at. */
static int find(const struct netdir *nd, const char *network)
{
	cleanup_free char *file = pid_file(nd, network), *text = NULL;
	cleanup_fd int fd = -1;
	int64_t pid;
	size_t n;

	if (fd_slurp_at(AT_FDCWD, file, 64, &text, &n) < 0)
		return -ESRCH;
	text[strcspn(text, "\n")] = '\0';
	if (parse_i64(text, &pid) < 0 || pid <= 1 || pid > INT32_MAX)
		return -ESRCH;
	fd = fd_pidfd_open((pid_t)pid);
	if (fd < 0 || !is_resolver((pid_t)pid, file))
		return -ESRCH;
	return steal_fd(fd);
}

bool resolver_runs(const struct netdir *nd, const char *network)
{
	cleanup_fd int fd = find(nd, network);

	return fd >= 0;
}

/* Can everybody come to the directory? dnsmasq gives its privileges up and still has to read its file. */
static bool is_reachable(const char *path)
{
	cleanup_free char *p = xstrdup(path);

	for (char *s = p + strlen(p); s > p; s = strrchr(p, '/')) {
		struct stat st;

		*s = '\0';
		if (stat(p[0] ? p : "/", &st) < 0 || !(st.st_mode & S_IXOTH))
			return false;
	}
	return true;
}

/* The names of a network's endpoints as a hosts file. Returns how many leases have files of names. */
static size_t hosts_text(const struct netdir *nd, const char *network, struct str *out)
{
	cleanup_fd int dir = endpoint_dir(nd, network, NULL);
	struct ipam_entry *v = NULL;
	char a[RTNL_ADDR_TEXT];
	size_t n = 0, named = 0;

	if (dir < 0 || ipam_list(dir, &v, &n, NULL) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (!str_empty(v[i].names))
			str_addf(out, "%s\t%s\n", rtnl_addr_text(&v[i].addr, false, a), v[i].names);
		named += v[i].files_dir[0] != '\0';
	}
	ipam_list_free(v, n);
	return named;
}

static int write_hosts(int dir, const struct str *text, struct err *err)
{
	int r = path_write_atomic(dir, "hosts", str_get(text), text->len, 0644);

	return r < 0 ? err_sys(err, r, "write the resolver's hosts file") : 0;
}

static void arguments(const struct netdir *nd, const struct network *n, char ***argv)
{
	cleanup_free char *file = pid_file(nd, n->name), *dir = xasprintf("%s/dns/%s", nd->run, n->name);

	strv_add(argv, "dnsmasq");
	strv_add(argv, "--conf-file=/dev/null");
	strv_add_take(argv, xasprintf("--pid-file=%s", file));
	strv_add_take(argv, xasprintf("--user=%s", is_reachable(dir) ? "nobody" : "root"));
	strv_add_take(argv, xasprintf("--interface=%s", n->bridge));
	strv_add(argv, "--except-interface=lo");
	strv_add(argv, "--bind-dynamic");
	strv_add(argv, "--no-hosts");
	strv_add_take(argv, xasprintf("--addn-hosts=%s/hosts", dir));
	strv_add(argv, "--domain-needed");
	strv_add(argv, "--bogus-priv");
	if (n->internal || n->dns_servers)
		strv_add(argv, "--no-resolv");
	for (char **p = n->dns_servers; !n->internal && p && *p; p++)
		strv_add_take(argv, xasprintf("--server=%s", *p));
}

/* A packet filter that drops the questions makes a resolver worse than none: resolv.conf would name it. */
static int check_filter(const struct network *n, struct err *err)
{
	cleanup_free char *what = NULL, *remedy = NULL;

	if (filter_blocks(n, FILTER_INPUT, &what, &remedy, NULL) <= 0)
		return 0;
	return err_set(err, -EPERM, "%s what is asked from bridge %s; to let it pass: %s; amphi network reload", what,
		       n->bridge, remedy);
}

/* It goes to the background when its sockets are bound. */
static int launch(const struct netdir *nd, const struct network *n, struct err *err)
{
	struct child_io io = { .want_err = 1, .timeout_ms = START_MS };
	cleanup_strv char **argv = NULL;
	cleanup_free char *errout = NULL;
	int r;

	arguments(nd, n, &argv);
	r = child_run(argv, &io, err);
	errout = io.errout;
	if (r == -ENOENT || r == 127)
		return err_set(err, -ENOENT, "dnsmasq: not found");
	if (r > 0) {
		const char *text = errout ? errout : "";

		text += strspn(text, "\n");
		return err_set(err, -EIO, "%.*s", (int)strcspn(text, "\n"), text[0] ? text : "dnsmasq failed");
	}
	return r;
}

void resolver_start(const struct netdir *nd, const struct network *n)
{
	cleanup_str struct str hosts = { 0 };
	struct err e = { 0 };
	cleanup_fd int dir = -1;
	int r;

	if (!n->dns || n->foreign || resolver_runs(nd, n->name))
		return;
	r = dir = open_dir(nd, n->name, &e);
	if (r >= 0 && faccessat(dir, "failed", F_OK, 0) == 0)
		return;
	hosts_text(nd, n->name, &hosts);
	if (r >= 0)
		r = write_hosts(dir, &hosts, &e);
	if (r >= 0)
		r = check_filter(n, &e);
	if (r >= 0)
		r = launch(nd, n, &e);
	if (r >= 0)
		return;
	if (r == -ENOENT)
		log_debug("network %s: no resolver: %s; names are in hosts files", n->name, e.msg);
	else
		log_warn("network %s: no resolver: %s; names are in hosts files", n->name, e.msg);
	if (dir >= 0)
		(void)path_write_atomic(dir, "failed", e.msg, strlen(e.msg), 0644);
}

void resolver_refresh(const struct netdir *nd, const char *network)
{
	cleanup_free char *sub = xasprintf("dns/%s", network);
	cleanup_str struct str hosts = { 0 };
	cleanup_fd int dir = openat(nd->run_fd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC), pidfd = -1;
	struct err e = { 0 };

	if (dir < 0)
		return;
	if (!hosts_text(nd, network, &hosts)) {
		if (resolver_stop(nd, network, &e) < 0)
			log_warn("network %s: %s", network, e.msg);
		return;
	}
	pidfd = find(nd, network);
	if (pidfd < 0)
		return;
	if (write_hosts(dir, &hosts, &e) < 0)
		log_warn("network %s: %s", network, e.msg);
	else
		(void)fd_pidfd_kill(pidfd, SIGHUP);
}

static int end(int pidfd, const char *network, struct err *err)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	for (int sig = SIGTERM;; sig = SIGKILL) {
		int r = fd_pidfd_kill(pidfd, sig);

		if (r == -ESRCH || (r >= 0 && poll(&p, 1, STOP_MS) > 0))
			return 0;
		if (r < 0)
			return err_sys(err, r, "end the resolver of network %s", network);
		if (sig == SIGKILL)
			return err_set(err, -EBUSY, "the resolver of network %s does not end", network);
	}
}

int resolver_stop(const struct netdir *nd, const char *network, struct err *err)
{
	cleanup_free char *sub = xasprintf("dns/%s", network);
	cleanup_fd int pidfd = find(nd, network);
	int r = pidfd < 0 ? 0 : end(pidfd, network, err);

	if (r < 0)
		return r;
	r = path_remove_tree(nd->run_fd, sub, true);
	return r < 0 && r != -ENOENT ? err_sys(err, r, "remove %s/%s", nd->run, sub) : 0;
}

unsigned int resolver_sweep(const struct netdir *nd, bool (*keep)(const void *arg, const char *network),
			    const void *arg)
{
	int fd = openat(nd->run_fd, "dns", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	unsigned int n = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		struct err why = { 0 };

		if (e->d_name[0] == '.' || keep(arg, e->d_name))
			continue;
		if (resolver_stop(nd, e->d_name, &why) < 0)
			log_warn("network: %s", why.msg);
		else
			n++;
	}
	return n;
}
