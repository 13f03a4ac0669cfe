/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_pasta: networking without privileges, by the pasta program.
 *
 * Theory of operation: pasta joins the namespace of a process, makes a tap in it with the host's own addresses and
 * translates between it and ordinary sockets; published ports are its listening sockets. It goes to the background
 * when the namespace is ready and ends when the namespace does, so there is nothing to undo; its pid is written to
 * the owner's directory for those who want to end it earlier.
 * pasta(1).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "network/network.h"

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
		strv_add_take(argv, xasprintf("%s%s%u-%u:%u-%u", a, a[0] ? "/" : "", p->port, p->port + p->n - 1, p->inside,
					      p->inside + p->n - 1));
	return 0;
}

int network_pasta(const struct network_request *req, int pid, int *ret_pid, struct err *err)
{
	cleanup_strv char **argv = NULL;
	cleanup_free char *pid_file = path_join(req->ref.owner, "pasta.pid"), *text = NULL, *errout = NULL;
	struct child_io io = {.want_err = 1, .timeout_ms = 30000};
	bool tcp = false, udp = false;
	int64_t value = 0;
	size_t n;
	int r = 0;

	strv_add(&argv, "pasta");
	strv_add(&argv, "--config-net");
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
	/* Without these, pasta forwards every port that something listens on. */
	if (!tcp) {
		strv_add(&argv, "-t");
		strv_add(&argv, "none");
	}
	if (!udp) {
		strv_add(&argv, "-u");
		strv_add(&argv, "none");
	}
	strv_add(&argv, "-T");
	strv_add(&argv, "none");
	strv_add(&argv, "-U");
	strv_add(&argv, "none");
	strv_add_take(&argv, xasprintf("%d", pid));
	r = child_run(argv, &io, err);
	errout = io.errout;
	if (r == -ENOENT || r == 127)
		return err_set(err, -ENOENT, "pasta: not found; install passt for rootless networking, or use --network none");
	if (r < 0)
		return err_wrap(err, "run pasta");
	if (r) {
		if (errout)
			errout[strcspn(errout, "\n")] = '\0';
		return err_set(err, -EIO, "pasta: %s", str_empty(errout) ? "failed" : errout);
	}
	if (fd_slurp_at(AT_FDCWD, pid_file, 64, &text, &n) == 0) {
		text[strcspn(text, "\n")] = '\0';
		(void)parse_i64(text, &value);
	}
	*ret_pid = (int)value;
	return 0;
}
