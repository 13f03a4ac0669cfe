/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json as structs: every property that runtime-spec 1.3 knows for Linux and for `vm`. A document is
 * parsed once by oci_config_parse() and const afterwards; everything below belongs to it and dies with
 * oci_config_free().
 *
 * Conventions: a pointer is NULL, a count 0 and a flag false when the document does not have the property;
 * where zero would be a value of its own there is a has_x beside x. String vectors are NULL-terminated.
 * Words with a fixed meaning are numbers of the kernel (CLONE_*, RLIMIT_*, SCHED_*, MS_*) or enums of this
 * header; the way back to the word is a function at the end. Names: the functions of oci/ begin with oci_.
 */
#ifndef OCI_CONFIG_H
#define OCI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* The version written into documents of our own; what we accept is 1.x.y. */
#define OCI_VERSION "1.3.0"
#define OCI_VERSION_MIN "1.0.0"

/* One entry of a string map (annotations, sysctl, unified), in document order. */
struct oci_pair {
	char *key;
	char *value;
};

/* One line of uid_map or gid_map (config-linux.md#user-namespace-mappings). */
struct oci_idmap {
	uint32_t container_id;
	uint32_t host_id;
	uint32_t size;
};

/* config.md#root */
struct oci_root {
	char *path; /* as written: relative to the bundle or absolute */
	bool readonly;
};

/* config.md#mounts */
struct oci_mount {
	char *destination; /* never empty; a relative one is meant from "/" (as runc, with a warning) */
	char *type;        /* NULL: none given */
	char *source;      /* NULL: none given; made absolute against the bundle by oci_bundle_load() for binds */
	char **options;    /* as written, in order */
	struct oci_idmap *uid_mappings;
	size_t n_uid_mappings;
	struct oci_idmap *gid_mappings;
	size_t n_gid_mappings;
};

/* config.md#posix-process: rlimits */
struct oci_rlimit {
	int resource; /* RLIMIT_* */
	uint64_t soft;
	uint64_t hard;
};

/* Bit n of a mask is capability number n; names unknown to us are kept for the warning. */
struct oci_capabilities {
	uint64_t bounding;
	uint64_t effective;
	uint64_t inheritable;
	uint64_t permitted;
	uint64_t ambient;
	char **unknown; /* "CAP_FOO", each once */
};

struct oci_scheduler {
	int policy; /* SCHED_* of linux/sched.h */
	int32_t nice;
	int32_t priority;
	uint64_t flags;   /* SCHED_FLAG_* */
	uint64_t runtime; /* ns, with SCHED_DEADLINE */
	uint64_t deadline;
	bool has_runtime, has_deadline;
	uint64_t period;
};

/* Values of the kernel's IOPRIO_CLASS_*. */
enum oci_ioprio_class { OCI_IOPRIO_NONE, OCI_IOPRIO_RT, OCI_IOPRIO_BE, OCI_IOPRIO_IDLE };

struct oci_user {
	uint32_t uid;
	uint32_t gid;
	bool has_umask;
	uint32_t umask;
	uint32_t *additional_gids;
	size_t n_additional_gids;
};

/* config.md#process; also the whole of a process.json given to exec. */
struct oci_process {
	bool terminal;
	bool has_console_size;
	uint32_t console_height; /* rows */
	uint32_t console_width;  /* columns */
	char *cwd;               /* absolute; required */
	char **env;              /* "NAME=value" */
	char **args;             /* at least one element where a process is to run; NULL when the document has none */
	struct oci_user user;

	struct oci_rlimit *rlimits;
	size_t n_rlimits;
	bool has_capabilities; /* false: no capabilities object: the process gets none (as runc) */
	struct oci_capabilities capabilities;
	bool no_new_privileges;
	char *apparmor_profile;
	char *selinux_label;
	bool has_oom_score_adj;
	int32_t oom_score_adj;
	bool has_scheduler;
	struct oci_scheduler scheduler;
	bool has_io_priority;
	enum oci_ioprio_class io_priority_class;
	int32_t io_priority;             /* 0..7 */
	char *exec_cpu_affinity_initial; /* "0-3,7"; exec only */
	char *exec_cpu_affinity_final;
};

/* config.md#posix-platform-hooks */
enum oci_hook_kind {
	OCI_HOOK_PRESTART,
	OCI_HOOK_CREATE_RUNTIME,
	OCI_HOOK_CREATE_CONTAINER,
	OCI_HOOK_START_CONTAINER,
	OCI_HOOK_POSTSTART,
	OCI_HOOK_POSTSTOP,
	OCI_HOOK_MAX,
};

struct oci_hook {
	char *path;  /* absolute */
	char **args; /* argv including argv[0]; NULL: {path} */
	char **env;  /* NULL: empty environment */
	bool has_timeout;
	uint32_t timeout; /* seconds, > 0 */
};

struct oci_hook_list {
	struct oci_hook *v;
	size_t n;
};

/* config-linux.md#namespaces */
enum oci_namespace_kind {
	OCI_NS_USER,
	OCI_NS_PID,
	OCI_NS_NETWORK,
	OCI_NS_MOUNT,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_CGROUP,
	OCI_NS_TIME,
	OCI_NS_MAX,
};

/* Indexed by kind: new (present, path NULL), joined (path), or the runtime's own (not present). */
struct oci_namespace {
	bool present;
	char *path; /* absolute; NULL: create a new one */
};

struct oci_time_offset {
	bool present;
	int64_t secs;
	uint32_t nanosecs;
};

/* config-linux.md#devices */
struct oci_device {
	char type;  /* 'c' 'b' 'u' 'p' */
	char *path; /* absolute, in the container */
	int64_t major;
	int64_t minor;
	bool has_file_mode;
	uint32_t file_mode; /* permission bits */
	bool has_uid;
	uint32_t uid;
	bool has_gid;
	uint32_t gid;
};

/* config-linux.md#allowed-device-list; in order, the last match wins. */
struct oci_device_rule {
	bool allow;
	char type;      /* 'a' 'c' 'b' */
	bool has_major; /* false: every number */
	int64_t major;
	bool has_minor;
	int64_t minor;
	bool r, w, m; /* no access given: all three */
};

struct oci_memory {
	bool has_limit, has_reservation, has_swap, has_kernel, has_kernel_tcp, has_swappiness;
	bool has_disable_oom_killer, has_use_hierarchy, has_check_before_update;
	int64_t limit; /* bytes; -1 unlimited */
	int64_t reservation;
	int64_t swap; /* memory + swap, as cgroup v1 counts */
	int64_t kernel;
	int64_t kernel_tcp;
	uint64_t swappiness; /* 0..100 */
	bool disable_oom_killer;
	bool use_hierarchy;
	bool check_before_update;
};

struct oci_cpu {
	bool has_shares, has_quota, has_burst, has_period, has_realtime_runtime, has_realtime_period, has_idle;
	uint64_t shares;
	int64_t quota; /* us a period; negative unlimited */
	uint64_t burst;
	uint64_t period; /* us */
	int64_t realtime_runtime;
	uint64_t realtime_period;
	int64_t idle;
	char *cpus; /* "0-3,7" */
	char *mems;
};

struct oci_weight_device {
	int64_t major;
	int64_t minor;
	bool has_weight, has_leaf_weight;
	uint16_t weight;
	uint16_t leaf_weight;
};

struct oci_throttle_device {
	int64_t major;
	int64_t minor;
	uint64_t rate; /* bytes or operations a second */
};

struct oci_throttle_list {
	struct oci_throttle_device *v;
	size_t n;
};

struct oci_block_io {
	bool has_weight, has_leaf_weight;
	uint16_t weight; /* 10..1000 */
	uint16_t leaf_weight;
	struct oci_weight_device *weight_devices;
	size_t n_weight_devices;
	struct oci_throttle_list read_bps, write_bps, read_iops, write_iops;
};

struct oci_hugepage_limit {
	char *page_size; /* "2MB" */
	uint64_t limit;  /* bytes */
};

struct oci_interface_priority {
	char *name;
	uint32_t priority;
};

struct oci_rdma {
	char *device;
	bool has_hca_handles, has_hca_objects;
	uint32_t hca_handles;
	uint32_t hca_objects;
};

/* config-linux.md#control-groups; also the whole of update --resources. */
struct oci_resources {
	struct oci_device_rule *devices;
	size_t n_devices;
	bool has_memory;
	struct oci_memory memory;
	bool has_cpu;
	struct oci_cpu cpu;
	bool has_pids_limit; /* 0 is a limit since 1.3 (older documents: unlimited, as is -1) */
	int64_t pids_limit;
	bool has_block_io;
	struct oci_block_io block_io;
	struct oci_hugepage_limit *hugepage_limits;
	size_t n_hugepage_limits;
	bool has_net_class_id;
	uint32_t net_class_id;
	struct oci_interface_priority *net_priorities;
	size_t n_net_priorities;
	struct oci_rdma *rdma;
	size_t n_rdma;
	struct oci_pair *unified; /* keys are file names without '/' */
	size_t n_unified;
};

/* config-linux.md#intelrdt */
struct oci_intel_rdt {
	char *clos_id;
	char **schemata;
	char *l3_cache_schema;
	char *mem_bw_schema;
	bool enable_monitoring;
	bool enable_cmt; /* removed in 1.3, still accepted */
	bool enable_mbm;
};

/* config-linux.md#memory-policy (1.3) */
struct oci_memory_policy {
	int mode;       /* MPOL_* of linux/mempolicy.h */
	char *nodes;    /* "0-3"; may be empty */
	uint32_t flags; /* MPOL_F_* */
};

/* config-linux.md#seccomp */
enum oci_seccomp_action {
	OCI_SCMP_KILL, /* = KILL_THREAD */
	OCI_SCMP_KILL_PROCESS,
	OCI_SCMP_KILL_THREAD,
	OCI_SCMP_TRAP,
	OCI_SCMP_ERRNO,
	OCI_SCMP_TRACE,
	OCI_SCMP_ALLOW,
	OCI_SCMP_LOG,
	OCI_SCMP_NOTIFY,
	OCI_SCMP_MAX,
};

enum oci_seccomp_op {
	OCI_OP_NE,
	OCI_OP_LT,
	OCI_OP_LE,
	OCI_OP_EQ,
	OCI_OP_GE,
	OCI_OP_GT,
	OCI_OP_MASKED_EQ,
	OCI_OP_MAX,
};

struct oci_seccomp_arg {
	uint32_t index; /* 0..5 */
	uint64_t value;
	uint64_t value_two; /* the datum of MASKED_EQ, whose mask is value */
	enum oci_seccomp_op op;
};

struct oci_seccomp_rule {
	char **names; /* at least one */
	enum oci_seccomp_action action;
	bool has_errno_ret;
	uint32_t errno_ret;
	struct oci_seccomp_arg *args;
	size_t n_args;
};

struct oci_seccomp {
	enum oci_seccomp_action default_action;
	bool has_default_errno_ret;
	uint32_t default_errno_ret;
	char **architectures; /* "SCMP_ARCH_X86_64", checked against the spec's list */
	char **flags;         /* "SECCOMP_FILTER_FLAG_LOG", checked; NULL: the profile says nothing */
	char *listener_path;
	char *listener_metadata;
	bool fail_unknown; /* unknown system calls are an error (crun's annotation) */
	struct oci_seccomp_rule *syscalls;
	size_t n_syscalls;
};

/* config-linux.md#network-devices (1.3): a link of the host moved into the container. */
struct oci_net_device {
	char *host_name;
	char *name; /* in the container, may hold one %d; NULL: keep */
};

/* config-linux.md */
struct oci_linux {
	struct oci_namespace namespaces[OCI_NS_MAX];
	struct oci_idmap *uid_mappings;
	size_t n_uid_mappings;
	struct oci_idmap *gid_mappings;
	size_t n_gid_mappings;
	struct oci_time_offset time_monotonic;
	struct oci_time_offset time_boottime;
	struct oci_device *devices;
	size_t n_devices;
	struct oci_net_device *net_devices;
	size_t n_net_devices;
	char *cgroups_path;
	bool has_resources;
	struct oci_resources resources;
	struct oci_intel_rdt *intel_rdt;         /* NULL: none */
	struct oci_memory_policy *memory_policy; /* NULL: none */
	struct oci_pair *sysctl;
	size_t n_sysctl;
	struct oci_seccomp *seccomp; /* NULL: none */
	unsigned long
		rootfs_propagation; /* MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, each maybe | MS_REC; 0: not given */
	char **masked_paths;
	char **readonly_paths;
	char *mount_label;
	const char *mount_context_type; /* crun's annotations: the option mount_label is given by; NULL: "context" */
	const char *systemd_cgroup_v1;  /* and the destination that gets the v1 hierarchy of systemd alone; or NULL */
	bool has_personality;
	bool personality_linux32; /* LINUX32, else LINUX */
};

enum oci_image_format { OCI_IMAGE_RAW, OCI_IMAGE_QCOW2, OCI_IMAGE_VDI, OCI_IMAGE_VMDK, OCI_IMAGE_VHD, OCI_IMAGE_MAX };

struct oci_vm_iomem {
	uint64_t first_gfn;
	uint64_t first_mfn;
	uint64_t nr_mfns;
};

/* config-vm.md */
struct oci_vm {
	char *hypervisor_path; /* absolute; NULL: ours */
	char **hypervisor_parameters;
	char *kernel_path; /* absolute, on the host; required by the spec, NULL only where the kernel object is absent */
	char **kernel_parameters;
	char *initrd;
	char *image_path; /* a disk image, distinct from root */
	enum oci_image_format image_format;
	bool has_vcpus;
	uint32_t vcpus;
	bool has_memory;
	uint64_t memory; /* bytes */
	char *device_tree;
	char **dtdevs;
	struct oci_vm_iomem *iomems;
	size_t n_iomems;
	uint32_t *irqs;
	size_t n_irqs;
};

/* config.md */
struct oci_config {
	char *oci_version;
	bool has_root;
	struct oci_root root;
	struct oci_mount *mounts;
	size_t n_mounts;
	bool has_process;
	struct oci_process process;
	char *hostname;
	char *domainname;
	struct oci_hook_list hooks[OCI_HOOK_MAX];
	struct oci_pair *annotations;
	size_t n_annotations;
	/* what crun's annotations say (config_crun.c); the texts are those of the annotations */
	bool keep_groups;                        /* no setgroups(2): those of the caller stay */
	const char *hooks_stdout, *hooks_stderr; /* hooks append to these files; NULL: captured */
	const char *pidfd_receiver;              /* socket for the pidfd; NULL: none */
	const char *path_annotation;             /* key of one of them that names a file of the host; NULL: none does */
	bool has_linux;
	struct oci_linux linux_; /* all zero when absent; "linux" is a macro of the compiler */
	struct oci_vm *vm;       /* NULL: no vm object */
	/* What a person should hear once though it is no error ("process.capabilities: ... unknown"); NULL: nothing. */
	char **warnings;
};

/*
 * Parses and checks config.json (config_check included). Strict: a wrong type, a number out of range, a key
 * twice or a broken cross-field rule is -EINVAL with the JSON path in front; unknown properties are ignored as
 * the spec demands. On success *ret is owned by the caller (oci_config_free()).
 */
int oci_config_parse(const char *buf, size_t len, struct oci_config **ret, struct err *err);
/* NULL allowed. */
void oci_config_free(struct oci_config *c);
static inline void cleanup_oci_config_fn(struct oci_config **c)
{
	oci_config_free(*c);
}
#define cleanup_oci_config CLEANUP(cleanup_oci_config_fn)

/* Parses an array of mounts (mounts add). Paths in errors begin at the array ("[0].source"). Owned: oci_mounts_free(). */
int oci_mounts_parse(const char *buf, size_t len, struct oci_mount **ret, size_t *n_ret, struct err *err);
void oci_mounts_free(struct oci_mount *v, size_t n);

/* Parses a process document (exec --process). The same rules; paths in errors begin with "process". */
int oci_process_parse(const char *buf, size_t len, struct oci_process **ret, struct err *err);
/* A deep copy, for exec that starts from the container's process and changes some of it. Never NULL. */
struct oci_process *oci_process_dup(const struct oci_process *p);
void oci_process_free(struct oci_process *p);
/* The process as JSON (one line, NUL-terminated, owned), as sent to the guest. */
char *oci_process_write(const struct oci_process *p);

/* Parses a resources document (update --resources). Paths in errors begin with "resources". */
int oci_resources_parse(const char *buf, size_t len, struct oci_resources **ret, struct err *err);
void oci_resources_free(struct oci_resources *r);
/* The resources as JSON (one line, owned). */
char *oci_resources_write(const struct oci_resources *r);

/*
 * config.json with every mounts[i].source replaced by sources[i] (NULL keeps) and root.path by root (NULL
 * keeps), everything else as it was, unknown properties included: what the guest gets. An overlay with a new source becomes a
 * bind mount of it. n must be the number of
 * mounts. *ret is owned.
 */
int oci_config_rewrite(const char *buf, size_t len, const char *root, char *const *sources, size_t n, char **ret,
		       struct err *err);

/*
 * config.json with the members of the document over laid over it, object by object; arrays and values are replaced whole.
 * What is not in over stays, unknown properties included. *ret is owned.
 */
int oci_config_merge(const char *buf, size_t len, const char *over, char **ret, struct err *err);

/* The value of an annotation, or NULL. */
const char *oci_annotation(const struct oci_config *c, const char *key);
/* Must the host do the mount for a machine to have it: a bind mount, or an overlay of the host's directories? */
bool oci_mount_exported(const struct oci_mount *m);
/* Does the mount have the option word? */
bool oci_mount_has(const struct oci_mount *m, const char *word);
/* Is it a bind mount: option bind or rbind, or type "bind"? */
bool oci_mount_is_bind(const struct oci_mount *m);
/* Does the device cgroup's last rule allow everything? Engines say "privileged" so, and name each device of the host. */
bool oci_resources_all_devices(const struct oci_resources *r);

/* Words and back. Names return NULL, numbers -1, when unknown. */
const char *oci_namespace_word(enum oci_namespace_kind kind);   /* "network" */
const char *oci_namespace_file(enum oci_namespace_kind kind);   /* "net" of /proc/PID/ns */
unsigned long oci_namespace_flag(enum oci_namespace_kind kind); /* CLONE_NEWNET */
const char *oci_hook_word(enum oci_hook_kind kind);             /* "createRuntime" */
const char *oci_capability_name(int cap);                       /* "CAP_CHOWN" */
int oci_capability_number(const char *name);                    /* with or without CAP_, any case */
#define OCI_CAP_LAST 40                                         /* CAP_CHECKPOINT_RESTORE */
const char *oci_rlimit_name(int resource);                      /* "RLIMIT_NOFILE" */
int oci_rlimit_number(const char *name);
const char *oci_seccomp_action_name(enum oci_seccomp_action a); /* "SCMP_ACT_ERRNO" */
const char *oci_seccomp_op_name(enum oci_seccomp_op op);        /* "SCMP_CMP_EQ" */

#endif
