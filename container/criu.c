/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation with the criu program. */
/*
 * Theory of operation: criu is asked by its RPC ("criu swrk FD", one request a process), not by its command line, for
 * three things that only the RPC has: the restored process becomes a child of ours (rst_sibling), notifications stop
 * criu where hooks and networks belong, and the master of a terminal comes back as a descriptor. Descriptors 0 to 2 of criu are
 * /dev/null and a memfd that keeps what it says before it has a log. What goes wrong later is in the log, whose
 * first error line is the cause; the others follow from it.
 */
#include "container/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"

#define CRIU_SOCKET 3
#define CRIU_MESSAGE_MAX (1U << 20)
#define CRIU_LOG_MAX (64U << 20)
#define CRIU_OLDEST 315 /* 3.15: external files and pid-store; older ones miss too much */

static char *find_criu(void)
{
	const char *path = getenv("PATH");
	cleanup_strv char **dirs =
		strv_split(str_empty(path) ? "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin" : path, ':');

	for (char **d = dirs; d && *d; d++) {
		char *p;

		if (**d != '/')
			continue;
		p = xasprintf("%s/criu", *d);
		if (access(p, X_OK) == 0)
			return p;
		free(p);
	}
	return NULL;
}

int criu_unshare_mounts(struct err *err)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return err_sys(err, -errno, "a mount namespace for criu");
	return 0;
}

static _Noreturn void child_main(const char *program, int sock, int errors, const struct criu_spawn *s)
{
	int n = CRIU_FIRST_FD + (int)s->n_fds, all[CRIU_FIRST_FD + s->n_fds];
	char number[16];
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* where criu wants the root: a mount of its own below a parent that is not shared */
	if (s->rootfs && mount(s->rootfs, s->rootfs, NULL, MS_BIND | MS_REC, NULL) < 0)
		_exit(126);
	all[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	all[1] = all[2] = errors;
	all[CRIU_SOCKET] = sock;
	for (size_t i = 0; i < s->n_fds; i++)
		all[CRIU_FIRST_FD + i] = s->fds[i];
	/* out of the way of the final numbers first */
	for (int i = 0; i < n; i++)
		all[i] = all[i] < 0 ? -1 : fcntl(all[i], F_DUPFD_CLOEXEC, n + 64);
	for (int i = 0; i < n; i++)
		if (all[i] < 0)
			close(i);
		else if (dup2(all[i], i) < 0)
			_exit(126);
	(void)sys_close_range((unsigned int)n, ~0U, 0);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(number, sizeof(number), "%d", CRIU_SOCKET);
	execl(program, "criu", "swrk", number, (char *)NULL);
	_exit(127);
}

int criu_start(struct criu *c, const struct criu_spawn *s, struct err *err)
{
	cleanup_free char *program = find_criu();
	int pair[2];

	if (!program)
		return err_set(err, ENOENT, "criu: executable file not found in $PATH (package criu)");
	if (geteuid())
		return err_set(err, EPERM, "criu: checkpoint and restore need root");
	c->errors = memfd_create("criu-errors", MFD_CLOEXEC);
	if (c->errors < 0)
		return err_sys(err, -errno, "memfd_create");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, -errno, "socketpair");
	c->sock = pair[0];
	c->pid = fork();
	if (c->pid == 0)
		child_main(program, pair[1], c->errors, s);
	close(pair[1]);
	if (c->pid < 0) {
		c->pid = 0;
		return err_sys(err, -errno, "fork");
	}
	return 0;
}

void criu_stop(struct criu *c)
{
	int status;

	if (c->sock >= 0)
		close(steal_fd(c->sock));
	if (c->pid > 0) {
		(void)kill(c->pid, SIGKILL);
		(void)child_wait(c->pid, &status);
		c->pid = 0;
	}
	if (c->errors >= 0)
		close(steal_fd(c->errors));
}

/* What the first line with an error says behind its place; owned; NULL: there is none. */
static char *first_error(const char *text)
{
	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		cleanup_free char *one = xstrndup(line, strcspn(line, "\n"));
		const char *p = strstr(one, "Error (");

		p = p ? strstr(p, "): ") : NULL;
		/* a module that is not loaded is no failure: criu goes on */
		if (p && !strstr(p, "Diag module missing"))
			return xstrdup(p + 3);
	}
	return NULL;
}

/* What criu wrote where it had no log yet. */
static char *early_error(const struct criu *c)
{
	cleanup_free char *text = NULL;

	if (lseek(c->errors, 0, SEEK_SET) < 0 || fd_slurp(c->errors, CRIU_LOG_MAX, &text, NULL) < 0)
		return NULL;
	return first_error(text);
}

static int criu_died(struct criu *c, struct err *err)
{
	cleanup_free char *why = early_error(c);
	int status = 0;

	if (c->pid > 0)
		(void)child_wait(c->pid, &status);
	c->pid = 0;
	if (why)
		return err_set(err, EPIPE, "criu ended: %s", why);
	return err_set(err, EPIPE, "criu ended with status %d", child_exit_code(status));
}

static int send_message(struct criu *c, const struct str *m, struct err *err)
{
	ssize_t n;

	do
		n = send(c->sock, m->s, m->len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		return criu_died(c, err);
	return n < 0 ? err_sys(err, -errno, "talk to criu") : 0;
}

int criu_request(struct criu *c, enum criu_rpc_type type, const struct str *opts, struct err *err)
{
	cleanup_str struct str m = { 0 };

	criu_rpc_number(&m, 1, type);
	criu_rpc_message(&m, 2, opts);
	return send_message(c, &m, err);
}

int criu_go_on(struct criu *c, struct err *err)
{
	cleanup_str struct str m = { 0 };

	criu_rpc_number(&m, 1, CRIU_RPC_NOTIFY);
	criu_rpc_flag(&m, 3, true);
	return send_message(c, &m, err);
}

int criu_next(struct criu *c, struct criu_rpc_reply *ret, struct err *err)
{
	cleanup_free char *buf = xmalloc(CRIU_MESSAGE_MAX);
	int fd = -1, r;
	size_t n_fds = 1;
	ssize_t n = fd_recv(c->sock, buf, CRIU_MESSAGE_MAX, &fd, &n_fds);

	*ret = (struct criu_rpc_reply){ .fd = -1 };
	if (n == 0 || n == -ECONNRESET)
		return criu_died(c, err);
	if (n < 0)
		return err_sys(err, (int)n, "talk to criu");
	r = criu_rpc_parse(buf, (size_t)n, ret);
	ret->fd = n_fds ? fd : -1;
	if (r < 0)
		return err_sys(err, r, "criu's reply");
	log_debug("criu: %s %s pid %d", ret->type == CRIU_RPC_NOTIFY ? "notifies" : "replies",
		  ret->script ? ret->script : "", ret->pid);
	return 0;
}

int criu_failed(const struct criu_options *o, const char *what, const char *log, const struct criu_rpc_reply *reply,
		struct err *err)
{
	cleanup_free char *text = NULL, *why = NULL;
	int code = reply->error > 0 ? reply->error : EIO;

	if (fd_slurp_at(o->work_fd, log, CRIU_LOG_MAX, &text, NULL) == 0)
		why = first_error(text);
	return err_set(err, code, "criu failed: type %s errno %d: %s (log file: %s/%s)", what, reply->error,
		       why                    ? why :
			       reply->message ? reply->message :
						"it does not say why",
		       o->work_path, log);
}

/* "criu check": 0, its exit status with its words in *why (owned, may stay NULL), or negative. */
static int run_check(const char *feature, char **why, struct err *err)
{
	cleanup_free char *program = find_criu();
	char *argv[] = { program, (char *)"check", feature ? (char *)"--feature" : NULL, (char *)feature, NULL };
	struct child_io io = { .want_out = 1, .want_err = 1, .timeout_ms = 15000 };
	int r = program ? child_run(argv, &io, err) : err_set(err, ENOENT, "criu: executable file not found in $PATH");

	if (r > 0)
		*why = first_error(io.errout ? io.errout : "");
	free(io.out);
	free(io.errout);
	return r;
}

/* By command line: the child that criu 3.17 forks for a check asked by RPC dies of a fault. */
static int check_kernel(struct err *err)
{
	cleanup_free char *why = NULL;
	int r = run_check(NULL, &why, err);

	if (r > 0)
		return err_set(err, ENOTSUP, "criu does not work on this kernel: criu check: %s",
			       why ? why : "no reason given");
	return r;
}

int criu_has_feature(const char *feature, struct err *err)
{
	cleanup_free char *why = NULL;
	int r = run_check(feature, &why, err);

	return r < 0 ? r : r == 0;
}

/* One question to a criu of its own. */
static int ask(enum criu_rpc_type type, struct criu_rpc_reply *ret, struct err *err)
{
	cleanup_criu struct criu c = CRIU_INIT;
	cleanup_str struct str m = { 0 };
	const struct criu_spawn plain = { 0 };
	int r = criu_start(&c, &plain, err);

	criu_rpc_number(&m, 1, type);
	if (!r)
		r = send_message(&c, &m, err);
	if (!r)
		r = criu_next(&c, ret, err);
	if (!r && !ret->success)
		r = err_set(err, ENOTSUP, "criu does not answer");
	return r;
}

int criu_check(unsigned int *ret_version, struct err *err)
{
	cleanup_criu_rpc_reply struct criu_rpc_reply version = { .fd = -1 };
	unsigned int v;
	int r = ask(CRIU_RPC_VERSION, &version, err);

	if (r < 0)
		return r;
	v = version.major * 100 + version.minor;
	if (ret_version)
		*ret_version = v;
	if (v < CRIU_OLDEST)
		return err_set(err, ENOTSUP, "criu %u.%u is too old: %u.%u or later is needed", version.major,
			       version.minor, CRIU_OLDEST / 100, CRIU_OLDEST % 100);
	return check_kernel(err);
}

/* ---- options ---------------------------------------------------------------------------------------------- */

static int cgroups_mode(const char *word)
{
	static const char *const words[] = { "ignore", "none", "props", "soft", "full", "strict" };

	for (size_t i = 0; word && i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]))
			return (int)i;
	return 3;
}

static void page_server(const struct criu_options *o, struct str *opts)
{
	cleanup_str struct str ps = { 0 };

	if (!o->page_address)
		return;
	criu_rpc_string(&ps, 1, o->page_address);
	criu_rpc_number(&ps, 2, o->page_port);
	criu_rpc_message(opts, 11, &ps);
}

/* The administrator's own options for criu, where there are some. */
static const char *config_file(void)
{
	static const char *const files[] = { "/etc/criu/amphi.conf", "/etc/criu/runc.conf" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (access(files[i], R_OK) == 0)
			return files[i];
	return NULL;
}

void criu_common_opts(const struct criu_options *o, const char *rootfs, const char *log, struct str *opts)
{
	criu_rpc_number(opts, 1, o->images_fd);
	criu_rpc_number(opts, 17, o->work_fd);
	criu_rpc_number(opts, 9, 4); /* log level: as criu's -v4 */
	criu_rpc_string(opts, 10, log);
	criu_rpc_string(opts, 13, rootfs);
	criu_rpc_flag(opts, 12, true); /* notifications */
	criu_rpc_flag(opts, 4, o->ext_unix_sk);
	criu_rpc_flag(opts, 5, o->tcp_established);
	criu_rpc_flag(opts, 46, o->tcp_skip_in_flight);
	criu_rpc_flag(opts, 52, o->tcp_close);
	criu_rpc_flag(opts, 7, o->shell_job);
	criu_rpc_flag(opts, 8, o->file_locks);
	criu_rpc_flag(opts, 18, o->link_remap);
	criu_rpc_flag(opts, 16, o->auto_dedup);
	criu_rpc_flag(opts, 48, o->lazy_pages);
	criu_rpc_flag(opts, 50, true); /* the terminal's master is ours to give away */
	criu_rpc_flag(opts, 24, true);
	criu_rpc_number(opts, 34, cgroups_mode(o->manage_cgroups));
	if (o->empty_net)
		criu_rpc_number(opts, 38, CLONE_NEWNET);
	if (o->network_lock)
		criu_rpc_number(opts, 64,
				!strcmp(o->network_lock, "iptables")         ? 1 :
					!strcmp(o->network_lock, "nftables") ? 2 :
									       3);
	criu_rpc_string(opts, 51, config_file());
	page_server(o, opts);
}

void criu_external(struct str *opts, const char *kind, const char *key, const char *value)
{
	cleanup_free char *text = value ? xasprintf("%s[%s]:%s", kind, key, value) : xasprintf("%s[%s]", kind, key);

	criu_rpc_string(opts, 37, text);
}

const char *const *criu_default_devices(void)
{
	static const char *const devices[] = { "/dev/null",    "/dev/zero", "/dev/full", "/dev/random",
					       "/dev/urandom", "/dev/tty",  NULL };

	return devices;
}
