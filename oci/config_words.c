/* SPDX-License-Identifier: Apache-2.0 */
/* The words of runtime-spec config.json and the kernel's numbers for them. */
/*
 * Pure tables, each indexed by the enum or number it translates; lookups are linear, as every table is short
 * and asked a few dozen times in a parse. Words from runtime-spec config.md#process, config-linux.md#namespaces
 * and #seccomp; numbers from linux/capability.h and sys/resource.h.
 */
#include "oci/config.h"

#include <linux/sched.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "base/cleanup.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct {
	const char *word, *file;
	unsigned long flag;
} namespaces[] = {
	[OCI_NS_USER] = { "user", "user", CLONE_NEWUSER },
	[OCI_NS_PID] = { "pid", "pid", CLONE_NEWPID },
	[OCI_NS_NETWORK] = { "network", "net", CLONE_NEWNET },
	[OCI_NS_MOUNT] = { "mount", "mnt", CLONE_NEWNS },
	[OCI_NS_IPC] = { "ipc", "ipc", CLONE_NEWIPC },
	[OCI_NS_UTS] = { "uts", "uts", CLONE_NEWUTS },
	[OCI_NS_CGROUP] = { "cgroup", "cgroup", CLONE_NEWCGROUP },
	[OCI_NS_TIME] = { "time", "time", CLONE_NEWTIME },
};
_Static_assert(ARRAY_SIZE(namespaces) == OCI_NS_MAX, "a word for every namespace");

static const char *const hooks[] = {
	[OCI_HOOK_PRESTART] = "prestart",
	[OCI_HOOK_CREATE_RUNTIME] = "createRuntime",
	[OCI_HOOK_CREATE_CONTAINER] = "createContainer",
	[OCI_HOOK_START_CONTAINER] = "startContainer",
	[OCI_HOOK_POSTSTART] = "poststart",
	[OCI_HOOK_POSTSTOP] = "poststop",
};
_Static_assert(ARRAY_SIZE(hooks) == OCI_HOOK_MAX, "a word for every hook kind");

static const char *const capabilities[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};
_Static_assert(ARRAY_SIZE(capabilities) == OCI_CAP_LAST + 1, "a name for every capability");

static const char *const rlimits[] = {
	[RLIMIT_AS] = "RLIMIT_AS",
	[RLIMIT_CORE] = "RLIMIT_CORE",
	[RLIMIT_CPU] = "RLIMIT_CPU",
	[RLIMIT_DATA] = "RLIMIT_DATA",
	[RLIMIT_FSIZE] = "RLIMIT_FSIZE",
	[RLIMIT_LOCKS] = "RLIMIT_LOCKS",
	[RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",
	[RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE",
	[RLIMIT_NICE] = "RLIMIT_NICE",
	[RLIMIT_NOFILE] = "RLIMIT_NOFILE",
	[RLIMIT_NPROC] = "RLIMIT_NPROC",
	[RLIMIT_RSS] = "RLIMIT_RSS",
	[RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",
	[RLIMIT_RTTIME] = "RLIMIT_RTTIME",
	[RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
	[RLIMIT_STACK] = "RLIMIT_STACK",
};

static const char *const seccomp_actions[] = {
	[OCI_SCMP_KILL] = "SCMP_ACT_KILL",
	[OCI_SCMP_KILL_PROCESS] = "SCMP_ACT_KILL_PROCESS",
	[OCI_SCMP_KILL_THREAD] = "SCMP_ACT_KILL_THREAD",
	[OCI_SCMP_TRAP] = "SCMP_ACT_TRAP",
	[OCI_SCMP_ERRNO] = "SCMP_ACT_ERRNO",
	[OCI_SCMP_TRACE] = "SCMP_ACT_TRACE",
	[OCI_SCMP_ALLOW] = "SCMP_ACT_ALLOW",
	[OCI_SCMP_LOG] = "SCMP_ACT_LOG",
	[OCI_SCMP_NOTIFY] = "SCMP_ACT_NOTIFY",
};
_Static_assert(ARRAY_SIZE(seccomp_actions) == OCI_SCMP_MAX, "a name for every action");

static const char *const seccomp_ops[] = {
	[OCI_OP_NE] = "SCMP_CMP_NE",
	[OCI_OP_LT] = "SCMP_CMP_LT",
	[OCI_OP_LE] = "SCMP_CMP_LE",
	[OCI_OP_EQ] = "SCMP_CMP_EQ",
	[OCI_OP_GE] = "SCMP_CMP_GE",
	[OCI_OP_GT] = "SCMP_CMP_GT",
	[OCI_OP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
};
_Static_assert(ARRAY_SIZE(seccomp_ops) == OCI_OP_MAX, "a name for every comparison");

const char *oci_namespace_word(enum oci_namespace_kind kind)
{
	return (size_t)kind < OCI_NS_MAX ? namespaces[kind].word : NULL;
}

const char *oci_namespace_file(enum oci_namespace_kind kind)
{
	return (size_t)kind < OCI_NS_MAX ? namespaces[kind].file : NULL;
}

unsigned long oci_namespace_flag(enum oci_namespace_kind kind)
{
	return (size_t)kind < OCI_NS_MAX ? namespaces[kind].flag : 0;
}

const char *oci_hook_word(enum oci_hook_kind kind)
{
	return (size_t)kind < OCI_HOOK_MAX ? hooks[kind] : NULL;
}

const char *oci_capability_name(int cap)
{
	return cap >= 0 && cap <= OCI_CAP_LAST ? capabilities[cap] : NULL;
}

int oci_capability_number(const char *name)
{
	const char *bare = strncasecmp(name, "CAP_", 4) ? name : name + 4;

	for (int i = 0; i <= OCI_CAP_LAST; i++)
		if (!strcasecmp(capabilities[i] + 4, bare))
			return i;
	return -1;
}

const char *oci_rlimit_name(int resource)
{
	return resource >= 0 && (size_t)resource < ARRAY_SIZE(rlimits) ? rlimits[resource] : NULL;
}

int oci_rlimit_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rlimits); i++)
		if (rlimits[i] && !strcmp(rlimits[i], name))
			return (int)i;
	return -1;
}

const char *oci_seccomp_action_name(enum oci_seccomp_action a)
{
	return (size_t)a < OCI_SCMP_MAX ? seccomp_actions[a] : NULL;
}

const char *oci_seccomp_op_name(enum oci_seccomp_op op)
{
	return (size_t)op < OCI_OP_MAX ? seccomp_ops[op] : NULL;
}
