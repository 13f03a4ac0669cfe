/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that the kernel keeps per process, and kernel parameters per namespace.
 *
 * Limits and the OOM score of a new container are set by the parent, whose privileges reach further than the child's in a
 * user namespace, and late, so that a small RLIMIT_NOFILE does not hinder the set-up. Sysctls are written by the
 * child from inside the namespaces that they belong to, through a procfs that was opened before the
 * container's mounts existed (CVE-2025-52881).
 */
#include "container/rlimit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/config.h"

int rlimit_apply(pid_t pid, const struct oci_process *p, struct err *err)
{
	for (size_t i = 0; i < p->n_rlimits; i++) {
		struct rlimit l = { .rlim_cur = p->rlimits[i].soft, .rlim_max = p->rlimits[i].hard };

		if (prlimit(pid, (__rlimit_resource_t)p->rlimits[i].resource, &l, NULL) < 0)
			return err_sys(err, -errno,
				       "error setting rlimits for ready process: process.rlimits[%zu] (%s)", i,
				       oci_rlimit_name(p->rlimits[i].resource));
	}
	return 0;
}

int rlimit_oom_score(pid_t pid, const struct oci_process *p, bool rootless, struct err *err)
{
	char path[64], text[16];
	int r;

	if (!p->has_oom_score_adj)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	snprintf(text, sizeof(text), "%d", p->oom_score_adj);
	r = fd_write_file_at(AT_FDCWD, path, text);
	if (rootless && (r == -EACCES || r == -EPERM)) {
		log_debug("rlimit: oom_score_adj %s: not allowed, left as it is", text);
		return 0;
	}
	return r < 0 ? err_sys(err, r, "process.oomScoreAdj: write %s", path) : 0;
}

/* "net.ipv4.ip_forward" → "sys/net/ipv4/ip_forward"; with a '/' in it the separators are swapped (sysctl(8)). */
static char *sysctl_path(const char *key)
{
	char *path = xasprintf("sys/%s", key);
	char *sep = strpbrk(path + 4, "./");
	bool dots = sep && *sep == '.';

	for (char *p = path + 4; *p && dots; p++) {
		if (*p == '.')
			*p = '/';
		else if (*p == '/')
			*p = '.';
	}
	return path;
}

int rlimit_sysctl(const struct oci_config *config, int procfd, struct err *err)
{
	for (size_t i = 0; i < config->linux_.n_sysctl; i++) {
		const struct oci_pair *s = &config->linux_.sysctl[i];
		cleanup_free char *path = sysctl_path(s->key);
		cleanup_fd int fd = path_open_nolink(procfd, path, O_WRONLY, 0);
		ssize_t n = -1;

		if (fd >= 0)
			n = write(fd, s->value, strlen(s->value));
		if (fd < 0 || n < 0)
			return err_sys(err, fd < 0 ? fd : -errno, "linux.sysctl[\"%s\"]: write /proc/%s", s->key, path);
	}
	return 0;
}
