/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: options + config + host facts -> decisions. Pure: reads nothing, changes nothing, prints by
 * plan_print() for --dry-run. Everything after it only carries out.
 */
#ifndef RUNTIME_PLAN_H
#define RUNTIME_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "runtime/commands.h"

struct criu_options;
struct oci_config;

/* What the plan wants to know of the host and of the administrator; gathered by plan_host_facts(). */
struct host_facts {
	uid_t euid;
	bool kvm_device;     /* /dev/kvm can be opened */
	uint32_t listen_fds; /* $LISTEN_FDS, when $LISTEN_PID does not say that they are somebody else's */
	bool listen_sure;    /* $LISTEN_PID is ours */
	bool notify;         /* $NOTIFY_SOCKET */
	/* /etc/amphi/amphi.json, see amphi.5 */
	enum isolation default_isolation;
	enum vmm_driver default_vmm;
	char *default_kernel; /* name in the kernel store */
	char **kernels;       /* names that annotations may choose; NULL: any of the store */
	bool annotations_may_name_paths;
	bool vhost_net; /* may be used where the host has it */
};

/* What the user asked for on the command line of create/run/restore. */
struct create_request {
	const char *id;
	const char *bundle; /* directory */
	const char *config; /* another file than bundle/config.json, or NULL */
	const char *console_socket;
	const char *pid_file;
	const char *pidfd_socket;
	uint32_t preserve_fds;
	bool no_pivot;
	bool no_new_keyring;
	bool detach; /* create, run -d */
	bool starts; /* run: start follows at once and writes the record */
	bool keep;
	bool dry_run;
	char **networks; /* --network none|host|ns:PATH|container:ID|NAME[:key=value...] */
	char **publish;  /* --publish [HOST:]PORT:PORT[/PROTO] */
	char **dns, **add_hosts;
	const char *cni_config; /* conflist whose plugins attach us */
	const char *hostname;
	const char *image;
	char **image_args;  /* with image: replaces its command */
	const char *kernel; /* --kernel NAME|PATH (the command line may name paths) */
	uint32_t vcpus;
	uint64_t memory_bytes;
	const struct criu_options *restore; /* restore: from these images; NULL: create */
};

struct plan {
	const struct create_request *request;
	const struct oci_config *config;
	enum isolation isolation;
	const char *isolation_by; /* what chose it, for people */
	enum vmm_driver vmm;
	enum cgroup_driver cgroup_driver;
	bool rootless;
	bool terminal;
	uint32_t listen_fds;   /* descriptors from 3 on that systemd has for the workload ($LISTEN_FDS) */
	uint32_t preserve_fds; /* behind them, up to the last that is open */
	bool notify;           /* $NOTIFY_SOCKET: the workload tells systemd when it is ready */
	/* machine: 0 / NULL leave the choice to vm_config */
	uint32_t vcpus;
	uint64_t memory_bytes;
	char *kernel;
	bool may_name_paths; /* the administrator lets config.json name the host's files */
};

/* Reads the host facts and the configuration file ($AMPHI_CONFIG or /etc/amphi/amphi.json; a missing file is fine). */
int plan_host_facts(struct host_facts *ret, struct err *err);
void plan_host_facts_free(struct host_facts *f);
/* Decides. Refuses contradictions by name (console socket without terminal, terminal + detach without one ...). */
int plan_make(const struct globals *g, const struct create_request *req, const struct oci_config *config,
	      const struct host_facts *facts, struct plan *ret, struct err *err);
/*
 * How many descriptors from 3 + listen_fds on --preserve-fds n passes: up to the last one that our caller left open. Those
 * between that are not open get a warning, and the container has none there.
 */
uint32_t plan_preserve_fds(const struct globals *g, uint32_t listen_fds, uint32_t n);
void plan_free(struct plan *p);
/* The plan as indented JSON text, with the steps' names in order. */
void plan_print(const struct plan *p, const char *const *steps, struct str *out);

#endif
