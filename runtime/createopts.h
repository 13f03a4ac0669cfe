/* SPDX-License-Identifier: Apache-2.0 */
/* Options that create and run (and restore) have in common, as rows of their tables. */
#ifndef RUNTIME_CREATEOPTS_H
#define RUNTIME_CREATEOPTS_H

#include "runtime/commands.h"
#include "runtime/options.h"
#include "runtime/plan.h"

struct createopts {
	const char *bundle, *config, *console_socket, *pid_file, *pidfd_socket;
	uint32_t preserve_fds;
	bool no_pivot, no_new_keyring, dry_run;
	const char *isolation, *vmm; /* as the global options of these names */
	/* run */
	bool detach, keep, no_subreaper;
	/* for people */
	char **networks, **publish, **dns, **add_hosts;
	const char *hostname, *kernel, *memory, *cni_config;
	uint32_t vcpus;
};

#define CREATEOPTS_COMMON \
	OPTION_STRING("bundle", 'b', struct createopts, bundle, "DIR", "bundle directory (default .)"), \
		OPTION_STRING("config", 'f', struct createopts, config, "FILE", \
			      "configuration (default BUNDLE/config.json)"), \
		OPTION_STRING("console-socket", 0, struct createopts, console_socket, "SOCKET", \
			      "unix socket that receives the terminal's master"), \
		OPTION_STRING("pid-file", 0, struct createopts, pid_file, "FILE", "write the process id to FILE"), \
		OPTION_STRING("pidfd-socket", 0, struct createopts, pidfd_socket, "SOCKET", \
			      "unix socket that receives a pidfd of the process"), \
		OPTION_U32("preserve-fds", 0, struct createopts, preserve_fds, "N", "pass descriptors 3 to 3+N-1"), \
		OPTION_FLAG("no-pivot", 0, struct createopts, no_pivot, "do not use pivot_root (root on a ramdisk)"), \
		OPTION_FLAG("no-new-keyring", 0, struct createopts, no_new_keyring, "keep the session keyring"), \
		OPTION_STRV("network", 0, struct createopts, networks, "NAME", \
			    "none, host, ns:PATH, container:ID, pasta or a network (repeatable)"), \
		OPTION_STRV("publish", 'p', struct createopts, publish, "PORTS", \
			    "[HOST:]PORT:PORT[/PROTO] (repeatable)"), \
		OPTION_STRV("dns", 0, struct createopts, dns, "ADDRESS", "name server (repeatable)"), \
		OPTION_STRV("add-host", 0, struct createopts, add_hosts, "NAME:ADDRESS", \
			    "line of hosts (repeatable)"), \
		OPTION_STRING("cni-config", 0, struct createopts, cni_config, "FILE", \
			      "attach by the CNI plugins of a conflist"), \
		OPTION_STRING("hostname", 0, struct createopts, hostname, "NAME", \
			      "host name instead of the config's"), \
		OPTION_STRING("kernel", 0, struct createopts, kernel, "NAME", \
			      "machine: kernel of the store, or a path"), \
		OPTION_U32("vcpus", 0, struct createopts, vcpus, "N", "machine: virtual processors"), \
		OPTION_STRING("memory", 0, struct createopts, memory, "SIZE", "machine: memory (512m, 2g)"), \
		OPTION_STRING("isolation", 0, struct createopts, isolation, "KIND", \
			      "container or vm; as before the command"), \
		OPTION_STRING("vmm", 0, struct createopts, vmm, "NAME", "machine monitor: kvm, qemu or auto"), \
		OPTION_FLAG("dry-run", 0, struct createopts, dry_run, "print the plan and do nothing")

/* The globals with this command's --isolation and --vmm. 0 or negative. */
int createopts_globals(const struct createopts *o, const struct globals *g, struct globals *ret, struct err *err);
/* Options and id to a request that borrows from both. */
int createopts_request(const struct createopts *o, const char *id, struct create_request *ret, struct err *err);
void createopts_free(struct createopts *o);
#define cleanup_createopts CLEANUP(createopts_free)

#endif
