/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_pasta: networking without privileges and without a bridge, by the pasta program.
 *
 * Theory of operation: pasta joins a network namespace, makes a tap in it with the host's own addresses and translates
 * between it and ordinary sockets; published ports are its listening sockets. It goes to the background when the
 * namespace is ready. A machine's monitor joins that tap to its own by tc like any other link it finds (network_join).
 * Without privileges pasta is given the process and ends with it. Root's pasta gives up the capability that
 * opening a process's namespace needs, so it gets the namespace as a file, mounted in the owner's directory; it ends
 * when that file goes, which is the undo.
 * pasta(1).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "network/netns.h"
#include "network/network.h"

#define PASTA_NETNS "pasta.netns"

/* "-t [ADDRESS/]OUTSIDE[-END]:INSIDE[-END]" */
static int add_port(char ***argv, const struct network_port *p, struct err *err)
{
	char a[RTNL_ADDR_TEXT] = "";

	if (p->proto == NETWORK_SCTP)
		return err_set(err, -ENOTSUP, "--publish: pasta forwards tcp and udp only");
	if (p->host.family)
		rtnl_addr_text(&p->host, false, a);
	strv_add(argv, p->proto == NETWORK_TCP ? "-t" : "-u");
	if (p->n == 1)
		strv_add_take(argv, xasprintf("%s%s%u:%u", a, a[0] ? "/" : "", p->port, p->inside));
	else
		strv_add_take(argv,
			      xasprintf("%s%s%u-%u:%u-%u", a, a[0] ? "/" : "", p->port, p->port + p->n - 1, p->inside,
					p->inside + p->n - 1));
	return 0;
}

/* Which namespace. */
static int add_target(char ***argv, const struct network_request *req, int pid, struct err *err)
{
	cleanup_free char *path = NULL, *file = NULL;
	cleanup_fd int fd = -1;
	int r;

	if (geteuid()) {
		strv_add_take(argv, xasprintf("%d", pid));
		return 0;
	}
	path = xasprintf("/proc/%d/ns/net", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "open %s", path);
	file = path_join(req->ref.owner, PASTA_NETNS);
	r = netns_bind(file, fd, err);
	if (r < 0)
		return r;
	strv_add(argv, "--runas");
	strv_add(argv, "0");
	strv_add(argv, "--netns-only");
	strv_add(argv, "--netns");
	strv_add(argv, file);
	return 0;
}

/* Its last words; it also complains that there is no syslog, and about each family that the host lacks. */
static int failure(char *text, struct err *err)
{
	cleanup_strv char **lines = strv_split(text ? text : "", '\n');
	const char *last = "failed";

	for (char **p = lines; *p; p++)
		if (**p && !str_starts(*p, "Failed to send"))
			last = *p;
	return err_set(err, -EIO, "pasta: %s", last);
}

static void add_ports(char ***argv, bool tcp, bool udp)
{
	/* Without these, pasta forwards every port that something listens on. */
	static const char *const ways[] = { "-T", "-U" };

	if (!tcp) {
		strv_add(argv, "-t");
		strv_add(argv, "none");
	}
	if (!udp) {
		strv_add(argv, "-u");
		strv_add(argv, "none");
	}
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		strv_add(argv, ways[i]);
		strv_add(argv, "none");
	}
}

int network_pasta(const struct network_request *req, int pid, int *ret_pid, struct err *err)
{
	cleanup_strv char **argv = NULL;
	cleanup_free char *pid_file = path_join(req->ref.owner, "pasta.pid"), *text = NULL, *errout = NULL;
	struct child_io io = { .want_err = 1, .timeout_ms = 30000 };
	bool tcp = false, udp = false;
	int64_t value = 0;
	size_t n;
	int r = 0;

	strv_add(&argv, "pasta");
	strv_add(&argv, "--config-net");
	strv_add(&argv, "--no-map-gw"); /* else the gateway's address leads to the host's loopback */
	strv_add(&argv, "--quiet");
	strv_add(&argv, "--pid");
	strv_add(&argv, pid_file);
	for (size_t i = 0; r >= 0 && i < req->n_ports; i++) {
		tcp |= req->ports[i].proto == NETWORK_TCP;
		udp |= req->ports[i].proto == NETWORK_UDP;
		r = add_port(&argv, &req->ports[i], err);
	}
	if (r < 0)
		return r;
	add_ports(&argv, tcp, udp);
	r = add_target(&argv, req, pid, err);
	if (r < 0)
		return r;
	r = child_run(argv, &io, err);
	errout = io.errout;
	if (r == -ENOENT || r == 127)
		r = err_set(err, -ENOENT,
			    "pasta: not found; install passt for rootless networking, or use --network none");
	else if (r < 0)
		r = err_wrap(err, "run pasta");
	else if (r)
		r = failure(errout, err);
	if (r < 0) {
		(void)network_pasta_undo(&req->ref, NULL);
		return r;
	}
	if (fd_slurp_at(AT_FDCWD, pid_file, 64, &text, &n) == 0) {
		text[strcspn(text, "\n")] = '\0';
		(void)parse_i64(text, &value);
	}
	*ret_pid = (int)value;
	return 0;
}

int network_pasta_undo(const struct network_ref *ref, struct err *err)
{
	cleanup_free char *file = path_join(ref->owner, PASTA_NETNS);

	return geteuid() ? 0 : netns_drop(file, err);
}
