/* SPDX-License-Identifier: Apache-2.0 */
/* Options that checkpoint and restore have in common, as rows of their tables, and what they come down to. */
#ifndef RUNTIME_CRIUOPTS_H
#define RUNTIME_CRIUOPTS_H

#include <stdbool.h>

#include "container/criu.h"
#include "runtime/options.h"

struct criuopts {
	const char *image_path, *work_path, *parent_path;
	const char *manage_cgroups, *network_lock, *page_server, *status_fd, *lsm_profile, *lsm_mount_context;
	char **empty_ns; /* owned */
	bool leave_running, pre_dump, tcp_established, tcp_close, tcp_skip_in_flight, ext_unix_sk, shell_job;
	bool file_locks, link_remap, lazy_pages, auto_dedup;
};

/* type: the command's struct; m: its member of struct criuopts. */
#define CRIUOPTS_COMMON(type, m) \
	OPTION_STRING("image-path", 0, type, m.image_path, "DIR", "criu's images (default ./checkpoint)"), \
		OPTION_STRING("work-path", 0, type, m.work_path, "DIR", \
			      "criu's logs and statistics (default: the images')"), \
		OPTION_FLAG("tcp-established", 0, type, m.tcp_established, "also established TCP connections"), \
		OPTION_FLAG("tcp-close", 0, type, m.tcp_close, "established TCP connections come back closed"), \
		OPTION_FLAG("ext-unix-sk", 0, type, m.ext_unix_sk, "allow unix sockets to the outside"), \
		OPTION_FLAG("shell-job", 0, type, m.shell_job, "allow a terminal that is the caller's"), \
		OPTION_FLAG("file-locks", 0, type, m.file_locks, "also file locks"), \
		OPTION_FLAG("link-remap", 0, type, m.link_remap, "also files that are open and deleted"), \
		OPTION_FLAG("lazy-pages", 0, type, m.lazy_pages, "memory on demand (userfaultfd)"), \
		OPTION_FLAG("auto-dedup", 0, type, m.auto_dedup, \
			    "give back memory images that are not needed any more"), \
		OPTION_STRING("status-fd", 0, type, m.status_fd, "FD", \
			      "criu writes a NUL here once lazy pages are ready"), \
		OPTION_STRING("manage-cgroups-mode", 0, type, m.manage_cgroups, "MODE", \
			      "soft (default), full, strict or ignore"), \
		OPTION_STRING("network-lock", 0, type, m.network_lock, "HOW", "iptables, nftables or skip"), \
		OPTION_STRV("empty-ns", 0, type, m.empty_ns, "NAME", "leave the namespace's content out (network)")

/*
 * Checks the words and opens the directories; make: the images' is made. ret borrows from o and owns its
 * descriptors (criuopts_close()).
 */
int criuopts_open(const struct criuopts *o, bool make, struct criu_options *ret, struct err *err);
void criuopts_close(struct criu_options *c);
void criuopts_free(struct criuopts *o);
#define cleanup_criuopts CLEANUP(criuopts_free)

#endif
